"""The metrics of a service, by prometheus_client: counters, and values when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import attrs
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.python.failure import Failure

from .. import __version__
from .._util.awaitables import work_of
from .._util.steady_clock import steady
from ..connection import BrokerConnection
from ..core.interfaces import Publish
from ..core.lifecycle import State
from ..core.publish_queue import PublishRequest
from ..exceptions import (
    BackpressureError,
    Nacked,
    NotSent,
    OperationTimeout,
    OutcomeUnknown,
    Unroutable,
)
from ..message import Message
from ..messaging.consumer import Consumer
from ..messaging.dispatcher import Handler
from ..service import ConsumerService
from ..service.health import ConnectionHealth, ServiceHealth, queues_of
from .settlements import Settlements

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST.encode()
"""What L{Metrics.text} is."""

SECONDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0)
"""The upper ends of the histograms' buckets."""

OTHER: Final = "other"
"""The label of queues whose names were made up by the broker, or came later."""

REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (Unroutable, "unroutable"),
    (Nacked, "nacked"),
    (OperationTimeout, "timeout"),
    (NotSent, "not_sent"),
    (OutcomeUnknown, "outcome_unknown"),
    (BackpressureError, "backpressure"),
    (Exception, "refused"),
)
"""Why a publish may fail, and its label; the first that fits."""

OUTCOMES: Final = ("acknowledged", "rejected", "requeued", "stale")
"""How a message was settled; stale is too late, so that it is delivered again."""

Now = Callable[[], float]

_CONSUMER: Final = ("consumer", "queue")


@attrs.frozen
class QueueCounts:
    """
    What is counted of one queue of one consumer.

    @ivar received: the messages that its handler began with.
    @ivar failed: the times that handling one failed.
    @ivar seconds: how long handling them took.
    @ivar settled: those that were settled, by outcome.
    """

    received: Counter
    failed: Counter
    seconds: Histogram
    settled: dict[str, Counter]


class ShortRegistry(CollectorRegistry):
    """A registry that does not tell when each counter was made."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, without that."""
        for each in super().collect():
            told = each.samples
            each.samples = [one for one in told if not one.name.endswith("_created")]
            yield each


