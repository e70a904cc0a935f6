"""
Delayed calls by the monotonic clock.

A reactor's delayed calls go by the wall clock: they are early when it is set forward,
and late when it is set back.  Those of a L{SteadyClock} go by the monotonic clock.  It
uses one delayed call of the reactor: if that is early, it is made again; if it is late,
L{SteadyClock.wake} makes up for it, which is called whenever something is received.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from time import monotonic
from typing import Final
from weakref import WeakKeyDictionary

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall, IReactorCore, IReactorTime
from twisted.internet.task import Clock
from twisted.logger import Logger
from zope.interface import implementer

_LATE: Final = 1.0
"""Seconds by which a reactor is late only if the wall clock was set back."""

_CANCELLED: Final = 50
"""How many more cancelled calls than others are kept."""


class _Call(DelayedCall):
    """A delayed call of a L{SteadyClock}."""

    def run(self) -> None:
        """Call the function."""
        self.called = 1
        self.func(*self.args, **self.kw)


@implementer(IReactorTime)
class SteadyClock:
    """
    The time and the delayed calls of one reactor, by the monotonic clock.

    @ivar seconds: returns the monotonic time; see C{IReactorTime.seconds}.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, seconds: Callable[[], float]) -> None:
        self.seconds = seconds
        self._reactor = reactor
        self._heap: list[_Call] = []
        self._active = 0
        self._wakeup: IDelayedCall | None = None
        self._wakes_at = 0.0

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """See C{IReactorTime.callLater}."""
        call = _Call(
            self.seconds() + delay,
            callable,
            args,
            kw,
            self._cancelled,
            self._sooner,
            self.seconds,
        )
        heappush(self._heap, call)
        self._active += 1
        self._arm()
        return call

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """See C{IReactorTime.getDelayedCalls}."""
        return [call for call in self._heap if call.active()]

    def wake(self) -> None:
        """Run calls that the reactor is late with in its next turn."""
        if self._heap and self._heap[0].time + _LATE < self.seconds():
            self._arm()

    def _cancelled(self, call: DelayedCall) -> None:
        self._active -= 1
        if not self._active:
            self._heap.clear()
            self._disarm()
        elif len(self._heap) > 2 * self._active + _CANCELLED:
            kept = (each for each in self._heap if each is not call)
            self._heap = [each for each in kept if each.active()]
            heapify(self._heap)

    def _sooner(self, call: DelayedCall) -> None:
        heapify(self._heap)
        self._arm()

    def _disarm(self) -> None:
        wakeup, self._wakeup = self._wakeup, None
        if wakeup is not None:
            wakeup.cancel()

    def _arm(self) -> None:
        """Have the reactor call when the first call is due, unless it does already."""
        now = self.seconds()
        due = max(now, self._heap[0].time)
        if self._wakeup is not None:
            if now - _LATE <= self._wakes_at <= due:
                return
            self._disarm()
        self._wakes_at = due
        self._wakeup = self._reactor.callLater(due - now, self._strike)

    def _strike(self) -> None:
        self._wakeup = None
        now = self.seconds()
        due = []
        while self._heap and self._heap[0].time <= now:
            due.append(heappop(self._heap))
        for call in due:
            self._run(call)
        if self._active:
            self._arm()

    def _run(self, call: _Call) -> None:
        """Run a call that is due, unless it was delayed or cancelled meanwhile."""
        if call.cancelled:
            return
        if call.delayed_time > 0:
            call.activate_delay()
            heappush(self._heap, call)
            return
        self._active -= 1
        with self._log.failuresHandled("while handling a timed call"):
            call.run()


_known: WeakKeyDictionary[IReactorTime, SteadyClock] = WeakKeyDictionary()


def steady(clock: IReactorTime) -> IReactorTime:
    """Return the monotonic clock of a reactor; a C{Clock} of tests is its own."""
    if isinstance(clock, Clock | SteadyClock) or not IReactorCore.providedBy(clock):
        return clock
    found = _known.get(clock)
    if found is None:
        found = _known[clock] = SteadyClock(clock, monotonic)
    return found


def waker(clock: IReactorTime) -> Callable[[], None] | None:
    """Return L{SteadyClock.wake}, if the clock needs to be woken now and then."""
    return clock.wake if isinstance(clock, SteadyClock) else None
