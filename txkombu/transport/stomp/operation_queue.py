"""
The operations of one channel, one after the other.

Each has sockets of its own, and a broker takes what comes by several sockets in
any order.  So an operation begins when the one before it is over, and what is
published after a declaration waits for that, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, NamedTuple, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..._util.waiters import Waiters
from ...exceptions import BrokerError
from ..errors import copy_error

_T = TypeVar("_T")

Work = Callable[[], Coroutine[Deferred[Any], Any, _T]]


class Operation(Generic[_T]):
    """
    One operation.

    @ivar about: the name of what it is about, for errors.
    @ivar declares: it changes where published messages go.
    @ivar deferred: fires with its result; C{None} once it has fired or was
        cancelled.
    @ivar under_way: what it does, once it was begun.
    @ivar retract: called with it if it is cancelled before it was begun.
    """

    __slots__ = (
        "_retracted",
        "_undo",
        "_work",
        "about",
        "declares",
        "deferred",
        "retract",
        "under_way",
    )

    retract: Callable[[Operation[_T]], object]

    def __init__(
        self,
        work: Work[_T],
        about: str = "",
        undo: Callable[[_T], object] | None = None,
        declares: bool = False,
        retracted: Callable[[], object] = lambda: None,
    ) -> None:
        """
        @param undo: called with the result of one that was cancelled too late.
        @param retracted: called when it is cancelled before it was begun.
        """
        self._work = work
        self._undo = undo
        self._retracted = retracted
        self.about = about
        self.declares = declares
        self.under_way: Deferred[_T] | None = None
        self.deferred: Deferred[_T] | None = Deferred(self._cancelled)

    def _cancelled(self, _: Deferred[_T]) -> None:
        self.deferred = None
        if self.under_way is None:
            self.retract(self)
            self._retracted()
        else:
            self.under_way.cancel()

    def begin(self) -> Deferred[_T]:
        """@return: fires with its result, which L{finish} takes."""
        under_way = self.under_way = Deferred.fromCoroutine(self._work())
        return under_way

    def finish(self, result: _T | Failure) -> None:
        """Fire with what it came to, or undo that."""
        deferred, self.deferred = self.deferred, None
        if isinstance(result, Failure):
            if deferred is not None:
                deferred.errback(self._named(result))
        elif deferred is not None:
            deferred.callback(result)
        elif self._undo is not None:
            self._undo(result)

    def _named(self, failure: Failure) -> Failure:
        """The same error, saying what it is about."""
        error = failure.value
        if isinstance(error, BrokerError) and self.about and not error.about:
            return Failure(copy_error(error, self.about))
        return failure

    def fail(self, error: Exception) -> None:
        """Fail it, and give up what it does."""
        deferred, self.deferred = self.deferred, None
        if self.under_way is not None:
            self.under_way.cancel()
        if deferred is not None:
            deferred.errback(Failure(error))


class _Call(NamedTuple):
    """What is done at once when its turn comes."""

    call: Callable[[], object]


class OperationQueue:
    """
    Runs operations in the order they were begun.

    What comes of an operation is told when it is over, and what it held up follows
    then; so what is published by whoever was told has to queue up behind that.
    """

    __slots__ = (
        "_advancing",
        "_calls",
        "_declaring",
        "_idle",
        "_over",
        "_running",
        "_waiting",
    )

    def __init__(self) -> None:
        self._waiting: deque[Operation[Any] | _Call] = deque()
        self._running: Operation[Any] | None = None
        self._advancing = False
        self._over = False
        self._idle: Waiters[None] = Waiters()
        self._declaring = 0
        self._calls = 0

    @property
    def holds_up(self) -> bool:
        """
        Whether what is published now has to wait: for a declaration, or behind what
        waited for one.
        """
        return bool(self._declaring or self._calls)

    def __bool__(self) -> bool:
        return self._running is not None or bool(self._waiting)

    def run_in_turn(self, operation: Operation[_T]) -> Deferred[_T]:
        """Run an operation when its turn comes, perhaps now."""
        deferred = operation.deferred
        assert deferred is not None
        operation.retract = self._retract
        self._declaring += operation.declares
        self._waiting.append(operation)
        self._advance()
        return deferred

    def add_call(self, call: Callable[[], object]) -> None:
        """Call something when all operations begun before are over."""
        self._calls += 1
        self._waiting.append(_Call(call))
        self._advance()

    def _retract(self, operation: Operation[Any]) -> None:
        self._waiting.remove(operation)
        self._declaring -= operation.declares

    def _advance(self) -> None:
        if self._advancing:
            return  # one ended as it began, and no stack is deep enough for many
        self._advancing = True
        try:
            self._run()
        finally:
            self._advancing = False
        if self._running is None and not self._waiting:
            self._idle.fire(None)

    def _run(self) -> None:
        while self._running is None and self._waiting and not self._over:
            first = self._waiting.popleft()
            if isinstance(first, _Call):
                first.call()
                self._calls -= 1
            else:
                self._running = first
                first.begin().addBoth(self._ended, first)

    def when_idle(self) -> Deferred[None]:
        """@return: fires when nothing is left to be done; never fails."""
        idle = self._idle.wait()
        self._advance()
        return idle

    def _ended(self, result: Any, operation: Operation[Any]) -> None:
        if self._running is operation:
            self._running = None
            self._declaring -= operation.declares
        operation.finish(result)
        self._advance()

    def drain(self) -> list[Operation[Any]]:
        """Begin none any more, and give those that are not over."""
        waiting = [each for each in self._waiting if isinstance(each, Operation)]
        running, self._running = self._running, None
        self._over = True
        self._waiting.clear()
        self._idle.fire(None)
        return waiting if running is None else [running, *waiting]
