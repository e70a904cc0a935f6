"""
What goes from the broker to a client, in order: one stream for each channel.

An event fires in the pump, in a turn of the reactor after it was caused; or it
fails, when the channel dies before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..._util.failures import without_frames
from ...exceptions import (
    BrokerError,
    ChannelClosed,
    KombuError,
    OutcomeUnknown,
    SessionLost,
)
from ..errors import copy_error
from .method_ids import BASIC_PUBLISH

if TYPE_CHECKING:
    from .pump import Pump


T = TypeVar("T")
_log: Final = Logger()

AT_ONCE: Final = 256
"""How many events of one stream fire in one turn of the reactor at most."""


@attrs.frozen
class Termination:
    """
    Why a channel or session ended.

    @ivar error: the broker's error, or what became of the session.
    @ivar whole: whether the whole session ended.
    """

    error: Exception
    whole: bool

    def for_operation(self) -> KombuError:
        """What an operation that was under way fails with."""
        kind = SessionLost if self.whole else ChannelClosed
        return self._caused(kind(f"this was under way when it ended: {self.error}"))

    def for_publish(self, exchange: str) -> KombuError:
        """What a publish without a verdict fails with."""
        error = self.error
        if (
            isinstance(error, BrokerError)
            and error.code in (403, 404)
            and error.about == exchange
            and (error.class_id, error.method_id) == BASIC_PUBLISH
        ):
            return copy_error(error)
        return self._caused(OutcomeUnknown(f"no verdict before the end: {error}"))

    def _caused(self, error: KombuError) -> KombuError:
        error.__cause__ = self.error
        return error


class BrokerEvent(Protocol):
    """Something the client is going to see."""

    def deliver(self) -> None:
        """The client sees it."""

    def fail(self, death: Termination) -> None:
        """The client will never see it."""


class Reply(Generic[T]):
    """The answer to an operation."""

    __slots__ = ("_deferred", "_undo", "_value")

    def __init__(
        self,
        deferred: Deferred[T],
        value: T,
        undo: Callable[[T], object] | None = None,
    ) -> None:
        self._deferred = deferred
        self._value = value
        self._undo = undo

    def deliver(self) -> None:
        # Called already means cancelled; the Deferred swallows one result.
        if self._deferred.called and self._undo is not None:
            self._undo(self._value)
        self._deferred.callback(self._value)

    def fail(self, death: Termination) -> None:
        self._deferred.errback(death.for_operation())


class UnansweredReply(Generic[T]):
    """An operation the broker will not answer: it has closed the channel."""

    __slots__ = ("_deferred",)

    def __init__(self, deferred: Deferred[T]) -> None:
        self._deferred = deferred

    def deliver(self) -> None:
        """The end of the channel comes before this."""

    def fail(self, death: Termination) -> None:
        self._deferred.errback(death.for_operation())


class FinalReply:
    """The answer to what never fails: close, cancel."""

    __slots__ = ("_deferred",)

    def __init__(self, deferred: Deferred[None]) -> None:
        self._deferred = deferred

    def deliver(self) -> None:
        self._deferred.callback(None)

    def fail(self, death: Termination) -> None:
        self._deferred.callback(None)


class CloseReply:
    """The answer to the closing of a channel or session, which ends it."""

    __slots__ = ("_deferred", "_end")

    def __init__(self, end: Callable[[], object], deferred: Deferred[None]) -> None:
        self._end = end
        self._deferred = deferred

    def deliver(self) -> None:
        self._end()
        self._deferred.callback(None)

    def fail(self, death: Termination) -> None:
        self._deferred.callback(None)


class ConfirmEvent:
    """The broker's word on a publish; C{error} is None when it has taken it."""

    __slots__ = ("_deferred", "_error", "_exchange")

    def __init__(
        self, deferred: Deferred[None], exchange: str, error: KombuError | None
    ) -> None:
        self._deferred = deferred
        self._exchange = exchange
        self._error = error

    def deliver(self) -> None:
        if self._error is None:
            self._deferred.callback(None)
        else:
            self._deferred.errback(self._error)

    def fail(self, death: Termination) -> None:
        self._deferred.errback(death.for_publish(self._exchange))


class Notification:
    """Something a listener or consumer is told."""

    __slots__ = ("_argument", "_tell")

    def __init__(self, tell: Callable[[T], object], argument: T) -> None:
        self._tell: Callable[[Any], object] = tell
        self._argument = argument

    def deliver(self) -> None:
        try:
            self._tell(self._argument)
        except Exception:
            _log.failure("{tell} failed", without_frames(Failure()), tell=self._tell)

    def fail(self, death: Termination) -> None:
        """No one is there any more to be told."""


class EventStream:
    """
    The events of one channel, or of a session outside of its channels.

    @ivar events: those that have not fired, in order.
    @ivar closed: whether none of them will fire any more.
    """

    __slots__ = ("_pump", "closed", "events", "listed")

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self.events: deque[BrokerEvent] = deque()
        self.listed = False
        self.closed = False

    def push(self, event: BrokerEvent) -> None:
        """Have an event fire in a later turn of the reactor."""
        self.events.append(event)
        if not self.listed:
            self.listed = True
            self._pump.note(self)

    def dispatch(self) -> None:
        """Fire what is there, but not for ever; for the pump."""
        self.listed = False
        events = self.events
        for _ in range(min(len(events), AT_ONCE)):
            if self.closed or not events:
                return
            events.popleft().deliver()
        if events and not self.listed and not self.closed:
            self.listed = True
            self._pump.note(self)

    def drain(self) -> None:
        """Fire all that is there; for when no more can come."""
        while self.events and not self.closed:
            self.events.popleft().deliver()

    def fail_all(self, death: Termination) -> None:
        """Fail whatever has not fired."""
        self.closed = True
        while self.events:
            self.events.popleft().fail(death)
