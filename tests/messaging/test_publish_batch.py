"""
Many publishes with one result.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txkombu.exceptions import Nacked, NotSent
from txkombu.messaging.publish_batch import END, PublishBatch, each_body


class BatchTests(SynchronousTestCase):
    """Counting, and waiting for all."""

    def setUp(self) -> None:
        self.batch = PublishBatch()

    def add(self) -> Deferred[None]:
        """Add a publish, and return it to be fired."""
        publish: Deferred[None] = Deferred()
        self.batch.count_publish(publish)
        return publish

    def test_empty(self) -> None:
        """An empty batch is done at once."""
        self.assertEqual(self.successResultOf(self.batch.when_done()), 0)

    def test_waits_for_all(self) -> None:
        """A batch is done when all publishes are, and fires with their number."""
        first, second = self.add(), self.add()
        self.batch.count_publish(succeed(None))
        done = self.batch.when_done()
        second.callback(None)
        self.assertNoResult(done)
        first.callback(None)
        self.assertEqual(self.successResultOf(done), 3)

    def test_all_done_before(self) -> None:
        """A batch is done at once if all publishes are finished by then."""
        self.add().callback(None)
        self.assertEqual(self.successResultOf(self.batch.when_done()), 1)

    def test_failure(self) -> None:
        """A batch fails with the first failure, when all publishes have finished."""
        first, second, third = self.add(), self.add(), self.add()
        done = self.batch.when_done()
        error = Nacked("full")
        second.errback(Failure(error))
        assert self.batch.failure is not None
        self.assertIs(self.batch.failure.value, error)
        first.errback(Failure(NotSent("later")))
        self.assertNoResult(done)
        third.callback(None)
        self.assertIs(self.failureResultOf(done).value, error)

    def test_failed_before(self) -> None:
        """Failures before anybody waits count, and are not logged."""
        self.batch.count_publish(fail(Nacked("full")))
        self.failureResultOf(self.batch.when_done(), Nacked)

    def test_more_afterwards(self) -> None:
        """Publishes can be added after a waiter was told."""
        self.add().callback(None)
        self.successResultOf(self.batch.when_done())
        late = self.add()
        done = self.batch.when_done()
        self.assertNoResult(done)
        late.callback(None)
        self.assertEqual(self.successResultOf(done), 2)


class EachBodyTests(SynchronousTestCase):
    """The next body of each kind of iterable."""

    def test_plain(self) -> None:
        """A plain iterable gives its bodies as they are, then the end each time."""
        take = each_body([1, None, ""])
        self.assertEqual([take(), take(), take()], [1, None, ""])
        self.assertIs(take(), END)
        self.assertIs(take(), END)

    def test_one_by_one(self) -> None:
        """It reads no body before it is asked for it."""
        taken: list[int] = []

        def bodies() -> Any:
            for number in range(3):
                taken.append(number)
                yield number

        take = each_body(bodies())
        self.assertEqual(taken, [])
        take()
        self.assertEqual(taken, [0])

    def test_asynchronous(self) -> None:
        """An asynchronous iterable gives a Deferred for each body."""
        gate: Deferred[None] = Deferred()

        async def bodies() -> AsyncIterator[int]:
            yield 1
            await gate
            yield 2

        take = each_body(bodies())
        self.assertEqual(self.successResultOf(take()), 1)
        second = take()
        self.assertNoResult(second)
        gate.callback(None)
        self.assertEqual(self.successResultOf(second), 2)
        self.assertIs(self.successResultOf(take()), END)

    def test_raises(self) -> None:
        """
        An exception of an iterable is passed on, raised or as a failure according to
        its kind.
        """

        def bodies() -> Any:
            raise ZeroDivisionError
            yield

        async def later() -> AsyncIterator[int]:
            raise ZeroDivisionError
            yield 1

        self.assertRaises(ZeroDivisionError, each_body(bodies()))
        self.failureResultOf(each_body(later())(), ZeroDivisionError)

    def test_not_iterable(self) -> None:
        """A value that is not iterable is a TypeError."""
        self.assertRaises(TypeError, each_body, 7)
