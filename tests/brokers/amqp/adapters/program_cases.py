"""
What the adapters do with RabbitMQ, beyond the common suites.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, cast

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.suite import Conformance, program
from tests.support.adapters import Adapter
from tests.support.paths import DOCS, EXAMPLES
from tests.support.processes import run_python
from tests.support.rabbitmq import HOST, rabbitmq
from tests.support.snippets import PageTestCase, forget_queues
from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue

DEMO = EXAMPLES / "demo.py"
SEED_PAGE = DOCS / "start" / "introduction.rst"
PICTURE = b"\xff\xd8\xff\xe0"
MEBIBYTE = bytes(range(256)) * 4096
"""Every byte, in every place of a body that takes several frames."""
WORD = "\u043a\u043b\u044e\u0447-\u4e2d\U0001f407"
"""Characters that take two, three and four bytes."""

NO_NATIVE = """\
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name == "txkombu.transport.amqp.native":
            raise ImportError(name + " was imported")

sys.meta_path.insert(0, Refuse())

from twisted.internet.task import react
from txkombu import BrokerConnection, Consumer, Producer, Queue

async def main(reactor, url):
    connection = BrokerConnection(url)
    bound = Queue("", exclusive=True)(connection)
    got = []

    def callback(payload, message):
        got.append(payload)
        return message.ack()

    await bound.declare()
    await Consumer(connection, bound, callbacks=[callback]).consume()
    draining = connection.drain_events(timeout=10)
    await Producer(connection).publish({"n": 1.5}, routing_key=bound.name)
    await draining
    await connection.close()
    print(got)

