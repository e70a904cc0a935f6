"""One run of a PublisherService, from its start to its stop."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.logger import Logger

from .._util.steady_clock import steady
from .._util.timeouts import CLOSE_TIMEOUT
from ..connection import BrokerConnection
from ..exceptions import ConnectionClosed
from .run import ConnectionRun, all_by


class PublisherRun(ConnectionRun):
    """
    Producers on a connection that waits for its broker.

    @param stop_users: called when the run ends; its Deferred fires when what publishes
        has stopped.
    """

    _log = Logger()

    def __init__(
        self,
        connection: BrokerConnection,
        shutdown_timeout: float,
        on_started: Callable[[], None],
        on_hopeless: Callable[[Exception], object],
        stop_users: Callable[[], Deferred[Any]],
    ) -> None:
        super().__init__(connection, shutdown_timeout, on_started, on_hopeless)
        self._stop_users = stop_users

    def _errors(self) -> list[Exception | None]:
        core = self.connection.core
        closed = core.is_closing and self.is_wanted()
        text = "the connection was closed by this program, and not by the service"
        return [*super()._errors(), ConnectionClosed(text) if closed else None]

    def begin(self) -> None:
        """Connect; try until that succeeds."""
        self.connection.core.release()
        super().begin()

    def _start_work(self) -> Deferred[None]:
        return succeed(None)

    @inlineCallbacks
    def _let_finish(self) -> Generator[Deferred[Any], Any, None]:
        clock, core = steady(self.connection.clock), self.connection.core
        deadline = clock.seconds() + self.timeout
        yield all_by(deadline, clock, [self._stop_users()])
        if core.unconfirmed:
            self._log.info(
                "Stopping: {count} published messages await the broker's verdict",
                count=core.unconfirmed,
            )
        # What was published last has its time, however long the others took.
        soon = clock.seconds() + min(self.timeout, CLOSE_TIMEOUT)
        drained = core.drain(ConnectionClosed("the service is stopping"))
        yield all_by(max(deadline, soon), clock, [drained])
        if core.unconfirmed:
            self._log.warn(
                "{count} published messages have no verdict after {timeout:g} s",
                count=core.unconfirmed,
                timeout=self.timeout,
            )
            core.give_up_publishes(ConnectionClosed("the service has stopped"))
