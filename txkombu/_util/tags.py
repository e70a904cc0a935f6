"""Find the tags up to one, without passing over those that were settled before."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile


class TagsUpTo:
    """
    Find the delivery tags up to one that are left.

    From the first tag that may be left on, either all numbers or all tags that are left
    are looked at, whichever are fewer.
    """

    __slots__ = ("_behind",)

    def __init__(self) -> None:
        self._behind = 0

    def find(self, last: int, left: Mapping[int, object]) -> list[int]:
        """
        Return the tags up to one, which the caller takes out.

        @param last: the tag, or 0 for all.
        @param left: the tags that are left, in order; each is higher than all before.
        """
        if not last:
            return list(left)
        if last - self._behind <= len(left):
            numbers = range(self._behind + 1, last + 1)
            found = [each for each in numbers if each in left]
        else:
            found = list(takewhile(lambda each: each <= last, left))
        if found:
            self._behind = found[-1]
        return found
