"""
How a channel of the memory broker lives and ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from ...exceptions import (
    BrokerError,
    ChannelClosed,
    ConnectionErrorReply,
)
from ...interfaces import ISessionChannelListener
from .errors import BrokenDown, Refused
from .events import (
    CloseReply,
    EventStream,
    Notification,
    Reply,
    Termination,
    UnansweredReply,
)
from .interfaces import SessionHost

T = TypeVar("T")


class MemoryChannelState:
    """
    The life of a channel.

    What it asks takes effect in the broker at once; what the broker says comes
    by its stream.  The broker may have closed it before its owner knows.

    @ivar session: what it belongs to.
    @ivar listener: its owner.
    @ivar stream: what is on its way to its owner.
    """

    def __init__(self, session: SessionHost, listener: ISessionChannelListener) -> None:
        self.session = session
        self.listener = listener
        self.stream = EventStream(session.broker.pump)
        self._vhost = session.vhost
        self._open = True  # for its owner
        self._served = True  # by the broker
        self._dead = False

    def _ask(
        self,
        method: tuple[int, int],
        work: Callable[[], T],
        undo: Callable[[T], object] | None = None,
    ) -> Deferred[T]:
        """Have the broker do something, and answer by the stream."""
        if not self._open:
            return fail(self._closed())
        deferred: Deferred[T] = Deferred()
        if not self._served:
            self.stream.push(UnansweredReply(deferred))
            return deferred
        try:
            value = work()
        except BrokenDown as crash:
            self._refuse(crash.as_error(method))
            self.stream.push(UnansweredReply(deferred))
        except Refused as refused:
            self._refuse(refused.as_error(method), deferred)
        else:
            self.stream.push(Reply(deferred, value, undo))
        return deferred

    def _closed(self) -> ChannelClosed:
        return ChannelClosed("this channel of the memory broker is closed")

    def _refuse(self, error: BrokerError, deferred: Deferred[T] | None = None) -> None:
        """The broker closes the channel, or the session; the owner learns later."""
        self.stream.push(Refusal(self, error, deferred))
        if isinstance(error, ConnectionErrorReply):
            self.session.release()
        else:
            self.release()

    # --- its end -------------------------------------------------------------

    def close(self) -> Deferred[None]:
        if self._dead:
            return succeed(None)
        self._open = False
        self.release()
        deferred: Deferred[None] = Deferred()
        self.stream.push(CloseReply(self._leave, deferred))
        return deferred

    def release(self) -> None:
        """The broker is done with it: what it held goes back."""
        if not self._served:
            return
        self._served = False
        self._hand_back()

    def _hand_back(self) -> None:
        """End what consumes, and requeue what is unsettled."""
        raise NotImplementedError

    def shut(self) -> None:
        """The session is closed by its owner: begin nothing more."""
        self._open = False
        self.release()

    def ended(self, error: BrokerError, refused: Deferred[Any] | None) -> None:
        """The owner learns that the broker has closed it, or the session."""
        if isinstance(error, ConnectionErrorReply):
            self.session.refused(error, refused)
            return
        if self.mark_dead():
            Notification(self.listener.channel_lost, error).deliver()
        if refused is not None:
            refused.errback(error)
        self.stream.fail_all(Termination(error, False))

    def mark_dead(self) -> bool:
        """
        Be dead from now on; what is outstanding is still to fire.

        @return: whether its owner did not know that it was going to end.
        """
        unasked = self._open
        self._open = False
        self._dead = True
        self.release()
        self.session.channels.pop(self, None)
        return unasked

    def _leave(self) -> None:
        self.mark_dead()
        self.stream.fail_all(Termination(self._closed(), False))


class Refusal:
    """The broker refused an operation, which ends the channel or the session."""

    __slots__ = ("_channel", "_deferred", "_error")

    def __init__(
        self,
        channel: MemoryChannelState,
        error: BrokerError,
        deferred: Deferred[Any] | None,
    ) -> None:
        self._channel = channel
        self._error = error
        self._deferred = deferred

    def deliver(self) -> None:
        self._channel.ended(self._error, self._deferred)

    def fail(self, death: Termination) -> None:
        if self._deferred is not None:
            self._deferred.errback(death.for_operation())
