"""
How long handlers may run in one turn of the reactor.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txkombu.core.turn_budget import TurnBudget


class TurnClock(Clock):
    """A clock on which a call of callLater is made in a later turn."""

    def callLater(
        self,
        delay: float,
        callable: Callable[..., object],
        *args: object,
        **kw: object,
    ) -> IDelayedCall:
        return super().callLater(max(delay, 0.001), callable, *args, **kw)

    def turn(self) -> None:
        """Let one turn of the reactor pass."""
        self.advance(0.001)


class TurnBudgetTests(SynchronousTestCase):
    """A budget on a clock."""

    def setUp(self) -> None:
        self.clock = TurnClock()
        self.budget = TurnBudget(self.clock)
        self.resumed: list[str] = []

    def test_next_turn(self) -> None:
        """
        A budget that is used up is whole again in the next turn, and waiters continue.
        """
        self.budget.spend(1.0)
        self.budget.when_next_turn(lambda: self.resumed.append("a"))
        self.assertTrue(self.budget.is_used_up)
        self.assertEqual(self.resumed, [])
        self.clock.turn()
        self.assertEqual(self.resumed, ["a"])
        self.assertFalse(self.budget.is_used_up)
        self.budget.spend(0.04)
        self.assertFalse(self.budget.is_used_up)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_timer(self) -> None:
        """Using it up twice in a turn schedules one next turn."""
        self.budget.spend(1.0)
        self.budget.spend(1.0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_used_up_again(self) -> None:
        """If the first waiter uses it up, the others wait for another turn."""

        def greedy() -> None:
            self.resumed.append("greedy")
            self.budget.spend(1.0)

        self.budget.spend(1.0)
        self.budget.when_next_turn(greedy)
        self.budget.when_next_turn(lambda: self.resumed.append("modest"))
        self.clock.turn()
        self.assertEqual(self.resumed, ["greedy"])
        self.clock.turn()
        self.assertEqual(self.resumed, ["greedy", "modest"])

    def test_seconds(self) -> None:
        """It uses a test clock's seconds, and monotonic ones with the reactor."""
        self.clock.advance(5)
        self.assertEqual(self.budget.now(), 5.0)
        real = TurnBudget(IReactorTime(reactor))
        self.assertLessEqual(real.now(), real.now())
