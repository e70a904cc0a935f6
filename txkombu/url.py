"""
Brokers' URLs, and the parameters of a connection.

C{transport://user:password@host:port/vhost?option=value}: every part is
percent-decoded.  No path, C{/}, C{//} and C{/%2F} all mean the virtual host
C{/}.  Wherever C{@ / ? # ; :} belong to a user name or a password they must be
percent-encoded; a C{@} behind the host too, so that no stray part of a
password is ever taken for something that may be shown.

The options are those of RabbitMQ's "URI Query Parameters", with its units
(C{heartbeat} in seconds, C{connection_timeout} in milliseconds), and C{name},
which names the connection in the broker's lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from difflib import get_close_matches
from ipaddress import IPv6Address
from re import compile as pattern
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

import attrs

from .exceptions import InvalidURL
from .transport import Scheme, scheme_named
from .validation import check_bool, check_count, check_seconds, check_short_string

__all__ = [
    "NO_SERVER_NAME",
    "Parameters",
    "TLSOptions",
    "parameters_for",
    "parse_url",
    "parse_urls",
]

NO_SERVER_NAME: Final = "disable"
"""As C{server_name}: send no name, and check only the chain."""

_MECHANISMS = ("PLAIN", "EXTERNAL")
_VERIFY = {"verify_peer": True, "verify_none": False}
_TLS_OPTIONS = {
    "cacertfile": "cacertfile",
    "certfile": "certfile",
    "keyfile": "keyfile",
    "verify": "verify",
    "server_name_indication": "server_name",
}
_OPTIONS = {
    "heartbeat": "heartbeat",
    "connection_timeout": "connect_timeout",
    "channel_max": "channel_max",
    "auth_mechanism": "auth_mechanism",
    "name": "connection_name",
}
_SCHEME = pattern(r"[A-Za-z][A-Za-z0-9+.-]*")
_WORD = pattern(r"[A-Za-z0-9_.-]{1,60}")
_NUMBER = pattern(r"[0-9]{1,400}(\.[0-9]{1,400})?")
_BAD_ESCAPE = pattern(r"%(?![0-9A-Fa-f]{2})")
_BAD_HOST = pattern(r"[\s/?#@\[\]\\]|[^\x20-\x7e\x80-\U0010ffff]")
_ENCODE = "a '%', '@', ':', '/', '?', '#' or ';' in a name or password must be encoded"


def _optional_str(what: str, value: object) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise TypeError(f"{what} must be a str that is not empty, not {value!r}")
    return value


@attrs.frozen(kw_only=True)
class TLSOptions:
    """
    How to make sure of the broker, and of us.

    @ivar cacertfile: a file of the authorities to trust, in PEM form, instead
        of the platform's.
    @ivar certfile: our certificate, in PEM form.
    @ivar keyfile: its key, in PEM form; by default in C{certfile} too.
    @ivar verify: whether the broker's certificate is checked; without it
        anyone can pose as the broker.
    @ivar server_name: the name to ask for and to check, instead of the host
        that is connected to; L{NO_SERVER_NAME} does neither.
    """

    cacertfile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    verify: bool = True
    server_name: str | None = None

    def __attrs_post_init__(self) -> None:
        for what in ("cacertfile", "certfile", "keyfile", "server_name"):
            _optional_str(what, getattr(self, what))
        check_bool("verify", self.verify)
        if self.keyfile is not None and self.certfile is None:
            raise ValueError("keyfile is of no use without certfile")


def _host_default(parameters: Parameters) -> str:
    return "" if parameters.scheme.local else "localhost"


@attrs.frozen(repr=False)
class Parameters:
    """
    All that is needed to connect to one broker.

    @ivar transport: the URL scheme.
    @ivar hostname: a name, or an address without brackets; for C{memory} the
        name of a broker of this process.
    @ivar userid: C{"guest"} if not given.
    @ivar password: C{"guest"} if not given; never shown.
    @ivar virtual_host: C{"/"} if not given or empty.
    @ivar port: by default, or for 0, the scheme's; 0 if it needs none.
    @ivar heartbeat: seconds; 0 is none.
    @ivar connect_timeout: seconds for TCP, TLS and login together.
    @ivar channel_max: how many channels at most; 0 is no limit.
    @ivar auth_mechanism: C{"PLAIN"} or C{"EXTERNAL"}; by default EXTERNAL is
        not used.
    @ivar connection_name: how the broker lists the connection.
    @ivar tls: C{None} where nothing is encrypted.
    """

    transport: str = attrs.field(default="amqp")
    hostname: str = attrs.field(default=attrs.Factory(_host_default, takes_self=True))
    userid: str = "guest"
    password: str = "guest"
    virtual_host: str = "/"
    port: int = 0
    heartbeat: float = 60.0
    connect_timeout: float = 10.0
    channel_max: int = 0
    auth_mechanism: str | None = None
    connection_name: str | None = None
    tls: TLSOptions | None = None

    def __attrs_post_init__(self) -> None:
        scheme = self.scheme
        self._settle("transport", scheme.name)
        _check_host(self.hostname, scheme)
        for what in ("userid", "password"):
            if not isinstance(getattr(self, what), str):
                raise TypeError(f"{what} must be a str")
        check_short_string("virtual_host", self.virtual_host)
        self._settle("virtual_host", self.virtual_host or "/")
        self._settle("port", _count("port", self.port, 65535) or scheme.port)
        check_seconds("heartbeat", self.heartbeat)
        if check_seconds("connect_timeout", self.connect_timeout) == 0:
            raise ValueError("connect_timeout must be more than 0 seconds")
        _count("channel_max", self.channel_max, 65535)
        self._settle("auth_mechanism", _mechanism(self.auth_mechanism))
        _optional_str("connection_name", self.connection_name)
        self._settle("tls", _check_tls(self.tls, scheme))

    def _settle(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)

    @property
    def scheme(self) -> Scheme:
        """What is known of the transport's scheme."""
        return scheme_named(self.transport)

    def as_uri(self, include_password: bool = False) -> str:
        """
        These parameters as a URL, options at their defaults left out.

        @param include_password: show the password instead of C{**}; L{parse_url}
            makes equal parameters of such a URL.
        """
        tail = _path(self) + _query(self)
        return f"{self.transport}://{_authority(self, include_password)}{tail}"

    def __repr__(self) -> str:
        return f"<Parameters {self.as_uri()}>"


