"""When queues have to be looked at again, with one delayed call for all of them."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IDelayedCall

from ..._util.awaitables import call_logged
from ..._util.steady_clock import steady

if TYPE_CHECKING:
    from .pump import Pump

_STALE: Final = 100
"""How many more discarded deadlines than others the heap may have."""


class QueueDeadlines:
    """
    The deadlines of all queues of a broker.

    While the broker has sessions, a delayed call waits for the earliest deadline.
    Without any, deadlines pass unnoticed; they are caught up in their order when the
    next session begins, each seeing the time it was set for.
    """

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self._heap: list[tuple[float, int]] = []
        self._checks: dict[int, Callable[[], None]] = {}
        self._order = count()
        self._call: IDelayedCall | None = None
        self._awake = False
        self._as_of: float | None = None

    def now(self) -> float:
        """
        Return the seconds of a clock that nobody sets, or those of the deadline being
        caught up.
        """
        if self._as_of is not None:
            return self._as_of
        clock = self._pump.clock
        return 0.0 if clock is None else steady(clock).seconds()

    def date(self) -> float:
        """Return the same in seconds since 1970."""
        clock = self._pump.clock
        if clock is None:
            return 0.0
        return clock.seconds() - (steady(clock).seconds() - self.now())

    def schedule(self, when: float, check: Callable[[], None]) -> int:
        """
        Have a queue's C{check} called once a time has come.

        @return: what L{discard} takes.
        """
        number = next(self._order)
        self._checks[number] = check
        heappush(self._heap, (when, number))
        if self._awake and self._as_of is None:
            self._arm()
        return number

    def discard(self, number: int) -> None:
        """Forget a deadline, if it is still to come."""
        self._checks.pop(number, None)
        if len(self._heap) > 2 * len(self._checks) + _STALE:
            self._heap = [each for each in self._heap if each[1] in self._checks]
            heapify(self._heap)

    def wake(self) -> None:
        """Catch up, and go on, as there is a session."""
        self._awake = True
        self._run()

    def sleep(self) -> None:
        """Leave nothing in the reactor, as no session is left."""
        self._awake = False
        self._disarm()

    def _arm(self) -> None:
        when = self._heap[0][0]
        if self._call is not None and self._call.getTime() <= when:
            return
        self._disarm()
        assert self._pump.clock is not None
        clock = steady(self._pump.clock)
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
                self._as_of, number = heappop(self._heap)
                check = self._checks.pop(number, None)
                if check is not None:
                    call_logged("a queue's check", check)
        finally:
            self._as_of = None
            if self._heap and self._awake:
                self._arm()
