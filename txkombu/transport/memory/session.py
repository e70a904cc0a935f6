"""
Sessions of the memory broker: Twisted protocols whose wire is method calls.

Made by L{MemoryBroker.connect<txkombu.transport.memory.broker.MemoryBroker>}; driven by
C{makeConnection} and C{connectionLost} as any protocol is.
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
from ..errors import with_cause
from .channel import MemoryChannel
from .events import EventStream, FinalReply, Notification, Reply, Termination
from .interfaces import BrokerHost
from .loopback import LoopbackTransport
from .states import Event, State, new_life

if TYPE_CHECKING:
    from .channel_state import MemoryChannelState
    from .vhost import VirtualHost


@implementer(ISession)
class MemorySession(Protocol):
    """
    One session with the memory broker; see L{txkombu.transport.memory.states}.

    @ivar listener: its owner.
    @ivar channels: those that live, in the order they were opened.
    @ivar wire: its transport; to abort that is to lose the session.
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
        self._stream = EventStream(broker.pump)
        self._life = new_life("a session")
        self._connecting: Deferred[ISession] | None = None
        self.wire = LoopbackTransport(self)

    def connectionMade(self) -> None:
        """Become one of the broker's sessions."""
        self.broker.joined(self)

    def begin(self) -> Deferred[ISession]:
        """Log in; return what C{connect} returns."""
        self._connecting = Deferred(self._give_up)
        self._stream.push(Notification(self._begun, None))
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
        if self._life.state not in (State.OPEN, State.RELEASED):
            return fail(SessionLost("this session of the memory broker is closed"))
        deferred: Deferred[ISessionChannel] = Deferred()
        if self._life.state is State.RELEASED:
            self._stream.hold(Reply(deferred))
            return deferred
        channel = MemoryChannel(self, listener)
        self.channels[channel] = None
        self._stream.push(Reply(deferred, channel, lambda unwanted: unwanted.close()))
        return deferred

    def forget(self, channel: MemoryChannelState) -> None:
        """Note that a channel is over."""
        self.channels.pop(channel, None)

    # --- its end -------------------------------------------------------------

    def close(self) -> Deferred[None]:
        if self._life.state is State.OVER:
            return succeed(None)
        self._shut()
        deferred: Deferred[None] = Deferred()
        self._stream.push(FinalReply(deferred, self._leave))
        return deferred

    def _leave(self) -> None:
        self.drain()
        self.connectionLost(Failure(ConnectionDone()))

    def abort(self) -> None:
        self._shut()
        self.connectionLost(Failure(ConnectionAborted()))

    def _shut(self) -> None:
        """Begin nothing more, nor on its channels, as the owner has closed it."""
        for channel in list(self.channels):
            channel.shut()
        self.release()
        if self._life.state is State.RELEASED:
            self._life.step(Event.CLOSE)

    def release(self) -> None:
        """Have the broker done with it: what is exclusive to it goes."""
        if self._life.state is not State.OPEN:
            return
        self._life.step(Event.RELEASE)
        for channel in list(self.channels):
            channel.release()
        self.vhost.drop_owned_by(self)

    def drain(self) -> None:
        """Let the client see all that is on its way; for an orderly end."""
        for channel in list(self.channels):
            channel.stream.drain()
        self._stream.drain()

    def cut(self) -> None:
        """Let the client see nothing more, but that the connection is lost."""
        self._stream.close()
        for channel in self.channels:
            channel.stream.close()
        self.release()

    def refused(self, error: BrokerError, refused: Deferred[Any] | None) -> None:
        """Tell the owner that the broker has closed the session."""
        self._end(Termination(error, True), refused)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End the session: tell the owner, unless it closed the session itself, then fire
        everything outstanding.
        """
        error = SessionLost(f"the session was lost: {reason.getErrorMessage()}")
        self._end(Termination(with_cause(error, reason.value), True))

    def _end(self, death: Termination, refused: Deferred[Any] | None = None) -> None:
        if self._life.state is State.OVER:
            return
        self.release()
        unasked = self._life.state is State.RELEASED
        self._life.step(Event.END)
        self.broker.left(self)
        connecting, self._connecting = self._connecting, None
        channels = list(self.channels)
        lost = [channel for channel in channels if channel.end()]
        if unasked and connecting is None:
            Notification(self.listener.session_lost, death.error).deliver()
        for channel in lost:
            Notification(channel.listener.channel_lost, death.error).deliver()
        if refused is not None:
            refused.errback(death.error)
        for stream in (*(channel.stream for channel in channels), self._stream):
            stream.fail_all(death)
        if connecting is not None:
            text = f"the memory broker closed the connection: {death.error}"
            connecting.errback(with_cause(ConnectError(text), death.error))