# --- checks ------------------------------------------------------------------


def _count(what: str, value: object, most: int) -> int:
    if value is None:
        raise TypeError(f"{what} must be an int, not None")
    return check_count(what, value, 0, most) or 0


def _check_host(hostname: object, scheme: Scheme) -> None:
    if not isinstance(hostname, str):
        raise TypeError(f"hostname must be a str, not {hostname!r}")
    if scheme.local:
        return
    if not hostname:
        raise ValueError("the host is missing")
    if ":" in hostname:
        _check_address(hostname)
    elif _BAD_HOST.search(hostname):
        raise ValueError(f"the host has a character that no host's name has; {_ENCODE}")


def _check_address(hostname: str) -> None:
    try:
        IPv6Address(hostname)
    except ValueError:
        raise ValueError("the host has a ':' but is no IPv6 address") from None


def _mechanism(value: object) -> str | None:
    if value is None:
        return None
    name = value.upper() if isinstance(value, str) else value
    if name not in _MECHANISMS:
        raise ValueError(f"auth_mechanism must be PLAIN or EXTERNAL, not {value!r}")
    return str(name)


def _check_tls(tls: object, scheme: Scheme) -> TLSOptions | None:
    if tls is None:
        return TLSOptions() if scheme.tls else None
    if not isinstance(tls, TLSOptions):
        raise TypeError(f"tls must be a TLSOptions, not {tls!r}")
    if scheme.tls is False:
        raise ValueError(
            f"the {scheme.name} transport is not encrypted{_secure(scheme)}"
        )
    return tls


def _secure(scheme: Scheme) -> str:
    near = {"stomp": "stomp+ssl", "memory": ""}.get(scheme.name, f"{scheme.name}s")
    return f"; use {near}" if near else ""


# --- writing -----------------------------------------------------------------


def _authority(of: Parameters, include_password: bool) -> str:
    password = quote(of.password, safe="") if include_password else "**"
    who = f"{quote(of.userid, safe='')}:{password}@"
    if of.scheme.local and (of.userid, of.password) == ("guest", "guest"):
        who = ""
    port = f":{of.port}" if of.port else ""
    return f"{who}{_host(of)}{port}"


def _host(of: Parameters) -> str:
    if ":" in of.hostname and not of.scheme.local:
        return f"[{quote(of.hostname, safe=':')}]"
    return quote(of.hostname, safe="")


def _path(of: Parameters) -> str:
    if of.virtual_host == "/":
        return "" if of.scheme.local else "//"
    return "/" + quote(of.virtual_host, safe="")


