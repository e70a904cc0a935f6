"""The metrics of a service are true."""

from __future__ import annotations

from itertools import product
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parsed
from twisted.internet.defer import Deferred

from txkombu import Consumer, Message, Producer, Queue
from txkombu.core.lifecycle import State
from txkombu.exceptions import Unroutable
from txkombu.monitoring.metrics import REASONS, SECONDS, Metrics, reason_of
from txkombu.policy import drop, reject, retry
from txkombu.service import ConsumerService, PublisherService, consumer
from txkombu.testing import BrokerTestCase

WORK, OTHER = Queue("work"), Queue("other")


class MetricsCase(BrokerTestCase):
    """Has a service that is made with handlers of the test."""

    def serve(self, *handlers: Any) -> ConsumerService:
        """Start a service with metrics and a publisher."""
        self.publisher = PublisherService(self.connect())
        service = ConsumerService(self.connect(), handlers, publisher=self.publisher)
        self.metrics = Metrics(service)
        self.addCleanup(self.stop, service)
        service.startService()
        self.flush()
        return service

    def stop(self, service: ConsumerService) -> None:
        service.stopService()
        self.flush()

    def publish(self, *bodies: object, queue: str = "work") -> None:
        producer = Producer(self.connection, routing_key=queue)
        for body in bodies:
            self.result_of(producer.publish(body))
        self.flush()

    def values(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the values of a metric by its labels, all or these."""
        return {
            tuple(sample.labels[each] for each in labels or sample.labels): sample.value
            for family in parsed(self.metrics.text().decode())
            for sample in family.samples
            if sample.name == name
        }

    def value(self, name: str) -> float:
        """Return the only value of a metric."""
        (value,) = self.values(name).values()
        return value

    @property
    def processed(self) -> dict[str, float]:
        """How many messages have had each outcome, if any."""
        return {
            outcome: value
            for (outcome,), value in self.values(
                "txkombu_processed_total", "outcome"
            ).items()
            if value
        }


class ConsumerTests(MetricsCase):
    """What is counted of consumers."""

    def test_outcomes(self) -> None:
        """Each message counts once as received and once by its outcome."""

        @consumer(WORK)
        def handle(body: str, message: Message) -> object:
            settle: Any = getattr(message, body)
            return settle()

        self.serve(handle)
        self.publish("ack", "ack", "reject", "ack")
        self.assertEqual(self.value("txkombu_received_total"), 4)
        self.assertEqual(self.processed, {"acknowledged": 3, "rejected": 1})
        self.assertEqual(self.value("txkombu_handler_seconds_count"), 4)
        self.assertEqual(self.value("txkombu_failed_attempts_total"), 0)

    def test_labels(self) -> None:
        """Labels are the consumer's name and the queue, of each consumer."""

        @consumer(WORK, OTHER)
        def handle(body: object, message: Message) -> None:
            """Do nothing."""

        self.serve(handle, handle)
        name = handle.__qualname__
        for queue in ("work", "other"):
            self.publish(*range(10), queue=queue)
        found = self.values("txkombu_received_total", "consumer", "queue")
        self.assertEqual(
            set(found),
            {(n, q) for n in (name, f"{name}-2") for q in ("work", "other")},
        )
        self.assertEqual(sum(found.values()), 20)

    def test_retried(self) -> None:
        """A message that is tried again is received once, and each failure counts."""

        class Failing(Consumer):
            queues = WORK
            on_failure = retry(attempts=3, delay=1, factor=1, then=reject)

            def receive(self, body: object, message: Message) -> object:
                raise ValueError(body)

        self.serve(Failing)
        self.publish(1, 2)
        self.assertEqual(self.value("txkombu_retries_waiting"), 2)
        self.assertEqual(self.processed, {})
        self.advance(3)
        self.flushLoggedErrors(ValueError)
        self.assertEqual(self.value("txkombu_received_total"), 2)
        self.assertEqual(self.value("txkombu_failed_attempts_total"), 6)
        self.assertEqual(self.value("txkombu_handler_seconds_count"), 6)
        self.assertEqual(self.value("txkombu_retries_waiting"), 0)
        self.assertEqual(self.processed, {"rejected": 2})

    def test_asynchronous(self) -> None:
        """The time of a handler lasts until its Deferred has fired."""
        waiting: Deferred[None] = Deferred()

        @consumer(WORK)
        async def handle(body: object, message: Message) -> None:
            await waiting

        self.serve(handle)
        self.publish(1)
        self.assertEqual(self.value("txkombu_in_process"), 1)
        self.assertEqual(self.value("txkombu_handler_seconds_count"), 0)
        self.clock.advance(7)
        waiting.callback(None)
        self.flush()
        self.assertEqual(self.value("txkombu_in_process"), 0)
        self.assertEqual(self.value("txkombu_handler_seconds_sum"), 7)
        buckets = self.values("txkombu_handler_seconds_bucket", "le")
        self.assertEqual(buckets["5.0",], 0)
        self.assertEqual(buckets["10.0",], 1)
        self.assertEqual(self.processed, {"acknowledged": 1})

    def test_failing_later(self) -> None:
        """A coroutine that fails counts as failed; its policy decides the outcome."""

        @consumer(WORK, on_failure=drop)
        async def handle(body: object, message: Message) -> None:
            raise ValueError(body)

        self.serve(handle)
        self.publish(1)
        self.flushLoggedErrors(ValueError)
        self.assertEqual(self.value("txkombu_failed_attempts_total"), 1)
        self.assertEqual(self.processed, {"acknowledged": 1})

    def test_not_decodable(self) -> None:
        """What cannot be decoded is received, fails, and has an outcome."""

        @consumer(WORK, on_failure=reject)
        def handle(body: object, message: Message) -> None:
            """Do nothing."""

        self.serve(handle)
        producer = Producer(self.connection, routing_key="work")
        self.result_of(producer.publish(b"{", content_type="application/json"))
        self.flush()
        self.flushLoggedErrors()
        self.assertEqual(self.value("txkombu_received_total"), 1)
        self.assertEqual(self.value("txkombu_failed_attempts_total"), 1)
        self.assertEqual(self.processed, {"rejected": 1})

    def test_generator(self) -> None:
        """The error for a generator names the function, as without metrics."""

        class Wrong(Consumer):
            queues = WORK
            on_failure = retry(1, then=reject)

            def receive(self, body: object, message: Message) -> object:
                return (each for each in "abc")

        self.serve(Wrong)
        self.publish(1)
        (failure,) = self.flushLoggedErrors(TypeError)
        self.assertIn("is @inlineCallbacks missing?", failure.getErrorMessage())
        self.assertIn("of 'work'", failure.getErrorMessage())
        self.assertEqual(self.processed, {"rejected": 1})

    def test_several_at_once(self) -> None:
        """What is settled with a later message counts, and only what had begun."""
        kept: list[Message] = []

        class Batches(Consumer):
            queues = WORK

            def receive(self, body: object, message: Message) -> object:
                kept.append(message)
                return None

        self.serve(Batches)
        self.publish(*range(5))
        self.assertEqual(self.processed, {})
        kept[3].ack(multiple=True)
        kept[4].nack(multiple=True, requeue=False)
        self.flush()
        self.assertEqual(self.processed, {"acknowledged": 4, "rejected": 1})
        self.assertEqual(self.value("txkombu_received_total"), 5)

    def test_undecoded(self) -> None:
        """Messages that go to on_message count as others."""

        class Raw(Consumer):
            queues = WORK

            def on_message(self, message: Message) -> object:
                return message.ack()

        self.serve(Raw)
        self.publish(1, 2)
        self.assertEqual(self.processed, {"acknowledged": 2})
        self.assertEqual(self.value("txkombu_received_total"), 2)

    def test_no_ack(self) -> None:
        """Messages of a consumer with no_ack are acknowledged when they are begun."""

        @consumer(WORK, on_failure=drop)
        def handle(body: object, message: Message) -> None:
            raise ValueError(body)

        def make(channel: Any) -> Consumer:
            return Consumer(
                channel, WORK, no_ack=True, callbacks=[handle], on_failure=drop
            )

        self.serve(make)
        self.publish(1)
        self.flushLoggedErrors(ValueError)
        self.assertEqual(self.processed, {"acknowledged": 1})
        self.assertEqual(self.value("txkombu_failed_attempts_total"), 1)

    def test_lost(self) -> None:
        """What is settled after a loss is stale, and received once more."""
        waiting: list[Deferred[None]] = []

        @consumer(WORK)
        async def handle(body: object, message: Message) -> None:
            waiting.append(Deferred())
            await waiting[-1]

        service = self.serve(handle)
        self.publish(1, 2)
        service.connection.drop()
        self.advance(10)
        self.assertEqual(len(waiting), 4)
        for each in waiting:
            each.callback(None)
        self.flush()
        self.assertEqual(self.value("txkombu_received_total"), 4)
        self.assertEqual(self.processed, {"acknowledged": 2, "stale": 2})

    def test_lost_alone(self) -> None:
        """So is what a consumer held that has lost a connection of its own."""
        waiting: Deferred[None] = Deferred()

        @consumer(WORK)
        async def handle(body: object, message: Message) -> None:
            self.tag = message.consumer_tag
            await waiting

        service = self.serve(handle)
        self.publish(1)
        assert service._run is not None
        unacked = service._run.consumers[0].consumer.channel.core.opener.unacked
        assert unacked is not None
        unacked.lose(self.tag)
        waiting.callback(None)
        self.flush()
        self.assertEqual(self.processed, {"stale": 1})

    def test_recovered(self) -> None:
        """What the program has recovered is not kept, and comes again."""
        kept: list[Message] = []

        class Keeping(Consumer):
            queues = WORK
            prefetch_count = 500

            def receive(self, body: object, message: Message) -> object:
                kept.append(message)
                return None

        service = self.serve(Keeping)
        self.publish(*range(300))
        assert service._run is not None
        hosted = service._run.consumers[0].consumer
        self.result_of(hosted.recover(requeue=True))
        self.flush()
        self.assertEqual(len(kept), 600)
        for message in kept[300:]:
            message.ack()
        self.assertEqual(self.processed, {"acknowledged": 300})

    def test_broker_named_queues(self) -> None:
        """Queues that the broker names share one label, over losses."""

        def make(channel: Any) -> Consumer:
            def handle(body: object, message: Message) -> object:
                return message.ack()

            self.made = Consumer(channel, Queue("", exclusive=True), callbacks=[handle])
            return self.made

        service = self.serve(make)
        for _ in range(3):
            (queue,) = self.made.queues  # type: ignore[misc]  # a list
            self.publish(1, queue=queue.name)
            service.connection.drop()
            self.advance(10)
        found = self.values("txkombu_received_total", "queue")
        self.assertEqual(found, {("other",): 3})


class ServiceTests(MetricsCase):
    """What is told of the service and its connections."""

    def setUp(self) -> None:
        super().setUp()

        @consumer(WORK)
        def handle(body: object, message: Message) -> None:
            """Do nothing."""

        self.service = self.serve(handle)

    def test_states(self) -> None:
        """Exactly one state of each connection is 1, the one that it is in."""
        for is_lost in (False, True):
            if is_lost:
                self.service.connection.drop()
                self.publisher.connection.drop()
            wanted = State.WAITING if is_lost else State.CONNECTED
            found = self.values("txkombu_connection_state", "connection", "state")
            self.assertEqual(len(found), 2 * len(State))
            self.assertEqual(
                {labels for labels, value in found.items() if value},
                {("consumers", wanted.value), ("publisher", wanted.value)},
            )
            self.assertEqual(self.value("txkombu_ready"), not is_lost)
            self.assertEqual(self.value("txkombu_consuming"), not is_lost)

    def test_reconnects(self) -> None:
        """Reconnects count by connection; the first connection is none."""
        for count in range(3):
            self.assertEqual(
                self.values("txkombu_reconnects_total", "connection"),
                {("consumers",): count, ("publisher",): 0},
            )
            self.service.connection.drop()
            self.advance(60)

    def test_stuck(self) -> None:
        """A consumer that is not stuck has 0."""
        self.assertEqual(self.value("txkombu_stuck"), 0)

    def test_last_delivery(self) -> None:
        """The time of the last delivery is there after the first."""
        self.assertEqual(self.values("txkombu_last_delivery_timestamp_seconds"), {})
        self.clock.advance(1000)
        self.publish(1)
        found = self.value("txkombu_last_delivery_timestamp_seconds")
        self.assertEqual(found, self.clock.seconds())

    def test_blocked(self) -> None:
        """While the broker is in alarm, the connection that publishes is blocked."""
        self.publisher.connection.core.reconnector.blocked("no memory")
        self.assertEqual(
            self.values("txkombu_blocked", "connection"),
            {("consumers",): 0, ("publisher",): 1},
        )
        self.publisher.connection.core.reconnector.unblocked()

    def test_published(self) -> None:
        """Publishes and confirms count; those without confirm have no time."""
        for number in range(3):
            self.result_of(self.publisher.publish(number, "nowhere"))
        self.result_of(self.publisher.publish(4, "nowhere", confirm=False))
        self.assertEqual(
            self.values("txkombu_published_total", "connection"),
            {("consumers",): 0, ("publisher",): 4},
        )
        self.assertEqual(
            self.values("txkombu_confirm_seconds_count", "connection"),
            {("consumers",): 0, ("publisher",): 3},
        )
        self.assertEqual(self.value("txkombu_unconfirmed"), 0)

    def test_refused(self) -> None:
        """A publish that fails counts by its reason, and fails as before."""
        publishing = self.publisher.publish(1, "nowhere", mandatory=True)
        self.flush()
        self.failureResultOf(publishing, Unroutable)
        self.assertEqual(
            self.values("txkombu_publish_failures_total", "connection", "reason"),
            {
                labels: float(labels == ("publisher", "unroutable"))
                for labels in product(
                    ("consumers", "publisher"), [reason for _, reason in REASONS]
                )
            },
        )
        self.assertEqual(
            self.values("txkombu_confirm_seconds_count", "connection")["publisher",], 0
        )

    def test_unconfirmed(self) -> None:
        """What waits for its verdict is told, and its time counted afterwards."""
        self.publisher.connection.drop()
        publishing = self.publisher.publish(1, "nowhere")
        self.assertEqual(self.value("txkombu_unconfirmed"), 1)
        self.advance(10)
        self.successResultOf(publishing)
        self.assertEqual(self.value("txkombu_unconfirmed"), 0)
        seconds = self.values("txkombu_confirm_seconds_sum", "connection")
        self.assertGreater(seconds["publisher",], 0.5)

    def test_producers(self) -> None:
        """Producers on the publisher count, those made before the start included."""
        publisher = PublisherService(self.connect())
        early = publisher.producer(routing_key="nowhere")
        service = ConsumerService(self.connect(), self.handler(), publisher=publisher)
        self.metrics = Metrics(service)
        service.startService()
        self.flush()
        self.result_of(early.publish(1))
        self.result_of(Producer(publisher, routing_key="nowhere").publish(1))
        published = self.values("txkombu_published_total", "connection")
        self.assertEqual(published["publisher",], 2)
        self.stop(service)

    def handler(self) -> Any:
        @consumer(OTHER)
        def handle(body: object, message: Message) -> None:
            """Do nothing."""

        return handle

    def test_another_start(self) -> None:
        """Counts go on after a stop and a start."""
        self.publish(1)
        self.result_of(self.publisher.publish(1, "nowhere"))
        self.stop(self.service)
        self.service.startService()
        self.flush()
        self.publish(1)
        self.result_of(self.publisher.publish(1, "nowhere"))
        self.assertEqual(self.value("txkombu_received_total"), 2)
        published = self.values("txkombu_published_total", "connection")
        self.assertEqual(published["publisher",], 2)

    def test_later(self) -> None:
        """Metrics of a service that runs already count from then on."""
        service = ConsumerService(self.connect(), self.handler())
        service.startService()
        self.flush()
        self.publish(1, queue="other")
        self.metrics = Metrics(service)
        self.publish(1, 2, queue="other")
        self.assertEqual(self.value("txkombu_received_total"), 2)
        self.stop(service)


class BoundTests(MetricsCase):
    """The number of series does not grow."""

    def series(self) -> set[str]:
        """Return what ours are called, with their labels."""
        text = self.metrics.text().decode()
        named = (each.rpartition(" ")[0] for each in text.splitlines())
        return {each for each in named if each.startswith("txkombu_")}

    def test_bound(self) -> None:
        """Routing keys, error texts and losses make no more series."""

        @consumer(WORK, on_failure=reject)
        async def handle(body: int, message: Message) -> None:
            await self.publisher.publish(body, f"key-{body}")
            if body % 2:
                raise ValueError(body)

        service = self.serve(handle)
        self.publish(0)
        before = self.series()
        for number in range(1, 50):
            self.publish(number)
        service.connection.drop()
        self.advance(10)
        self.publish(50, 51)
        self.flushLoggedErrors(ValueError)
        self.assertEqual(self.series(), before)
        self.assertEqual([each for each in before if "_created" in each], [])
        self.assertNotIn("key-", self.metrics.text().decode())


class ReasonTests(MetricsCase):
    """Why publishes fail."""

    def test_reasons(self) -> None:
        """Each kind of error has its reason, and any other is refused."""
        self.serve(self.handler)
        for kind, reason in REASONS:
            self.assertEqual(reason_of(kind.__new__(kind)), reason)
        self.assertEqual(reason_of(KeyError()), "refused")
        self.assertEqual(reason_of(None), "refused")

    @staticmethod
    @consumer(WORK)
    def handler(body: object, message: Message) -> None:
        """Do nothing."""

    def test_buckets(self) -> None:
        """The histograms' buckets grow."""
        self.assertEqual(sorted(SECONDS), list(SECONDS))
