"""The metrics of a service on RabbitMQ are true, over AMQP and over STOMP."""

from __future__ import annotations

from collections import Counter
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families as parsed
from prometheus_client.samples import Sample
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tests.conformance.suite import Conformance, program
from tests.support.fault_proxy import FaultProxy
from tests.support.rabbitmq import HOST, rabbitmq
from txkombu import Consumer, Message
from txkombu.core.channel import Channel
from txkombu.monitoring import MonitoringService
from txkombu.policy import retry
from txkombu.service import ConsumerService, PublisherService

COUNT = 1000
"""How many messages there are."""
CUTS = 3
"""How often the connection is lost."""


class MetricsTests(Conformance):
    """
    Over the native transport.

    @cvar scheme: of the URL.
    """

    scheme = "amqp"

    def setUp(self) -> None:
        self.url = rabbitmq().url
        super().setUp()
        self.proxy = FaultProxy(reactor, self.broker_port())
        self.addCleanup(self.proxy.stop)
        self.target = self.queue()
        self.truth: Counter[str] = Counter()
        self.over: set[object] = set()
        self.all_over: Deferred[None] = Deferred()

    def broker_port(self) -> int:
        """Return the port of the broker for the transport."""
        return rabbitmq().amqp_port

    def make(self, channel: Channel) -> Consumer:
        """Make the consumer whose messages are counted."""
        return Consumer(
            channel,
            self.target,
            callbacks=[self.handle],
            prefetch_count=50,
            on_failure=retry(delay=0.01, max_delay=0.01),
        )

    async def handle(self, number: int, message: Message) -> None:
        """Fail with some, reject some, and note what was done."""
        if not message.failures:
            self.truth["received"] += 1
        await self.pause(0.01)
        if number % 10 == 3 and not message.failures:
            self.truth["failed"] += 1
            self.truth["handled"] += 1
            # It is not tried again here, but handed back, to nobody.
            self.truth["stale"] += message.is_back
            raise ValueError(number)
        self.truth["handled"] += 1
        settled = "rejected" if number % 50 == 7 else "acknowledged"
        self.truth["stale" if message.is_back else settled] += 1
        await (message.reject() if number % 50 == 7 else message.ack())
        self.over.add(number)
        if len(self.over) == COUNT and not self.all_over.called:
            self.all_over.callback(None)

    async def ask(self, port: int) -> list[Sample]:
        """Return the values of all metrics, with their names and labels."""

        def get() -> str:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
                return str(answer.read().decode())

        families = parsed(await deferToThread(get))
        return [sample for family in families for sample in family.samples]

    @program
    async def test_true(self) -> None:
        """After failures, losses and reconnects they are what the handler has seen."""
        publisher = PublisherService(self.url, reactor=self.clock)
        url = f"{self.scheme}://guest:guest@{HOST}:{self.proxy.port}"
        service = ConsumerService(
            url, self.make, reactor=self.clock, publisher=publisher
        )
        monitoring = MonitoringService(service, "tcp:0:interface=127.0.0.1")
        service.startService()
        monitoring.startService()
        assert monitoring.port is not None
        place = monitoring.port.getHost()
        assert isinstance(place, IPv4Address)
        try:
            await service.when_started()
            producer = publisher.producer(routing_key=self.target.name)
            publishing = producer.publish_all(range(COUNT))
            for cut in range(1, CUTS + 1):
                while self.truth["received"] < cut * COUNT // (CUTS + 1):
                    await self.pause(0.01)
                self.proxy.cut()
                while service.health.connection.reconnects < cut:
                    await self.pause(0.01)
            await publishing
            await self.all_over
            while service.health.consumers[0].running:
                await self.pause(0.01)
            await self.pause(0.2)
            found = await self.ask(place.port)
        finally:
            stopping = monitoring.stopService()
            await service.stopService()
            await stopping
        self.flush_failures()
        self.check(found)

    def flush_failures(self) -> None:
        """Take the logged failures of the handler."""
        self.flushLoggedErrors(ValueError)

    def check(self, found: list[Sample]) -> None:
        """Compare metrics with what the handler has noted."""

        def value(name: str, **labels: str) -> float:
            fitting = [
                each.value
                for each in found
                if each.name == f"txkombu_{name}"
                and labels.items() <= each.labels.items()
            ]
            self.assertEqual(len(fitting), 1, (name, labels))
            return fitting[0]

        truth = self.truth
        outcomes = ("acknowledged", "rejected", "stale", "requeued")
        self.assertGreaterEqual(truth["received"], COUNT)
        self.assertGreaterEqual(truth["failed"], COUNT // 10)
        self.assertEqual(
            {each: value("processed_total", outcome=each) for each in outcomes},
            {each: truth[each] for each in outcomes},
        )
        self.assertEqual(value("received_total"), truth["received"])
        self.assertEqual(value("failed_attempts_total"), truth["failed"])
        self.assertEqual(value("reconnects_total", connection="consumers"), CUTS)
        self.assertEqual(value("reconnects_total", connection="publisher"), 0)
        self.assertEqual(value("published_total", connection="publisher"), COUNT)
        confirmed = value("confirm_seconds_count", connection="publisher")
        self.assertEqual(confirmed, COUNT)
        self.assertEqual(value("ready"), 1)
        self.assertEqual(value("in_process"), 0)
        self.assertEqual(value("retries_waiting"), 0)
        handled = value("handler_seconds_count")
        self.assertEqual(handled, truth["handled"])
        self.assertGreaterEqual(value("handler_seconds_sum"), handled * 0.009)


class TxAMQPTests(MetricsTests):
    """Over txAMQP."""

    scheme = "txamqp"


class StompTests(MetricsTests):
    """Over STOMP, where the consumer has a connection of its own."""

    scheme = "stomp"

    def broker_port(self) -> int:
        """Return the port of the broker for STOMP."""
        return rabbitmq().stomp_port
