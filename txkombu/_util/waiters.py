"""Deferreds of several callers that wait for one event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

T = TypeVar("T")


class Waiters(Generic[T]):
    """
    Returns a new Deferred to each caller, and fires all of them together.

    Cancelling one does not affect the others.  A callback that waits again waits for
    the next time, as the list is emptied before any is fired.

    @ivar waiting: the Deferreds that wait, in order.
    """

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: dict[Deferred[T], None] = {}

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def wait(self) -> Deferred[T]:
        """Return a Deferred that fires at the next C{fire} or C{fail}."""
        waiter: Deferred[T] = Deferred(self._forget)
        self.waiting[waiter] = None
        return waiter

    def fire(self, result: T) -> None:
        """Fire all, in the order they were returned."""
        for waiter in self._swap():
            if not waiter.called:
                waiter.callback(result)

    def fail(self, error: Exception) -> None:
        """Fail all, in the order they were returned."""
        for waiter in self._swap():
            if not waiter.called:
                waiter.errback(Failure(error))

    def fail_one(self, waiter: Deferred[T], failure: Failure) -> None:
        """Fail one, if it still waits."""
        if waiter in self.waiting:
            del self.waiting[waiter]
            waiter.errback(failure)

    def _swap(self) -> list[Deferred[T]]:
        waiting = list(self.waiting)
        self.waiting.clear()
        return waiting

    def _forget(self, waiter: Deferred[T]) -> None:
        self.waiting.pop(waiter, None)


class SharedClose:
    """
    One close for many callers.

    A caller that cancels its Deferred affects neither the close nor other callers.

    @param end: begins to close; called when the first caller waits.
    @ivar begun: whether closing has begun.
    @ivar over: whether it is closed.
    """

    __slots__ = ("_end", "_waiters", "begun", "over")

    _log = Logger()

    def __init__(self, end: Callable[[], Deferred[Any]]) -> None:
        self._end = end
        self._waiters: Waiters[None] = Waiters()
        self.begun = False
        self.over = False

    def wait(self) -> Deferred[None]:
        """Close, if nobody did yet; fire when it is closed, and never fail."""
        waiter = self._waiters.wait()
        if not self.begun:
            self.begun = True
            ending = self._end().addErrback(
                lambda failure: self._log.failure("Fault while ending", failure)
            )
            ending.addCallback(self._ended)
        elif self.over:
            self._waiters.fire(None)
        return waiter

    def _ended(self, _: object) -> None:
        self.over = True
        self._waiters.fire(None)
