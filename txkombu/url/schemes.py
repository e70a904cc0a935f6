"""
The URL schemes: which transport serves each, and what its URLs leave out.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from re import compile as pattern
from typing import Final

import attrs

from .._util.validation import kind_of
from ..exceptions import InvalidURL

ENTRY_POINT_GROUP: Final = "txkombu.transports"
_WORD: Final = pattern(r"[a-z][a-z0-9+.-]{0,40}")


@attrs.frozen
class Scheme:
    """
    One URL scheme.

    @ivar name: how URLs spell it, in lower case.
    @ivar target: what provides it, as C{"module:attribute"}.
    @ivar port: the port that URLs without one mean; 0 leaves it to the
        transport.
    @ivar tls: C{True} if it is always encrypted, C{False} if never, C{None}
        if its transport decides.
    @ivar local: whether it needs no host, no user and no password.
    @ivar extra: the extra that installs the library it needs, or C{""}.
    @ivar dialects: the kinds of brokers that it can be told to expect.
    @ivar tolerance: whether it can be told how many heartbeats may be missing.
    """

    name: str
    target: str
    port: int = 0
    tls: bool | None = None
    local: bool = False
    extra: str = ""
    dialects: tuple[str, ...] = ()
    tolerance: bool = False


_PACKAGE = "txkombu.transport"
_AMQP = f"{_PACKAGE}.amqp.native:AmqpTransport"
_TXAMQP = f"{_PACKAGE}.amqp.adapters.txamqp:TxAMQPTransport"
_PIKA = f"{_PACKAGE}.amqp.adapters.pika:PikaTransport"
_STOMP = f"{_PACKAGE}.stomp:StompTransport"
_DIALECTS = ("rabbitmq", "activemq")
_MEMORY = f"{_PACKAGE}.memory.transport:MemoryTransport"

SCHEMES: Final = {
    scheme.name: scheme
    for scheme in (
        Scheme("amqp", _AMQP, 5672, tls=False),
        Scheme("amqps", _AMQP, 5671, tls=True),
        Scheme("txamqp", _TXAMQP, 5672, tls=False),
        Scheme("txamqps", _TXAMQP, 5671, tls=True),
        Scheme("pika", _PIKA, 5672, tls=False, extra="pika"),
        Scheme("pikas", _PIKA, 5671, tls=True, extra="pika"),
        Scheme("stomp", _STOMP, 61613, False, dialects=_DIALECTS, tolerance=True),
        Scheme("stomp+ssl", _STOMP, 61614, True, dialects=_DIALECTS, tolerance=True),
        Scheme("memory", _MEMORY, tls=False, local=True),
    )
}


def registered_schemes() -> dict[str, EntryPoint]:
    """The schemes of other packages; those of the table cannot be replaced."""
    found = entry_points(group=ENTRY_POINT_GROUP)
    return {each.name.lower(): each for each in found}


def known_schemes() -> list[str]:
    """The names of all schemes, ours first."""
    return [*SCHEMES, *sorted(registered_schemes().keys() - SCHEMES.keys())]


def scheme_named(name: str) -> Scheme:
    """
    Look a scheme up; upper and lower case are the same.

    @param name: such as C{"amqp"}, without C{"://"}.
    @raise TypeError: it is no str.
    @raise InvalidURL: there is none of that name; the nearest is named.
    """
    if not isinstance(name, str):
        raise TypeError(f"a transport's name must be a str, not {kind_of(name)}")
    wanted = name.lower()
    if wanted in SCHEMES:
        return SCHEMES[wanted]
    registered = registered_schemes().get(wanted)
    if registered is None:
        raise InvalidURL(_unknown(wanted))
    return Scheme(wanted, registered.value)


def _unknown(name: str) -> str:
    known = known_schemes()
    near = get_close_matches(name, known, 1, 0.5)
    guess = f"did you mean {near[0]!r}? " if near else ""
    shown = f" {name!r}" if _WORD.fullmatch(name) else ""
    return f"unknown transport{shown}: {guess}known are {', '.join(known)}"