def _query(of: Parameters) -> str:
    options = {
        "heartbeat": None if of.heartbeat == 60 else _decimal(of.heartbeat),
        "connection_timeout": (
            None if of.connect_timeout == 10 else _decimal(of.connect_timeout, 1000)
        ),
        "channel_max": str(of.channel_max) if of.channel_max else None,
        "auth_mechanism": of.auth_mechanism,
        "name": of.connection_name,
        **({} if of.tls is None else _tls_options(of.tls)),
    }
    text = "&".join(
        f"{key}={quote(value, safe='/')}"
        for key, value in options.items()
        if value is not None
    )
    return f"?{text}" if text else ""


def _tls_options(tls: TLSOptions) -> dict[str, str | None]:
    return {
        "cacertfile": tls.cacertfile,
        "certfile": tls.certfile,
        "keyfile": tls.keyfile,
        "verify": None if tls.verify else "verify_none",
        "server_name_indication": tls.server_name,
    }


def _decimal(seconds: float, factor: int = 1) -> str:
    """A number without an exponent, exact, so that reading it gives it back."""
    text = format(Decimal(repr(seconds)) * factor, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# --- reading -----------------------------------------------------------------


def parse_url(url: str) -> Parameters:
    """
    Read one URL.

    @raise TypeError: it is no str.
    @raise InvalidURL: it cannot be understood; the text never shows the
        password.
    """
    if not isinstance(url, str):
        raise TypeError(f"a URL must be a str, not a {type(url).__name__}")
    name, colon, rest = url.strip().partition("://")
    if not colon or not _SCHEME.fullmatch(name):
        raise InvalidURL("a URL begins with a transport's name, as in amqp://host")
    scheme = scheme_named(name)
    authority, path, query = _divide(rest)
    given = {**_read_authority(authority, scheme), **_read_query(query, scheme)}
    given["virtual_host"] = _decode(path, "virtual host")
    return _make({"transport": scheme.name, **given})


def _make(given: dict[str, Any]) -> Parameters:
    try:
        return Parameters(**given)
    except InvalidURL:
        raise
    except (TypeError, ValueError) as error:
        raise InvalidURL(str(error)) from None


def _divide(rest: str) -> tuple[str, str, str]:
    """Split at the first C{/} and C{?}; no part is shown in an error."""
    if "#" in rest:
        raise InvalidURL(f"there is a '#', which means nothing here; {_ENCODE}")
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    if "@" in path or "@" in query:
        raise InvalidURL(f"there is an '@' behind the host; {_ENCODE}")
    return authority, path, query


def _decode(text: str, what: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise InvalidURL(
            f"a '%' in the {what} is not followed by two hexadecimal digits"
        )
    raw = unquote_to_bytes(text)
    decoded = raw.decode("utf-8", "replace")
    if decoded.encode("utf-8") != raw:
        raise InvalidURL(f"the {what}, percent-decoded, is not UTF-8")
    return decoded


def _read_authority(authority: str, scheme: Scheme) -> dict[str, Any]:
    if not authority:
        return {}
    who, at, where = authority.rpartition("@")
    given = _read_user(who) if at else {}
    return {**given, **_read_host(where)}


def _read_user(who: str) -> dict[str, Any]:
    userid, colon, password = who.partition(":")
    given = {"userid": _decode(userid, "user name")}
    if colon:
        given["password"] = _decode(password, "password")
    return given


def _read_host(where: str) -> dict[str, Any]:
    """C{host}, C{host:port}, C{[address]} or C{[address]:port}."""
    if where.startswith("["):
        host, bracket, after = where[1:].partition("]")
        if not bracket or after[:1] not in ("", ":") or ":" not in host:
            raise InvalidURL("an IPv6 address is written as [address]:port")
    else:
        host, colon, after = where.partition(":")
        after = colon + after
        if "[" in host or "]" in host:
            raise InvalidURL("an IPv6 address is written as [address]:port")
    return {"hostname": _decode(host, "host"), "port": _read_port(after)}


def _read_port(text: str) -> int:
    """The port of C{:port}, 0 for none.  It is not shown: see L{_divide}."""
    digits = text[1:]
    if not text:
        return 0
    if not (digits.isascii() and digits.isdigit() and len(digits) < 6):
        raise InvalidURL(f"the port is no number from 1 to 65535; {_ENCODE}")
    port = int(digits)
    if not 0 < port < 65536:
        raise InvalidURL("the port is no number from 1 to 65535")
    return port


def _read_query(query: str, scheme: Scheme) -> dict[str, Any]:
    given: dict[str, Any] = {}
    tls: dict[str, Any] = {}
    for option, value in _options(query).items():
        if option in _TLS_OPTIONS:
            tls[_TLS_OPTIONS[option]] = _read_option(option, value)
        elif option in _OPTIONS:
            given[_OPTIONS[option]] = _read_option(option, value)
        else:
            raise InvalidURL(_unknown_option(option))
    if tls:
        if scheme.tls is False:
            raise InvalidURL(
                f"{', '.join(_options(query).keys() & _TLS_OPTIONS.keys())} "
                f"cannot be had: the {scheme.name} transport is not encrypted"
                f"{_secure(scheme)}"
            )
        given["tls"] = _read_tls(tls)
    return given


def _options(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        option = _decode(key, "name of an option")
        if option in found:
            raise InvalidURL(f"the option {option!r} is given twice")
        found[option] = _decode(value, f"option {option!r}")
    return found


def _read_tls(given: dict[str, Any]) -> TLSOptions:
    try:
        return TLSOptions(**given)
    except ValueError as error:
        raise InvalidURL(str(error)) from None


def _unknown_option(option: str) -> str:
    known = [*_OPTIONS, *_TLS_OPTIONS]
    near = get_close_matches(option, known, 1, 0.4)
    guess = f"did you mean {near[0]!r}? " if near else ""
    shown = f" {option!r}" if _WORD.fullmatch(option) else ""
    return f"unknown option{shown}: {guess}known are {', '.join(known)}"


def _read_option(option: str, value: str) -> object:
    if not value:
        raise InvalidURL(f"the option {option!r} has no value")
    if option == "heartbeat":
        return float(_number(option, value))
    if option == "connection_timeout":
        return float(_number(option, value) / 1000)
    if option == "channel_max":
        return int(_number(option, value, whole=True))
    if option == "verify":
        if value not in _VERIFY:
            raise InvalidURL(f"verify must be {' or '.join(_VERIFY)}, not {value!r}")
        return _VERIFY[value]
    return value


def _number(option: str, value: str, whole: bool = False) -> Decimal:
    found = _NUMBER.fullmatch(value)
    if found is None or (whole and found[1]):
        kind = "whole number" if whole else "number"
        raise InvalidURL(f"{option} must be a {kind}, not {value!r}")
    return Decimal(value)


def parse_urls(urls: str | Sequence[str]) -> tuple[Parameters, ...]:
    """
    Read alternates, to be tried in order: a string with C{;} between URLs, or
    a sequence of URLs.

    @raise TypeError: it is neither.
    @raise InvalidURL: there is none, or one of them cannot be understood.
    """
    texts = urls.split(";") if isinstance(urls, str) else list(urls)
    if not texts:
        raise InvalidURL("there is no URL")
    return tuple(_alternate(text, n, len(texts)) for n, text in enumerate(texts, 1))


def _alternate(text: str, position: int, total: int) -> Parameters:
    try:
        return parse_url(text)
    except InvalidURL as error:
        if total == 1:
            raise
        raise InvalidURL(f"URL {position} of {total}: {error}") from None


def parameters_for(
    hostname: str | Sequence[str] | None = None,
    userid: str | None = None,
    password: str | None = None,
    virtual_host: str | None = None,
    port: int | None = None,
    transport: str | None = None,
    **options: Any,
) -> tuple[Parameters, ...]:
    """
    Sort out what may be passed to L{txkombu.BrokerConnection}.

    What is C{None} is not given.  A keyword wins over the same part of a URL.

    @param hostname: a host, C{host:port}, a URL, several of them with C{;}
        between, or a sequence of them.
    @param transport: a scheme's name; C{"amqp"} for hosts without a URL.
    @param options: further fields of L{Parameters}.
    @raise TypeError: an option is not known, or of a wrong type.
    @raise ValueError: something is out of range, or contradicts itself.
    @raise InvalidURL: a URL cannot be understood.
    """
    given = {
        "userid": userid,
        "password": password,
        "virtual_host": virtual_host,
        "port": port,
        **options,
    }
    given = {key: value for key, value in given.items() if value is not None}
    where = hostname.split(";") if isinstance(hostname, str) else hostname
    places = [None] if not where or where == [""] else list(where)
    return tuple(_place(each, transport, given) for each in places)


def _place(
    where: str | None, transport: str | None, given: dict[str, Any]
) -> Parameters:
    if where is None:
        return Parameters(transport or "amqp", **given)
    if "://" not in where:
        # An address in IPv6 may come without brackets, as long as no port does.
        bare = where.count(":") > 1 and not where.startswith("[")
        place = {"hostname": where} if bare else _read_host(where)
        return Parameters(transport or "amqp", **{**place, **given})
    parsed = parse_url(where)
    if transport is not None and scheme_named(transport) != parsed.scheme:
        raise ValueError(
            f"transport={transport!r} contradicts a URL of {parsed.transport!r}"
        )
    return attrs.evolve(parsed, **given)
