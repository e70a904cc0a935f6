"""Timeouts of Deferreds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    FirstError,
    gatherResults,
    race,
)
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ..exceptions import OperationTimeout
from .steady_clock import steady

T = TypeVar("T")

CLOSE_TIMEOUT = 5.0
"""Seconds that a broker has for each answer while something closes."""

_FAIL: Any = object()


def with_timeout(
    began: Deferred[T],
    clock: IReactorTime,
    timeout: float,
    what: str,
    otherwise: T = _FAIL,
) -> Deferred[T]:
    """
    Cancel an operation that does not end in time.

    @param timeout: seconds.
    @param what: the name of the operation.
    @param otherwise: the result after a timeout; by default the operation fails with
        L{OperationTimeout}.
    """
    if began.called and not began.paused and began.result.__class__ is not Deferred:
        return began

    def over(result: T | Failure, seconds: float) -> T:
        if otherwise is _FAIL:
            raise OperationTimeout(what, timeout)
        return otherwise

    return began.addTimeout(timeout, steady(clock), onTimeoutCancel=over)


def gather_results(began: Sequence[Deferred[Any]]) -> Deferred[list[tuple[bool, Any]]]:
    """Wait for all; fire with a list of (success, result), and never fail."""
    return DeferredList(began, consumeErrors=True)


def all_done(began: Sequence[Deferred[T]]) -> Deferred[list[T]]:
    """Wait for all; fire with a list of results, or fail with the first failure."""
    return gatherResults(began, consumeErrors=True).addErrback(_first_failure)


def _first_failure(failure: Failure) -> Failure:
    error = failure.value
    return error.subFailure if isinstance(error, FirstError) else failure


def gather_results_in_time(
    began: Sequence[Deferred[Any]], clock: IReactorTime, timeout: float, what: str
) -> Deferred[list[tuple[bool, Any]]]:
    """
    Wait for all, as L{gather_results}; the timeout begins again whenever one ends.

    After the timeout all are cancelled, and the result fails with L{OperationTimeout}.

    @param timeout: seconds.
    @param what: the name of the operation.
    """
    late: list[bool] = []

    def give_up() -> None:
        late.append(True)
        together.cancel()

    def goes_on(result: T) -> T:
        if timer.active():
            timer.reset(timeout)
        return result

    def over(results: list[tuple[bool, Any]]) -> list[tuple[bool, Any]]:
        if timer.active():
            timer.cancel()
        if late:
            raise OperationTimeout(what, timeout)
        return results

    timer = steady(clock).callLater(timeout, give_up)
    for each in began:
        each.addBoth(goes_on)
    together = gather_results(began)
    return together.addCallback(over)


def sleep(clock: IReactorTime, seconds: float) -> Deferred[None]:
    """Fire after some seconds; cancelling ends the timer."""
    paused: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer = steady(clock).callLater(seconds, paused.callback, None)
    return paused


def sleep_unless(
    clock: IReactorTime, seconds: float, ended: Deferred[Any]
) -> Deferred[Any]:
    """
    Fire after some seconds, or when another Deferred fires.

    @param ended: must not fail; it is cancelled if the time is over before.
    """
    first = race([sleep(clock, seconds), ended])
    # It fails only when it is cancelled, with a group of the failures of both.
    return first.addErrback(lambda _: Failure(CancelledError()))
