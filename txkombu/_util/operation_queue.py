"""Asynchronous operations, one after the other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .waiters import Waiters

_T = TypeVar("_T")

Work = Callable[[], Coroutine[Deferred[Any], Any, _T]]


class Operation(Generic[_T]):
    """One operation; see L{OperationQueue.run_in_turn}."""

    def __init__(
        self,
        queue: OperationQueue,
        work: Work[_T],
        declares: bool,
        undo: Callable[[Any], object],
        retracted: Callable[[], object],
    ) -> None:
        self._queue = queue
        self._work = work
        self._undo = undo
        self._retracted = retracted
        self._under_way: Deferred[_T] | None = None
        self._is_wanted = True
        self.declares = declares
        self.deferred: Deferred[_T] = Deferred(self._cancelled)

    def _cancelled(self, _: Deferred[_T]) -> None:
        self._is_wanted = False
        if self._under_way is not None:
            self._under_way.cancel()
        else:
            self._queue.retract(self)
            self._retracted()

    def begin(self) -> Deferred[_T]:
        """Begin to work; fires with the result, for L{finish}."""
        under_way = self._under_way = Deferred.fromCoroutine(self._work())
        return under_way

    def finish(self, result: _T | Failure) -> None:
        """Fire with the result, or undo it if nobody waits for it any more."""
        is_wanted, self._is_wanted = self._is_wanted, False
        if not isinstance(result, Failure):
            if is_wanted:
                self.deferred.callback(result)
            else:
                self._undo(result)
        elif is_wanted:
            self.deferred.errback(result)

    def fail(self, error: Exception) -> None:
        """Fail, and give up the work."""
        self.finish(Failure(error))
        if self._under_way is not None:
            self._under_way.cancel()


class OperationQueue:
    """
    Runs operations in the order they were begun.

    The result of an operation is told before the calls go on that it held up.  So what
    is called by its caller then has to queue up behind those.
    """

    def __init__(self) -> None:
        # By what is taken out before its turn; a call never is.
        self._waiting: OrderedDict[object, Operation[Any] | Callable[[], object]] = (
            OrderedDict()
        )
        self._running: Operation[Any] | None = None
        self._advancing = False
        self._over = False
        self._idle: Waiters[None] = Waiters()
        self._holding_up = 0

    @property
    def holds_up(self) -> bool:
        """Whether a call has to wait for a declaration, or behind other calls."""
        return self._holding_up > 0

    def run_in_turn(
        self,
        work: Work[_T],
        declares: bool = False,
        undo: Callable[[Any], object] = lambda _: None,
        retracted: Callable[[], object] = lambda: None,
    ) -> Deferred[_T]:
        """
        Run an operation when its turn comes, perhaps now.

        @param declares: what is called after it has to wait; see L{holds_up}.
        @param undo: called with the result if it was cancelled too late.
        @param retracted: called if it was cancelled before it has begun.
        """
        operation = Operation(self, work, declares, undo, retracted)
        self._holding_up += declares
        self._waiting[operation] = operation
        self._advance()
        return operation.deferred

    def retract(self, operation: Operation[Any]) -> None:
        """Take out an operation that has not begun."""
        self._waiting.pop(operation, None)
        self._holding_up -= operation.declares

    def add_call(self, call: Callable[[], object]) -> None:
        """Call something when all operations begun before are over."""
        self._holding_up += 1
        self._waiting[object()] = call
        self._advance()

    def _advance(self) -> None:
        if self._advancing:
            return  # an operation ended as it began: many would overflow the stack
        self._advancing = True
        try:
            while self._running is None and self._waiting and not self._over:
                _, first = self._waiting.popitem(last=False)
                if isinstance(first, Operation):
                    self._running = first
                    first.begin().addBoth(self._ended, first)
                else:
                    first()
                    self._holding_up -= 1
        finally:
            self._advancing = False
        if self._running is None and not self._waiting and self._idle.waiting:
            self._idle.fire(None)

    def _ended(self, result: Any, operation: Operation[Any]) -> None:
        if self._running is operation:
            self._running = None
            self._holding_up -= operation.declares
        operation.finish(result)
        self._advance()

    def when_idle(self) -> Deferred[None]:
        """Wait until nothing is left to do; never fails."""
        idle = self._idle.wait()
        self._advance()
        return idle

    def drain(self) -> list[Operation[Any]]:
        """Begin no more operations, and return those that are not over."""
        left = self._waiting.values()
        waiting = [each for each in left if isinstance(each, Operation)]
        running, self._running = self._running, None
        self._over = True
        self._waiting.clear()
        self._idle.fire(None)
        return waiting if running is None else [running, *waiting]