react(main, sys.argv[1:])
"""


class OverTCP:
    """Connects to the RabbitMQ of this run."""

    adapter: ClassVar[Adapter]
    url: str

    def setUp(self) -> None:
        self.url = self.adapter.through(rabbitmq().url)
        super().setUp()  # type: ignore[misc]  # the case's


class ProgramTests(OverTCP, Conformance):
    """Programs in this process."""

    def see(self, message: Message) -> None:
        """Ack the message, and note it."""
        message.ack()
        self.note(message)

    @program
    async def test_binary(self) -> None:
        """A body of 1 MiB of all bytes comes back as it was."""
        queue = self.queue()
        await queue(self.connection).declare()
        await Producer(self.connection).publish(MEBIBYTE, queue.name)
        message = await queue(self.connection).get(no_ack=True)
        assert message is not None
        self.assertTrue(message.body == MEBIBYTE)

    @program
    async def test_binary_and_small(self) -> None:
        """
        Large bodies on one channel neither hold up nor break small ones on others.
        """
        large, small = self.queue(), self.queue()
        sizes: list[int] = []

        def note(message: Message) -> None:
            message.ack()
            sizes.append(len(message.body))
            if len(sizes) == 2020:
                self.note(len(sizes))

        for queue in (large, small):
            await Consumer(self.connection, queue, on_message=note).consume()
        publishing = self.connect()
        many = Producer(publishing).publish_all(
            (b"%d" % number for number in range(2000)), routing_key=small.name
        )
        await Producer(self.connect()).publish_all(
            [MEBIBYTE] * 20, routing_key=large.name
        )
        await many
        await self.when_got(1)
        self.assertEqual(sizes.count(len(MEBIBYTE)), 20)

    @program
    async def test_x_death(self) -> None:
        """The headers of a dead letter, which RabbitMQ makes, are read."""
        dlx = self.exchange("fanout")
        dead = self.queue(dlx)
        await dead(self.connection).declare()
        arguments = {"x-dead-letter-exchange": dlx.name}
        queue = self.queue(message_ttl=0.001, queue_arguments=arguments)
        await queue(self.connection).declare()
        await Consumer(self.connection, dead, on_message=self.see).consume()
        await Producer(self.connection).publish("x", queue.name, headers={"h": 0.25})
        await self.when_got(1)
        [message] = cast("list[Message]", self.got)
        [death] = cast("list[dict[str, Any]]", message.headers["x-death"])
        self.assertEqual(
            (death["queue"], death["reason"], death["count"], death["routing-keys"]),
            (queue.name, "expired", 1, [queue.name]),
        )
        self.assertEqual(death["time"].tzname(), "UTC")
        self.assertEqual(message.headers["h"], 0.25)

    @program
    async def test_names(self) -> None:
        """Names and text in any script arrive as they are."""
        exchange = Exchange(f"{WORD} {self.suffix}")
        queue = Queue(f"{WORD} {self.suffix}", exchange, WORD)
        self.temporary += [exchange, queue]
        await Consumer(self.connection, queue, on_message=self.see).consume()
        producer = Producer(self.connection, exchange)
        await producer.publish(WORD, WORD, headers={WORD: [WORD, {WORD: None}]})
        await self.when_got(1)
        [message] = cast("list[Message]", self.got)
        self.assertEqual(message.payload, WORD)
        self.assertEqual(message.headers, {WORD: [WORD, {WORD: None}]})
        self.assertEqual(message.delivery_info["routing_key"], WORD)
        self.assertEqual(message.delivery_info["exchange"], exchange.name)

    @program
    async def test_endpoint(self) -> None:
        """
        It connects to the endpoint that it is given, not to the URL's host and port.
        """
        endpoint = TCP4ClientEndpoint(self.clock, HOST, rabbitmq().amqp_port)
        connection = BrokerConnection(
            self.adapter.through("amqp://guest:guest@nowhere.invalid:1/"),
            endpoint=endpoint,
            reactor=self.clock,
        )
        self.connections.append(connection)
        queue = self.queue()
        await queue(connection).declare()
        await Producer(connection).publish("there", queue.name)
        self.assertEqual(await self.drained(queue), ["there"])


class TLSTests(Conformance):
    """Programs over TLS."""

    adapter: ClassVar[Adapter]

    def setUp(self) -> None:
        self.url = self.adapter.through(rabbitmq().tls_url)
        super().setUp()

    @program
    async def test_large_bodies(self) -> None:
        """Large bodies arrive whole, both ways at once."""
        queue = self.queue()
        bodies = [bytes([n]) * (3_000_000 + n) for n in range(4)]
        consumer = Consumer(
            self.connection, queue, callbacks=[self.take], prefetch_count=1
        )
        await consumer.consume()
        await Producer(self.connection).publish_all(bodies, routing_key=queue.name)
        await self.when_got(len(bodies))
        self.assertTrue(self.got == bodies)


class ProcessTests(OverTCP, SynchronousTestCase):
    """Programs in processes of their own, with every warning an error."""

    def test_without_the_native_protocol(self) -> None:
        """No session or channel of the native transport is used."""
        done = run_python("-W", "error", "-c", NO_NATIVE, self.url, cwd="/")
        self.assertEqual((done.stderr, done.stdout), ("", "[{'n': 1.5}]\n"))

    def test_demo(self) -> None:
        """All twenty feeds of the demo come through, with a loss midway."""
        done = run_python("-W", "error", str(DEMO), cwd="/", DEMO_BROKER=self.url)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertRegex(done.stdout, f"^Feeds go through {self.adapter.scheme}://")
        self.assertIn("reconnected in", done.stdout)
        self.assertIn("20 feeds asked for, 20 received, 0 lost", done.stdout)


class SeedPageTests(PageTestCase):
    """The seed page as a program."""

    adapter: ClassVar[Adapter]

    async def test_introduction(self) -> None:
        """docs/start/introduction.rst says the same here."""
        Path("my_picture.jpg").write_bytes(PICTURE)
        url = self.adapter.through(rabbitmq().url)
        replace = {"memory://introduction": url}
        await forget_queues(rabbitmq().url)
        page = SEED_PAGE.read_text(encoding="utf-8")
        ran = await self.run_text(page, replace=replace)
        self.assertGreater(ran, 1)
        self.assertIn(len(self.flushLoggedErrors(Exception)), (1, 2))  # it closes soon


CASES = (ProgramTests, TLSTests, ProcessTests, SeedPageTests)


def programs(adapter: Adapter, module: str) -> dict[str, type]:
    """
    These cases for one transport; to be put among a module's names.

    @param module: the name of that module.
    """
    return {
        case.__name__: type(
            case.__name__,
            (case,),
            {"__doc__": case.__doc__, "__module__": module, "adapter": adapter},
        )
        for case in CASES
    }
