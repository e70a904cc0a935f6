"""
Bound the memory that the decoded messages of one channel take until they are settled.

A small body may become a large value.  C{max_body_size} bounds one of them, but not as
many as a prefetch count allows.  So further messages wait undecoded until some of the
decoded ones are settled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from .._util.limits import MAX_BODY_SIZE

BODIES: Final = 8
"""How many bodies of the largest size a channel may hold decoded."""


class DecodedMemory:
    """
    Count what decoded messages hold, as a cheap estimate.

    @ivar held: the bytes that it has counted and that are not settled.
    @ivar is_full: whether further messages have to wait.
    """

    __slots__ = ("_limit", "_told", "_waiting", "held", "is_full")

    _log = Logger()

    def __init__(self) -> None:
        self.held = 0
        self._limit = BODIES * MAX_BODY_SIZE
        self._waiting: dict[Callable[[], None], None] = {}
        self._told = False
        self.is_full = False

    def allow(self, max_body_size: int) -> None:
        """Have room for eight bodies that become so many bytes."""
        self._limit = max(self._limit, BODIES * max_body_size)

    def hold(self, size: int) -> None:
        """Note that a message was decoded and holds so many bytes."""
        self.held += size
        self.is_full = self.held > self._limit
        if self.is_full and not self._told:
            self._told = True
            self._log.warn(
                "The unsettled messages of a channel hold more than {limit} bytes "
                "decoded; further ones wait until some are settled",
                limit=self._limit,
            )

    def let_go(self, size: int) -> None:
        """Note that such a message was settled."""
        self.held -= size
        if self.is_full and self.held <= self._limit:
            self.is_full = False
            waiting, self._waiting = self._waiting, {}
            for resume in waiting:
                resume()

    def when_room(self, resume: Callable[[], None]) -> None:
        """Have C{resume} called when it is not full any more."""
        self._waiting[resume] = None
