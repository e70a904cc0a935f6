"""Deferreds for those who wait for one event."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from txkombu._util.waiters import SharedClose, Waiters


class WaitersTests(SynchronousTestCase):
    """Who waits is told once, in order, whatever the others do."""

    def setUp(self) -> None:
        self.waiters: Waiters[int] = Waiters()
        self.told: list[object] = []

    def wait(self, name: str) -> Deferred[int]:
        """Wait, and note who was told."""
        waiter = self.waiters.wait()
        waiter.addCallback(lambda result: self.told.append((name, result)))
        return waiter

    def test_fires_in_order(self) -> None:
        """All who wait get the result, in the order they came."""
        self.wait("a")
        self.wait("b")
        self.waiters.fire(7)
        self.assertEqual(self.told, [("a", 7), ("b", 7)])

    def test_fires_once(self) -> None:
        """Who was told is not told again."""
        self.wait("a")
        self.waiters.fire(1)
        self.waiters.fire(2)
        self.assertEqual(self.told, [("a", 1)])

    def test_each_is_fresh(self) -> None:
        """Each who waits has a Deferred of its own."""
        self.assertIsNot(self.waiters.wait(), self.waiters.wait())

    def test_truth(self) -> None:
        """They are true while somebody waits."""
        self.assertFalse(self.waiters)
        self.wait("a")
        self.assertTrue(self.waiters)
        self.waiters.fire(1)
        self.assertFalse(self.waiters)

    def test_fails_all(self) -> None:
        """All who wait fail with the error, each with a Failure of its own."""
        error = ValueError("no")
        waiting = [self.waiters.wait(), self.waiters.wait()]
        self.waiters.fail(error)
        failures = [self.failureResultOf(each, ValueError) for each in waiting]
        self.assertIs(failures[0].value, error)
        self.assertIs(failures[1].value, error)
        self.assertIsNot(failures[0], failures[1])

    def test_cancelling_one(self) -> None:
        """Who cancels fails alone, and is forgotten."""
        gone = self.waiters.wait()
        self.wait("b")
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.waiters.fire(3)
        self.assertEqual(self.told, [("b", 3)])

    def test_cancelling_the_last(self) -> None:
        """When the last one cancels nobody waits."""
        waiter = self.waiters.wait()
        waiter.cancel()
        self.failureResultOf(waiter, CancelledError)
        self.assertFalse(self.waiters)

    def test_cancelled_by_an_earlier_one(self) -> None:
        """Who is cancelled by one told before it gets only that."""
        for fire in (lambda: self.waiters.fire(1), self.fail_all):
            first, second = self.waiters.wait(), self.waiters.wait()
            first.addBoth(lambda _: second.cancel())  # noqa: B023
            fire()
            self.failureResultOf(second, CancelledError)

    def fail_all(self) -> None:
        """Fail who waits."""
        self.waiters.fail(ValueError("no"))

    def test_waits_again(self) -> None:
        """Who waits again from a callback waits for the next time."""
        again: list[Deferred[int]] = []
        self.waiters.wait().addCallback(lambda _: again.append(self.waiters.wait()))
        self.waiters.fire(1)
        self.assertNoResult(again[0])
        self.waiters.fire(2)
        self.assertEqual(self.successResultOf(again[0]), 2)

    def test_fires_within_a_callback(self) -> None:
        """Firing from a callback tells nobody twice, and loses nobody."""
        self.wait("a").addCallback(lambda _: self.waiters.fire(9))
        self.wait("b")
        self.waiters.fire(1)
        self.assertEqual(self.told, [("a", 1), ("b", 1)])

    def test_many(self) -> None:
        """Ten thousand can wait."""
        for name in range(10_000):
            self.wait(str(name))
        self.waiters.fire(0)
        self.assertEqual(len(self.told), 10_000)


class OnceTests(SynchronousTestCase):
    """An end comes once, whoever asks for it."""

    def setUp(self) -> None:
        self.ends: list[Deferred[None]] = []
        self.once = SharedClose(self.end)

    def end(self) -> Deferred[None]:
        """Begin the end, which comes when a test says so."""
        self.ends.append(Deferred())
        return self.ends[-1]

    def test_begins_when_asked(self) -> None:
        """It begins with the first who asks, and not again with others."""
        self.assertFalse(self.once.begun)
        waiting = [self.once.wait(), self.once.wait()]
        self.assertEqual((self.once.begun, self.once.over), (True, False))
        [end] = self.ends
        for each in waiting:
            self.assertNoResult(each)
        end.callback(None)
        for each in waiting:
            self.assertIsNone(self.successResultOf(each))
        self.assertTrue(self.once.over)

    def test_afterwards(self) -> None:
        """Who asks when it is over need not wait."""
        self.once.wait()
        self.ends[0].callback(None)
        self.assertIsNone(self.successResultOf(self.once.wait()))
        self.assertEqual(len(self.ends), 1)

    def test_cancelled(self) -> None:
        """Who cancels waits no more; the end and the others go on."""
        impatient, patient = self.once.wait(), self.once.wait()
        impatient.cancel()
        self.failureResultOf(impatient, CancelledError)
        self.assertFalse(self.ends[0].called)
        self.ends[0].callback(None)
        self.successResultOf(patient)

    def test_fault(self) -> None:
        """A failure on the way is logged, and it is over nevertheless."""
        waiting = self.once.wait()
        self.ends[0].errback(ZeroDivisionError())
        self.assertIsNone(self.successResultOf(waiting))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_asked_again_when_told(self) -> None:
        """Who asks again when told is told at once."""
        again: list[Deferred[None]] = []
        self.once.wait().addCallback(lambda _: again.append(self.once.wait()))
        self.ends[0].callback(None)
        self.successResultOf(again[0])
