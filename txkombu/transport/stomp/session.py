"""
A session on STOMP: one login that stands for it, and the sockets beside.

Its main socket does nothing but log in and beat; it is lost when the broker is,
or the way to it, and everything ends with it.  What the others are for is told
where they are opened: publishing and declaring by channels, one for each
consumer.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import (
    Deferred,
    DeferredList,
    TimeoutError,
    fail,
    succeed,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..._util.failures import without_frames
from ..._util.waiters import Waiters
from ...exceptions import ConsumerCancelled, SessionLost
from ...interfaces import (
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
)
from ..closing import CLOSE_SECONDS
from ..errors import with_cause
from .channel import StompChannel
from .connections import ConnectionPool, SilentOwner, all_of
from .connector import Connector
from .declarations import Declarations
from .dialect import Dialect
from .exclusive_queue import ExclusiveQueue
from .protocol import IProtocolOwner, StompProtocol

if TYPE_CHECKING:
    from ...entity import Queue


class _SessionState(Enum):
    LOGIN = "login"
    OPEN = "open"
    CLOSING = "closing"
    OVER = "over"


_OPEN: Final = _SessionState.OPEN


@implementer(ISession, IProtocolOwner)
class StompSession:
    """
    One login at one broker; see L{ISession}.

    @ivar socket: the one that stands for it.
    """

    _log = Logger()

    dialect: Dialect
    socket: StompProtocol
    connections: ConnectionPool

    def __init__(
        self, connector: Connector, listener: ISessionListener, warned: set[str]
    ) -> None:
        """
        @param warned: the queues that their owner was warned of; shared with the
            sessions before and after.
        """
        self._connector = connector
        self._listener = listener
        self._state = _SessionState.LOGIN
        self._channels: dict[StompChannel, None] = {}
        self._full: dict[StompChannel, None] = {}
        self._changing: dict[str, Waiters[None]] = {}
        self._closed: Waiters[None] = Waiters()
        self.known = Declarations(warned)

    def opened(self, socket: StompProtocol, dialect: Dialect) -> StompSession:
        """It is logged in."""
        socket.errors_are_fatal = dialect.errors_are_fatal
        socket.length_is_last = dialect.length_is_last
        dialect.exchange_named = self.known.exchange_named
        self.socket = socket
        self.dialect = dialect
        self.product = dialect.product
        self.version = dialect.version
        self.capabilities = dialect.capabilities
        self.connections = ConnectionPool(self._connector, socket, self._end)
        self._state = _SessionState.OPEN
        self._log.debug("logged in at {place}", place=self._connector.place)
        return self

    # --- channels ------------------------------------------------------------

    def open_channel(
        self, listener: ISessionChannelListener
    ) -> Deferred[ISessionChannel]:
        if self._state is not _OPEN:
            return fail(SessionLost("the session is closed"))
        channel = StompChannel(self, listener)
        opening: Deferred[Any] = self.connections.open(channel)
        return opening.addCallback(self._channel_opened, channel)

    def _channel_opened(
        self, socket: StompProtocol, channel: StompChannel
    ) -> ISessionChannel:
        if self._state is not _OPEN:
            self.connections.drop(socket)
            raise SessionLost("the session is closed")
        self._channels[channel] = None
        return channel.opened(socket)

    def release(self, channel: StompChannel) -> None:
        """A channel is over."""
        self._channels.pop(channel, None)
        self.write_resumed_by(channel)

    async def bound(self, queue: Any) -> None:
        """Have all consumers of a queue receive what was bound to it."""
        adding = [each.add_sources(queue) for each in self._channels]
        await all_of([Deferred.fromCoroutine(each) for each in adding])

    async def declare_exclusive(self, queue: Queue) -> None:
        """
        Declare an exclusive queue on a socket that it lives on.  If this session
        has one of that name, nothing is sent: a refusal would cost the queue.

        @raise BrokerError: it is there already, and another.
        """
        name = queue.name
        while name in self._changing:
            await self._changing[name].wait()
        owner = self.connections.owners.get(name)
        if owner is not None:
            owner.check(queue)
            return
        self._changing[name] = Waiters()
        try:
            await self._declare_exclusive_queue(queue)
        except BaseException:
            owner = self.connections.owners.pop(name, None)
            self._left(name, None if owner is None else owner.socket)
            raise
        self._changing.pop(name).fire(None)

    async def _declare_exclusive_queue(self, queue: Queue) -> None:
        name = queue.name
        quiet = SilentOwner()
        socket = await self.connections.open(quiet)
        owner = ExclusiveQueue(
            queue,
            socket,
            lambda _: self.release_exclusive(name),
            self._exclusive_queue_deleted,
        )
        self.connections.owners[name] = owner
        quiet.lost = lambda reason: self._exclusive_queue_lost(name, owner, reason)
        await self.dialect.declare_queue(queue, False, self.connections)

    def release_exclusive(
        self, name: str, reason: Exception | None = None
    ) -> Deferred[None]:
        """
        Let go of an exclusive queue.

        @param reason: what its consumers hear.
        @return: fires when it is gone; never fails.
        """
        if name in self._changing:
            changed = self._changing[name].wait()
            return changed.addCallback(lambda _: self.release_exclusive(name, reason))
        owner = self.connections.owners.pop(name, None)
        if owner is None:
            return succeed(None)
        self.known.deleted(name)
        waiters = self._changing[name] = Waiters()
        gone = waiters.wait()
        owner.lost(reason or ConsumerCancelled(f"queue {name!r} was deleted"))
        self._left(name, owner.socket)
        return gone

    def _exclusive_queue_deleted(
        self, owner: ExclusiveQueue, reason: Exception
    ) -> None:
        """
        The broker deleted it; its socket, which lives, owns nothing any more.  The
        broker says so once for each subscription.
        """
        name = owner.queue.name
        if self.connections.owners.get(name) is owner:
            self.release_exclusive(name, reason)

    def _left(self, name: str, socket: StompProtocol | None) -> None:
        """Leave the socket of a queue; another may be declared when it is gone."""

        def left(_: object) -> None:
            self._changing.pop(name).fire(None)

        gone = succeed(None) if socket is None else self.connections.leave(socket)
        gone.addCallback(left)

    def _exclusive_queue_lost(
        self, name: str, owner: ExclusiveQueue, reason: Exception
    ) -> None:
        """
        The queue is gone.  If the broker says why, who uses it hears that; else
        all is lost that goes with a connection.
        """
        if self.connections.owners.get(name) is owner:
            del self.connections.owners[name]
        self.connections.drop(owner.socket)
        if isinstance(reason, SessionLost):
            self._end(reason)
        else:
            owner.lost(reason)

    def write_paused_by(self, channel: StompChannel) -> None:
        """A channel's socket is full."""
        first = not self._full
        self._full[channel] = None
        if first and self._state is _OPEN:
            self._tell(self._listener.write_paused)

    def write_resumed_by(self, channel: StompChannel) -> None:
        """A channel's socket has room again, or is gone."""
        last = self._full.pop(channel, self) is None and not self._full
        if last and self._state is _OPEN:
            self._tell(self._listener.write_resumed)

    # --- the end -------------------------------------------------------------

    def close(self) -> Deferred[None]:
        if self._state in (_SessionState.LOGIN, _SessionState.OVER):
            self.abort()
            return succeed(None)
        closed = self._closed.wait()
        if self._state is _OPEN:
            self._state = _SessionState.CLOSING
            closing = Deferred.fromCoroutine(self._close_in_order())
            closing.addTimeout(CLOSE_SECONDS, self.connections.clock)
            closing.addBoth(self._closed_in_order)
        return closed

    async def _close_in_order(self) -> None:
        channels = list(self._channels)
        await DeferredList([channel.close() for channel in channels])
        if self._state is _SessionState.CLOSING:
            self.connections.stop_opening()
            await self.connections.end_in_order()
        if self._state is _SessionState.CLOSING:
            await self.socket.disconnect()

    def _closed_in_order(self, result: object) -> None:
        """All is closed, or that takes too long."""
        if isinstance(result, Failure) and not result.check(TimeoutError):
            self._log.failure("Fault while closing", result)
        self._end(SessionLost("this program closed the connection"), wanted=True)

    def abort(self) -> None:
        self._end(SessionLost("this program dropped the connection"), wanted=True)

    def _end(self, reason: Exception, wanted: bool = False) -> None:
        """Tell the owner, and fire everything outstanding."""
        before, self._state = self._state, _SessionState.OVER
        if before in (_SessionState.LOGIN, _SessionState.OVER):
            return
        if before is _OPEN and not wanted:
            self._log.debug(
                "lost {place}: {reason}", place=self._connector.place, reason=reason
            )
            self._tell(self._listener.session_lost, reason)
        lost: Exception = reason
        if not isinstance(reason, SessionLost):
            lost = with_cause(SessionLost(f"the session ended: {reason}"), reason)
        channels = list(self._channels)
        told_by = wanted or before is not _OPEN
        for channel in [each for each in channels if each.die(lost, told_by)]:
            channel.fire(lost)
        self.connections.end()
        self.socket.abort()
        self._closed.fire(None)

    def _tell(self, callback: Callable[..., object], *what: object) -> None:
        """Call the owner's code, whose errors are not ours."""
        try:
            callback(*what)
        except Exception:
            self._log.failure(
                "{callback} failed", without_frames(Failure()), callback=callback
            )

    # --- ISocketOwner --------------------------------------------------------

    def socket_lost(self, reason: Exception) -> None:
        """The main socket is gone, and so is all."""
        self._end(reason)

    def write_paused(self) -> None:
        """Nothing but heart-beats is written on the main socket."""

    def write_resumed(self) -> None:
        """See L{write_paused}."""
