"""ConsumerService: the Twisted service that hosts consumers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr

from .._util.awaitables import as_exception
from .._util.validation import check_seconds, kind_of
from .._util.waiters import Waiters
from ..connection import BrokerConnection
from ..exceptions import ConnectionClosed
from .hosted_consumer import ConsumerFactory, HostedConsumer, check_factory
from .run import ServiceRun

SHUTDOWN_TIMEOUT: Final = 30.0
"""Seconds that running handlers have to finish when the service stops."""


class ConsumerService(Service):
    """
    Keeps consumers consuming while it runs, and stops them in order.

    Starting does not wait for the broker, and does not fail without one: the service
    tries again with growing waits, and slowly if the broker refuses something.  After a
    loss the consumers consume again.

    Each consumer has a channel of its own.  The connection is for consumers only: a
    handler that publishes does so on another connection.

    A consumer that cannot be made halts the service, and so does a transport whose
    library is not installed: the service stops, sets L{halted} and logs the error.

    @param broker: a URL, or a connection, which the service closes when it stops.
    @param consumers: one or several: L{Consumer<txkombu.Consumer>} subclasses, or
        functions that take a channel and return a consumer.
    @param reactor: the reactor of the connection to a URL; by default the global one.
    @param shutdown_timeout: seconds that running handlers have to finish when the
        service stops; default 30.
    @ivar connection: the connection of its consumers; after each stop a new one.
    @ivar halted: the error that halted it, or None.
    @raise InvalidURL: the URL cannot be parsed.
    @raise TypeError: one of the consumers is not one.
    @raise ValueError: there are no consumers.
    """

    def __init__(
        self,
        broker: BrokerConnection | str,
        consumers: ConsumerFactory | Iterable[ConsumerFactory],
        reactor: IReactorTime | None = None,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    ) -> None:
        if not isinstance(broker, BrokerConnection):
            broker = BrokerConnection(broker, reactor=reactor)
        self.connection = broker
        # Subclasses, such as the plugin's, log by the name that users know.
        self._log = Logger(f"{__name__}.ConsumerService", self)
        listed: list[object] = [consumers] if callable(consumers) else list(consumers)
        self._factories = [
            check_factory(repr(each) if callable(each) else kind_of(each), each)
            for each in listed
        ]
        if not self._factories:
            raise ValueError("a ConsumerService needs at least one consumer")
        self._timeout = check_seconds("shutdown_timeout", shutdown_timeout)
        self._hosting: ServiceRun | None = None
        self._started: Waiters[None] = Waiters()
        self._stopped: Waiters[None] = Waiters()
        self.halted: Exception | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a session with the broker."""
        return self.connection.connected

    @property
    def consuming(self) -> bool:
        """Whether every consumer receives from all its queues."""
        return self._hosting is not None and self._hosting.consuming

    @property
    def last_error(self) -> Exception | None:
        """Why the service is not consuming, or why it halted; else None."""
        if not self.running or self._hosting is None:
            return self.halted
        return self._hosting.last_error

    def when_started(self) -> Deferred[None]:
        """
        Wait until every consumer has been started at the broker.

        @return: fails with L{ConnectionClosed} if the service stops before, or is not
            running.
        """
        if not self.running:
            return fail(self._not_running())
        if self._hosting is not None and self._hosting.started:
            return succeed(None)
        return self._started.wait()

    def when_stopped(self) -> Deferred[None]:
        """Wait until the service is not running, and everything is closed."""
        if not self.running and (self._hosting is None or self._hosting.ended):
            return succeed(None)
        return self._stopped.wait()

    def startService(self) -> None:
        """Begin to connect and to consume; return at once."""
        if self.running:
            return
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        self.halted = None
        if self._hosting is not None:
            self.connection = self.connection.clone()
        hosting = self._hosting = ServiceRun(
            self.connection,
            self._timeout,
            lambda: self._started.fire(None),
            self.halt,
        )
        for factory in self._factories:
            try:
                hosting.consumers.append(HostedConsumer(self.connection, factory))
            except BaseException as error:
                name = safe_repr(factory)
                cause = as_exception(error, name)
                text = "{factory} makes no consumer: {error}"
                self._log.critical(text, factory=name, error=str(cause))
                self.halt(cause)
                return
        hosting.begin()

    def stopService(self) -> Deferred[None]:
        """
        Stop in order: cancel the consumers, hand back messages whose handlers have not
        begun, let running handlers finish within the C{shutdown_timeout}, settle, and
        close the connection.  Every wait has a timeout.

        @return: fires when everything is closed; never fails.
        """
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        hosting = self._hosting
        if hosting is None:
            return succeed(None)
        self._started.fail(self._not_running())
        return hosting.end().addCallback(self._ended, hosting)

    def _ended(self, _: object, hosting: ServiceRun) -> None:
        if self._hosting is hosting:
            self._stopped.fire(None)

    def halt(self, error: Exception) -> Deferred[None]:
        """
        Stop because of an error that trying again does not mend.

        @param error: the error, for L{halted} and the log.
        @return: as of L{stopService}.
        """
        self.halted = error
        self._log.failure(
            "The service halts and does not try again: mend the cause and restart it",
            Failure(error),
        )
        return self.stopService()

    def _not_running(self) -> ConnectionClosed:
        return ConnectionClosed("the service is not running")
