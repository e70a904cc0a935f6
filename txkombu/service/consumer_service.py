"""ConsumerService: the Twisted service that hosts consumers."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.reflect import safe_repr

from .._util.awaitables import as_exception
from .._util.validation import kind_of
from ..connection import BrokerConnection
from ..messaging.consumer import Consumer
from .broker_service import SHUTDOWN_TIMEOUT, BrokerService
from .handlers import with_publisher
from .health import ConnectionHealth, ServiceHealth, ServiceObserver, names_of
from .hosted_consumer import Hostable, HostedConsumer, check_factory
from .publisher_service import PublisherService
from .run import ServiceRun


class ConsumerService(BrokerService[ServiceRun]):
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
    @param consumers: one or several: L{Consumer<txkombu.Consumer>} subclasses,
        handlers with C{@consumer(Queue(...))} above them, or functions that take a
        channel and return a consumer.
    @param reactor: the reactor of the connection to a URL; by default the global one.
    @param shutdown_timeout: seconds that running handlers have to finish when the
        service stops; default 30.
    @param publisher: what handlers publish with: those that have a parameter
        C{publisher}, be they functions, or classes and functions that make consumers.
        It is started before the consumers, and stopped after them, unless this service
        is its child, which it stops itself.
    @ivar connection: the connection of its consumers; after each stop a new one.
    @ivar halted: the error that halted it, or None.
    @raise InvalidURL: the URL cannot be parsed.
    @raise TypeError: one of the consumers is not one, or has a parameter C{publisher}
        and there is none.
    @raise ValueError: there are no consumers.
    """

    purpose = "consumers"

    def __init__(
        self,
        broker: BrokerConnection | str,
        consumers: Hostable | Iterable[Hostable],
        reactor: IReactorTime | None = None,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
        publisher: PublisherService | None = None,
    ) -> None:
        # Subclasses, such as the plugin's, log by the name that users know.
        log = Logger(f"{__name__}.ConsumerService", self)
        super().__init__(broker, reactor, shutdown_timeout, log)
        listed: list[object] = [consumers] if callable(consumers) else list(consumers)
        self._factories = [
            with_publisher(
                check_factory(repr(each) if callable(each) else kind_of(each), each),
                publisher,
            )
            for each in listed
        ]
        self._publisher = publisher
        if not self._factories:
            raise ValueError("a ConsumerService needs at least one consumer")

    @property
    def consuming(self) -> bool:
        """Whether every consumer receives from all its queues."""
        return self._run is not None and self._run.consuming

    @property
    def health(self) -> ServiceHealth:
        """
        What the service, its consumers and its publisher do now.

        The first look has the consumers note from then on when they begin with a
        message.
        """
        for each in self._hosted:
            each.note_deliveries()
        return self.glance()

    def glance(self) -> ServiceHealth:
        """Tell the same as L{health}, without having them note anything."""
        publisher = self._publisher
        return ServiceHealth(
            bool(self.running),
            self.halted,
            ConnectionHealth.of(self.connection),
            self.consuming,
            tuple(each.glance() for each in self._hosted),
            None if publisher is None else publisher.health,
            self.last_error,
        )

    def observe(self, observer: ServiceObserver) -> None:
        """
        Have something see how the service, its consumers and its publisher work.

        @param observer: called with its connections and consumers now, and with each
            new one.
        """
        super().observe(observer)
        if self._publisher is not None:
            self._publisher.observe(observer)
        for each in self._hosted:
            each.observe(observer)

    @property
    def stuck(self) -> list[Consumer]:
        """
        The consumers that get no message, as all that they may hold wait for a retry.
        """
        return [each.consumer for each in self._hosted if each.consumer.is_stuck]

    @property
    def _hosted(self) -> list[HostedConsumer]:
        return [] if self._run is None else self._run.consumers

    def startService(self) -> None:
        """Begin to connect and to consume; return at once."""
        publisher = self._publisher
        if publisher is None or self.running:
            super().startService()
            return
        publisher.startService()
        super().startService()
        # Last, as it may have halted at once.
        publisher.when_stopped().addCallback(self._publisher_stopped, publisher)

    def _publisher_stopped(self, _: object, publisher: PublisherService) -> None:
        if self.running and publisher.halted is not None:
            self.halt(publisher.halted)

    def _new_run(self) -> ServiceRun:
        return ServiceRun(
            self.connection,
            self._timeout,
            lambda: self._started.fire(None),
            self.halt,
        )

    def _equip(self, run: ServiceRun) -> None:
        for factory in self._factories:
            try:
                run.consumers.append(HostedConsumer(self.connection, factory))
            except BaseException as error:
                name = safe_repr(factory)
                cause = as_exception(error, name)
                text = "{factory} makes no consumer: {error}"
                self._log.critical(text, factory=name, error=str(cause))
                raise cause from cause.__cause__
        self._name_consumers(run)

    def _name_consumers(self, run: ServiceRun) -> None:
        names = names_of(each.consumer for each in run.consumers)
        for name, each in zip(names, run.consumers, strict=True):
            each.call(name)
            if self._observer is not None:
                each.observe(self._observer)

    def stopService(self) -> Deferred[None]:
        """
        Stop in order: cancel the consumers, hand back messages whose handlers have not
        begun, let running handlers finish within the C{shutdown_timeout}, settle, and
        close the connection; then stop the publisher.  Every wait has a timeout.

        @return: fires when everything is closed; never fails.
        """
        return super().stopService()

    def _after_run(self) -> Deferred[None]:
        if self._publisher is None or self.running:  # it was started again meanwhile
            return succeed(None)
        if self._is_below(self._publisher):  # which waits for this service
            return succeed(None)
        return self._publisher.stopService()

    def _is_below(self, service: Service) -> bool:
        """Return whether a service is the parent of this one, or the parent's, …"""
        parent = self.parent
        while parent is not None and parent is not service:
            parent = getattr(parent, "parent", None)  # an application has none
        return parent is not None
