"""Test cases with a broker of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isasyncgen, isgenerator
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from .._util.awaitables import as_deferred, work_of
from .._util.validation import check_seconds
from ..connection import BrokerConnection
from .broker import RecordingBroker
from .published import Published

T = TypeVar("T")


class BrokerMixin:
    """
    Gives a trial test case a broker in memory; L{BrokerTestCase} is a ready-made one.

    @ivar clock: the time of the test; it stands still except for L{advance}.
    @ivar broker: the broker; see L{RecordingBroker}.
    @ivar connection: a connection to it.
    """

    clock: Clock
    broker: RecordingBroker
    connection: BrokerConnection

    def setUp(self) -> None:
        """Make the broker, and a connection to it."""
        super().setUp()  # type: ignore[misc]  # the test case's
        self.clock = Clock()
        self.broker = RecordingBroker(self.clock)
        self._connections: list[BrokerConnection] = []
        self.connection = self.connect()

    def tearDown(self) -> None:
        """Close the connections, and fail the test for the work it left unfinished."""
        self.flush()
        left = self.broker.under_way()
        for connection in self._connections:
            left += connection.unfinished_work()
        for connection in self._connections:
            connection.close()
        self.flush()
        super().tearDown()  # type: ignore[misc]  # the test case's
        if left:
            self.fail("; ".join(left))  # type: ignore[attr-defined]  # the case's

    def connect(self, **options: Any) -> BrokerConnection:
        """
        Return one more connection to the broker; it is closed at the end of the test.

        @param options: the keywords of L{BrokerConnection}, except for C{transport} and
            C{reactor}.
        """
        connection = BrokerConnection(
            transport=self.broker, reactor=self.clock, **options
        )
        self._connections.append(connection)
        return connection

    @property
    def published(self) -> list[Published]:
        """Every message published so far, in order."""
        return self.broker.published

    def flush(self) -> None:
        """Let everything happen that can happen without time passing."""
        self.broker.flush()

    def advance(self, seconds: float) -> None:
        """
        Let time pass, in steps of at most a second, and flush after each: retries,
        reconnecting and expiry happen as they would.

        @param seconds: how long.
        """
        check_seconds("seconds", seconds)
        self.flush()
        while seconds > 0:
            step = min(seconds, 1.0)
            self.clock.advance(step)
            self.flush()
            seconds -= step

    def result_of(self, awaitable: Awaitable[T]) -> T:
        """
        Flush, and return the result of an operation.

        @param awaitable: a Deferred, a coroutine, or anything else that can be awaited.
        @raise Exception: what the operation failed with.
        @raise AssertionError: there is no result yet, which fails the test.
        """
        outcome: list[Any] = []
        failures: list[Any] = []
        began: Deferred[T] = as_deferred(awaitable)
        began.addCallbacks(outcome.append, failures.append)
        self.flush()
        if failures:
            failures[0].raiseException()
        if not outcome:
            raise self.failureException(  # type: ignore[attr-defined]  # the case's
                f"no result yet of {awaitable!r}: if it waits for time to pass, as "
                "reconnecting does, call self.advance(seconds); if its connection is "
                "not one of this test's broker, make it with self.connect()"
            )
        result: T = outcome[0]
        return result


class BrokerTestCase(BrokerMixin, SynchronousTestCase):
    """
    A synchronous test case with a broker in memory.

    Tests may be coroutine functions, or return Deferreds: they run as in L{result_of}.
    """

    def setUp(self) -> None:
        """Make the broker, and have what the test method returns waited for."""
        super().setUp()
        name = self._testMethodName
        setattr(self, name, self._checked(getattr(self, name)))

    def _checked(self, test: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            result = test()
            if isgenerator(result):
                self.fail("the test is a generator: is @inlineCallbacks missing?")
            if isasyncgen(result):
                self.fail("the test is an async generator: it must not yield")
            work = work_of(result, test)
            if work is not None:
                self.result_of(work)

        return run
