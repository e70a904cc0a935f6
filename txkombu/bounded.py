"""
Deferreds with an end.
"""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from .exceptions import OperationTimeout

T = TypeVar("T")

CLOSE_TIMEOUT = 5.0
"""Seconds that a broker is given for each answer when something closes."""

_FAIL: Any = object()


def bounded(
    began: Deferred[T],
    clock: IReactorTime,
    timeout: float,
    what: str,
    otherwise: T = _FAIL,
) -> Deferred[T]:
    """
    Cancel an operation that is not over in time.

    @param timeout: seconds.
    @param otherwise: what it fires with then; by default it fails with
        L{OperationTimeout}.
    """
    if began.called and not began.paused and began.result.__class__ is not Deferred:
        return began

    def over(result: T | Failure, seconds: float) -> T:
        if otherwise is _FAIL:
            raise OperationTimeout(what, timeout)
        return otherwise

    return began.addTimeout(timeout, clock, onTimeoutCancel=over)


def pause(clock: IReactorTime, seconds: float) -> Deferred[None]:
    """@return: fires after some seconds; cancelling ends the timer."""
    paused: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer = clock.callLater(seconds, paused.callback, None)
    return paused
