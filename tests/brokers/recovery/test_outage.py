"""
A dependency of a handler that is away for a second, with messages on RabbitMQ.
"""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import gatherResults
from twisted.logger import LogLevel, capturedLogs

from tests.conformance.suite import Conformance, program
from tests.support.rabbitmq import rabbitmq
from txkombu import BrokerConnection, Consumer, Message, Producer, Queue
from txkombu.policy import default, delayed, park, retry
from txkombu.policy.hosting import FailurePolicy, HostedPolicy

COUNT = 2000
"""How many messages each program has."""
OUTAGE = 1.0
"""Seconds."""
DELAY = 4.0
"""The longest delay that a message can have after that time."""


class Worker:
    """
    A program whose handler fails while the dependency is away.

    @ivar attempts: how often its handler was called in vain, by message.
    @ivar handled: when each message was handled.
    """

    def __init__(
        self,
        case: OutageTests,
        url: str,
        queue: Queue,
        policy: FailurePolicy | HostedPolicy,
    ) -> None:
        self.queue = queue
        self._case = case
        self.attempts: Counter[object] = Counter()
        self.handled: dict[object, float] = {}
        self.connection = BrokerConnection(url, reactor=case.clock)
        case.connections.append(self.connection)
        self.consumer = Consumer(
            self.connection, queue, callbacks=[self.handle], on_failure=policy
        )

    def handle(self, body: object, message: Message) -> object:
        """The handler."""
        now = self._case.clock.seconds()
        if now < self._case.back_at:
            self.attempts[body] += 1
            raise ConnectionError("the database is away")
        self.handled[body] = now
        return message.ack()


class OutageTests(Conformance):
    """Over each transport, with and without a dead letter exchange."""

    def setUp(self) -> None:
        self.url = rabbitmq().url
        super().setUp()
        self.back_at = float("inf")

    def workers(self) -> list[Worker]:
        """Make a program for each transport, and for each policy."""
        stomp, made = rabbitmq().stomp_url, []
        for scheme in ("amqp", "txamqp", "pika", "stomp"):
            url = stomp if scheme == "stomp" else self.url.replace("amqp", scheme, 1)
            made.append(Worker(self, url, self.queue(), default))
        dead, parked = self.queue(), self.queue()
        arguments: dict[str, object] = {"x-dead-letter-exchange": ""}
        arguments["x-dead-letter-routing-key"] = dead.name
        mortal = self.queue(queue_arguments=arguments)
        made.append(Worker(self, self.url, mortal, default))
        parking = retry(then=park(parked))
        made.append(Worker(self, self.url, self.queue(), parking))
        waiting = self.queue()
        made.append(
            Worker(self, self.url, waiting, delayed(9, [0.5, DELAY], park=parked))
        )
        for seconds in (0.5, DELAY):
            self.temporary.append(Queue(f"{waiting.name}.delay.{int(seconds * 1000)}"))
        return made

    @program
    async def test_second(self) -> None:
        """
        No message is lost, parked or dead-lettered; none was tried more than a few
        times; the log has a few lines, and all are handled within a delay.
        """
        workers = self.workers()
        producer = Producer(self.connection)
        for each in workers:
            await producer.publish_all(
                range(COUNT), routing_key=each.queue.name, declare=[each.queue]
            )
        with capturedLogs() as events:
            await gatherResults([each.consumer.consume() for each in workers])
            while not all(each.attempts for each in workers):
                await self.pause(0.01)
            self.back_at = self.clock.seconds() + OUTAGE
            while not all(len(each.handled) == COUNT for each in workers):
                await self.pause(0.05)
        self.flushLoggedErrors(ConnectionError)
        lines = [each for each in events if each["log_level"] >= LogLevel.warn]
        self.assertLess(len(lines), 10 * len(workers))
        for each in workers:
            self.assertLessEqual(max(each.attempts.values()), 4)
            await each.consumer.close()
            self.assertEqual(await self.drained(each.queue), [])
