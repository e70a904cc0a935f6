"""
How long the handlers of one connection may run in one turn of the reactor.

All messages of one read are delivered in one turn.  Plain handlers that take time would
keep the reactor from everything else until the last is done: acks and heartbeats would
wait so long that the broker hangs up, and sends all again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from .._util.steady_clock import steady

TURN_SECONDS: Final = 0.05
"""Seconds of handling after which the rest waits for the next turn."""


class TurnBudget:
    """
    The seconds that handlers have left in this turn, together.

    It is not told when a turn begins: it counts on, and asks for a new turn each time
    the seconds are used up, which costs fast handlers one delayed call for thousands
    of messages.

    @ivar spent: how many seconds of this turn were used; whoever runs a handler adds
        to it, and calls L{use_up} when it is more than L{TURN_SECONDS}.
    @ivar is_used_up: whether further messages have to wait for the next turn.
    @ivar now: gives seconds; those of a C{Clock} where there is one.
    """

    __slots__ = ("_clock", "_waiting", "is_used_up", "now", "spent")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.spent = 0.0
        self._waiting: dict[Callable[[], None], None] = {}
        self.is_used_up = False
        self.now: Callable[[], float] = steady(clock).seconds

    def use_up(self) -> None:
        """Let further messages wait for the next turn."""
        if not self.is_used_up:
            self.is_used_up = True
            self._clock.callLater(0, self._begin_turn)

    def when_next_turn(self, resume: Callable[[], None]) -> None:
        """Have C{resume} called in the next turn, or in a later one."""
        self._waiting[resume] = None

    def _begin_turn(self) -> None:
        self.spent = 0.0
        self.is_used_up = False
        while self._waiting and not self.is_used_up:
            resume = next(iter(self._waiting))
            del self._waiting[resume]
            resume()
