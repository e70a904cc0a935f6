"""
How many operations to have under way at once, if one that fails ends those behind it.

At first that is all of them.  After a failure it is a few times as many as ended by
themselves before, and grows while all goes well.  So the work that is done again is in
proportion to what was done, also if every operation fails.
"""

from __future__ import annotations

from collections import deque
from sys import maxsize
from typing import Final, TypeVar

T = TypeVar("T")

LEAST: Final = 16
"""How many operations are begun at once at least."""
_FACTOR: Final = 8


class Batches:
    """
    Divide operations into batches.

    @ivar size: how many operations the next batch has at most.
    """

    def __init__(self) -> None:
        self.size = maxsize

    def take_next(self, waiting: deque[T]) -> list[T]:
        """Take the next batch out of what waits."""
        return [waiting.popleft() for _ in range(min(self.size, len(waiting)))]

    def batch_over(self, ended: int, cut_short: int) -> None:
        """
        Note how a batch went.

        @param ended: how many of its operations ended by themselves.
        @param cut_short: how many were ended by the failure of one of these.
        """
        if cut_short:
            self.size = max(LEAST, _FACTOR * ended)
        else:
            self.size *= _FACTOR
