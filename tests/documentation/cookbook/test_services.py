"""The recipes of services that consume and publish."""

from __future__ import annotations

import os
from gc import collect
from importlib.util import find_spec

import attrs
from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import IServiceCollection, MultiService
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.logger import LogLevel, capturedLogs
from twisted.web.server import Site

from tests.documentation.cookbook.recipe import BROKER, RecipeCase
from txkombu import BrokerConnection, Producer
from txkombu.configuration import read_file
from txkombu.exceptions import NotSentInTime
from txkombu.policy import delayed, retry
from txkombu.service import ConsumerService
from txkombu.transport.memory import broker_named


class WorkQueueTests(RecipeCase):
    """work-queue.rst"""

    page = "work-queue.rst"

    async def test_done(self) -> None:
        """What one program enqueues, the worker does."""
        await self.load("enqueue").main(reactor, "cat.png", "dog.png")
        worker = self.load("worker")
        done: list[str] = []

        def convert(image: str) -> Deferred[None]:
            done.append(image)
            return succeed(None)

        worker.convert = convert
        self.start(ConsumerService(BROKER, worker.make_thumbnail))
        await self.until(lambda: len(done) == 2, "both were done")
        self.assertEqual(done, ["cat.png", "dog.png"])

    async def test_parked(self) -> None:
        """What keeps failing is parked after all attempts, other jobs at once."""
        worker = self.load("worker")
        attempts: list[str] = []

        def convert(image: str) -> None:
            attempts.append(image)
            raise OSError("the disk is full")

        worker.convert = convert
        self.assertEqual(
            worker.policy,
            retry(attempts=3, delay=1, then=worker.later),
            "the numbers of the page",
        )
        quick = delayed(attempts=4, delays=[0.01, 0.02, 0.03], park="thumbnails.parked")
        factory = worker.make_thumbnail.consumer_factory
        options = {**factory.options, "on_failure": retry(3, delay=0.01, then=quick)}
        make = attrs.evolve(factory, options=options)
        service = ConsumerService(BROKER, make)
        self.start(service)
        await service.when_started()
        async with BrokerConnection(BROKER) as connection:
            jobs = Producer(connection, routing_key="thumbnails")
            await jobs.publish({"image": "cat.png"})
            message = await self.take("thumbnails.parked")
            self.assertEqual(message.payload, {"image": "cat.png"})
            self.assertEqual(len(attempts), 12)
            await jobs.publish({})
            message = await self.take("thumbnails.parked")
            self.assertEqual(message.payload, {})
        self.assertEqual(len(attempts), 12)
        self.flushLoggedErrors(OSError)


class ApplicationTests(RecipeCase):
    """application.rst"""

    page = "application.rst"

    async def test_shop(self) -> None:
        """An order becomes a mail; it stops in order."""
        with capturedLogs() as logs:
            consumers = self.run_tac("shop.tac")["consumers"]
            self.start(consumers)
            await consumers.when_started()
            async with BrokerConnection(BROKER) as connection:
                shop = Producer(connection, "shop", auto_declare=False)
                await shop.publish({"id": 7, "cents": 300}, "order.new")
            await self.until(
                lambda: [each for each in logs if each.get("order") == 7],
                "the invoice was mailed",
            )
            self.assertIn("until", (await self.take("minutes")).payload)
            await consumers.stopService()
        closed = [
            type(each["log_source"]).__name__
            for each in logs
            if "closed" in each["log_format"]
        ]
        self.assertEqual(closed, ["ServiceRun", "PublisherRun"])
        self.assertEqual(broker_named("cookbook").sessions, [])


class StoppingTests(RecipeCase):
    """stopping.rst"""

    page = "stopping.rst"

    async def test_in_order(self) -> None:
        """A stop ends what was begun: what got a 202 is in the results, or waits."""
        address = self.listen()
        service = self.load("pipeline").pipeline(reactor, BROKER, os.environ["LISTEN"])
        self.start(service)
        await service.when_started()
        for number in range(8):
            code, *_ = await self.request("POST", address, str(number).encode())
            self.assertEqual(code, 202)
        broker = broker_named("cookbook")
        await self.until(lambda: broker.queue("uploads").consumers, "it consumed")
        await service.stopService()
        self.assertEqual(broker.sessions, [])
        waiting = [
            each.body
            for name in ("uploads", "results")
            for each in broker.queue(name).waiting
        ]
        self.assertEqual(sorted(waiting), [str(each).encode() for each in range(8)])
        self.assertGreaterEqual(len(broker.queue("results").waiting), 5)


