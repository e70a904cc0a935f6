"""Repeated log lines: a few of them, and the number of the others."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime

_PERIOD: Final = 10.0
"""Seconds in which one line is logged."""


class LogLimit:
    """Allows one log line in ten seconds."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._next = float("-inf")
        self._left_out = 0

    def take(self) -> int | None:
        """
        Ask whether to log a line now.

        @return: C{None} for no; else how many lines were refused since the last one.
        """
        now = self._clock.seconds()
        if now < self._next:
            self._left_out += 1
            return None
        self._next = now + _PERIOD
        left_out, self._left_out = self._left_out, 0
        return left_out
