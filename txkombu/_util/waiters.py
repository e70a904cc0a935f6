"""
Deferreds for those who wait for one event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

T = TypeVar("T")


class Waiters(Generic[T]):
    """
    Hands out a fresh Deferred to each who waits, and fires them together.

    Cancelling one touches no other.  They are swapped out before they fire, so
    who waits again from a callback waits for the next time.

    @ivar waiting: those who wait, in order; empty if there are none.
    """

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: dict[Deferred[T], None] = {}

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def wait(self) -> Deferred[T]:
        """@return: fires at the next C{fire} or C{fail}."""
        waiter: Deferred[T] = Deferred(self._forget)
        self.waiting[waiter] = None
        return waiter

    def fire(self, result: T) -> None:
        """Fire all, in the order they came."""
        for waiter in self._swap():
            if not waiter.called:
                waiter.callback(result)

    def fail(self, error: Exception) -> None:
        """Fail all, in the order they came."""
        for waiter in self._swap():
            if not waiter.called:
                waiter.errback(Failure(error))

    def fail_one(self, waiter: Deferred[T], failure: Failure) -> None:
        """Fail one of them, if it still waits."""
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
    An end that comes once, for all who ask for it.

    Cancelling who waits for it touches neither it nor the others.

    @param end: begins it, when the first one asks.
    @ivar begun: whether somebody asked.
    @ivar over: whether it has come.
    """

    __slots__ = ("_end", "_waiters", "begun", "over")

    _log = Logger()

    def __init__(self, end: Callable[[], Deferred[Any]]) -> None:
        self._end = end
        self._waiters: Waiters[None] = Waiters()
        self.begun = False
        self.over = False

    def wait(self) -> Deferred[None]:
        """@return: fires when it has come; never fails."""
        waiter = self._waiters.wait()
        if not self.begun:
            self.begun = True
            self._end().addErrback(self._fault).addCallback(self._ended)
        elif self.over:
            self._waiters.fire(None)
        return waiter

    def _fault(self, failure: Failure) -> None:
        self._log.failure("Fault while ending", failure)

    def _ended(self, _: object) -> None:
        self.over = True
        self._waiters.fire(None)
