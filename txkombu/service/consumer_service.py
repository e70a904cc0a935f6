"""
ConsumerService: consumers as a Twisted service.
"""

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
"""Seconds that handlers at work are given when the service stops."""


class ConsumerService(Service):
    """
    Keeps consumers consuming while it runs, and stops them in order.

    Starting never waits and never fails for a broker that is absent: it is
    tried again with growing waits, and slowly where the broker refuses what is
    asked.  After a loss the consumers consume again.

    Each consumer has a channel of its own.  The connection is for consumers
    only: a handler that publishes does so on a connection of its own.

    A consumer that cannot be made halts the service, and so does a transport
    whose library is not installed: it stops, and tells so by L{halted} and a
    critical line of the log.

    @param broker: a URL, or a connection, which the service closes when it
        stops.
    @param consumers: one or several: L{Consumer<txkombu.Consumer>} subclasses,
        or functions that take a channel and return a consumer.
    @param reactor: for the connection to a URL; default is the reactor.
    @param shutdown_timeout: seconds that handlers at work are given to finish
        when it stops; default 30.
    @ivar connection: the connection of its consumers; a new one after each
        stop.
    @ivar halted: why it stopped by itself, or None.
    @raise InvalidURL: the URL cannot be understood.
    @raise TypeError: one of the consumers is none.
    @raise ValueError: there are none.
    """

    _log = Logger()

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
        listed = [consumers] if callable(consumers) else list(consumers)
        self._factories = [check_factory(_named(each), each) for each in listed]
        if not self._factories:
            raise ValueError("a ConsumerService needs at least one consumer")
        self._timeout = check_seconds("shutdown_timeout", shutdown_timeout)
        self._hosting: ServiceRun | None = None
        self._started: Waiters[None] = Waiters()
        self._stopped: Waiters[None] = Waiters()
        self.halted: Exception | None = None

    # --- how it is ----------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether there is a session with the broker."""
        return self.connection.connected

    @property
    def consuming(self) -> bool:
        """Whether every consumer runs at the broker; not the same as connected."""
        return self._hosting is not None and self._hosting.consuming

    @property
    def last_error(self) -> Exception | None:
        """Why it runs and is not consuming, or why it halted; else None."""
        if not self.running or self._hosting is None:
            return self.halted
        return self._hosting.last_error

    def when_started(self) -> Deferred[None]:
        """
        @return: fires when every consumer has been started at the broker; from
            then on they are started again by themselves.  Fails with
            L{ConnectionClosed} if the service stops before, or is not running.
        """
        if not self.running:
            return fail(self._not_running())
        if self._hosting is not None and self._hosting.started:
            return succeed(None)
        return self._started.wait()

    def when_stopped(self) -> Deferred[None]:
        """@return: fires when it is not running and nothing of it is left."""
        if not self.running and (self._hosting is None or self._hosting.ended):
            return succeed(None)
        return self._stopped.wait()

    # --- IService -----------------------------------------------------------

    def startService(self) -> None:
        """Begin to connect and to consume; returns at once."""
        if self.running:
            return
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        self.halted = None
        if self._hosting is not None:
            self.connection = self.connection.clone()
        hosting = self._hosting = ServiceRun(
            self.connection, lambda: self._started.fire(None), self.halt
        )
        for factory in self._factories:
            try:
                hosting.consumers.append(HostedConsumer(self.connection, factory))
            except BaseException as error:
                self._not_made(factory, as_exception(error, safe_repr(factory)))
                return
        hosting.begin()

    def _not_made(self, factory: ConsumerFactory, error: Exception) -> None:
        self._log.critical(
            "{factory} makes no consumer: {error}",
            factory=safe_repr(factory),
            error=str(error),
        )
        self.halt(error)

    def stopService(self) -> Deferred[None]:
        """
        Receive no more, hand back what no handler has begun with, let those at
        work finish within the C{shutdown_timeout}, settle, and close the
        connection; every wait has an end.

        @return: fires when nothing is left; never fails.
        """
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        hosting = self._hosting
        if hosting is None:
            return succeed(None)
        self._started.fail(self._not_running())
        return hosting.end(self._timeout).addCallback(self._ended, hosting)

    def _ended(self, _: object, hosting: ServiceRun) -> None:
        if self._hosting is hosting:
            self._stopped.fire(None)

    def halt(self, error: Exception) -> Deferred[None]:
        """
        Stop because of an error that trying again does not mend.

        @return: as that of L{stopService}.
        """
        self.halted = error
        self._log.failure(
            "The service halts, and does not try again: mend the cause and restart it",
            Failure(error),
        )
        return self.stopService()

    # --- the rest -----------------------------------------------------------

    def _not_running(self) -> ConnectionClosed:
        return ConnectionClosed("the service is not running")


def _named(factory: object) -> str:
    return repr(factory) if callable(factory) else kind_of(factory)
