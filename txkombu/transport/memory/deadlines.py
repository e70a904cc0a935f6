"""
When queues have to be looked at again, with one delayed call for all of them.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from .interfaces import Due

if TYPE_CHECKING:
    from .pump import Pump


class QueueDeadlines:
    """
    The deadlines of all queues of a broker.

    While it is awake, a delayed call stands for the earliest of them.  What
    passed while it slept is caught up in order when it wakes, each deadline
    seeing the time it was set for.
    """

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self._heap: list[tuple[float, int, Due]] = []
        self._order = count()
        self._call: IDelayedCall | None = None
        self._awake = False
        self._as_of: float | None = None

    def now(self) -> float:
        """The clock's seconds, or those of the deadline being caught up."""
        if self._as_of is not None:
            return self._as_of
        clock = self._pump.clock
        return 0.0 if clock is None else clock.seconds()

    def schedule(self, when: float, queue: Due) -> None:
        """Have a queue's C{check} called once its C{check_at} has come."""
        heappush(self._heap, (when, next(self._order), queue))
        if self._awake and self._as_of is None:
            self._arm()

    def wake(self) -> None:
        """A session is there: catch up, and go on."""
        self._awake = True
        self._run()

    def sleep(self) -> None:
        """No session is left: leave nothing in the reactor."""
        self._awake = False
        self._disarm()

    def _arm(self) -> None:
        when = self._heap[0][0]
        if self._call is not None and self._call.getTime() <= when:
            return
        self._disarm()
        clock = self._pump.clock
        assert clock is not None
        self._call = clock.callLater(max(0.0, when - clock.seconds()), self._run)

    def _disarm(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _run(self) -> None:
        self._disarm()
        now = self.now()
        try:
            while self._heap and self._heap[0][0] <= now:
                when, _, queue = heappop(self._heap)
                self._as_of = when
                if queue.check_at == when and not queue.deleted:
                    queue.check()
        finally:
            self._as_of = None
        if self._heap and self._awake:
            self._arm()
