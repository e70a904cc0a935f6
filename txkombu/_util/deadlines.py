"""
Many deadlines with one timer.

Nearly all items have one of a few timeouts.  Those of one timeout are due in the order
they were added: there is one ordered dict for each timeout, and its first item is next.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import takewhile
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .steady_clock import steady

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """
    Calls C{expire(item)} for each item that was not discarded before its deadline.

    The timer goes on without items, as others will likely follow; L{stop} ends it.
    """

    __slots__ = ("_buckets", "_clock", "_expire", "_timer")

    def __init__(self, clock: IReactorTime, expire: Callable[[K], None]) -> None:
        self._clock = steady(clock)
        self._expire = expire
        self._buckets: dict[float, dict[K, float]] = {}
        self._timer: IDelayedCall | None = None

    def schedule(self, item: K, timeout: float) -> None:
        """Expire an item, which must be new, after C{timeout} seconds."""
        bucket = self._buckets.get(timeout)
        if bucket is None:
            bucket = self._buckets[timeout] = {}
        due = self._clock.seconds() + timeout
        bucket[item] = due
        if len(bucket) == 1:
            self._arm(due)

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
        try:
            self._expire_due()
        finally:
            heads = [next(iter(each.values())) for each in self._buckets.values()]
            if heads:
                self._arm(min(heads))

    def _expire_due(self) -> None:
        """Expire items that are due, unless another's expiry discards them."""
        now = self._clock.seconds()
        overdue = [
            (item, timeout)
            for timeout, bucket in self._buckets.items()
            for item, _ in takewhile(lambda watched: watched[1] <= now, bucket.items())
        ]
        for item, timeout in overdue:
            if item in self._buckets.get(timeout, ()):
                self.discard(item, timeout)
                self._expire(item)
