"""
Many deadlines with one timer.

Nearly all items have one of a few timeouts.  Those of one timeout are due in the order
they were added: there is one ordered dict for each timeout, and its first item is next.
A heap has the timeouts by when their first items are due.  An item that is discarded
leaves its timeout in the heap, which is looked at too early then.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from heapq import heapify, heappop, heappush
from itertools import takewhile
from typing import Final, Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .steady_clock import steady

K = TypeVar("K", bound=Hashable)

_STALE: Final = 100
"""How many more timeouts without items than with them the heap may have."""


class Deadlines(Generic[K]):
    """
    Calls C{expire(item)} for each item that was not discarded before its deadline.

    The timer goes on without items, as others will likely follow; L{stop} ends it.

    @ivar is_expiring: whether items that are due are being expired just now, so that
        some may be left that are due, too.
    """

    __slots__ = (
        "_buckets",
        "_clock",
        "_expire",
        "_heads",
        "_listed",
        "_timer",
        "is_expiring",
    )

    def __init__(self, clock: IReactorTime, expire: Callable[[K], None]) -> None:
        self._clock = steady(clock)
        self._expire = expire
        self._buckets: dict[float, dict[K, float]] = {}
        self._heads: list[tuple[float, float]] = []
        self._listed: set[float] = set()
        self._timer: IDelayedCall | None = None
        self.is_expiring = False

    def schedule(self, item: K, timeout: float) -> None:
        """Expire an item, which must be new, after C{timeout} seconds."""
        bucket = self._buckets.get(timeout)
        if bucket is None:
            bucket = self._buckets[timeout] = {}
        due = self._clock.seconds() + timeout
        bucket[item] = due
        if timeout not in self._listed:
            self._list_head(due, timeout)
            self._arm(due)

    def _list_head(self, due: float, timeout: float) -> None:
        """Note when the first item of a timeout is due, or earlier."""
        self._listed.add(timeout)
        heappush(self._heads, (due, timeout))
        if len(self._heads) > 2 * len(self._buckets) + _STALE:
            self._heads = [each for each in self._heads if each[1] in self._buckets]
            heapify(self._heads)
            self._listed.intersection_update(self._buckets)

    def discard(self, item: K, timeout: float) -> None:
        """Forget an item, if it is known."""
        bucket = self._buckets.get(timeout)
        if bucket is not None:
            bucket.pop(item, None)
            if not bucket:
                del self._buckets[timeout]

    def check(self) -> None:
        """Expire the items that are due, in case the reactor is late."""
        timer = self._timer
        if timer is not None and timer.getTime() <= self._clock.seconds():
            timer.cancel()
            self._tick()

    def stop(self) -> None:
        """Forget all items and end the timer; also from within C{expire}."""
        self._buckets.clear()
        self._heads.clear()
        self._listed.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _arm(self, due: float) -> None:
        timer = self._timer
        if timer is not None and timer.active():
            if timer.getTime() <= due:
                return
            timer.cancel()
        delay = max(0.0, due - self._clock.seconds())
        self._timer = self._clock.callLater(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.is_expiring = True
        try:
            self._expire_due()
        finally:
            self.is_expiring = False
            if self._heads:
                self._arm(self._heads[0][0])

    def _expire_due(self) -> None:
        """Expire items that are due, unless another's expiry discards them."""
        now = self._clock.seconds()
        timeouts = self._pop_heads(now)
        overdue = [
            (due, timeout, item)
            for timeout in timeouts
            for item, due in takewhile(
                lambda watched: watched[1] <= now, self._buckets[timeout].items()
            )
        ]
        overdue.sort(key=_when)
        try:
            for _, timeout, item in overdue:
                if item in self._buckets.get(timeout, ()):
                    self.discard(item, timeout)
                    self._expire(item)
        finally:
            for timeout in timeouts:
                if timeout in self._buckets:
                    due = next(iter(self._buckets[timeout].values()))
                    self._list_head(due, timeout)

    def _pop_heads(self, now: float) -> list[float]:
        """Take the timeouts that may have items that are due off the heap."""
        popped = []
        while self._heads and self._heads[0][0] <= now:
            _, timeout = heappop(self._heads)
            self._listed.discard(timeout)
            if timeout in self._buckets:
                popped.append(timeout)
        return list(dict.fromkeys(popped))


def _when(overdue: tuple[float, float, object]) -> float:
    return overdue[0]
