"""
What the broker sends to a client, in order: one stream for each channel.

The pump delivers an event in a turn of the reactor after it was caused.  An event that
is still in the stream when the channel ends fails.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred

from ..._util.awaitables import call_logged
from ...exceptions import (
    BrokerError,
    ChannelClosed,
    KombuError,
    OutcomeUnknown,
    SessionLost,
)
from ..errors import copy_error, with_cause
from .method_ids import BASIC_PUBLISH

if TYPE_CHECKING:
    from .pump import Pump


T = TypeVar("T")

AT_ONCE: Final = 256
"""How many events of one stream are delivered in one turn of the reactor at most."""


@attrs.frozen
class Termination:
    """
    Why a channel or session ended.

    @ivar error: the broker's error, or how the session was lost.
    @ivar whole: whether the whole session ended.
    """

    error: Exception
    whole: bool

    def for_operation(self) -> KombuError:
        """Return what an operation that was under way fails with."""
        kind = SessionLost if self.whole else ChannelClosed
        text = f"this was under way when it ended: {self.error}"
        return with_cause(kind(text), self.error)

    def for_publish(self, exchange: str) -> KombuError:
        """Return what a publish to an exchange fails with if it has no verdict."""
        error = self.error
        if (
            isinstance(error, BrokerError)
            and error.code in (403, 404)
            and error.about == exchange
            and (error.class_id, error.method_id) == BASIC_PUBLISH
        ):
            return copy_error(error)
        return with_cause(OutcomeUnknown(f"no verdict before the end: {error}"), error)


class BrokerEvent(Protocol):
    """Something on its way to the client."""

    def deliver(self) -> None:
        """Let the client see it."""

    def fail(self, death: Termination) -> None:
        """Tell the client that it will never come."""


@attrs.define(eq=False)
class Reply(Generic[T]):
    """The answer to an operation; without a value, if the broker will not answer it."""

    _deferred: Deferred[T]
    _value: Any = None
    _undo: Callable[[T], object] | None = None

    def deliver(self) -> None:
        # Called already means cancelled; the Deferred swallows one result.
        if self._deferred.called and self._undo is not None:
            self._undo(self._value)
        self._deferred.callback(self._value)

    def fail(self, death: Termination) -> None:
        self._deferred.errback(death.for_operation())


@attrs.define(eq=False)
class FinalReply:
    """
    The answer to what never fails: the cancelling of a consumer, or a close, which
    ends the channel or session.
    """

    _deferred: Deferred[None]
    _end: Callable[[], object] | None = None

    def deliver(self) -> None:
        if self._end is not None:
            self._end()
        self._deferred.callback(None)

    def fail(self, death: Termination) -> None:
        self._deferred.callback(None)


@attrs.define(eq=False)
class ConfirmEvent:
    """The broker's verdict on a publish: C{error}, or C{None} if it was taken over."""

    _deferred: Deferred[None]
    _exchange: str
    _error: KombuError | None = None

    def deliver(self) -> None:
        if self._error is None:
            self._deferred.callback(None)
        else:
            self._deferred.errback(self._error)

    def fail(self, death: Termination) -> None:
        self._deferred.errback(death.for_publish(self._exchange))


@attrs.define(eq=False)
class Notification(Generic[T]):
    """A call of a listener or consumer."""

    _tell: Callable[[T], object]
    _argument: T

    def deliver(self) -> None:
        call_logged(repr(self._tell), self._tell, self._argument)

    def fail(self, death: Termination) -> None:
        """Do nothing: a listener hears nothing after the end."""


class EventStream:
    """The events of one channel, or of a session outside of its channels."""

    __slots__ = ("_closed", "_events", "_incoming", "_listed", "_pump", "_unanswered")

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self._events: deque[BrokerEvent] = deque()
        self._unanswered: deque[BrokerEvent] = deque()
        self._incoming = self._events
        self._listed = False
        self._closed = False

    def push(self, event: BrokerEvent) -> None:
        """Have an event delivered in a later turn of the reactor."""
        self._incoming.append(event)
        if not self._listed:
            self._listed = True
            self._pump.note(self.dispatch)

    def hold(self, event: BrokerEvent) -> None:
        """Have an event, and all that come after it, fail at the end that is near."""
        self._incoming = self._unanswered
        self._incoming.append(event)

    def dispatch(self) -> None:
        """Deliver what is there, at most L{AT_ONCE} events; for the pump."""
        self._listed = False
        events = self._events
        try:
            for _ in range(min(len(events), AT_ONCE)):
                if self._closed or not events:
                    return
                events.popleft().deliver()
        finally:  # also behind an event that raised
            if events and not self._listed and not self._closed:
                self._listed = True
                self._pump.note(self.dispatch)

    def drain(self) -> None:
        """Deliver all that is there; for when no more can come."""
        while self._events and not self._closed:
            self._events.popleft().deliver()

    def close(self) -> None:
        """Deliver nothing more."""
        self._closed = True

    def fail_all(self, death: Termination) -> None:
        """Close the stream, and fail what was not delivered."""
        self._closed = True
        for events in (self._events, self._unanswered):
            while events:
                events.popleft().fail(death)
