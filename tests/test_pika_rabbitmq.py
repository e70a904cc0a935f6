"""
The pika transport against RabbitMQ, where the common suites say nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import SynchronousTestCase

from txkombu import BrokerConnection, Consumer, Message, Producer
from txkombu.exceptions import (
    OperationTimeout,
    SessionLost,
)
from txkombu.transport.pika import PikaTransport
from txkombu.url import parse_url

from .brokers import HOST, rabbitmq
from .conformance import Conformance, program
from .contract_harness import (
    DEFAULT,
    Harness,
    Inbox,
    Journal,
    Probe,
    SessionWatcher,
    consume,
    publish,
)
from .fault_proxy import FaultProxy
from .processes import run_python

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"
NO_NATIVE = """\
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("txkombu.transport.amqp"):
            raise AssertionError(name + " was imported")

sys.meta_path.insert(0, Refuse())

from twisted.internet.task import react
from txkombu import BrokerConnection, Consumer, Producer, Queue

async def main(reactor, url):
    connection = BrokerConnection(url)
    queue = Queue("", exclusive=True)
    got = []

    def callback(payload, message):
        got.append(payload)
        return message.ack()

    bound = queue(connection)
    await bound.declare()
    await Consumer(connection, bound, callbacks=[callback]).consume()
    draining = connection.drain_events(timeout=10)
    await Producer(connection).publish({"n": 1.5}, routing_key=bound.name)
    await draining
    await connection.close()
    print(got)

react(lambda reactor, url: main(reactor, url), sys.argv[1:])
"""


def pika_url() -> str:
    """Where the RabbitMQ of this run is, for pika."""
    return rabbitmq().url.replace("amqp", "pika", 1)


class OverTLS:
    """Connects to the RabbitMQ of this run over pika, encrypted."""

    url: str

    def setUp(self) -> None:
        self.url = rabbitmq().tls_url.replace("amqps", "pikas", 1)
        super().setUp()  # type: ignore[misc]  # the case's


class OverTCP:
    """Connects to the RabbitMQ of this run over pika."""

    url: str

    def setUp(self) -> None:
        self.url = pika_url()
        super().setUp()  # type: ignore[misc]  # the case's


class TLSTests(OverTLS, Conformance):
    """Encrypted."""

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


class ProgramTests(OverTCP, Conformance):
    """What programs do."""

    @program
    async def test_binary(self) -> None:
        """A body of 1 MiB of all bytes there are comes back as it was."""
        queue = self.queue()
        await queue(self.connection).declare()
        body = bytes(range(256)) * 4096
        await Producer(self.connection).publish(body, queue.name)
        message = await queue(self.connection).get(no_ack=True)
        assert message is not None
        self.assertTrue(message.body == body)

    @program
    async def test_x_death(self) -> None:
        """The headers of a dead letter, which RabbitMQ makes, can be read."""
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

    def see(self, message: Message) -> None:
        """Ack and note the message itself."""
        message.ack()
        self.note(message)

    @program
    async def test_endpoint(self) -> None:
        """Its own host and port go nowhere: the endpoint is what counts."""
        endpoint = TCP4ClientEndpoint(reactor, HOST, rabbitmq().amqp_port)
        connection = BrokerConnection(
            "pika://guest:guest@nowhere.invalid:1/",
            endpoint=endpoint,
            reactor=self.clock,
        )
        self.connections.append(connection)
        queue = self.queue()
        await queue(connection).declare()
        await Producer(connection).publish("there", queue.name)
        self.assertEqual(await self.drained(queue), ["there"])

    def test_without_the_native_protocol(self) -> None:
        """No line of the native protocol is used."""
        done = run_python("-W", "error", "-c", NO_NATIVE, self.url, cwd="/")
        self.assertEqual((done.stderr, done.stdout), ("", "[{'n': 1.5}]\n"))


class DemoTests(SynchronousTestCase):
    """C{examples/demo.py}"""

    def test_demo(self) -> None:
        """All twenty feeds come through, the connection dropped midway."""
        done = run_python(str(DEMO), cwd="/", DEMO_BROKER=pika_url())
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertRegex(done.stdout, "^Feeds go through pika://guest:\\*\\*@")
        self.assertIn("reconnected in", done.stdout)
        self.assertIn("20 feeds asked for, 20 received, 0 lost", done.stdout)


class SessionTests(Harness):
    """Sessions with a real broker."""

    timeout = 60

    def setUp(self) -> None:
        self.broker = rabbitmq()
        self.transport = PikaTransport()
        self.parameters = parse_url(pika_url())
        self.clock = IReactorTime(reactor)

    async def test_silent_peer(self) -> None:
        """A peer that says nothing is waited for no longer than agreed."""
        proxy = FaultProxy(reactor, self.broker.amqp_port)
        self.addCleanup(proxy.stop)
        proxy.to_client.frozen = True
        parameters = attrs.evolve(self.parameters, port=proxy.port, connect_timeout=0.3)
        connecting = self.transport.connect(
            parameters, None, self.clock, SessionWatcher(Journal())
        )
        await self.assertFailure(connecting, OperationTimeout)

    async def test_frozen(self) -> None:
        """
        A broker of which nothing is heard for two heartbeats is given up, with
        its socket, whatever is still to be written to it.
        """
        proxy = FaultProxy(reactor, self.broker.amqp_port)
        self.addCleanup(proxy.stop)
        self.parameters = attrs.evolve(self.parameters, port=proxy.port, heartbeat=1)
        journal = Journal()
        session = await self.connect(journal)
        channel = await self.channel(session)
        queue = await self.queue(channel, exclusive=True)
        proxy.freeze()
        probe = Probe(publish(channel, DEFAULT, queue.name, bytes(20_000_000)))
        (reason,) = await journal.first("session_lost")
        self.assertIsInstance(reason, SessionLost)
        self.assertTrue(probe.fired)
        proxy.thaw()

    async def test_heartbeats(self) -> None:
        """A session on which nothing happens lives on."""
        self.parameters = attrs.evolve(self.parameters, heartbeat=1)
        journal = Journal()
        channel = await self.channel(await self.connect(journal))
        await self.pause(3.5)
        await self.queue(channel, exclusive=True)
        self.assertEqual(journal.entries, [])

    async def pause(self, seconds: float) -> None:
        """Let time pass."""
        passed: Deferred[None] = Deferred()
        self.clock.callLater(seconds, passed.callback, None)
        await passed

    async def test_paused(self) -> None:
        """Who reads no more gets no more, and is not taken for dead."""
        self.parameters = attrs.evolve(self.parameters, heartbeat=1)
        journal = Journal()
        session = await self.connect(journal)
        channel = await self.channel(session)
        queue = await self.queue(channel, exclusive=True)
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox, no_ack=True)
        channel.pause_delivery()
        publish(channel, DEFAULT, queue.name, confirm=False)
        await self.pause(3.5)
        self.assertEqual((inbox.bodies, journal.entries), ([], []))
        channel.resume_delivery()
        await inbox.first()
