"""
One run of a service, from its start to its stop.

It connects, and then starts each consumer.  After that, connection and channels
reconnect by themselves.  The run can be ended at any point.
"""

from __future__ import annotations

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


class ServiceRun:
    """
    Consumers on a connection.

    @param shutdown_timeout: seconds that running handlers have to finish.
    @param on_started: called when all consumers have been started.
    @param on_hopeless: called with the error if they never will be.
    @ivar started: whether all consumers have been started.
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
        self.consumers: list[HostedConsumer] = []
        self.started = False
        self._timeout = shutdown_timeout
        self._on_started = on_started
        self._on_hopeless = on_hopeless
        self._starting: Deferred[None] = succeed(None)
        self._connect_error: Exception | None = None
        self._ending = SharedClose(self._end)

    @property
    def ended(self) -> bool:
        """Whether everything is closed."""
        return self._ending.over

    @property
    def consuming(self) -> bool:
        """Whether every consumer receives from all its queues."""
        return (
            self._is_wanted()
            and self.started
            and self.connection.connected
            and self.connection.is_consuming
            and all(each.consuming for each in self.consumers)
        )

    @property
    def last_error(self) -> Exception | None:
        """Why a consumer does not consume, if one does not."""
        errors = [self._connect_error, *(each.last_error for each in self.consumers)]
        errors.append(self.connection.last_error)
        if self.started:
            errors += [each.trouble for each in self.consumers]
        return next((error for error in errors if error is not None), None)

    def begin(self) -> None:
        """Connect and consume; try until that succeeds."""

        def closed_by_program(error: Exception) -> None:
            if self._is_wanted():
                self._on_hopeless(error)  # nothing starts it again

        self._starting = self._start()
        self._starting.addErrback(self._not_started)
        for each in self.consumers:
            each.when_closed().addCallback(closed_by_program)

    @inlineCallbacks
    def _start(self) -> Generator[Deferred[Any], Any, None]:
        connection = self.connection
        what = f"connecting to {connection.as_uri()}"
        yield retry_until_done(
            connection, what, connection.connect, self._not_connected, self._is_wanted
        )
        self._connect_error = None
        self._log.info("Connected to {url}", url=connection.current_uri())
        starts = [each.start(self._is_wanted) for each in self.consumers]
        results = yield DeferredList(starts, consumeErrors=True)
        for is_started, failure in results:
            if not is_started:
                failure.raiseException()
        self.started = True
        self._on_started()

    def _is_wanted(self) -> bool:
        return not self._ending.begun

    def _not_connected(self, error: Exception) -> None:
        self._connect_error = error

    def _not_started(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, Exception) and is_hopeless(error):
            self._on_hopeless(error)
        elif not failure.check(CancelledError):
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
        yield self._close()

    @inlineCallbacks
    def _let_finish(self) -> Generator[Deferred[Any], Any, None]:
        clock, timeout = steady(self.connection.clock), self._timeout
        deadline = clock.seconds() + timeout
        count = sum(each.consumer.running for each in self.consumers)
        if count:
            text = "Stopping: running handlers ({count}) have {timeout:g} s to finish"
            self._log.info(text, count=count, timeout=timeout)
        soon = min(deadline, clock.seconds() + CLOSE_TIMEOUT)
        yield _all_by(soon, clock, (each.close() for each in self.consumers))
        yield _all_by(deadline, clock, (each.when_idle() for each in self.consumers))
        for each in self.consumers:
            if not each.when_idle().called:
                self._log.warn(
                    "Handlers of {consumer!r} are still at work after {timeout:g} s; "
                    "the broker delivers their messages again",
                    consumer=each.consumer,
                    timeout=timeout,
                )

    def _close(self) -> Deferred[None]:
        """Close the connection with its channels, or abort its session."""
        clock = self.connection.clock
        session = self.connection.core.reconnector.session
        closing = self.connection.close()
        if session is not None and not closing.called:
            timer = clock.callLater(CLOSE_TIMEOUT, self._abort, session)
            closing.addCallback(lambda _: timer.cancel() if timer.active() else None)
        limit = 2 * CLOSE_TIMEOUT
        return with_timeout(closing, clock, limit, "closing", otherwise=None)

    def _abort(self, session: ISession) -> None:
        self._log.warn(
            "The connection to {url} did not close within {timeout:g} s; aborting it",
            url=self.connection.current_uri(),
            timeout=CLOSE_TIMEOUT,
        )
        session.abort()


def _all_by(
    deadline: float, clock: IReactorTime, waits: Iterable[Deferred[None]]
) -> Deferred[Any]:
    """Wait for all, but not beyond the deadline."""
    together: Deferred[Any] = DeferredList(list(waits), consumeErrors=True)
    left = max(0.0, deadline - clock.seconds())
    return with_timeout(together, clock, left, "stopping", otherwise=None)
