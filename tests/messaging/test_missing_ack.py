"""The warning of a consumer whose handlers settle nothing."""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from txkombu import Consumer, Exchange, Message, Producer, Queue
from txkombu.testing import BrokerTestCase

DEFAULT = Exchange("")


class MissingAckTests(BrokerTestCase, SynchronousTestCase):
    """When it is logged that nothing more comes."""

    def setUp(self) -> None:
        super().setUp()
        self.warnings: list[int] = []
        observer = cast("ILogObserver", self.observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.kept: list[Message] = []
        self.channel = self.result_of(self.connection.channel())
        self.addCleanup(self.settle)

    def observe(self, event: LogEvent) -> None:
        """Note how many messages a warning counts."""
        if "is an ack() missing" in str(event.get("log_format", "")):
            self.warnings.append(event["held"])

    def settle(self) -> None:
        """Settle what was kept."""
        for message in self.kept:
            if not message.acknowledged:
                message.ack()
        self.kept.clear()

    def consume(self, *names: str, prefetch_count: int) -> None:
        """Start a consumer that keeps its messages."""
        queues = [Queue(name, DEFAULT) for name in names]
        keep = [lambda body, message: self.kept.append(message)]
        self.consumer = Consumer(
            self.channel, queues, callbacks=keep, prefetch_count=prefetch_count
        )
        self.result_of(self.consumer.consume())

    def publish(self, name: str, count: int) -> None:
        """Publish messages to a queue."""
        producer = Producer(self.channel, DEFAULT, routing_key=name)
        for _ in range(count):
            producer.publish(b"")
        self.flush()

    def test_once_all_are_held(self) -> None:
        """It is logged once, when all that the prefetch counts allow are held."""
        self.consume("a", "b", prefetch_count=3)
        self.publish("a", 3)
        self.publish("b", 2)
        self.assertEqual(self.warnings, [])
        self.publish("b", 1)
        self.assertEqual(self.warnings, [6])
        self.settle()
        self.publish("a", 3)
        self.assertEqual(self.warnings, [6])
        self.settle()
        self.flush()

    def test_settled_ones_do_not_count(self) -> None:
        """Messages that were settled in any order do not count."""
        self.consume("a", prefetch_count=3)
        for _ in range(30):
            self.publish("a", 2)
            self.kept.pop().ack()
            self.flush()
            self.assertEqual(self.warnings, [])
            self.kept.pop().ack()
            self.flush()
        self.publish("a", 3)
        self.assertEqual(self.warnings, [3])
        self.settle()
        self.flush()

    def test_of_others(self) -> None:
        """What other consumers of the channel hold does not count."""
        other = Consumer(self.channel, Queue("other", DEFAULT), prefetch_count=0)
        self.result_of(other.consume())
        self.publish("other", 10)
        self.consume("a", prefetch_count=3)
        self.publish("a", 2)
        self.assertEqual(self.warnings, [])
        self.publish("a", 1)
        self.assertEqual(self.warnings, [3])
        self.settle()
        self.result_of(other.close())

    def test_at_work(self) -> None:
        """While a handler is at work, nothing is missing yet."""
        pending: Deferred[None] = Deferred()
        results: list[object] = [None, pending]

        def keep(body: object, message: Message) -> object:
            self.kept.append(message)
            return results.pop()

        consumer = Consumer(
            self.channel, Queue("a", DEFAULT), callbacks=[keep], prefetch_count=2
        )
        self.result_of(consumer.consume())
        self.publish("a", 2)
        self.assertEqual(self.warnings, [])
        pending.callback(None)
        self.assertEqual(self.warnings, [2])
        self.settle()
        self.flush()

    def test_after_a_loss(self) -> None:
        """Messages of a lost connection do not count: they come again."""
        self.consume("a", prefetch_count=3)
        self.publish("a", 2)
        self.kept.clear()
        self.broker.drop()
        self.advance(5)
        self.assertEqual(len(self.kept), 2)
        self.assertEqual(self.warnings, [])
        self.publish("a", 1)
        self.assertEqual(self.warnings, [3])
        self.settle()
        self.flush()
