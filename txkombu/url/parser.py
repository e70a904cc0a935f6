"""
Brokers' URLs, read.

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

from collections.abc import Callable, Sequence
from decimal import Decimal
from difflib import get_close_matches
from re import compile as pattern
from typing import Any
from urllib.parse import unquote_to_bytes

import attrs

from .._util.validation import is_utf8, kind_of, shown_or_kind
from ..exceptions import InvalidURL
from .parameters import (
    ENCODE,
    NO_SERVER_NAME,
    Parameters,
    TLSOptions,
    secure_hint,
)
from .schemes import Scheme, scheme_named

__all__ = [
    "NO_SERVER_NAME",
    "Parameters",
    "TLSOptions",
    "parameters_for",
    "parse_url",
    "parse_urls",
]

_VERIFY = {"verify_peer": True, "verify_none": False}
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
    "heartbeat_tolerance": "heartbeat_tolerance",
    "connection_timeout": "connect_timeout",
    "channel_max": "channel_max",
    "auth_mechanism": "auth_mechanism",
    "name": "connection_name",
    "dialect": "dialect",
    "max_message_size": "max_message_size",
}
_SCHEME = pattern(r"[A-Za-z][A-Za-z0-9+.-]*")
_WORD = pattern(r"[A-Za-z0-9_.-]{1,60}")
_NUMBER = pattern(r"[0-9]{1,400}(\.[0-9]{1,400})?")
_BAD_ESCAPE = pattern(r"%(?![0-9A-Fa-f]{2})")


def parse_url(url: str) -> Parameters:
    """
    Read one URL.

    @raise TypeError: it is no str.
    @raise InvalidURL: it cannot be understood; the text never shows the
        password.
    """
    return _make(_read_url(url))


def _read_url(url: str) -> dict[str, Any]:
    """
    Read what a URL gives, as arguments of L{Parameters}.

    @raise TypeError: it is no str.
    @raise InvalidURL: it cannot be understood.
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
    return {"transport": scheme.name, **given}


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
        raise InvalidURL(f"there is a '#', which means nothing here; {ENCODE}")
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    if "@" in path or "@" in query:
        raise InvalidURL(f"there is an '@' behind the host; {ENCODE}")
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
    """
    C{host}, C{host:port}, C{[address]} or C{[address]:port}; a host that is
    left out is not given.
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
    The port of C{:port}; 0 for none (RFC 3986, 3.2.3).

    It is not shown: see L{_divide}.
    """
    digits = text[1:]
    if not digits:
        return 0
    if not (digits.isascii() and digits.isdigit() and len(digits) < 6):
        raise InvalidURL(f"the port is no number from 1 to 65535; {ENCODE}")
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
            asked = [each for each in _options(query) if each in _TLS_OPTIONS]
            raise InvalidURL(
                f"{', '.join(asked)} cannot be had: the {scheme.name} transport is "
                f"not encrypted{secure_hint(scheme)}"
            )
        given["tls"] = _read_tls(tls)
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


def _read_tls(given: dict[str, Any]) -> TLSOptions:
    try:
        return TLSOptions(**given)
    except ValueError as error:
        raise InvalidURL(str(error)) from None


def _named(option: str) -> str:
    known = option in _OPTIONS or option in _TLS_OPTIONS
    return f"the option {option!r}" if known else "the value of an unknown option"


def _unknown_option(option: str) -> str:
    known = [*_OPTIONS, *_TLS_OPTIONS]
    near = get_close_matches(option, known, 1, 0.4)
    guess = f"did you mean {near[0]!r}? " if near else ""
    named = f" {option!r}" if _WORD.fullmatch(option) else ""
    return f"unknown option{named}: {guess}known are {', '.join(known)}"


def _read_option(option: str, value: str) -> object:
    if not value:
        raise InvalidURL(f"the option {option!r} has no value")
    if option in ("heartbeat", "heartbeat_tolerance"):
        return float(_number(option, value))
    if option == "connection_timeout":
        return float(_number(option, value) / 1000)
    if option in ("channel_max", "max_message_size"):
        return int(_number(option, value, whole=True))
    if option == "verify":
        if value not in _VERIFY:
            raise InvalidURL(
                f"verify must be {' or '.join(_VERIFY)}, not {shown_or_kind(value)}"
            )
        return _VERIFY[value]
    return value


def _number(option: str, value: str, whole: bool = False) -> Decimal:
    found = _NUMBER.fullmatch(value)
    if found is None or (whole and found[1]):
        kind = "whole number" if whole else "number"
        raise InvalidURL(f"{option} must be a {kind}, not {shown_or_kind(value)}")
    return Decimal(value)


def parse_urls(urls: str | Sequence[str]) -> tuple[Parameters, ...]:
    """
    Read alternates, to be tried in order: a string with C{;} between URLs, or
    a sequence of URLs.

    @raise TypeError: it is neither.
    @raise InvalidURL: there is none, or one of them cannot be understood.
    """
    texts = _split(urls) if isinstance(urls, str) else list(urls)
    if not texts:
        raise InvalidURL("there is no URL")
    return tuple(
        _alternate(parse_url, text, n, len(texts)) for n, text in enumerate(texts, 1)
    )


def _split(texts: str) -> list[str]:
    """Cut at each C{;}; one behind the last means nothing."""
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
    Sort out what may be passed to L{txkombu.BrokerConnection}.

    What is C{None} is not given.  A keyword wins over the same part of a URL.

    @param hostname: a host, C{host:port}, a URL, several of them with C{;}
        between, or a sequence of them.
    @param transport: a scheme's name; C{"amqp"} for hosts without a URL.
    @param by_endpoint: an endpoint connects, so the host is no more than the name
        that TLS checks.
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

    def read(where: str) -> Parameters:
        found = _place(where, transport)
        parameters = attrs.evolve(Parameters(**found), **given)
        if by_endpoint and "hostname" not in found:
            _check_server_name(parameters.tls)
        return parameters

    places = _places(hostname)
    count = len(places)
    return tuple(_alternate(read, each, n, count) for n, each in enumerate(places, 1))


def host_given(
    hostname: str | Sequence[str] | None, transport: str | None, by_endpoint: bool
) -> str | Sequence[str] | None:
    """
    Insist on a host or URL where one was to be given.

    A setting that is missing must not lead to the broker of this machine.

    @param hostname: C{()} if nothing was to be given.
    @raise TypeError: it is None.
    @raise InvalidURL: it is empty.
    """
    if hostname or hostname == () or by_endpoint:
        return hostname
    if transport is not None and scheme_named(transport).local:
        return hostname
    missing = "a host or URL is missing: leave hostname out if localhost is meant"
    raise TypeError(missing) if hostname is None else InvalidURL(missing)


def _places(hostname: object) -> list[str]:
    """
    Look at what is given as a host.

    @return: one after the other; only C{""}, the default, if nothing is given.
    """
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
    """Read a host or URL, as arguments of L{Parameters}; C{""} is the default one."""
    if "://" not in where:
        # An address in IPv6 may come without brackets, as long as no port does.
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


def _check_server_name(tls: TLSOptions | None) -> None:
    """@raise ValueError: TLS has to check a name, and there is none."""
    if tls is not None and tls.verify and tls.server_name is None:
        raise ValueError(
            "an endpoint does not tell whose certificate TLS has to check: give the "
            "broker's name in the URL, as hostname, or as server_name"
        )
