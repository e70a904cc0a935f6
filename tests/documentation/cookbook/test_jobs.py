"""The recipes of queues that do more than hand on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from tests.documentation.cookbook.recipe import RecipeCase
from tests.support.commands import begin
from txkombu import BrokerConnection, Producer
from txkombu.exceptions import NotFound
from txkombu.service import ConsumerService
from txkombu.testing import RecordingBroker
from txkombu.transport.memory import broker_named


class DelayedTests(RecipeCase):
    """delayed-jobs.rst"""

    page = "delayed-jobs.rst"

    def test_time(self) -> None:
        """A job comes when its time has come, and queues of old delays go."""
        later = self.load("later")
        broker = RecordingBroker()
        connection = BrokerConnection(transport=broker, reactor=broker.clock)
        publishing = later.publish_later(Producer(connection), "ten", 10)
        later.publish_later(Producer(connection), "one", 1)
        broker.flush()
        self.successResultOf(publishing)
        for seconds, waiting in ((0.5, 0), (0.6, 1), (8.8, 1), (0.2, 2)):
            broker.clock.advance(seconds)
            broker.flush()
            self.assertEqual(broker.waiting_in("jobs"), waiting)
        broker.clock.advance(3700)
        broker.flush()
        self.assertRaises(LookupError, broker.waiting_in, "jobs.in.10")
        connection.close()
        broker.flush()

    async def test_program(self) -> None:
        """The worker does what the program publishes."""
        later = self.load("later")
        await later.main(reactor, "0.05", "call back")
        screen = StringIO()
        with redirect_stdout(screen):
            self.start(ConsumerService(self.broker, later.work))
            await self.until(screen.getvalue, "it worked")
        self.assertEqual(screen.getvalue(), "now: call back\n")


class PriorityTests(RecipeCase):
    """priority.rst"""

    page = "priority.rst"

    async def test_overtakes(self) -> None:
        """An urgent job is done first, the others in their order."""
        urgent = self.load("urgent")
        await urgent.main(reactor, "0", "one", "two", "three")
        await urgent.main(reactor, "3", "now")
        screen = StringIO()
        with redirect_stdout(screen):
            self.start(ConsumerService(self.broker, urgent.render))
            await self.until(lambda: screen.getvalue().count("\n") == 4, "all was done")
        done = screen.getvalue().replace("rendered", "").split()
        self.assertEqual(done, ["now", "one", "two", "three"])


class LargeTests(RecipeCase):
    """large-payloads.rst"""

    page = "large-payloads.rst"

    async def test_sent(self) -> None:
        """The file arrives whole, and the store is empty afterwards."""
        files = self.load("files")
        with capturedLogs() as logs:
            self.start(ConsumerService(self.broker, files.read))
            async with BrokerConnection(self.broker) as connection:
                await files.send(Producer(connection), b"x" * 100_000)
            await self.until(
                lambda: [each for each in logs if each.get("size") == 100_000],
                "it was read",
            )
        await self.until(lambda: not os.listdir("store"), "the file was deleted")

    def test_changed(self) -> None:
        """A file that is not what was sent is refused, and so is a path."""
        files = self.load("files")
        claim = files.put(b"right")
        self.assertEqual(files.take(claim), b"right")
        Path("store", claim["file"]).write_bytes(b"wrong")
        self.assertRaises(ValueError, files.take, claim)
        outside = {**claim, "file": "../files.py"}
        self.assertRaises(FileNotFoundError, files.take, outside)


class OutboxTests(RecipeCase):
    """outbox.rst"""

    page = "outbox.rst"

    async def test_once(self) -> None:
        """
        What is ordered while there is no broker is billed when it comes, and once,
        though the message comes twice.
        """
        shown = self.run_tac("shop.tac")
        shop = self.load("shop")
        self.addCleanup(shop.database.close)
        await shop.make_tables()
        await shop.order(300)
        await shop.order(500)
        consumers = shown["consumers"]
        self.start(consumers)
        await consumers.when_started()
        await self.until_invoices([(1, 300), (2, 500)])
        self.assertEqual(await shop.database.runQuery("SELECT * FROM outbox"), [])
        body = json.dumps({"order": 1, "cents": 300})
        async with BrokerConnection(self.broker) as connection:
            await Producer(connection, routing_key="outbox.orders").publish(
                body, content_type="application/json", message_id="shop-1"
            )
        queue = broker_named("cookbook").queue("outbox.orders")
        await self.until(
            lambda: [each.held for each in queue.consumers] == [0], "it was handled"
        )
        await self.until_invoices([(1, 300), (2, 500)])

    async def until_invoices(self, expected: list[tuple[int, int]]) -> None:
        """Wait until there are these invoices."""
        shop = self.load("shop")
        found: list[tuple[int, int]] = []
        for _ in range(500):
            found = await shop.database.runQuery("SELECT * FROM invoices")
            if found == expected:
                break
        self.assertEqual(found, expected)


class ShardTests(RecipeCase):
    """ordered-shards.rst, on a broker that has the exchange type"""

    page = "ordered-shards.rst"

    async def test_one_active(self) -> None:
        """Of two consumers one works; the other one takes over."""
        ordered = self.load("ordered")
        screen = StringIO()
        services = [ConsumerService(self.broker, ordered.book) for _ in range(2)]
        with redirect_stdout(screen):
            for each in services:
                self.start(each)
                await each.when_started()
            async with BrokerConnection(self.broker) as connection:
                ledger = Producer(connection, routing_key="ledger")
                await ledger.publish({"number": 1})
                await self.until(screen.getvalue, "it was booked")
                await services[0].stopService()
                await ledger.publish({"number": 2})
            await self.until(
                lambda: screen.getvalue() == "booked 1\nbooked 2\n",
                "the other took over",
            )

    def test_shards(self) -> None:
        """Each shard has a consumer of its own, which does one thing at a time."""
        shards = self.load("shards")
        service = self.run_tac("shards.tac")["service"]
        self.assertEqual(len(shards.consumers), len(shards.queues))
        self.assertIsInstance(service, ConsumerService)
        self.assertEqual(shards.Shard.concurrency, 1)


class FailingShardTests(RecipeCase):
    """ordered-shards.rst, when a handler fails longer than the default policy waits"""

    page = "ordered-shards.rst"

    def shown_by(
        self, module: Any, consumers: Any, publish: Callable[[Producer, int], Any]
    ) -> list[str]:
        """
        Publish three messages, and let the handler of the first fail seven times.

        @param publish: publishes one, which has this number.
        @return: what the handlers have printed, or failed to print, in order.
        """
        broker = RecordingBroker()
        broker.memory.register_exchange_type(
            "x-consistent-hash", lambda bindings, key, properties: list(bindings)[:1]
        )
        shown: list[str] = []

        def show(*words: object, flush: bool) -> None:
            shown.append(" ".join(map(str, words)))
            if len(shown) <= 7:
                raise OSError("the disk is full")

        vars(module)["print"] = show
        connections = [
            BrokerConnection(transport=broker, reactor=broker.clock) for _ in range(2)
        ]
        service = ConsumerService(connections[0], consumers, reactor=broker.clock)
        service.startService()
        for number in (1, 2, 3):
            publishing = publish(Producer(connections[1]), number)
            Deferred.fromCoroutine(publishing)
            broker.flush()
        for _ in range(120):
            broker.clock.advance(1)
            broker.flush()
        stopping = service.stopService()
        connections[1].close()
        broker.flush()
        self.successResultOf(stopping)
        self.assertNotEqual(self.flushLoggedErrors(OSError), [])
        return shown

    def test_one_queue(self) -> None:
        """The entries behind one that fails are booked after it."""
        ordered = self.load("ordered")

        async def publish(producer: Producer, number: int) -> None:
            await producer.publish({"number": number}, "ledger")

        shown = self.shown_by(ordered, ordered.book, publish)
        self.assertEqual(shown, ["booked 1"] * 8 + ["booked 2", "booked 3"])

    def test_shards(self) -> None:
        """The events of a customer behind one that fails come after it."""
        shards = self.load("shards")

        def publish(producer: Producer, number: int) -> Any:
            return shards.publish(producer, 17, {"n": number})

        first, *others = [
            f"customers.0: {{'customer': 17, 'n': {number}}}" for number in (1, 2, 3)
        ]
        shown = self.shown_by(shards, shards.consumers, publish)
        self.assertEqual(shown, [first] * 8 + others)


class QuorumTests(RecipeCase):
    """quorum-queues.rst"""

    page = "quorum-queues.rst"

    async def test_dead(self) -> None:
        """What is rejected goes to the other queue; what is not is done."""
        quorum = self.load("quorum")
        async with BrokerConnection(self.broker) as connection:
            await quorum.declare(connection)
            producer = Producer(connection)
            await quorum.publish(producer, {"cents": 300})
            await quorum.publish(producer, {"cents": 0})
        self.start(ConsumerService(self.broker, quorum.pay))
        message = await self.take("payments.dead")
        self.assertEqual(message.payload, {"cents": 0})
        deaths: Any = message.headers["x-death"]
        [death] = deaths
        self.assertEqual((death["queue"], death["reason"]), ("payments", "rejected"))


class RestrictedTests(RecipeCase):
    """locked-down.rst"""

    page = "locked-down.rst"

    async def administrate(self) -> None:
        """Apply the file, as the page says."""
        connection = BrokerConnection(self.broker)
        ran = begin("apply restricted.yaml", connection)
        self.assertEqual(await ran.code, 0)
        await connection.close()

    async def test_restricted(self) -> None:
        """It waits for the administrator, then works, and parks what fails."""
        restricted = self.load("restricted")
        service = ConsumerService(self.own_broker, restricted.bill)
        self.start(service)
        await self.until(lambda: service.last_error, "it was refused")
        self.assertIsInstance(service.last_error, NotFound)
        await service.stopService()
        await self.administrate()
        again = ConsumerService(self.own_broker, restricted.bill)
        self.start(again)
        await again.when_started()
        async with BrokerConnection(self.own_broker) as connection:
            producer = restricted.producer(connection)
            await producer.publish({"cents": 1}, "order.new")
            await producer.publish({"cents": -1}, "order.new")
        message = await self.take("store.parked")
        self.assertEqual(message.payload, {"cents": -1})
        self.flushLoggedErrors(ValueError)

    @property
    def own_broker(self) -> str:
        """The URL with the rights of the program."""
        return self.broker
