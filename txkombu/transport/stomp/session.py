"""
C{stomp://} and C{stomp+ssl://}: sessions at brokers that speak STOMP 1.2.

A session is one connection that stands for it, and others beside.  The main one logs in
and beats, nothing else, and has the states of the session.  When it is lost, so is the
broker or the way to it, and everything ends.  Channels, consumers and operations have
connections of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, DeferredList, TimeoutError, fail, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from ..._util.awaitables import call_logged
from ..._util.debug_log import debug_log
from ..._util.state_machine import next_state
from ..._util.steady_clock import steady
from ..._util.validation import kind_of, shown_or_kind
from ..._util.waiters import Waiters
from ...exceptions import ConnectError, SessionLost
from ...interfaces import (
    IBrokerTransport,
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
)
from ..errors import with_cause
from ..protocol import CLOSE_SECONDS, OPEN, OVER, TABLE, Event, State
from .activemq import ActiveMQDialect
from .channel import StompChannel
from .connections import ConnectionPool, Connector, SilentOwner, all_of
from .declarations import Declarations
from .dialect import Dialect, StompBinding
from .exclusive_queue import ExclusiveQueues
from .protocol import StompProtocol
from .rabbitmq import RabbitMQDialect

if TYPE_CHECKING:
    from ...entity import Exchange, Queue
    from ...url.parameters import Parameters


@implementer(ISession)
class StompSession:
    """
    One login at one broker; see L{ISession}.

    @ivar socket: the connection that stands for it.
    """

    _log = Logger()

    def __init__(
        self,
        connector: Connector,
        socket: StompProtocol,
        dialect: Dialect,
        listener: ISessionListener,
        declarations: Declarations,
    ) -> None:
        # The owner of the connection, which is logged in, has to call lost().
        self.socket = socket
        self.dialect = dialect
        self.product = dialect.product
        self.version = dialect.version
        self.capabilities = dialect.capabilities
        self.declarations = declarations
        connector.follow(dialect.errors_are_fatal, dialect.length_is_last)
        self.connections = ConnectionPool(connector, socket, self.lost)
        self.exclusive_queues = ExclusiveQueues(dialect, self.connections, self.lost)
        self._place = connector.place
        self._listener = listener
        self._state = State.OPEN
        self._channels: dict[StompChannel, None] = {}
        self._full: dict[StompChannel, None] = {}
        self._closed: Waiters[None] = Waiters()

    @property
    def heartbeat(self) -> float:
        """Seconds between the heartbeats that were agreed on; 0 for none."""
        return self.socket.heartbeat

    def open_channel(
        self, listener: ISessionChannelListener
    ) -> Deferred[ISessionChannel]:
        if self._state is not OPEN:
            return fail(SessionLost("the session is closed"))
        channel = StompChannel(self, listener)

        def opened(socket: StompProtocol) -> ISessionChannel:
            if self._state is not OPEN:
                self.connections.drop(socket)
                raise SessionLost("the session is closed")
            self._channels[channel] = None
            return channel.opened(socket)

        return self.connections.open(channel).addCallback(opened)

    def release(self, channel: StompChannel) -> None:
        """Forget a channel that is over."""
        self._channels.pop(channel, None)

    async def bound(self, queue: Queue, bound: StompBinding) -> None:
        """Have all consumers of a queue receive what comes by a binding."""
        if not self.dialect.reads_bindings or not bound.exchange.name:
            return
        adding = [each.add_source(queue, bound) for each in self._channels]
        await all_of([Deferred.fromCoroutine(each) for each in adding])

    def write_paused_by(self, channel: StompChannel) -> None:
        """Note that a channel's socket is full."""
        first = not self._full
        self._full[channel] = None
        if first and self._state is OPEN:
            call_logged("write_paused", self._listener.write_paused)

    def write_resumed_by(self, channel: StompChannel) -> None:
        """Note that a channel's socket has room again, or is gone."""
        last = self._full.pop(channel, self) is None and not self._full
        if last and self._state is OPEN:
            call_logged("write_resumed", self._listener.write_resumed)

    def close(self) -> Deferred[None]:
        if self._state is OVER:
            return succeed(None)
        closed = self._closed.wait()
        if self._state is OPEN:
            self._state = next_state("a session", TABLE, self._state, Event.CLOSE)
            closing = Deferred.fromCoroutine(self._close_in_order())
            closing.addTimeout(CLOSE_SECONDS, steady(self.connections.clock))
            closing.addErrback(lambda failure: failure.trap(TimeoutError))
            closing.addErrback(
                lambda failure: self._log.failure("closing failed", failure)
            )
            reason = SessionLost("this program closed the connection")
            closing.addCallback(lambda _: self._end(reason, wanted=True))
        return closed

    async def _close_in_order(self) -> None:
        channels = list(self._channels)
        await DeferredList([channel.close() for channel in channels])
        if self._state is State.CLOSING:
            self.connections.stop_opening()
            await self.connections.end_in_order()
        if self._state is State.CLOSING:
            await self.socket.close()

    def abort(self) -> None:
        self._end(SessionLost("this program dropped the connection"), wanted=True)

    def lost(self, reason: Exception) -> None:
        """End: the broker is gone, or the way to it."""
        self._end(reason)

    def _end(self, reason: Exception, wanted: bool = False) -> None:
        """Tell the listener, and fire everything outstanding."""
        before = self._state
        if before is OVER:
            return
        self._state = next_state("a session", TABLE, before, Event.END)
        if before is OPEN and not wanted:
            text = "lost {place}: {reason}"
            debug_log.tell(self._log, text, place=self._place, reason=reason)
            call_logged("session_lost", self._listener.session_lost, reason)
        lost: Exception = reason
        if not isinstance(reason, SessionLost):
            lost = with_cause(SessionLost(f"the session ended: {reason}"), reason)
        untold = wanted or before is not OPEN
        for channel in [
            each for each in list(self._channels) if each.die(lost, untold)
        ]:
            channel.fire(lost)
        self.connections.end()
        self.socket.abort()
        self._closed.fire(None)


