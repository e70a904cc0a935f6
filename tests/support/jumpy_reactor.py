"""
A reactor whose wall clock can be set while it runs.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorCore, IReactorTime
from twisted.internet.task import Clock
from zope.interface import alsoProvides, implementer

STEP = 0.25


@implementer(IReactorTime)
class JumpyReactor:
    """
    Runs delayed calls by its wall clock, as Twisted's reactors do.

    @ivar passed: the seconds that really have passed.
    """

    def __init__(self) -> None:
        self.passed = 0.0
        self._wall = Clock()
        self._wall.rightNow = 1e9
        alsoProvides(self, IReactorCore)

    def monotonic(self) -> float:
        """Return the time of a clock that nobody sets."""
        return self.passed

    def seconds(self) -> float:
        return self._wall.seconds()

    def callLater(self, delay: float, callable: Any, *args: Any, **kw: Any) -> Any:
        return self._wall.callLater(delay, callable, *args, **kw)

    def getDelayedCalls(self) -> Any:
        return self._wall.getDelayedCalls()

    def advance(self, seconds: float) -> None:
        """Let time pass, in small steps."""
        end = self.passed + seconds
        while self.passed < end:
            step = min(STEP, end - self.passed)
            self.passed += step
            self._turn(step)

    def set_clock(self, by: float) -> None:
        """Set the wall clock forward or back, and run what is due then."""
        self._turn(by)

    def _turn(self, by: float) -> None:
        """
        Run what is due now; calls that are added meanwhile wait for the next turn.
        """
        wall = self._wall
        wall.rightNow += by
        for call in [each for each in wall.calls if each.getTime() <= wall.seconds()]:
            if call.active():
                wall.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
