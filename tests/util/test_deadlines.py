"""Many deadlines, one timer."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txkombu._util.deadlines import Deadlines


class DeadlinesTests(SynchronousTestCase):
    """Each item that is still there expires once, when it is due."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.expired: list[str] = []
        self.then: Callable[[str], object] = lambda item: None
        self.deadlines: Deadlines[str] = Deadlines(self.clock, self.expire)
        self.addCleanup(lambda: self.assertEqual(self.after_stop(), []))

    def expire(self, item: str) -> None:
        """Note it, and do what the test wants done."""
        self.expired.append(item)
        self.then(item)

    def after_stop(self) -> object:
        """What is left of the timers once it is stopped."""
        self.deadlines.stop()
        return self.clock.getDelayedCalls()

    def test_expires_when_due(self) -> None:
        """An item expires at its deadline, not before, and once."""
        self.deadlines.schedule("a", 5)
        self.clock.advance(4.9)
        self.assertEqual(self.expired, [])
        self.clock.advance(0.1)
        self.assertEqual(self.expired, ["a"])
        self.clock.advance(100)
        self.assertEqual(self.expired, ["a"])

    def test_discarded(self) -> None:
        """An item that was discarded does not expire."""
        self.deadlines.schedule("a", 5)
        self.deadlines.schedule("b", 5)
        self.deadlines.discard("a", 5)
        self.clock.advance(5)
        self.assertEqual(self.expired, ["b"])

    def test_discards_what_is_not_there(self) -> None:
        """Discarding what is not watched does nothing."""
        self.deadlines.discard("a", 5)
        self.deadlines.schedule("a", 5)
        self.deadlines.discard("a", 6)
        self.deadlines.discard("b", 5)
        self.clock.advance(5)
        self.assertEqual(self.expired, ["a"])

    def test_one_timer(self) -> None:
        """A thousand items with several timeouts share one timer."""
        for number in range(1000):
            self.deadlines.schedule(str(number), 1 + number % 7)
            self.clock.advance(0.0001)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_shorter_comes_first(self) -> None:
        """An item added later with a shorter timeout expires first."""
        self.deadlines.schedule("slow", 10)
        self.deadlines.schedule("fast", 1)
        self.clock.advance(1)
        self.assertEqual(self.expired, ["fast"])
        self.clock.advance(9)
        self.assertEqual(self.expired, ["fast", "slow"])

    def test_timer_moves_on(self) -> None:
        """When the head is gone the next is timed by its own deadline."""
        self.deadlines.schedule("a", 5)
        self.clock.advance(2)
        self.deadlines.schedule("b", 5)
        self.deadlines.discard("a", 5)
        self.clock.advance(3)
        self.assertEqual(self.expired, [])
        self.clock.advance(2)
        self.assertEqual(self.expired, ["b"])

    def test_zero(self) -> None:
        """A timeout of zero expires in the next turn."""
        self.deadlines.schedule("a", 0)
        self.assertEqual(self.expired, [])
        self.clock.advance(0)
        self.assertEqual(self.expired, ["a"])

    def test_added_while_expiring(self) -> None:
        """What is added by an expiry has its whole time."""

        def add(item: str) -> None:
            if item == "a":
                self.deadlines.schedule("b", 5)

        self.then = add
        self.deadlines.schedule("a", 5)
        self.clock.advance(5)
        self.clock.advance(4)
        self.assertEqual(self.expired, ["a"])
        self.clock.advance(1)
        self.assertEqual(self.expired, ["a", "b"])

    def test_zero_again_and_again(self) -> None:
        """What each expiry adds with no time at all does not hold up the turn."""
        self.then = lambda item: self.deadlines.schedule(item + "x", 0)
        self.deadlines.schedule("a", 0)
        self.deadlines.check()
        self.assertEqual(self.expired, ["a"])
        self.deadlines.check()
        self.assertEqual(self.expired, ["a", "ax"])

    def test_discarded_while_expiring(self) -> None:
        """What an expiry discards does not expire, in whatever bucket it is."""
        self.deadlines.schedule("other", 3)
        self.clock.advance(1)
        self.deadlines.schedule("a", 2)
        self.deadlines.schedule("b", 2)

        def discard(item: str) -> None:
            self.deadlines.discard("b", 2)
            self.deadlines.discard("other", 3)
            self.deadlines.discard("a", 2)

        self.then = discard
        self.clock.advance(2)
        self.assertEqual(len(self.expired), 1)
        self.deadlines.schedule("c", 1)
        self.clock.advance(1)
        self.assertEqual(self.expired[1:], ["c"])

    def test_other_bucket_emptied(self) -> None:
        """An expiry may discard the last item of a timeout that was looked at."""
        self.deadlines.schedule("long", 9)
        self.clock.advance(1)
        self.deadlines.schedule("short", 1)
        self.deadlines.schedule("kept", 5)
        self.then = lambda item: self.deadlines.discard("long", 9)
        self.clock.advance(1)
        self.clock.advance(20)
        self.assertEqual(self.expired, ["short", "kept"])

    def test_stopped_while_expiring(self) -> None:
        """After a stop nothing expires, even what was due at the same time."""
        self.then = lambda item: self.deadlines.stop()
        self.deadlines.schedule("a", 5)
        self.deadlines.schedule("b", 5)
        self.clock.advance(5)
        self.assertEqual(self.expired, ["a"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """A stop forgets all and ends the timer; it can be used again."""
        self.deadlines.schedule("a", 5)
        self.deadlines.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.deadlines.schedule("b", 1)
        self.clock.advance(10)
        self.assertEqual(self.expired, ["b"])

    def test_stop_twice(self) -> None:
        """A second stop does nothing."""
        self.deadlines.stop()
        self.deadlines.stop()

    def test_timer_ends_by_itself(self) -> None:
        """With nothing watched no timer is set after the last has run."""
        self.deadlines.schedule("a", 5)
        self.deadlines.discard("a", 5)
        self.clock.advance(5)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_expiry_that_raises(self) -> None:
        """An expiry that raises keeps no other item from expiring."""

        def fail(item: str) -> None:
            if item == "bad":
                raise ZeroDivisionError

        self.then = fail
        for item in ("bad", "due", "later"):
            self.deadlines.schedule(item, 9 if item == "later" else 5)
        self.assertRaises(ZeroDivisionError, self.clock.advance, 5)
        self.clock.advance(0)
        self.assertEqual(self.expired, ["bad", "due"])
        self.clock.advance(4)
        self.assertEqual(self.expired, ["bad", "due", "later"])

    def test_check(self) -> None:
        """A check expires what is due though its timer has not run yet."""
        self.deadlines.schedule("a", 1)
        self.deadlines.schedule("b", 2)
        seen: list[list[str]] = []

        def late() -> None:
            self.deadlines.check()
            seen.append(list(self.expired))

        self.clock.callLater(0.5, late)
        self.clock.rightNow = 1.5
        self.clock.advance(0)
        self.assertEqual(seen, [["a"]])
        self.clock.advance(0.5)
        self.assertEqual(self.expired, ["a", "b"])

    def test_check_too_early(self) -> None:
        """A check before anything is due, or with nothing watched, does nothing."""
        self.deadlines.check()
        self.deadlines.schedule("a", 1)
        self.deadlines.check()
        self.assertEqual(self.expired, [])
        self.clock.advance(1)
        self.assertEqual(self.expired, ["a"])
        self.deadlines.check()

    def test_own_timeouts_leave_nothing(self) -> None:
        """Items that each have a timeout of their own leave nothing when gone."""
        for number in range(1000):
            self.deadlines.schedule("a", 30 + number / 1e6)
            self.deadlines.discard("a", 30 + number / 1e6)
        self.assertEqual(len(self.deadlines._buckets), 0)