_DIALECTS: Final[tuple[type[Dialect], ...]] = (RabbitMQDialect, ActiveMQDialect)


def _check_dialect(value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"dialect must be a str, not {kind_of(value)}")
    names = [kind.name for kind in _DIALECTS]
    if value not in names:
        known = " or ".join(names)
        raise ValueError(f"dialect must be {known}, not {shown_or_kind(value)}")


OPTIONS: Final = {"dialect": _check_dialect}
"""
The options of URLs that only this transport takes, each with the check of its value.
C{dialect} is the broker to expect, for one that hides what it is.
"""


@implementer(IBrokerTransport)
class StompTransport:
    """See L{IBrokerTransport}."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def connect(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> Deferred[ISession]:
        connector = Connector(parameters, endpoint, clock)
        owner = SilentOwner()

        def logged_in(socket: StompProtocol) -> ISession:
            declarations = Declarations(self._warned)
            try:
                dialect = dialect_of(
                    socket.server,
                    parameters,
                    connector.place,
                    declarations.exchange_named,
                )
            except ConnectError:
                socket.abort()
                raise
            session = StompSession(connector, socket, dialect, listener, declarations)
            owner.when_lost(session.lost)
            return session

        opening: Deferred[Any] = connector.open(owner)
        return opening.addCallback(logged_in)


def dialect_of(
    server: str,
    parameters: Parameters,
    place: str,
    exchange_named: Callable[[str], Exchange | None] = lambda name: None,
) -> Dialect:
    """Return the dialect of a broker by what it calls itself, or by the option."""
    product, _, version = server.partition(" ")[0].partition("/")
    wanted = parameters.options.get("dialect")
    for kind in _DIALECTS:
        if kind.product == product and wanted not in (None, kind.name):
            raise ConnectError(
                f"{place} calls itself {server!r}, which does not speak the dialect "
                f"{wanted}: leave ?dialect= out of the URL"
            )
    for kind in _DIALECTS:
        if kind.name == wanted or (not wanted and kind.product == product):
            return kind(version, parameters.userid, exchange_named)
    said = f"calls itself {server!r}" if server else "does not say what it is"
    options = " or ".join(f"?dialect={kind.name}" for kind in _DIALECTS)
    raise ConnectError(
        f"{place} {said}, and STOMP brokers differ: RabbitMQ and ActiveMQ Classic "
        f"are supported; if it is one of them, add {options} to the URL"
    )