class Metrics(Collector):
    """
    Counts what a service does, from now on; see L{ServiceObserver}.

    Labels are the names of hosted consumers, of their queues, of connections by their
    purpose, and a few words: their number does not grow while the program runs.

    @param service: the service.
    """

    def __init__(self, service: ConsumerService) -> None:
        self._service = service
        registry = self._registry = ShortRegistry()
        self._received = Counter(
            "txkombu_received",
            "Messages that a handler began with; each counts once, retried or not.",
            _CONSUMER,
            registry=registry,
        )
        self._processed = Counter(
            "txkombu_processed",
            "Received messages that were settled, by how.",
            (*_CONSUMER, "outcome"),
            registry=registry,
        )
        self._failed = Counter(
            "txkombu_failed_attempts",
            "Times that the handling of a message failed.",
            _CONSUMER,
            registry=registry,
        )
        self._handler_seconds = Histogram(
            "txkombu_handler_seconds",
            "Seconds from the beginning of a handler to its end, failed ones included.",
            _CONSUMER,
            buckets=SECONDS,
            registry=registry,
        )
        self._published = Counter(
            "txkombu_published",
            "Messages that were given to be published.",
            ("connection",),
            registry=registry,
        )
        self._refused = Counter(
            "txkombu_publish_failures",
            "Messages whose publish failed, by why.",
            ("connection", "reason"),
            registry=registry,
        )
        self._confirm_seconds = Histogram(
            "txkombu_confirm_seconds",
            "Seconds from the call of publish to the broker's confirm.",
            ("connection",),
            buckets=SECONDS,
            registry=registry,
        )
        registry.register(self)
        service.observe(self)

    def text(self) -> bytes:
        """
        Return all metrics in Prometheus' text format: the service's, and those in the
        global registry, such as the process's and the program's own.
        """
        return generate_latest(self._registry) + generate_latest(REGISTRY)

    # --- values when asked --------------------------------------------------

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield what the service tells of itself now."""
        health = self._service.health
        info = GaugeMetricFamily("txkombu_info", "The version.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield GaugeMetricFamily(
            "txkombu_ready",
            "1 if the service does its work, as /ready tells.",
            value=not health.reasons,
        )
        yield from self._of_consumers(health)
        connections = {"consumers": health.connection}
        if health.publisher is not None:
            connections["publisher"] = health.publisher.connection
            yield GaugeMetricFamily(
                "txkombu_unconfirmed",
                "Messages that were published and have no verdict yet.",
                value=health.publisher.unconfirmed,
            )
        yield from _of_connections(connections)

    def _of_consumers(self, health: ServiceHealth) -> Iterator[Metric]:
        make = partial(GaugeMetricFamily, labels=["consumer"])
        consuming = make(
            "txkombu_consuming", "1 if the consumer receives from all its queues."
        )
        running = make("txkombu_in_process", "Messages that are being handled.")
        retrying = make(
            "txkombu_retries_waiting",
            "Failed messages that are held until they are tried again.",
        )
        stuck = make(
            "txkombu_stuck",
            "1 if the consumer gets no message, as all that it may hold wait for a "
            "retry.",
        )
        last = make(
            "txkombu_last_delivery_timestamp_seconds",
            "When the handler last began with a message.",
        )
        for each in health.consumers:
            labels = [each.name]
            consuming.add_metric(labels, each.consuming)
            running.add_metric(labels, each.running)
            retrying.add_metric(labels, each.retrying)
            stuck.add_metric(labels, each.stuck)
            if each.last_delivery is not None:
                last.add_metric(labels, each.last_delivery)
        yield from (consuming, running, retrying, stuck, last)

    # --- ServiceObserver ----------------------------------------------------

    def watch_connection(self, purpose: str, connection: BrokerConnection) -> None:
        """Count the publishes on a connection."""
        now = steady(connection.clock).seconds
        around = partial(self._around_publish, purpose, now)
        connection.core.observe_publishes(around)

    def watch_consumer(self, name: str, consumer: Consumer) -> None:
        """Count the messages of a consumer."""
        # From 0 on, since Prometheus does not see the first step of a new series.
        counts = {
            queue: self._counts(name, queue) for queue in queues_of(consumer) if queue
        }
        if not counts:
            counts[OTHER] = self._counts(name, OTHER)
        now = steady(consumer.channel.core.connection.clock).seconds
        consumer.observe_handling(partial(self._around_handler, name, counts, now))

    def _counts(self, name: str, queue: str) -> QueueCounts:
        return QueueCounts(
            self._received.labels(name, queue),
            self._failed.labels(name, queue),
            self._handler_seconds.labels(name, queue),
            {each: self._processed.labels(name, queue, each) for each in OUTCOMES},
        )

    # --- consuming ----------------------------------------------------------

    def _around_handler(
        self, name: str, counts: dict[str, QueueCounts], now: Now, handle: Handler
    ) -> Handler:
        def counts_of(queue: str) -> QueueCounts:
            found = counts.get(queue) or counts.get(OTHER)
            if found is None:
                found = counts[OTHER] = self._counts(name, OTHER)
            return found

        def settled(queue: str, outcome: str) -> None:
            counts_of(queue).settled[outcome].inc()

        settlements = Settlements(settled)

        def observed(message: Message) -> object:
            counted = counts_of(message.queue_name)
            if not message.failures:
                counted.received.inc()
                if message.no_ack:
                    counted.settled["acknowledged"].inc()
                settlements.watch(message)
            began = now()

            def ended(result: Any) -> Any:
                if isinstance(result, Failure):
                    counted.failed.inc()
                counted.seconds.observe(now() - began)
                return result

            try:
                result = handle(message)
                work = None if result is None else work_of(result, handle)
            except BaseException:
                ended(Failure())
                raise
            return ended(result) if work is None else work.addBoth(ended)

        return observed

    # --- publishing ---------------------------------------------------------

    def _around_publish(self, purpose: str, now: Now, publish: Publish) -> Publish:
        published = self._published.labels(purpose)
        confirm_seconds = self._confirm_seconds.labels(purpose)
        refused = {each: self._refused.labels(purpose, each) for _, each in REASONS}

        def observed(request: PublishRequest) -> Any:
            published.inc()
            began = now()

            def told(result: Any) -> Any:
                if isinstance(result, Failure):
                    refused[reason_of(result.value)].inc()
                elif request.confirm:
                    confirm_seconds.observe(now() - began)
                return result

            return publish(request).addBoth(told)

        return observed


def reason_of(error: object) -> str:
    """Return the label of why a publish failed."""
    for kind, reason in REASONS:
        if isinstance(error, kind):
            return reason
    return "refused"


def _of_connections(connections: dict[str, ConnectionHealth]) -> Iterator[Metric]:
    state = GaugeMetricFamily(
        "txkombu_connection_state",
        "1 for the state that the connection is in.",
        labels=["connection", "state"],
    )
    blocked = GaugeMetricFamily(
        "txkombu_blocked",
        "1 while the broker takes no messages (RabbitMQ's alarms).",
        labels=["connection"],
    )
    reconnects = CounterMetricFamily(
        "txkombu_reconnects",
        "Times that a lost session was replaced by another.",
        labels=["connection"],
    )
    for purpose, health in connections.items():
        for each in State:
            state.add_metric([purpose, each.value], each is health.state)
        blocked.add_metric([purpose], bool(health.blocked_reason))
        reconnects.add_metric([purpose], health.reconnects)
    yield from (state, blocked, reconnects)
