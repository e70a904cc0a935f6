"""
A clock for tests that takes many delayed calls, as a reactor does.

Twisted's C{Clock} sorts all its calls for each new one, and searches them for each that
is cancelled, which would hide how the cost of the work itself grows.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from typing import SupportsIndex

from twisted.internet.base import DelayedCall
from twisted.internet.task import Clock


class _Calls(list[DelayedCall]):
    """What a Clock does with its list of calls, on a heap."""

    def __init__(self) -> None:
        super().__init__()
        self._heap: list[tuple[float, int, DelayedCall]] = []
        self._order = count()
        self._live: dict[DelayedCall, None] = {}

    def append(self, call: DelayedCall) -> None:
        self._live[call] = None
        heappush(self._heap, (call.getTime(), next(self._order), call))

    def remove(self, call: DelayedCall) -> None:
        del self._live[call]

    def sort(self, **_: object) -> None:
        """Do nothing: a heap is in order, as no call of txkombu is put off."""

    def __bool__(self) -> bool:
        return bool(self._live)

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[DelayedCall]:
        return iter(list(self._live))

    def _drop_cancelled(self) -> None:
        while self._heap[0][2] not in self._live:
            heappop(self._heap)

    def __getitem__(self, index: object) -> DelayedCall:  # type: ignore[override]  # no slices here
        self._drop_cancelled()
        return self._heap[0][2]

    def pop(self, index: SupportsIndex = 0) -> DelayedCall:
        self._drop_cancelled()
        call = heappop(self._heap)[2]
        del self._live[call]
        return call


class QuickClock(Clock):
    """A Clock whose delayed calls cost the same however many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = _Calls()
