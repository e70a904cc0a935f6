"""
Programs that are told to end, twice, while RabbitMQ hangs, or is away.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from tests.conformance.suite import Conformance, program
from tests.support.processes import TWISTD, Running
from tests.support.rabbitmq import HOST, RabbitMQ, fragile_rabbitmq, free_ports

SCHEMES = ("amqp", "txamqp", "pika", "stomp")
Kinds = tuple[tuple[str, ...], tuple[str, ...]]
TIMEOUT = 4
"""Seconds that a program has to connect."""
SECONDS = 15
"""In which a program ends, on a slow machine: less than the half minute that
operations have."""

WORKER = """
from types import SimpleNamespace
from tests.support.closing import shorten_closing
from txkombu import Consumer, Queue

shorten_closing(SimpleNamespace(patch=setattr), 1.0)


class Worker(Consumer):
    queues = Queue("stopping", expires=600)

    def receive(self, body, message):
        print("received", body)
        return message.ack()
"""

MAIN = """
import sys
import worker  # whose first lines shorten the waits of closing
from twisted.internet.task import LoopingCall, react
from twisted.logger import globalLogBeginner, textFileLogObserver
from txkombu import BrokerConnection, Consumer, Producer, Queue

globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)])


def handle(body, message):
    print("received", body)
    return message.ack()


async def main(reactor, url, queue):
    publishing = BrokerConnection(url, wait_for_broker=True, on_state=print)
    consuming = BrokerConnection(url, wait_for_broker=True)
    producer = Producer(publishing, routing_key=queue)

    def publish():
        sent = producer.publish("x", timeout=60, retry=True)
        sent.addErrback(lambda failure: print("publish:", failure.type.__name__))

    publishing_often = LoopingCall(publish)
    publishing_often.start(0.1)
    publishing.when_closed().addCallback(lambda _: publishing_often.stop())
    consumer = Consumer(consuming, Queue(queue), callbacks=[handle])
    consumer.consume().addErrback(lambda failure: print("consume:", failure.type))
    await consuming.when_closed()
    await publishing.when_closed()


react(main, sys.argv[1:])
"""


class StoppingTests(Conformance):
    """
    Programs under C{react}, and under C{twistd kombu}, over each transport.

    All are stopped while the broker is frozen.  How a connection is made, and waited
    for, is the same for both kinds, so of the other states each sees half here, and all
    in C{./run test-brokers}.

    @ivar programs: those that run.
    @cvar connecting: the transports of both kinds, while connections are made.
    @cvar away: the same, while nobody listens.
    """

    timeout = 240
    connecting: Kinds = ("amqp", "pika"), ("txamqp", "stomp")
    away: Kinds = ("txamqp", "stomp"), ("amqp", "pika")

    def setUp(self) -> None:
        self.broker: RabbitMQ = fragile_rabbitmq()
        self.url = self.broker.url
        super().setUp()
        self.home = Path(self.mktemp())
        self.home.mkdir()
        (self.home / "worker.py").write_text(WORKER)
        (self.home / "main.py").write_text(MAIN)
        self.programs: list[Running] = []

    def start(
        self,
        amqp_port: int,
        stomp_port: int,
        react: tuple[str, ...] = SCHEMES,
        twistd: tuple[str, ...] = SCHEMES,
    ) -> None:
        """
        Start programs.

        @param react: over which transports to start one under C{react}.
        @param twistd: the same under C{twistd kombu}.
        """
        for scheme in SCHEMES:
            port = stomp_port if scheme == "stomp" else amqp_port
            place = f"guest:guest@{HOST}:{port}"
            url = f"{scheme}://{place}?connection_timeout={TIMEOUT}000"
            if scheme in react:
                self.run_program("main.py", url, self.queue().name)
            if scheme in twistd:
                self.run_program(
                    *("-c", TWISTD, "-n", "--pidfile=", "kombu", "--broker", url),
                    *("--consumer", "worker:Worker"),
                    *("--shutdown-timeout", "2"),
                )

    def run_program(self, *arguments: str) -> None:
        """Start one program."""
        running = Running(*arguments, cwd=self.home)
        self.addCleanup(running.close)
        self.programs.append(running)

    async def all(self, holds: Callable[[Running], object], seconds: float) -> None:
        """Wait until something holds for each program."""
        limit = self.clock.seconds() + seconds
        for each in self.programs:
            while not holds(each):
                ended = each.process.poll() is not None
                if (ended or self.clock.seconds() > limit) and not holds(each):
                    self.fail(each.output)
                await self.pause(0.05)

    async def all_said(self, *texts: str) -> None:
        """Wait until each program has said one of the texts."""
        await self.all(lambda each: any(text in each.output for text in texts), 60)

    async def all_end(self) -> None:
        """
        Send each program two signals; all end in time, and say nothing that is wrong.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            for each in self.programs:
                each.process.send_signal(number)
            await self.pause(0.3)
        await self.all(lambda each: each.process.poll() is not None, SECONDS)
        for each in self.programs:
            code, output = each.process.poll(), each.output
            self.assertIn(code, (0, -signal.SIGTERM, -signal.SIGINT), output)
            self.assertNotIn("Unhandled", output)
            # Of Twisted, at the second signal.
            own = output.count("error.ReactorNotRunning:")
            self.assertEqual(output.count("Traceback"), own, output)
            _, signalled, after = output.partition("Received SIGTERM")
            self.assertTrue(signalled, output)
            self.assertNotIn("next attempt", after)

    async def sweep(self) -> None:
        """The broker is the tests' own."""

    @program
    async def test_frozen(self) -> None:
        """A broker that hangs holds nobody up longer than the timeouts of closing."""
        self.start(self.broker.amqp_port, self.broker.stomp_port)
        await self.all_said("received", "consumes")
        self.addCleanup(self.broker.thaw)
        self.broker.freeze()
        await self.pause(0.3)
        await self.all_end()

    @program
    async def test_no_handshake(self) -> None:
        """
        Nor does a broker that accepts connections, and says nothing: what was published
        waits for the attempt that is under way, which is the last.
        """
        self.addCleanup(self.broker.thaw)
        self.broker.freeze()
        ports = self.broker.amqp_port, self.broker.stomp_port
        self.start(*ports, *self.connecting)
        await self.all_said("State.CONNECTING", "starting up")
        await self.pause(1)
        await self.all_end()

    @program
    async def test_between_attempts(self) -> None:
        """While nobody listens, programs that wait for an attempt end at once."""
        amqp, stomp = free_ports(2)
        self.start(amqp, stomp, *self.away)
        await self.all_said("next attempt")
        await self.all_end()
