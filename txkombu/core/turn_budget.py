"""
How long the handlers of one connection may run in one turn of the reactor.

All messages of one read are delivered in one turn.  If their handlers block for long
together, acks and heartbeats wait, and the broker may close the connection and deliver
all of them again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from .._util.steady_clock import steady

TURN_SECONDS: Final = 0.05
"""Seconds of handling after which further messages wait for the next turn."""


class TurnBudget:
    """
    The seconds that handlers have left in this turn, together.

    It does not notice when a turn begins: it counts on, and asks for a new turn when
    the seconds are used up.  So fast handlers cost one delayed call for thousands of
    messages.

    @ivar is_used_up: whether further messages have to wait for the next turn.
    @param clock: the reactor, or a C{Clock} in tests.
    @ivar now: returns its seconds.
    """

    __slots__ = ("_clock", "_spent", "_waiting", "is_used_up", "now")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._spent = 0.0
        self._waiting: dict[Callable[[], None], None] = {}
        self.is_used_up = False
        self.now: Callable[[], float] = steady(clock).seconds

    def spend(self, seconds: float) -> None:
        """Count the time of one handler; further ones may have to wait."""
        self._spent += seconds
        if self._spent > TURN_SECONDS and not self.is_used_up:
            self.is_used_up = True
            self._clock.callLater(0, self._begin_turn)

    def when_next_turn(self, resume: Callable[[], None]) -> None:
        """Have C{resume} called in the next turn, or in a later one."""
        self._waiting[resume] = None

    def _begin_turn(self) -> None:
        self._spent = 0.0
        self.is_used_up = False
        while self._waiting and not self.is_used_up:
            resume = next(iter(self._waiting))
            del self._waiting[resume]
            resume()
