"""
Log lines that repeat: few of them, and a count of those left out.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime

_PERIOD: Final = 10.0


class LogLimit:
    """
    Allows one line in each ten seconds.

    @param clock: tells the time.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._next = float("-inf")
        self._left_out = 0

    def take(self) -> int | None:
        """
        Ask for a line.

        @return: how many were refused since the last one that was allowed;
            C{None} if this one is refused.
        """
        now = self._clock.seconds()
        if now < self._next:
            self._left_out += 1
            return None
        self._next = now + _PERIOD
        left_out, self._left_out = self._left_out, 0
        return left_out
