"""What the services that work on a connection of their own share."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Final, Generic, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .._util.validation import check_seconds
from .._util.waiters import SharedClose, Waiters
from ..connection import BrokerConnection
from ..exceptions import ConnectionClosed
from .health import ServiceObserver
from .run import ConnectionRun

SHUTDOWN_TIMEOUT: Final = 30.0
"""Seconds that the work has to finish when a service stops."""

R = TypeVar("R", bound=ConnectionRun)
T = TypeVar("T")


class BrokerService(Service, Generic[R]):
    """
    A service with a connection of its own, which keeps trying to connect.

    A connection whose C{wait_for_broker} is false, also by its URL, halts the service
    if the first attempt to connect fails.

    @param broker: a URL, or a connection, which the service closes when it stops.
    @param reactor: the reactor of the connection to a URL; by default the global one.
    @param shutdown_timeout: seconds that the work has to finish when the service stops.
    @cvar purpose: what its connection is for.
    @ivar connection: its connection; after each stop a new one.
    @ivar halted: the error that halted it, or None.
    """

    purpose: ClassVar[str]

    def __init__(
        self,
        broker: BrokerConnection | str,
        reactor: IReactorTime | None,
        shutdown_timeout: float,
        log: Logger,
    ) -> None:
        super().__init__()
        if not isinstance(broker, BrokerConnection):
            broker = BrokerConnection(broker, reactor=reactor)
        self.connection = broker
        self.halted: Exception | None = None
        self._timeout = check_seconds("shutdown_timeout", shutdown_timeout)
        self._log = log
        self._run: R | None = None
        self._stopping: SharedClose | None = None
        self._observer: ServiceObserver | None = None
        self._is_over = True
        self._started: Waiters[None] = Waiters()
        self._stopped: Waiters[None] = Waiters()

    @abstractmethod
    def _new_run(self) -> R:
        """Return a run on the connection."""

    def _equip(self, run: R) -> None:
        """Prepare a run that is about to begin; an exception halts the service."""

    def _replace_connection(self) -> None:
        """Make another connection, since the last was closed."""
        self.connection = self.connection.clone()
        if self._observer is not None:
            self._observer.watch_connection(self.purpose, self.connection)

    def observe(self, observer: ServiceObserver) -> None:
        """
        Have something see how the service works.

        @param observer: called with its connection now, and with each new one.
        """
        self._observer = observer
        observer.watch_connection(self.purpose, self.connection)

    @property
    def connected(self) -> bool:
        """Whether there is a session with the broker."""
        return self.connection.connected

    @property
    def last_error(self) -> Exception | None:
        """Why the service does not work, or why it halted; else None."""
        if not self.running or self._run is None:
            return self.halted
        return self._run.last_error

    def when_started(self) -> Deferred[None]:
        """
        Wait until the service has connected, and its consumers, if any, have started.

        @return: fails with L{ConnectionClosed} if the service stops before, or is not
            running.
        """
        if not self.running:
            return fail(not_running())
        if self._run is not None and self._run.started:
            return succeed(None)
        return self._started.wait()

    def when_stopped(self) -> Deferred[None]:
        """Wait until the service is not running, and everything is closed."""
        if not self.running and self._is_over:
            return succeed(None)
        return self._stopped.wait()

    def startService(self) -> None:
        """Begin to connect and to work; return at once."""
        if self.running:
            return
        self.halted = None
        if self._stopping is not None:
            self._replace_connection()
        self.connection.core.leave_shutdown()
        run = self._run = self._new_run()
        self._stopping = SharedClose(lambda: self._end_run(run))
        self._is_over = False
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        try:
            self._equip(run)
        except Exception as error:
            self.halt(error)
        else:
            run.begin()

    def stopService(self) -> Deferred[None]:
        """
        Stop in order: let the work end within the C{shutdown_timeout}, and close the
        connection.  Every wait has a timeout.

        @return: fires when everything is closed; never fails.
        """
        Service.stopService(self)  # what else there is to stop, the run stops
        self._started.fail(not_running())
        if self._stopping is None:  # it was never started
            self._is_over = False
            self._stopping = SharedClose(self._end_unstarted)
        return self._stopping.wait()

    def _end_run(self, run: R) -> Deferred[None]:
        ending = run.end().addCallback(lambda _: self._after_run())
        return ending.addBoth(self._ended, run)

    def _end_unstarted(self) -> Deferred[None]:
        return self.connection.close().addBoth(self._ended, None)

    def _after_run(self) -> Deferred[None]:
        """Stop what the run needs until its end."""
        return succeed(None)

    def _ended(self, result: T, run: R | None) -> T:
        if self._run is run:
            self._is_over = True
            self._stopped.fire(None)
        return result

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


def not_running() -> ConnectionClosed:
    """Return the error of what needs a running service."""
    return ConnectionClosed("the service is not running")
