"""Deferreds with an end."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txkombu._util.timeouts import sleep, sleep_unless, with_timeout
from txkombu.exceptions import OperationTimeout


class BoundedTests(SynchronousTestCase):
    """Operations that may take so long and no longer."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.cancelled: list[Deferred[int]] = []
        self.operation: Deferred[int] = Deferred(self.cancelled.append)

    def begin(self, timeout: float = 5.0) -> Deferred[int]:
        """Bound the operation."""
        return with_timeout(self.operation, self.clock, timeout, "declaring 'x'")

    def test_in_time(self) -> None:
        """One that is over in time keeps its result, and leaves no timer."""
        limited = self.begin()
        self.clock.advance(4.9)
        self.operation.callback(7)
        self.assertEqual(self.successResultOf(limited), 7)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.cancelled, [])

    def test_fails_in_time(self) -> None:
        """One that fails in time fails with its own error."""
        limited = self.begin()
        error = ValueError("no")
        self.operation.errback(Failure(error))
        self.assertIs(self.failureResultOf(limited).value, error)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_late(self) -> None:
        """One that is not over in time is cancelled, and named in the error."""
        limited = self.begin()
        self.clock.advance(5)
        self.assertEqual(len(self.cancelled), 1)
        error = self.failureResultOf(limited, OperationTimeout, TimeoutError).value
        assert isinstance(error, OperationTimeout)
        self.assertEqual((error.operation, error.timeout), ("declaring 'x'", 5.0))
        self.assertIn("declaring 'x' was not over within 5 s", str(error))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late_with_error_of_its_own(self) -> None:
        """What it fails with when cancelled does not matter."""
        self.operation = Deferred(lambda d: d.errback(Failure(ValueError())))
        limited = self.begin()
        self.clock.advance(5)
        self.failureResultOf(limited, OperationTimeout)

    def test_otherwise(self) -> None:
        """Where there is another way to end, that is taken, None included."""
        limited = with_timeout(self.operation, self.clock, 5, "close", otherwise=0)
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(limited), 0)
        closing: Deferred[None] = Deferred()
        ended = with_timeout(closing, self.clock, 5, "close", otherwise=None)
        self.clock.advance(5)
        self.assertIsNone(self.successResultOf(ended))

    def test_otherwise_in_time(self) -> None:
        """In time the other way is not taken, for an error neither."""
        limited = with_timeout(self.operation, self.clock, 5, "close", otherwise=0)
        self.operation.errback(Failure(ValueError()))
        self.failureResultOf(limited, ValueError)

    def test_over_already(self) -> None:
        """One that is over already needs no timer."""
        done = succeed(1)
        self.assertIs(with_timeout(done, self.clock, 5, "x"), done)
        self.assertEqual(self.successResultOf(done), 1)
        failed: Deferred[int] = fail(ValueError())
        self.failureResultOf(with_timeout(failed, self.clock, 5, "x"), ValueError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fired_but_waiting(self) -> None:
        """One that has fired and waits for another is not over."""
        chained = succeed(None).addCallback(lambda _: self.operation)
        limited = with_timeout(chained, self.clock, 5, "x")
        self.clock.advance(5)
        self.failureResultOf(limited, OperationTimeout)
        self.assertEqual(len(self.cancelled), 1)

    def test_fired_but_paused(self) -> None:
        """Nor is one that has fired and is paused."""
        paused = succeed(None)
        paused.pause()
        limited = with_timeout(paused, self.clock, 5, "x")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        paused.unpause()
        self.assertIsNone(self.successResultOf(limited))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled_by_the_caller(self) -> None:
        """A caller's own cancel is a CancelledError, and leaves no timer."""
        limited = self.begin()
        limited.cancel()
        self.failureResultOf(limited, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_time(self) -> None:
        """With no time it ends in the next turn."""
        limited = self.begin(0)
        self.assertNoResult(limited)
        self.clock.advance(0)
        self.failureResultOf(limited, OperationTimeout)


class PauseTests(SynchronousTestCase):
    """Waiting for some time."""

    def test_fires(self) -> None:
        """It fires after its time."""
        clock = Clock()
        paused = sleep(clock, 3)
        clock.advance(2.9)
        self.assertNoResult(paused)
        clock.advance(0.1)
        self.assertIsNone(self.successResultOf(paused))

    def test_cancelled(self) -> None:
        """Cancelling ends the timer."""
        clock = Clock()
        paused = sleep(clock, 3)
        paused.cancel()
        self.failureResultOf(paused, CancelledError)
        self.assertEqual(clock.getDelayedCalls(), [])


class PauseUnlessTests(SynchronousTestCase):
    """Waiting for some time, or for an event."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.cancelled: list[object] = []
        self.ended: Deferred[None] = Deferred(self.cancelled.append)
        self.paused = sleep_unless(self.clock, 3, self.ended)

    def test_time(self) -> None:
        """After the time nobody waits for the event any more."""
        self.clock.advance(2.9)
        self.assertNoResult(self.paused)
        self.clock.advance(0.1)
        self.successResultOf(self.paused)
        self.assertEqual(self.cancelled, [self.ended])

    def test_event(self) -> None:
        """After the event there is no timer."""
        self.ended.callback(None)
        self.successResultOf(self.paused)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """Cancelling ends both, and fails as any cancellation does."""
        self.paused.cancel()
        self.failureResultOf(self.paused, CancelledError)
        self.assertEqual(self.cancelled, [self.ended])
        self.assertEqual(self.clock.getDelayedCalls(), [])
