"""
One run of a service, from its start to its stop.

It connects, and then starts what works on the connection.  After that, connection and
channels reconnect by themselves.  The run can be ended at any point.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    inlineCallbacks,
    succeed,
)
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .._util.steady_clock import steady
from .._util.timeouts import CLOSE_TIMEOUT, with_timeout
from .._util.waiters import SharedClose
from ..connection import BrokerConnection
from ..interfaces import ISession
from .hosted_consumer import HostedConsumer
from .retry import is_hopeless, retry_until_done


class ConnectionRun:
    """
    What works on a connection.

    @param shutdown_timeout: seconds that the work has to finish.
    @param on_started: called when everything has been started.
    @param on_hopeless: called with the error if it never will be.
    @ivar started: whether everything has been started.
    """

    _log = Logger()

    def __init__(
        self,
        connection: BrokerConnection,
        shutdown_timeout: float,
        on_started: Callable[[], None],
        on_hopeless: Callable[[Exception], object],
    ) -> None:
        self.connection = connection
        self.started = False
        self.timeout = shutdown_timeout
        self._on_started = on_started
        self._on_hopeless = on_hopeless
        self._starting: Deferred[None] = succeed(None)
        self._connect_error: Exception | None = None
        self._fails_fast = connection.core.settings.wait_for_broker is False
        self._ending = SharedClose(self._end)

    @property
    def ended(self) -> bool:
        """Whether everything is closed."""
        return self._ending.over

    @property
    def last_error(self) -> Exception | None:
        """Why the work does not go on, if it does not."""
        return next((error for error in self._errors() if error is not None), None)

    def _errors(self) -> list[Exception | None]:
        """Return what is wrong, the cause first."""
        return [self._connect_error, self.connection.last_error]

    def begin(self) -> None:
        """Connect and start the work; try until that succeeds."""
        self._starting = self._start()
        self._starting.addErrback(self._not_started)

    @inlineCallbacks
    def _start(self) -> Generator[Deferred[Any], Any, None]:
        connection = self.connection
        what = f"connecting to {connection.as_uri()}"
        if self._fails_fast:
            yield connection.connect()
        else:
            yield retry_until_done(
                connection,
                what,
                connection.connect,
                self._not_connected,
                self.is_wanted,
            )
        self._connect_error = None
        self._fails_fast = False
        if not connection.core.reconnector.has_told:
            self._log.info("Connected to {url}", url=connection.current_uri())
        yield self._start_work()
        self.started = True
        self._on_started()

    @abstractmethod
    def _start_work(self) -> Deferred[Any]:
        """Start what works on the connection, until that succeeds."""

    def is_wanted(self) -> bool:
        """Return whether the run has not been ended."""
        return not self._ending.begun

    def give_up(self, error: Exception) -> None:
        """Report what nothing in this run mends."""
        if self.is_wanted():
            self._on_hopeless(error)

    def _not_connected(self, error: Exception) -> None:
        self._connect_error = error

    def _not_started(self, failure: Failure) -> None:
        error = failure.value
        if failure.check(CancelledError):
            return
        if isinstance(error, Exception) and (self._fails_fast or is_hopeless(error)):
            self._on_hopeless(error)
        else:
            self._log.failure("Fault while starting", failure)

    def end(self) -> Deferred[None]:
        """Stop in order, once; fire when everything is closed, and never fail."""
        return self._ending.wait()

    @inlineCallbacks
    def _end(self) -> Generator[Deferred[Any], Any, None]:
        self._starting.cancel()
        try:
            yield self._let_finish()
        except Exception:
            self._log.failure("Fault while stopping")
        url = self.connection.current_uri()
        yield self._close()
        self._log.info("The connection to {url} is closed", url=url)

    @abstractmethod
    def _let_finish(self) -> Deferred[Any]:
        """Let the work end, within the timeout."""

    def _close(self) -> Deferred[None]:
        """Close the connection with its channels, or abort its session."""
        clock = self.connection.clock
        session = self.connection.core.reconnector.session
        closing = self.connection.close()
        if session is not None and not closing.called:
            timer = steady(clock).callLater(CLOSE_TIMEOUT, self._abort, session)
            closing.addCallback(lambda _: timer.cancel() if timer.active() else None)
        limit = 2 * CLOSE_TIMEOUT
        return with_timeout(closing, clock, limit, "closing", otherwise=None)

    def _abort(self, session: ISession) -> None:
        self._log.warn(
            "The connection to {url} did not close within {timeout:g} s; aborting it",
            url=self.connection.current_uri(),
            timeout=CLOSE_TIMEOUT,
        )
        # So that the channels know, or they would try to work on it for ever.
        self.connection.core.drop()
        session.abort()  # in case it is being closed


class ServiceRun(ConnectionRun):
    """
    Consumers on a connection.

    @ivar consumers: the consumers, of which C{begin} starts each.
    """

    _log = Logger()

    def __init__(
        self,
        connection: BrokerConnection,
        shutdown_timeout: float,
        on_started: Callable[[], None],
        on_hopeless: Callable[[Exception], object],
    ) -> None:
        super().__init__(connection, shutdown_timeout, on_started, on_hopeless)
        self.consumers: list[HostedConsumer] = []

    @property
    def consuming(self) -> bool:
        """Whether every consumer receives from all its queues."""
        return (
            self.is_wanted()
            and self.started
            and self.connection.connected
            and self.connection.is_consuming
            and all(each.consuming for each in self.consumers)
        )

    def _errors(self) -> list[Exception | None]:
        first, *others = super()._errors()
        errors = [first, *(each.last_error for each in self.consumers), *others]
        if self.started:
            errors += [each.trouble for each in self.consumers]
        return errors

    def begin(self) -> None:
        """Connect and consume; try until that succeeds."""
        super().begin()
        for each in self.consumers:
            each.when_closed().addCallback(self.give_up)  # nothing starts it again

    @inlineCallbacks
    def _start_work(self) -> Generator[Deferred[Any], Any, None]:
        starts = [each.start(self.is_wanted) for each in self.consumers]
        results = yield DeferredList(starts, consumeErrors=True)
        for is_started, failure in results:
            if not is_started:
                failure.raiseException()

    @inlineCallbacks
    def _let_finish(self) -> Generator[Deferred[Any], Any, None]:
        clock, timeout = steady(self.connection.clock), self.timeout
        deadline = clock.seconds() + timeout
        count = sum(each.consumer.running for each in self.consumers)
        if count:
            text = "Stopping: running handlers ({count}) have {timeout:g} s to finish"
            self._log.info(text, count=count, timeout=timeout)
        soon = min(deadline, clock.seconds() + CLOSE_TIMEOUT)
        yield all_by(soon, clock, (each.close() for each in self.consumers))
        yield all_by(deadline, clock, (each.when_idle() for each in self.consumers))
        for each in self.consumers:
            if not each.when_idle().called:
                self._log.warn(
                    "Handlers of {consumer!r} are still at work after {timeout:g} s; "
                    "the broker delivers their messages again",
                    consumer=each.consumer,
                    timeout=timeout,
                )


def all_by(
    deadline: float, clock: IReactorTime, waits: Iterable[Deferred[None]]
) -> Deferred[Any]:
    """Wait for all, but not beyond the deadline."""
    together: Deferred[Any] = DeferredList(list(waits), consumeErrors=True)
    left = max(0.0, deadline - clock.seconds())
    return with_timeout(together, clock, left, "stopping", otherwise=None)
