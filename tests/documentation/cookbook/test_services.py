"""The recipes of services that consume and publish."""

from __future__ import annotations

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs

from tests.documentation.cookbook.recipe import BROKER, RecipeCase
from txkombu import BrokerConnection, Producer
from txkombu.policy import delayed, retry
from txkombu.service import ConsumerService
from txkombu.transport.memory import broker_named


class WorkQueueTests(RecipeCase):
    """work-queue.rst"""

    page = "work-queue"

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
        quick = delayed(
            attempts=4, delays=[0.01, 0.02, 0.03], park="thumbnails.parked"
        )
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

    page = "application"

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
            self.assertIn("until", (await self.take("reports")).payload)
            await consumers.stopService()
        closed = [
            type(each["log_source"]).__name__
            for each in logs
            if "closed" in each["log_format"]
        ]
        self.assertEqual(closed, ["ServiceRun", "PublisherRun"])
        self.assertEqual(broker_named("cookbook").sessions, [])
