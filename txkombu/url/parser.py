"""
The parser of broker URLs.

C{transport://user:password@host:port/vhost?option=value}: every part is
percent-decoded.  No path, C{/}, C{//} and C{/%2F} all mean the virtual host
C{/}.  C{@ / ? # ; :} in a user name or a password must be percent-encoded, and so
must a C{@} after the host: otherwise part of a password could be mistaken for
something that errors may show.

The options are those of RabbitMQ's "URI Query Parameters", with its units
(C{heartbeat} in seconds, C{connection_timeout} in milliseconds), and C{name},
the name in the broker's list of connections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from re import compile as pattern
from typing import Any
from urllib.parse import unquote_to_bytes

import attrs

from .._util.suggestions import known_names
from .._util.validation import is_utf8, kind_of, shown_or_kind
from ..exceptions import InvalidURL
from .parameters import ENCODE, Parameters, TLSOptions, secure_hint
from .schemes import Scheme, scheme_named

_WORDS = {
    "verify": {"verify_peer": True, "verify_none": False},
    "wait_for_broker": {"true": True, "false": False},
}
"""The options that have one of two words."""
_TLS_OPTIONS = {
    "cacertfile": "cacertfile",
    "certfile": "certfile",
    "keyfile": "keyfile",
    "password": "password",
    "verify": "verify",
    "server_name_indication": "server_name",
}
_OPTIONS = {
    "heartbeat": "heartbeat",
    "connection_timeout": "connect_timeout",
    "channel_max": "channel_max",
    "auth_mechanism": "auth_mechanism",
    "name": "connection_name",
    "max_message_size": "max_message_size",
    "wait_for_broker": "wait_for_broker",
}
_SCHEME = pattern(r"[A-Za-z][A-Za-z0-9+.-]*")
_WORD = pattern(r"[A-Za-z0-9_.-]{1,60}")
_NUMBER = pattern(r"[0-9]{1,400}(\.[0-9]{1,400})?")
_BAD_ESCAPE = pattern(r"%(?![0-9A-Fa-f]{2})")


def parse_url(url: str) -> Parameters:
    """
    Parse one URL.

    @param url: such as C{"amqp://user:password@host:5672/vhost?heartbeat=10"}.
    @raise TypeError: it is not a str.
    @raise InvalidURL: it cannot be parsed; the text never shows the password.
    """
    return _make(_read_url(url))


def _read_url(url: str) -> dict[str, Any]:
    """Parse a URL into arguments of L{Parameters}; raise as L{parse_url}."""
    if not isinstance(url, str):
        raise TypeError(f"a URL must be a str, not a {type(url).__name__}")
    name, colon, rest = url.strip().partition("://")
    if not colon or not _SCHEME.fullmatch(name):
        raise InvalidURL("a URL begins with a transport's name, as in amqp://host")
    scheme = scheme_named(name)
    authority, path, query = _divide(rest)
    given = _read_query(query, scheme)
    user, at, host = authority.rpartition("@")
    if at:
        userid, colon, password = user.partition(":")
        given["userid"] = _decode(userid, "user name")
        if colon:
            given["password"] = _decode(password, "password")
    if authority:
        given.update(_read_host(host))
    given["virtual_host"] = _decode(path, "virtual host")
    return {"transport": scheme.name, **given}


def _make(given: dict[str, Any]) -> Parameters:
    try:
        return Parameters(**given)
    except InvalidURL:
        raise
    except (TypeError, ValueError) as error:
        raise InvalidURL(str(error)) from None


def _divide(rest: str) -> tuple[str, str, str]:
    """Split at the first C{/} and C{?}; errors show no part, as it may be secret."""
    if "#" in rest:
        raise InvalidURL(f"there is a '#', which URLs of brokers do not have; {ENCODE}")
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    if "@" in path or "@" in query:
        raise InvalidURL(f"there is an '@' after the host; {ENCODE}")
    return authority, path, query


def _decode(text: str, what: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise InvalidURL(
            f"a '%' in the {what} is not followed by two hexadecimal digits"
        )
    if not is_utf8(text):
        raise InvalidURL(f"the {what} cannot be written as UTF-8")
    raw = unquote_to_bytes(text)
    decoded = raw.decode("utf-8", "replace")
    if decoded.encode("utf-8") != raw:
        raise InvalidURL(f"the {what}, percent-decoded, is not UTF-8")
    return decoded


def _read_host(where: str) -> dict[str, Any]:
    """
    Read C{host}, C{host:port}, C{[address]} or C{[address]:port}; the result
    has no hostname if there is none.
    """
    if where.startswith("["):
        host, bracket, after = where[1:].partition("]")
        if not bracket or after[:1] not in ("", ":") or ":" not in host:
            raise InvalidURL("an IPv6 address is written as [address]:port")
    else:
        host, colon, after = where.partition(":")
        after = colon + after
        if "[" in host or "]" in host:
            raise InvalidURL("an IPv6 address is written as [address]:port")
    given: dict[str, Any] = {"port": _read_port(after)}
    return {"hostname": _decode(host, "host"), **given} if host else given


def _read_port(text: str) -> int:
    """
    Read C{:port}; return 0 if there is none (RFC 3986, 3.2.3).

    Errors do not show it, as it may be part of a password.
    """
    digits = text[1:]
    if not digits:
        return 0
    is_number = digits.isascii() and digits.isdigit() and len(digits) < 6
    if not is_number or not 0 < int(digits) < 65536:
        raise InvalidURL(f"the port is not a number from 1 to 65535; {ENCODE}")
    return int(digits)


def _read_query(query: str, scheme: Scheme) -> dict[str, Any]:
    given: dict[str, Any] = {}
    tls: dict[str, Any] = {}
    options = _options(query)
    others = options.keys() - _OPTIONS.keys() - _TLS_OPTIONS.keys()
    own = scheme.own_options() if others else {}
    for option, value in options.items():
        if option in _TLS_OPTIONS:
            tls[_TLS_OPTIONS[option]] = _read_option(option, value)
        elif option in _OPTIONS:
            given[_OPTIONS[option]] = _read_option(option, value)
        elif option in own:
            given.setdefault("options", {})[option] = _read_option(option, value)
        else:
            shown = f" {option!r}" if _WORD.fullmatch(option) else ""
            known = known_names(option, [*_OPTIONS, *own, *_TLS_OPTIONS])
            raise InvalidURL(f"unknown option{shown}: {known}")
    if tls:
        if scheme.tls is False:
            asked = [each for each in options if each in _TLS_OPTIONS]
            raise InvalidURL(
                f"{', '.join(asked)} cannot be used: the {scheme.name} transport is "
                f"not encrypted{secure_hint(scheme)}"
            )
        try:
            given["tls"] = TLSOptions(**tls)
        except ValueError as error:
            raise InvalidURL(str(error)) from None
    return given


def _options(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        option = _decode(key, "name of an option")
        if option in found:
            raise InvalidURL(f"{_named(option)} is given twice")
        found[option] = _decode(value, _named(option).removeprefix("the "))
    return found


def _named(option: str) -> str:
    known = option in _OPTIONS or option in _TLS_OPTIONS
    return f"the option {option!r}" if known else "the value of an unknown option"


def _read_option(option: str, value: str) -> object:
    if not value:
        raise InvalidURL(f"the option {option!r} has no value")
    if option == "heartbeat":
        return float(_number(option, value))
    if option == "connection_timeout":
        return float(_number(option, value) / 1000)
    if option in ("channel_max", "max_message_size"):
        return int(_number(option, value, whole=True))
    if option in _WORDS:
        words = _WORDS[option]
        if value not in words:
            raise InvalidURL(
                f"{option} must be {' or '.join(words)}, not {shown_or_kind(value)}"
            )
        return words[value]
    return value


def _number(option: str, value: str, whole: bool = False) -> Decimal:
    found = _NUMBER.fullmatch(value)
    if found is None or (whole and found[1]):
        kind = "whole number" if whole else "number"
        raise InvalidURL(f"{option} must be a {kind}, not {shown_or_kind(value)}")
    return Decimal(value)


def parse_urls(urls: str | Sequence[str]) -> tuple[Parameters, ...]:
    """
    Parse the URLs of alternates, which are tried in order.

    @param urls: a str with C{;} between URLs, or a sequence of URLs.
    @raise TypeError: it is neither.
    @raise InvalidURL: there is no URL, or one of them cannot be parsed.
    """
    texts = _split(urls) if isinstance(urls, str) else list(urls)
    if not texts:
        raise InvalidURL("there is no URL")
    return tuple(
        _alternate(parse_url, text, n, len(texts)) for n, text in enumerate(texts, 1)
    )


def _split(texts: str) -> list[str]:
    """Split at each C{;}; one at the end is ignored."""
    found = texts.split(";")
    if len(found) > 1 and not found[-1].strip():
        found.pop()
    return found


def _alternate(
    read: Callable[[str], Parameters], text: str, position: int, total: int
) -> Parameters:
    try:
        return read(text)
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
    by_endpoint: bool = False,
    **options: Any,
) -> tuple[Parameters, ...]:
    """
    Make the parameters of each alternate from the arguments of
    L{txkombu.BrokerConnection}.

    C{None} counts as not given.  A keyword wins over the same part of a URL.

    @param hostname: a host, C{host:port}, a URL, several of them with C{;}
        between, or a sequence of them; by default C{"localhost"}.
    @param userid: the user's name; by default C{"guest"}.
    @param password: the user's password; by default C{"guest"}.
    @param virtual_host: by default C{"/"}.
    @param port: the number of a TCP port; by default that of the scheme.
    @param transport: the scheme of hosts that are no URLs; by default C{"amqp"}.
    @param by_endpoint: whether an endpoint connects, so that the host is only the
        name that TLS checks.
    @param options: further fields of L{Parameters}.
    @raise TypeError: an option is unknown, or of a wrong type.
    @raise ValueError: a value is out of range, or two contradict each other.
    @raise InvalidURL: a URL cannot be parsed.
    """
    given = {
        "userid": userid,
        "password": password,
        "virtual_host": virtual_host,
        "port": port,
        **options,
    }
    given = {key: value for key, value in given.items() if value is not None}

    def read(where: str) -> Parameters:
        found = _place(where, transport)
        parameters = attrs.evolve(Parameters(**found), **given)
        tls = parameters.tls
        is_nameless = by_endpoint and "hostname" not in found
        if is_nameless and tls and tls.verify and tls.server_name is None:
            raise ValueError(
                "TLS cannot check the certificate, as an endpoint does not tell the "
                "broker's name: give it in the URL, as hostname, or as server_name"
            )
        return parameters

    places = _places(hostname)
    count = len(places)
    made = tuple(_alternate(read, each, n, count) for n, each in enumerate(places, 1))
    if len({each.wait_for_broker for each in made} - {None}) > 1:
        raise InvalidURL("wait_for_broker is true in one URL and false in another")
    return made


def host_given(
    hostname: str | Sequence[str] | None, transport: str | None, by_endpoint: bool
) -> str | Sequence[str] | None:
    """
    Return the host or URL, if there is one where one is expected.

    A missing setting must not lead to the broker on this machine.

    @param hostname: C{()} if none is expected.
    @raise TypeError: the host is None.
    @raise InvalidURL: the host is empty.
    """
    if hostname or hostname == () or by_endpoint:
        return hostname
    if transport is not None and scheme_named(transport).local:
        return hostname
    missing = "a host or URL is missing: leave hostname out if localhost is meant"
    raise TypeError(missing) if hostname is None else InvalidURL(missing)


def _places(hostname: object) -> list[str]:
    """List the hosts and URLs that were given; only C{""}, the default, if none."""
    if hostname is None or hostname == "":
        return [""]
    if isinstance(hostname, str):
        places = _split(hostname)
    elif isinstance(hostname, Sequence) and not isinstance(hostname, bytes):
        places = list(hostname)
    else:
        raise TypeError(f"hostname must be a str, not {kind_of(hostname)}")
    for each in places:
        if not isinstance(each, str):
            raise TypeError(f"each of several URLs must be a str, not {kind_of(each)}")
        if not each.strip():
            raise InvalidURL("one of several hosts or URLs is empty")
    return places or [""]


def _place(where: str, transport: str | None) -> dict[str, Any]:
    """Parse a host or URL into arguments of L{Parameters}; C{""} is the default."""
    if "://" not in where:
        # An IPv6 address without a port may come without brackets.
        bare = where.count(":") > 1 and not where.startswith("[")
        place = {"hostname": where} if bare else _read_host(where)
        return {"transport": transport or "amqp", **place}
    found = _read_url(where)
    _make(found)
    if transport is not None and scheme_named(transport).name != found["transport"]:
        raise ValueError(
            f"transport={scheme_named(transport).name!r} contradicts a URL of "
            f"{found['transport']!r}"
        )
    return found
