"""The parameters of a connection: checks, and the way back to a URL."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from ipaddress import IPv6Address
from re import compile as pattern
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

import attrs

from .._util.validation import (
    check_bool,
    check_count,
    check_hidden_string,
    check_seconds,
    check_utf8,
    is_utf8,
    kind_of,
    shown_or_kind,
)
from .schemes import Scheme, scheme_named

NO_SERVER_NAME: Final = "disable"
"""A C{server_name} that sends no name and checks only the certificate chain."""

_MECHANISMS = ("PLAIN", "EXTERNAL")
_BAD_HOST = pattern(r"[\s/?#@\[\]\\]|[^\x20-\x7e\x80-\ud7ff\ue000-\U0010ffff]")
MAX_MESSAGE_SIZE: Final = 128 * 1024 * 1024
"""Bytes of a body accepted by default; also the maximum of RabbitMQ and ActiveMQ."""
ENCODE = "a '%', '@', ':', '/', '?', '#' or ';' in a name or password must be encoded"
"""The usual fault of a URL that cannot be parsed."""


def _optional_str(what: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {kind_of(value)}")
    if not value:
        raise TypeError(f"{what} must be a str that is not empty")
    return value


def fault_of_credential(text: str) -> str:
    """Return why a user name or password cannot be sent, or C{""} if it can."""
    if not is_utf8(text):
        return "cannot be written as UTF-8"
    if "\0" in text:
        return "has a zero byte, which separates the two in a login"
    return ""


@attrs.frozen(kw_only=True)
class TLSOptions:
    """
    How to verify the broker, and the certificate that identifies this client.

    @ivar cacertfile: path of a PEM file with the authorities to trust; by default
        those of the platform.
    @ivar certfile: path of a PEM file with the client's certificate.
    @ivar keyfile: path of a PEM file with its key; by default C{certfile}.
    @ivar password: the passphrase of the key, if it has one; never shown.
    @ivar verify: whether to check the broker's certificate; without the check
        anyone can pose as the broker.
    @ivar server_name: the name to send and to check; by default the host.
        L{NO_SERVER_NAME} neither sends nor checks a name.
    """

    cacertfile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    verify: bool = True
    server_name: str | None = None
    password: str | None = attrs.field(default=None, repr=lambda p: repr(p and "**"))

    def __attrs_post_init__(self) -> None:
        for what in ("cacertfile", "certfile", "keyfile", "server_name", "password"):
            _optional_str(what, getattr(self, what))
        check_bool("verify", self.verify)
        for what in ("keyfile", "password"):
            if getattr(self, what) is not None and self.certfile is None:
                raise ValueError(f"{what} needs a certfile")
        check_utf8("password", self.password or "")


def _read_only(options: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(options, Mapping):
        raise TypeError(f"options must be a mapping, not {kind_of(options)}")
    return MappingProxyType(dict(options))


@attrs.frozen(repr=False)
class Parameters:
    """
    Everything needed to connect to one broker.

    @ivar transport: the URL scheme.
    @ivar hostname: a host name, or an address without brackets, by default
        C{"localhost"}; for C{memory} the name of a broker in this process, by default
        C{""}.
    @ivar userid: C{"guest"} if not given.
    @ivar password: C{"guest"} if not given; never shown.
    @ivar virtual_host: C{"/"} if not given or empty.
    @ivar port: the number of a TCP port; by default, and for 0, that of the scheme,
        which is 0 if it needs none.
    @ivar heartbeat: seconds; 0 turns heartbeats off.
    @ivar connect_timeout: seconds for TCP, TLS and login together.
    @ivar channel_max: the maximum number of channels; 0 is no limit.
    @ivar auth_mechanism: C{"PLAIN"} or C{"EXTERNAL"}; by default any but EXTERNAL.
    @ivar connection_name: the name in the broker's list of connections.
    @ivar tls: C{None} for a connection that is not encrypted.
    @ivar max_message_size: the maximum bytes of a received body; a larger one ends
        the session.
    @ivar wait_for_broker: whether a first attempt that fails is made again; C{None}
        leaves it to whoever connects.
    @ivar options: options that only this transport takes, by name, such as
        C{dialect} of STOMP; by default none.
    """

    transport: str = attrs.field(default="amqp")
    hostname: str = attrs.field()
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
    max_message_size: int = MAX_MESSAGE_SIZE
    wait_for_broker: bool | None = None
    options: Mapping[str, str] = attrs.field(
        factory=dict, converter=_read_only, hash=False
    )

    @hostname.default
    def _default_hostname(self) -> str:
        return "" if self.scheme.local else "localhost"

    def __attrs_post_init__(self) -> None:
        scheme = self.scheme
        self._settle("transport", scheme.name)
        _check_host(self.hostname, scheme)
        for what in ("userid", "password"):
            if not isinstance(getattr(self, what), str):
                raise TypeError(f"{what} must be a str")
        check_hidden_string("virtual_host", self.virtual_host)
        self._settle("virtual_host", self.virtual_host or "/")
        self._settle("port", _port(self.port) or scheme.port)
        check_seconds("heartbeat", self.heartbeat)
        if check_seconds("connect_timeout", self.connect_timeout) == 0:
            raise ValueError("connect_timeout must be more than 0 seconds")
        _count("channel_max", self.channel_max, 0, 65535)
        _count("max_message_size", self.max_message_size, 1)
        if self.wait_for_broker is not None:
            check_bool("wait_for_broker", self.wait_for_broker)
        self._settle("auth_mechanism", _mechanism(self.auth_mechanism))
        _optional_str("connection_name", self.connection_name)
        self._settle("tls", _check_tls(self.tls, scheme))
        _check_options(self.options, scheme)

    def _settle(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)

    @property
    def scheme(self) -> Scheme:
        """The L{Scheme} that C{transport} names."""
        return scheme_named(self.transport)

    def as_uri(self, include_password: bool = False) -> str:
        """
        Return these parameters as a URL, without the options that have their default.

        @param include_password: write the password instead of C{**}; L{parse_url}
            makes equal parameters of such a URL.
        """
        is_local = self.scheme.local
        password = _quote(self.password) if include_password else "**"
        user = f"{_quote(self.userid)}:{password}@"
        if is_local and (self.userid, self.password) == ("guest", "guest"):
            user = ""
        host = _quote(self.hostname)
        if ":" in self.hostname and not is_local:
            host = f"[{_quote(self.hostname, ':')}]"
        port = f":{self.port}" if self.port else ""
        path = "/" + _quote(self.virtual_host)
        if self.virtual_host == "/":
            path = "" if is_local else "//"
        query = _query(self, include_password)
        return f"{self.transport}://{user}{host}{port}{path}{query}"

    def __repr__(self) -> str:
        return f"<Parameters {self.as_uri()}>"


def _count(what: str, value: object, minimum: int, maximum: int | None = None) -> int:
    if value is None:
        raise TypeError(f"{what} must be an int, not None")
    return check_count(what, value, minimum, maximum) or 0


def _port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"port must be an int, not {kind_of(value)}")
    if not 0 <= value <= 65535:
        # The number is not shown: it may be a misplaced password.
        raise ValueError("port must be 0 to 65535")
    return value


def _check_host(hostname: object, scheme: Scheme) -> None:
    if not isinstance(hostname, str):
        raise TypeError(f"hostname must be a str, not {kind_of(hostname)}")
    if scheme.local:
        return
    if not hostname:
        raise ValueError("the host is missing")
    if ":" in hostname:
        try:
            IPv6Address(hostname)
        except ValueError:
            raise ValueError("the host has a ':' but is no IPv6 address") from None
    elif _BAD_HOST.search(hostname):
        raise ValueError(f"the host has a character that is not allowed; {ENCODE}")
    elif not _can_be_looked_up(hostname):
        raise ValueError(
            "the host can be no name: each part of it between dots has 1 to 63 "
            "characters"
        )


def _can_be_looked_up(hostname: str) -> bool:
    """Return whether the system would look up a name; Twisted hangs otherwise."""
    try:
        hostname.encode("idna")
    except UnicodeError:
        return False
    return True


def _mechanism(value: object) -> str | None:
    if value is None:
        return None
    name = value.upper() if isinstance(value, str) else value
    if name not in _MECHANISMS:
        raise ValueError(
            f"auth_mechanism must be PLAIN or EXTERNAL, not {shown_or_kind(value)}"
        )
    return str(name)


def _check_tls(tls: object, scheme: Scheme) -> TLSOptions | None:
    if tls is None:
        return TLSOptions() if scheme.tls else None
    if not isinstance(tls, TLSOptions):
        raise TypeError(f"tls must be a TLSOptions, not {kind_of(tls)}")
    if scheme.tls is False:
        raise ValueError(
            f"the {scheme.name} transport is not encrypted{secure_hint(scheme)}"
        )
    return tls


def _check_options(options: Mapping[str, object], scheme: Scheme) -> None:
    known = scheme.own_options() if options else {}
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"the {scheme.name} transport has no option {name!r}")
        known[name](value)


def secure_hint(scheme: Scheme) -> str:
    """Return C{"; use SCHEME"}, the encrypted sibling of a scheme, or C{""}."""
    near = {"stomp": "stomp+ssl", "memory": ""}.get(scheme.name, f"{scheme.name}s")
    return f"; use {near}" if near else ""


def _quote(text: str, safe: str = "") -> str:
    """Percent-encode a text, which may hold surrogates as file names do."""
    return quote(text, safe=safe, errors="surrogatepass")


def _query(of: Parameters, include_password: bool) -> str:
    body, waits = of.max_message_size, of.wait_for_broker
    options = {
        "heartbeat": None if of.heartbeat == 60 else _decimal(of.heartbeat),
        "connection_timeout": (
            None if of.connect_timeout == 10 else _decimal(of.connect_timeout, 1000)
        ),
        "channel_max": str(of.channel_max) if of.channel_max else None,
        "max_message_size": None if body == MAX_MESSAGE_SIZE else str(body),
        "auth_mechanism": of.auth_mechanism,
        "name": of.connection_name,
        "wait_for_broker": None if waits is None else str(waits).lower(),
        **of.options,
        **({} if of.tls is None else _tls_options(of.tls, include_password)),
    }
    text = "&".join(
        f"{key}={_quote(value, '/*')}"
        for key, value in options.items()
        if value is not None
    )
    return f"?{text}" if text else ""


def _tls_options(tls: TLSOptions, include_password: bool) -> dict[str, str | None]:
    return {
        "cacertfile": tls.cacertfile,
        "certfile": tls.certfile,
        "keyfile": tls.keyfile,
        "password": tls.password if include_password else tls.password and "**",
        "verify": None if tls.verify else "verify_none",
        "server_name_indication": tls.server_name,
    }


def _decimal(seconds: float, factor: int = 1) -> str:
    """Write a number without exponent, so exactly that it is read back unchanged."""
    text = format(Decimal(repr(seconds)) * factor, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
