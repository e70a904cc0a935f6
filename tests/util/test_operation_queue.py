"""
Operations, one after the other.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from txkombu._util.operation_queue import OperationQueue


class QueueTests(SynchronousTestCase):
    """A queue of operations that a test lets end."""

    def setUp(self) -> None:
        self.queue = OperationQueue()
        self.begun: list[Deferred[str]] = []
        self.undone: list[object] = []
        self.retracted: list[str] = []

    def run_one(self, name: str = "", declares: bool = False) -> Deferred[str]:
        """Begin an operation that the test lets end."""

        async def work() -> str:
            self.begun.append(Deferred(lambda turn: turn.callback("late")))
            return await self.begun[-1]

        return self.queue.run_in_turn(
            work,
            declares,
            self.undone.append,
            lambda: self.retracted.append(name),
        )

    def test_order(self) -> None:
        """An operation begins when the one before is over."""
        first, second = self.run_one(), self.run_one()
        self.assertEqual(len(self.begun), 1)
        self.begun[0].callback("one")
        self.assertEqual(self.successResultOf(first), "one")
        self.begun[1].errback(ZeroDivisionError())
        self.failureResultOf(second, ZeroDivisionError)

    def test_cancelled_before_its_turn(self) -> None:
        """An operation that is cancelled while it waits is never begun."""
        self.run_one()
        waiting = self.run_one("waiting", declares=True)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.begun[0].callback("one")
        self.assertEqual((len(self.begun), self.retracted), (1, ["waiting"]))
        self.assertFalse(self.queue.holds_up)

    def test_cancelled_too_late(self) -> None:
        """What comes of an operation that was cancelled is undone."""
        running = self.run_one()
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.assertEqual((self.undone, self.retracted), (["late"], []))

    def test_calls(self) -> None:
        """A call waits for the operations before it, and holds up those behind."""
        called: list[int] = []
        self.run_one(declares=True)
        self.assertTrue(self.queue.holds_up)
        self.queue.add_call(lambda: called.append(1))
        self.run_one()
        self.assertEqual(called, [])
        self.begun[0].callback("one")
        self.assertEqual((called, len(self.begun)), ([1], 2))
        self.assertFalse(self.queue.holds_up)

    def test_many(self) -> None:
        """Many that end as they begin do not fill the stack."""

        async def nothing() -> None:
            pass

        self.run_one()
        waiting = [self.queue.run_in_turn(nothing) for _ in range(3000)]
        self.begun[0].callback("one")
        self.successResultOf(waiting[-1])

    def test_idle(self) -> None:
        """It is idle when nothing is left to do, at once if nothing is."""
        self.successResultOf(self.queue.when_idle())
        self.run_one()
        idle = self.queue.when_idle()
        self.assertNoResult(idle)
        self.begun[0].callback("one")
        self.successResultOf(idle)

    def test_drained(self) -> None:
        """When it is drained no more is begun, and all can be failed."""
        operations = [self.run_one(), self.run_one()]
        self.queue.add_call(lambda: self.fail("called"))
        drained = self.queue.drain()
        self.assertEqual([each.deferred for each in drained], operations)
        for each in drained:
            each.fail(ZeroDivisionError())
        for operation in operations:
            self.failureResultOf(operation, ZeroDivisionError)
        self.assertEqual((len(self.begun), self.undone), (1, ["late"]))
