"""PublisherService: the Twisted service that a program publishes through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    maybeDeferred,
)
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .._util.validation import check_callable
from ..connection import BrokerConnection
from ..core.channel import Channel
from ..messaging.middleware import PublishMiddleware
from ..messaging.producer import Producer
from .broker_service import SHUTDOWN_TIMEOUT, BrokerService
from .health import ConnectionHealth, PublisherHealth
from .publisher_run import PublisherRun


class PublisherService(BrokerService[PublisherRun], MultiService):
    """
    Keeps a connection to publish on, and loses no verdict when it stops.

    Starting does not wait for the broker, and does not fail without one: the service
    tries again with growing waits.  What is published before there is a connection,
    even before the start, waits until its deadline.

    A L{Producer} can be made on the service as on a connection: C{Producer(service)}.

    Services that publish through it may be its children, by C{setServiceParent}.  They
    are started with it; when it stops, they are stopped first, and can still publish
    until they have stopped.

    A transport whose library is not installed halts the service: it stops, sets
    L{halted} and logs the error.

    @param broker: a URL, or a connection, which the service closes when it stops.
    @param reactor: the reactor of the connection to a URL; by default the global one.
    @param shutdown_timeout: seconds that, when the service stops, its children have to
        stop, and the broker has to confirm what was published; default 30.
    @param middleware: functions around each publish, as for L{Producer}, of C{publish}
        and of the producers that C{producer} makes.
    @ivar connection: the connection that it publishes on; after each stop a new one.
    @ivar halted: the error that halted it, or None.
    @raise InvalidURL: the URL cannot be parsed.
    """

    purpose = "publisher"

    def __init__(
        self,
        broker: BrokerConnection | str,
        reactor: IReactorTime | None = None,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
        middleware: Sequence[PublishMiddleware] = (),
    ) -> None:
        log = Logger(f"{__name__}.PublisherService", self)
        super().__init__(broker, reactor, shutdown_timeout, log)
        self._middleware = [
            check_callable("a middleware", each, 3) for each in middleware
        ]
        self._producer: Producer | None = None
        self.connection.core.hold()

    # --- publishing ---------------------------------------------------------

    @property
    def unconfirmed(self) -> int:
        """The number of messages that were published and have no verdict yet."""
        return self.connection.core.unconfirmed

    @property
    def health(self) -> PublisherHealth:
        """What it does now."""
        connection = ConnectionHealth.of(self.connection)
        return PublisherHealth(connection, self.unconfirmed)

    def publish(self, body: object, *args: Any, **options: Any) -> Deferred[None]:
        """
        Publish one message, to the default exchange unless C{exchange} is given.

        @param body: as for L{Producer.publish}.
        @param args: as for L{Producer.publish}.
        @param options: as for L{Producer.publish}.
        @return: as of L{Producer.publish}; fails with L{ConnectionClosed} while the
            service stops, and when it has stopped.
        """
        if self._producer is None:
            self._producer = self.producer()
        return self._producer.publish(body, *args, **options)

    def producer(self, *args: Any, **options: Any) -> Producer:
        """
        Make a producer with a channel of its own, which the service closes when it
        stops.

        @param args: as for L{Producer}, without the channel.
        @param options: as for L{Producer}.
        """
        options.setdefault("middleware", self._middleware)
        return Producer(self, *args, **options)

    def lend_channel(self) -> tuple[Channel, bool]:
        """
        Make a channel that opens when it is first used; for producers.

        @return: the channel, and that its user may close it.
        """
        return self.connection.lend_channel()

    # --- starting and stopping ----------------------------------------------

    def _new_run(self) -> PublisherRun:
        return PublisherRun(
            self.connection,
            self._timeout,
            lambda: self._started.fire(None),
            self.halt,
            self._stop_children,
        )

    def _replace_connection(self) -> None:
        super()._replace_connection()
        self.connection.core.hold()
        self._producer = None

    def _stop_children(self) -> Deferred[Any]:
        """Stop the children at the same time, as MultiService does; never fail."""

        def failed(failure: Failure, child: Service) -> None:
            if not failure.check(CancelledError):  # after a timeout
                self._log.failure("Stopping {child!r} failed", failure, child=child)

        stops = [
            maybeDeferred(child.stopService).addErrback(failed, child)
            for child in reversed(self.services)
        ]
        return DeferredList(stops)

    def stopService(self) -> Deferred[None]:
        """
        Stop in order: stop its children, accept no further messages, wait for the
        verdicts on those that were published, over a reconnect too, and close the
        connection.  Every wait has a timeout.

        @return: fires when everything is closed; never fails.
        """
        return super().stopService()
