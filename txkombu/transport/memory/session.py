"""
Sessions of the memory broker: Twisted protocols whose wire is method calls.

Made by L{MemoryBroker.connect<txkombu.transport.memory.broker.MemoryBroker>};
driven by C{makeConnection} and C{connectionLost} as any protocol is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ...exceptions import BrokerError, ConnectError, SessionLost
from ...interfaces import (
    Capability,
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
)
from .channel import MemoryChannel
from .events import (
    CloseReply,
    EventStream,
    Notification,
    Reply,
    Termination,
    UnansweredReply,
)
from .interfaces import BrokerHost
from .loopback import LoopbackTransport

if TYPE_CHECKING:
    from .channel_state import MemoryChannelState
    from .vhost import VirtualHost


@implementer(ISession)
class MemorySession(Protocol):
    """
    One session with the memory broker.

    @ivar listener: its owner.
    @ivar channels: those that live, in the order they were opened.
    @ivar wire: its transport; to abort it is to lose the session.
    """

    product = "txkombu memory"
    version = "1"
    capabilities: Final = frozenset(Capability)

    def __init__(
        self,
        broker: BrokerHost,
        vhost: VirtualHost,
        userid: str,
        listener: ISessionListener,
    ) -> None:
        self.broker = broker
        self.vhost = vhost
        self.userid = userid
        self.listener = listener
        self.channels: dict[MemoryChannelState, None] = {}
        self.stream = EventStream(broker.pump)
        self._open = True
        self._served = True
        self._dead = False
        self._connecting: Deferred[ISession] | None = None
        self.wire = LoopbackTransport(self)

    def connectionMade(self) -> None:
        """Be one of the broker's sessions from now on."""
        self.broker.joined(self)

    def begin(self) -> Deferred[ISession]:
        """Log in: what C{connect} returns."""
        self._connecting = Deferred(self._give_up)
        self.stream.push(Notification(self._begun, None))
        return self._connecting

    def _give_up(self, connecting: Deferred[ISession]) -> None:
        self._connecting = None
        self.abort()

    def _begun(self, nothing: None) -> None:
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.callback(self)

    def open_channel(
        self, listener: ISessionChannelListener
    ) -> Deferred[ISessionChannel]:
        if not self._open:
            return fail(SessionLost("this session of the memory broker is closed"))
        deferred: Deferred[ISessionChannel] = Deferred()
        if not self._served:
            self.stream.push(UnansweredReply(deferred))
            return deferred
        channel = MemoryChannel(self, listener)
        self.channels[channel] = None
        self.stream.push(Reply(deferred, channel, _close))
        return deferred

    # --- its end -------------------------------------------------------------

    def close(self) -> Deferred[None]:
        if self._dead:
            return succeed(None)
        self._shut()
        deferred: Deferred[None] = Deferred()
        self.stream.push(CloseReply(self._leave, deferred))
        return deferred

    def _leave(self) -> None:
        self.drain()
        self.connectionLost(Failure(ConnectionDone()))

    def abort(self) -> None:
        self._shut()
        self.connectionLost(Failure(ConnectionAborted()))

    def _shut(self) -> None:
        """The owner wants no more of it, nor of its channels."""
        self._open = False
        for channel in list(self.channels):
            channel.shut()
        self.release()

    def release(self) -> None:
        """The broker is done with it: what is exclusive to it goes."""
        if not self._served:
            return
        self._served = False
        for channel in list(self.channels):
            channel.release()
        for queue in list(self.vhost.queues.values()):
            if queue.owner is self:
                self.vhost.drop_queue(queue)

    def drain(self) -> None:
        """Let the client see all that is on its way; for an orderly end."""
        for channel in list(self.channels):
            channel.stream.drain()
        self.stream.drain()

    def cut(self) -> None:
        """Let the client see nothing more, but that the connection is lost."""
        self.stream.closed = True
        for channel in self.channels:
            channel.stream.closed = True
        self.release()

    def refused(self, error: BrokerError, refused: Deferred[Any] | None) -> None:
        """The owner learns that the broker has closed it."""
        self._die(Termination(error, True), refused)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It is over: the owner is told, unless it was the owner's wish, then
        everything outstanding fires.
        """
        error = SessionLost(f"the session was lost: {reason.getErrorMessage()}")
        error.__cause__ = reason.value
        self._die(Termination(error, True))

    def _die(self, death: Termination, refused: Deferred[Any] | None = None) -> None:
        if self._dead:
            return
        self._dead = True
        unasked, self._open = self._open, False
        self.release()
        self.broker.left(self)
        connecting, self._connecting = self._connecting, None
        channels = list(self.channels)
        lost = [channel for channel in channels if channel.mark_dead()]
        if unasked and connecting is None:
            Notification(self.listener.session_lost, death.error).deliver()
        for channel in lost:
            Notification(channel.listener.channel_lost, death.error).deliver()
        if refused is not None:
            refused.errback(death.error)
        for stream in (*(channel.stream for channel in channels), self.stream):
            stream.fail_all(death)
        if connecting is not None:
            connecting.errback(_no_session(death.error))


def _no_session(cause: Exception) -> ConnectError:
    error = ConnectError(f"the memory broker closed the connection: {cause}")
    error.__cause__ = cause
    return error


def _close(channel: ISessionChannel) -> None:
    channel.close()
