"""Starts and attempts that are given up, and what is begun just then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txkombu import Consumer, Producer, Queue
from txkombu.exceptions import KombuError, NotSent
from txkombu.testing import BrokerTestCase

QUEUE = Queue("jobs")


class GivenUpTests(BrokerTestCase):
    """
    The broker ends a consumer, which is to try again then, while C{consume()} is under
    way and the program gives up.
    """

    def begin(self, give_up: Callable[[Consumer], object]) -> Consumer:
        """Have a consumer start, and end at once; then give it up."""
        self.result_of(QUEUE(self.connection).declare())
        consumer = Consumer(self.connection, QUEUE, on_message=self.fail)
        self.result_of(consumer.channel.when_ready())
        self.starting = consumer.consume()
        self.starting.addErrback(lambda reason: reason.trap(KombuError, CancelledError))
        self.broker.cancel_consumers("jobs")
        give_up(consumer)
        self.advance(70)
        return consumer

    def consumers(self) -> int:
        """Count the consumers that the broker has."""
        return len(self.broker.memory.queue("jobs", "/").consumers)

    def test_cancelled(self) -> None:
        """Nothing is started by itself, and one consumer when it is asked for."""
        consumer = self.begin(lambda consumer: self.starting.cancel())
        self.assertFalse(consumer.consuming_from("jobs"))
        self.assertEqual(self.consumers(), 0)
        self.result_of(consumer.consume())
        self.assertEqual(self.consumers(), 1)
        self.result_of(consumer.close())
        self.assertEqual(self.consumers(), 0)

    def test_closed(self) -> None:
        """Closing it, its channel or its connection leaves nothing."""
        for close in (
            lambda consumer: consumer.close(),
            lambda consumer: consumer.channel.close(),
            lambda consumer: self.connection.close(),
        ):
            self.begin(close)
            self.assertEqual(self.consumers(), 0)
            self.result_of(self.connection.close())
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.connection = self.connect()


class BegunInErrbacksTests(BrokerTestCase):
    """What a program begins as an attempt to connect fails."""

    def setUp(self) -> None:
        super().setUp()
        self.result_of(QUEUE(self.connection).declare())
        self.broker.refuse()
        self.channel = self.connect(password=self.slow_password).default_channel
        self.producer = Producer(self.channel, routing_key="jobs")
        self.begun: list[Deferred[Any]] = []

    def slow_password(self) -> Deferred[str]:
        """Have each attempt take its time."""
        asked: Deferred[str] = Deferred()
        self.clock.callLater(0.1, asked.callback, "secret")
        return asked

    def check(self, failing: Deferred[Any]) -> None:
        """Publish, and declare, in the errback: both wait for their own attempt."""

        def failed(reason: Failure) -> None:
            reason.trap(KombuError)
            self.broker.accept()
            self.begun = [
                self.producer.publish("x"),
                QUEUE(self.channel).declare(),
                self.producer.publish("y", declare=[Queue("other")]),
            ]

        failing.addErrback(failed)
        self.advance(5)
        self.assertEqual(len(self.begun), 3)
        for each in self.begun:
            self.successResultOf(each)
        self.assertEqual(self.broker.waiting_in("jobs"), 2)

    def test_operation(self) -> None:
        """In that of an operation."""
        self.check(QUEUE(self.channel).declare())

    def test_publish(self) -> None:
        """In that of a publish."""
        self.check(self.producer.publish("first"))

    def test_publish_that_declares(self) -> None:
        """In that of a publish that has to declare before; it was not sent."""
        publishing = self.producer.publish("first", declare=[Queue("other")])
        publishing.addErrback(self.note)
        self.check(publishing)
        self.assertEqual(self.kinds, [NotSent])

    def note(self, reason: Failure) -> Failure:
        """Note what it failed with."""
        self.kinds = [reason.type]
        return reason
