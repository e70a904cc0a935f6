"""Remember failures of one consumer: the log lines, and the returned messages."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable
from typing import Final

from twisted.internet.interfaces import IReactorTime

_PERIOD: Final = 10.0
"""Seconds in which one line is logged."""
_MOST_COUNTED: Final = 10_000
"""How many messages are counted."""


class FailureRecord:
    """
    Allow one log line in each ten seconds about each of a few things, and count how
    often messages went back.

    @param clock: tells the time.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._next: dict[str, float] = {}
        self._left_out: Counter[str] = Counter()
        self._rounds: OrderedDict[Hashable, int] = OrderedDict()

    def take_line(self, about: str = "") -> int | None:
        """
        Ask for a log line.

        @param about: what it is about.
        @return: how many lines were refused since the last one that was allowed;
            C{None} if this one is refused.
        """
        now = self._clock.seconds()
        if now < self._next.get(about, now):
            self._left_out[about] += 1
            return None
        self._next[about] = now + _PERIOD
        return self._left_out.pop(about, 0)

    def count_round(self, message: Hashable) -> int:
        """Count that a message goes back; return how often it did before."""
        count = self._rounds.pop(message, 0)
        self._rounds[message] = count + 1
        if len(self._rounds) > _MOST_COUNTED:
            self._rounds.popitem(last=False)
        return count
