"""The numbers of a session's channels."""

from __future__ import annotations

from heapq import heappop, heappush

from ...exceptions import ResourceError


class ChannelNumbers:
    """
    Hands out numbers from 1, the lowest free one first.

    @ivar maximum: the highest number there may be.
    """

    __slots__ = ("_free", "_next", "maximum")

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self._free: list[int] = []
        self._next = 1

    def allocate(self) -> int:
        """
        Return a free number, which is taken from now on.

        @raise ResourceError: all are in use.
        """
        if self._free:
            return heappop(self._free)
        if self._next > self.maximum:
            raise ResourceError(
                f"all {self.maximum} channels of this connection are open; close one, "
                "or open another connection"
            )
        self._next += 1
        return self._next - 1

    def give_back(self, number: int) -> None:
        """Make a number free again."""
        heappush(self._free, number)
