"""Starts of consumers that are given up while the broker ends them."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError

from txkombu import Consumer, Queue
from txkombu.exceptions import KombuError
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
