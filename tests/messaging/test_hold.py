"""Messages that a failure policy holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from txkombu import Consumer, Message, Producer, Queue
from txkombu.policy import Hold, retry
from txkombu.testing import BrokerTestCase

QUEUE = Queue("jobs")


class HoldTests(BrokerTestCase):
    """A consumer that notes what is handled."""

    def setUp(self) -> None:
        super().setUp()
        self.handled: list[tuple[object, bool]] = []
        self.producer = Producer(self.connection, routing_key="jobs")
        self.addCleanup(
            self.flushLoggedErrors, ZeroDivisionError, TypeError, ValueError
        )

    def consume(self, **options: Any) -> Consumer:
        """Start a consumer of the queue."""
        consumer = Consumer(self.connection, QUEUE, **options)
        self.result_of(consumer.consume())
        return consumer

    def fails(self, body: object, message: Message) -> None:
        """Fail with each message."""
        self.handled.append((body, message.acknowledged))
        raise ZeroDivisionError("a fault")

    def test_arguments(self) -> None:
        """The time has to be one."""
        for wrong in (None, "1", True, 1j):
            with self.assertRaisesRegex(TypeError, "seconds must be a number of sec"):
                Hold(wrong)  # type: ignore[arg-type]  # wrong on purpose
        for wrong in (-0.5, float("nan"), float("inf")):
            with self.assertRaisesRegex(ValueError, "seconds must be at least 0"):
                Hold(wrong)
        self.assertEqual(Hold(0).seconds, 0)

    def test_no_time(self) -> None:
        """
        A policy that gives no time has failed: the message comes again after a while,
        and meanwhile others are handled.
        """
        for wrong in (None, -1):
            self.handled.clear()
            consumer = self.consume(
                callbacks=[self.fails],
                concurrency=1,
                on_failure=lambda message, failure, wrong=wrong: Hold(wrong),
            )
            for body in "ab":
                self.result_of(self.producer.publish(body))
            self.advance(5)
            self.assertEqual(self.handled, [("a", False), ("b", False)])
            self.advance(31)
            self.assertEqual(len(self.handled), 4)
            self.result_of(consumer.close())
            self.assertTrue(consumer.channel.closed)
            self.result_of(QUEUE(self.connection).purge())

    def test_settled_meanwhile(self) -> None:
        """One that is settled with a later message is not handled again."""
        for settle in (
            lambda message: message.ack(multiple=True),
            lambda message: message.nack(multiple=True, requeue=False),
        ):
            self.check_settled_meanwhile(settle)

    def check_settled_meanwhile(self, settle: Callable[[Message], object]) -> None:
        """Fail with a message, and settle it with the next one."""
        self.handled.clear()

        def handle(body: object, message: Message) -> None:
            if body == "a":
                self.fails(body, message)
            self.handled.append((body, message.acknowledged))
            settle(message)

        consumer = self.consume(callbacks=[handle], on_failure=retry(delay=1))
        for body in "ab":
            self.result_of(self.producer.publish(body))
        self.advance(5)
        self.assertEqual(self.handled, [("a", False), ("b", False)])
        self.assertEqual(self.broker.waiting_in("jobs"), 0)
        self.result_of(consumer.close())
