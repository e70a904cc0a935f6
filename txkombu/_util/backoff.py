"""
Growing waits between attempts.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

STABLE = 5.0
"""Seconds after which a session or channel counts as stable."""


class Backoff:
    """
    Growing waits between attempts: 0 at first if allowed, then 1 s doubling to
    30 s, each with up to a quarter taken off at random.

    @param eager: whether the first wait is none at all.
    @param jitter: gives numbers from 0 to 1.
    """

    first = 1.0
    most = 30.0

    def __init__(
        self, eager: bool = False, jitter: Callable[[], float] = random.random
    ) -> None:
        self._eager = eager
        self._jitter = jitter
        self._next = 0.0 if eager else self.first

    def delay(self) -> float:
        """@return: how many seconds to wait before the next attempt."""
        base = self._next
        self._next = min(self.most, max(self.first, base * 2))
        return base * (1 - self._jitter() / 4)

    def reset(self) -> None:
        """Begin anew, since things went well for some time."""
        self._next = 0.0 if self._eager else self.first

    def reset_if_stable(self, clock: IReactorTime, since: float) -> None:
        """Reset if what began at C{since} lived long enough to count as stable."""
        if clock.seconds() - since >= STABLE:
            self.reset()