class _Slow:
    """
    A publisher that gets no verdict.

    @ivar waiting: what its publishes returned.
    """

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []

    def publish(self, body: bytes, *args: object, **options: object) -> Deferred[None]:
        """Publish a message."""
        self.waiting.append(Deferred())
        return self.waiting[-1]


class UploadTests(RecipeCase):
    """The web server of stopping.rst"""

    page = "stopping.rst"

    def setUp(self) -> None:
        super().setUp()
        self.address = self.listen()
        self.publisher = _Slow()
        web = StreamServerEndpointService(
            serverFromString(reactor, os.environ["LISTEN"]),
            Site(self.load("pipeline").Upload(self.publisher)),
        )
        self.start(web)

    async def test_client_went_away(self) -> None:
        """A client that does not wait ends its publish, which is no error."""
        posting = self.begin(self.request("POST", self.address, b"1"))
        await self.until(lambda: self.publisher.waiting, "it was posted")
        with capturedLogs() as logs:
            posting.addErrback(lambda _: None).cancel()
            waiting = self.publisher.waiting
            await self.until(lambda: waiting[0].called, "it was cancelled")
            waiting.clear()
            collect()  # tells of failures that nobody took
        bad = [each for each in logs if each["log_level"] >= LogLevel.warn]
        self.assertEqual(bad, [])

    async def test_not_published(self) -> None:
        """A client that waits is told that its body was not published."""
        posting = self.begin(self.request("POST", self.address, b"1"))
        await self.until(lambda: self.publisher.waiting, "it was posted")
        self.publisher.waiting[0].errback(NotSentInTime("publish", 5, "no broker"))
        code, *_ = await posting
        self.assertEqual(code, 503)


class HealthTests(RecipeCase):
    """health.rst"""

    if find_spec("prometheus_client") is None:
        skip = "prometheus_client is not installed"

    page = "health.rst"

    async def test_told(self) -> None:
        """It tells whether it is ready, and the metrics of the program."""
        address = self.listen()
        shown = self.run_tac("health.tac")
        from prometheus_client import REGISTRY

        self.addCleanup(REGISTRY.unregister, shown["cents"])
        application = MultiService()
        for each in list(IServiceCollection(shown["application"])):
            each.setServiceParent(application)  # an application itself is not stopped
        self.start(application)
        await shown["service"].when_started()
        async with BrokerConnection(BROKER) as connection:
            await Producer(connection).publish({"cents": 300}, "signups")
        queue = broker_named("cookbook").queue("signups")
        await self.until(
            lambda: [each.held for each in queue.consumers] == [0], "it was handled"
        )
        code, *_ = await self.request("GET", f"{address}/ready")
        self.assertEqual(code, 200)
        _, text, _ = await self.request("GET", f"{address}/metrics")
        self.assertIn("signups_cents_total 300.0", text)
        self.assertIn("txkombu_processed_total{", text)
        shown["service"].connection.drop()
        code, *_ = await self.request("GET", f"{address}/ready")
        self.assertEqual(code, 503)
        code, *_ = await self.request("GET", f"{address}/live")
        self.assertEqual(code, 200)


class ThreadTests(RecipeCase):
    """threads.rst"""

    page = "threads.rst"

    async def test_report(self) -> None:
        """A thread does the work, and publishes what it found."""
        plan = read_file("reports.yaml", BROKER)
        service = ConsumerService(
            plan.connection, plan.consumers, publisher=plan.publisher
        )
        self.start(service)
        await service.when_started()
        async with BrokerConnection(BROKER) as connection:
            producer = Producer(connection, routing_key="reports")
            await producer.publish({"words": ""})
            await producer.publish({"words": "one two"})
        message = await self.take("reports.done")
        self.assertEqual(message.payload, {"report": 2})

    async def test_sensor(self) -> None:
        """A thread of the program publishes, and ends with the program."""
        publisher = self.run_tac("sensor.tac")["publisher"]
        self.start(publisher)
        self.assertIn("at", (await self.take("readings")).payload)
        await publisher.stopService()
        [sensor] = publisher
        self.assertTrue(sensor.reading.called)
