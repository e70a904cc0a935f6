"""Timeouts, when the wall clock is set while they run."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.support.jumpy_reactor import JumpyReactor
from txkombu._util import steady_clock
from txkombu._util.deadlines import Deadlines
from txkombu._util.steady_clock import SteadyClock, steady, waker
from txkombu._util.timeouts import gather_results_in_time, sleep, with_timeout
from txkombu.exceptions import OperationTimeout

HOUR = 3600


class Case(SynchronousTestCase):
    """Has a reactor whose wall clock may be set."""

    def setUp(self) -> None:
        self.reactor = JumpyReactor()
        self.patch(steady_clock, "monotonic", self.reactor.monotonic)
        self.ran: list[object] = []

    def clock(self) -> SteadyClock:
        """The clock that does not follow."""
        found = steady(self.reactor)
        assert isinstance(found, SteadyClock)
        return found


class SteadyClockTests(Case):
    """Delayed calls by the monotonic clock."""

    def test_interface(self) -> None:
        """There is one for each reactor; what is a test's clock stands for itself."""
        verifyObject(IReactorTime, self.clock())
        self.assertIs(self.clock(), self.clock())
        self.assertIs(steady(self.clock()), self.clock())
        clocks: tuple[Any, ...] = (Clock(), _Bare())
        for clock in clocks:
            self.assertIs(steady(clock), clock)
            self.assertIsNone(waker(clock))

    def test_order(self) -> None:
        """Calls run when they are due, each once, however they were added."""
        clock = self.clock()
        for delay in (5, 1, 3, 0, 4, 2):
            clock.callLater(delay, self.ran.append, delay)
        self.assertEqual(self.ran, [])
        for wanted in range(6):
            self.reactor.advance(0.5)
            self.assertEqual(self.ran, list(range(wanted + 1)))
            self.reactor.advance(0.5)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_cancel(self) -> None:
        """A cancelled call does not run, and the last one leaves nothing behind."""
        clock = self.clock()
        calls = [clock.callLater(delay, self.ran.append, delay) for delay in (1, 2)]
        calls[0].cancel()
        self.assertEqual(clock.getDelayedCalls(), [calls[1]])
        self.reactor.advance(1.5)
        calls[1].cancel()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.reactor.advance(5)
        self.assertEqual(self.ran, [])
        self.assertRaises(AlreadyCancelled, calls[1].cancel)

    def test_many_cancelled(self) -> None:
        """Cancelled calls are not kept until they would have been due."""
        clock = self.clock()
        clock.callLater(99, self.ran.append, "last")
        for _ in range(1000):
            clock.callLater(98, self.ran.append, "never").cancel()
        self.assertLess(len(clock._heap), 100)
        self.reactor.advance(100)
        self.assertEqual(self.ran, ["last"])

    def test_reset(self) -> None:
        """A call may be put off, and brought forward."""
        clock = self.clock()
        later, sooner = (clock.callLater(5, self.ran.append, n) for n in (1, 2))
        later.reset(9)
        sooner.reset(1)
        self.reactor.advance(1)
        self.assertEqual(self.ran, [2])
        self.reactor.advance(7.5)
        self.assertEqual(self.ran, [2])
        self.reactor.advance(0.5)
        self.assertEqual(self.ran, [2, 1])
        self.assertRaises(AlreadyCalled, later.reset, 1)

    def test_again_at_once(self) -> None:
        """What a call adds without a delay waits for the next turn."""
        clock = self.clock()

        def again() -> None:
            self.ran.append(1)
            clock.callLater(0, again)

        clock.callLater(0, again)
        self.reactor.set_clock(0)
        self.assertEqual(self.ran, [1])

    def test_raises(self) -> None:
        """An error is logged, and the others run."""
        clock = self.clock()
        clock.callLater(1, lambda: 1 / 0)
        clock.callLater(1, self.ran.append, 1)
        self.reactor.advance(1)
        self.assertEqual(self.ran, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_set_forward(self) -> None:
        """A wall clock that is set forward runs nothing before its time."""
        self.clock().callLater(30, self.ran.append, 1)
        for _ in range(3):
            self.reactor.advance(5)
            self.reactor.set_clock(HOUR)
        self.assertEqual(self.ran, [])
        self.reactor.advance(14)
        self.assertEqual(self.ran, [])
        self.reactor.advance(1)
        self.assertEqual(self.ran, [1])

    def test_set_back(self) -> None:
        """
        One that is set back holds up nothing, once something is received, or
        another call is made.
        """
        for wake in (self.clock().wake, lambda: self.clock().callLater(9, int)):
            self.clock().callLater(30, self.ran.append, 1)
            self.reactor.advance(5)
            self.reactor.set_clock(-HOUR)
            self.reactor.advance(27)
            self.assertEqual(self.ran, [])
            wake()
            self.reactor.advance(0.1)
            self.assertEqual(self.ran, [1])
            self.reactor.advance(10)
            self.ran.clear()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_wakes_for_nothing(self) -> None:
        """Without anything late, waking changes nothing."""
        self.clock().callLater(30, self.ran.append, 1)
        before = self.reactor.getDelayedCalls()
        for _ in range(20):
            self.reactor.advance(1)
            self.clock().wake()
        self.assertEqual(self.reactor.getDelayedCalls(), before)


class TimeoutTests(Case):
    """What times operations goes by it."""

    def test_deadlines(self) -> None:
        """Five hundred deadlines are those of the time that has passed."""
        deadlines: Deadlines[int] = Deadlines(self.reactor, self.ran.append)
        for number in range(500):
            deadlines.schedule(number, 30)
        self.reactor.advance(1)
        self.reactor.set_clock(HOUR)
        deadlines.check()
        self.reactor.advance(28)
        self.assertEqual(self.ran, [])
        self.reactor.advance(1)
        self.assertEqual(self.ran, list(range(500)))
        deadlines.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_operations(self) -> None:
        """So are the timeouts of operations, and pauses."""

        def begin() -> list[Deferred[Any]]:
            pending: Deferred[int] = Deferred()
            return [
                with_timeout(Deferred(), self.reactor, 30, "a"),
                gather_results_in_time([pending], self.reactor, 30, "b"),
                sleep(self.reactor, 30),
            ]

        for jump in (HOUR, -HOUR):
            began = begin()
            self.reactor.advance(1)
            self.reactor.set_clock(jump)
            self.reactor.advance(28)
            for each in began:
                self.assertNoResult(each)
            self.reactor.advance(3)
            self.clock().wake()
            self.reactor.advance(0.1)
            self.failureResultOf(began[0], OperationTimeout)
            self.failureResultOf(began[1], OperationTimeout)
            self.successResultOf(began[2])
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class _Bare:
    """A clock of somebody's tests, which is no reactor."""

    seconds = callLater = getDelayedCalls = None
