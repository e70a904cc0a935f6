"""How a channel of the memory broker lives and ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from ...exceptions import BrokerError, ChannelClosed, ConnectionErrorReply
from ...interfaces import ISessionChannelListener
from .errors import BrokenDown, Refused
from .events import EventStream, FinalReply, Notification, Reply, Termination
from .interfaces import SessionHost
from .states import Event, State, new_life

T = TypeVar("T")

OPEN: Final = State.OPEN
RELEASED: Final = State.RELEASED


class MemoryChannelState:
    """
    The life of a channel, see L{txkombu.transport.memory.states}.

    What the client asks takes effect in the broker at once; what the broker answers
    comes by the stream.

    @ivar session: the session it belongs to.
    @ivar listener: its owner.
    @ivar stream: what is on its way to its owner.
    """

    def __init__(self, session: SessionHost, listener: ISessionChannelListener) -> None:
        self.session = session
        self.listener = listener
        self.stream = EventStream(session.broker.pump)
        self._vhost = session.vhost
        self._life = new_life("a channel")

    def _ask(
        self,
        method: tuple[int, int],
        work: Callable[[], T],
        undo: Callable[[T], object] | None = None,
    ) -> Deferred[T]:
        """
        Have the broker do something, and answer by the stream.

        @param method: the class and method that are named if the broker refuses.
        @param undo: called with the answer if nobody waits for it when it arrives.
        """
        if self._life.state not in (OPEN, RELEASED):
            return fail(_closed())
        deferred: Deferred[T] = Deferred()
        if self._life.state is RELEASED:
            self.stream.hold(Reply(deferred))
            return deferred
        try:
            value = work()
        except BrokenDown as crash:
            self._refuse(crash.as_error(method))
            self.stream.hold(Reply(deferred))
        except Refused as refused:
            self._refuse(refused.as_error(method), deferred)
        else:
            self.stream.push(Reply(deferred, value, undo))
        return deferred

    def _refuse(self, error: BrokerError, deferred: Deferred[T] | None = None) -> None:
        """End the channel, or the session, with an error; the owner learns later."""
        self.stream.push(Refusal(self, error, deferred))
        if isinstance(error, ConnectionErrorReply):
            self.session.release()
        else:
            self.release()

    # --- its end -------------------------------------------------------------

    def close(self) -> Deferred[None]:
        if self._life.state is State.OVER:
            return succeed(None)
        self.shut()
        deferred: Deferred[None] = Deferred()
        self.stream.push(FinalReply(deferred, self._leave))
        return deferred

    def _leave(self) -> None:
        self.end()
        self.stream.fail_all(Termination(_closed(), False))

    def shut(self) -> None:
        """Begin nothing more, as the owner has closed the channel or the session."""
        self.release()
        if self._life.state is RELEASED:
            self._life.step(Event.CLOSE)

    def release(self) -> None:
        """Have the broker done with it: what it held goes back."""
        if self._life.state is OPEN:
            self._life.step(Event.RELEASE)
            self._hand_back()

    def _hand_back(self) -> None:
        """End what consumes, and requeue what is unsettled."""
        raise NotImplementedError

    def refused(self, error: BrokerError, deferred: Deferred[Any] | None) -> None:
        """Tell the owner that the broker has closed the channel, or the session."""
        if isinstance(error, ConnectionErrorReply):
            self.session.refused(error, deferred)
            return
        if self.end():
            Notification(self.listener.channel_lost, error).deliver()
        if deferred is not None:
            deferred.errback(error)
        self.stream.fail_all(Termination(error, False))

    def end(self) -> bool:
        """
        Be over; what is outstanding is still to fire.

        @return: whether its owner did not know that it was going to end.
        """
        self.release()
        unasked = self._life.state is RELEASED
        self._life.step(Event.END)
        self.session.forget(self)
        return unasked


def _closed() -> ChannelClosed:
    return ChannelClosed("this channel of the memory broker is closed")


@attrs.define(eq=False)
class Refusal:
    """The broker's refusal of an operation, which ends the channel or the session."""

    _channel: MemoryChannelState
    _error: BrokerError
    _deferred: Deferred[Any] | None

    def deliver(self) -> None:
        self._channel.refused(self._error, self._deferred)

    def fail(self, death: Termination) -> None:
        if self._deferred is not None:
            self._deferred.errback(death.for_operation())
