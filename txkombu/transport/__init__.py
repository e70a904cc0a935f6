"""
The table of URL schemes: which exist, and what provides each.

Nothing a URL carries is ever imported by name.  A scheme is one of the table
here, or was registered by an installed package in the entry-point group
C{txkombu.transports}, as a callable without arguments that gives an
L{IBrokerTransport}.  What provides a scheme is imported when a connection of
that scheme is first attempted, and no sooner.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final, cast

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from zope.interface import implementer

from ..exceptions import InvalidURL, TransportNotAvailable
from ..interfaces import IBrokerTransport, ISession, ISessionListener

if TYPE_CHECKING:
    from ..parameters import Parameters

__all__ = [
    "ENTRY_POINT_GROUP",
    "Scheme",
    "known_schemes",
    "scheme_named",
    "transport_for",
]

ENTRY_POINT_GROUP: Final = "txkombu.transports"


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


_PACKAGE = __name__
_AMQP = f"{_PACKAGE}.amqp:AmqpTransport"
_TXAMQP = f"{_PACKAGE}.txamqp:TxAMQPTransport"
_PIKA = f"{_PACKAGE}.pika:PikaTransport"
_STOMP = f"{_PACKAGE}.stomp:StompTransport"
_DIALECTS = ("rabbitmq", "activemq")
_MEMORY = f"{_PACKAGE}.named:MemoryTransport"

_TABLE: Final = {
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


def _registered() -> dict[str, EntryPoint]:
    """The schemes of other packages; those of the table cannot be replaced."""
    found = entry_points(group=ENTRY_POINT_GROUP)
    return {each.name.lower(): each for each in found}


def known_schemes() -> list[str]:
    """The names of all schemes, ours first."""
    return [*_TABLE, *sorted(_registered().keys() - _TABLE.keys())]


def scheme_named(name: str) -> Scheme:
    """
    Look a scheme up; upper and lower case are the same.

    @param name: such as C{"amqp"}, without C{"://"}.
    @raise TypeError: it is no str.
    @raise InvalidURL: there is none of that name; the nearest is named.
    """
    if not isinstance(name, str):
        raise TypeError(f"a transport's name must be a str, not {name!r}")
    wanted = name.lower()
    if wanted in _TABLE:
        return _TABLE[wanted]
    registered = _registered().get(wanted)
    if registered is None:
        raise InvalidURL(_unknown(wanted))
    return Scheme(wanted, registered.value)


def _unknown(name: str) -> str:
    known = known_schemes()
    near = get_close_matches(name, known, 1, 0.5)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown transport {name!r}: {guess}known are {', '.join(known)}"


def transport_for(name: str) -> IBrokerTransport:
    """
    Give the transport of a scheme; nothing of it is imported before it
    connects.

    @raise InvalidURL: there is no such scheme.
    """
    return _Deferring(scheme_named(name))


@implementer(IBrokerTransport)
@attrs.define
class _Deferring:
    """A transport that is imported when it is first told to connect."""

    scheme: Scheme
    _loaded: IBrokerTransport | None = None

    def connect(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> Deferred[ISession]:
        try:
            if self._loaded is None:
                self._loaded = _provider(self.scheme)()
        except Exception as error:
            return fail(_not_available(self.scheme, error))
        return self._loaded.connect(parameters, endpoint, clock, listener)


def _provider(scheme: Scheme) -> Callable[[], IBrokerTransport]:
    if scheme.name in _TABLE:
        module, _, attribute = scheme.target.partition(":")
        found = getattr(import_module(module), attribute)
    else:
        found = _registered()[scheme.name].load()
    return cast("Callable[[], IBrokerTransport]", found)


def _not_available(scheme: Scheme, cause: Exception) -> TransportNotAvailable:
    reason = str(cause)
    module = scheme.target.partition(":")[0]
    if isinstance(cause, ModuleNotFoundError) and cause.name != module:
        reason += f"; pip install txkombu[{scheme.extra}]" if scheme.extra else ""
    elif isinstance(cause, ModuleNotFoundError) and scheme.name in _TABLE:
        reason = "this version of txkombu does not have it"
    error = TransportNotAvailable(
        f"the {scheme.name} transport is not available here: {reason}"
    )
    error.__cause__ = cause
    return error
