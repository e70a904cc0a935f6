"""
Consumers on real STOMP brokers that are cancelled while messages pour in.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.task import deferLater

from tests.conformance.suite import Conformance, program
from tests.contract.capabilities import STOMP_ACTIVEMQ, STOMP_RABBITMQ
from tests.support.activemq import activemq
from tests.support.rabbitmq import rabbitmq
from txkombu import Consumer, Message, Producer

NUMBER = 3000
"""How many messages pour in."""

ROUNDS = 15
"""How often consumers are cancelled meanwhile."""


class CancelCases(Conformance):
    """Cancelling under load."""

    def setUp(self) -> None:
        super().setUp()
        self.received: Counter[int] = Counter()
        self.ended: list[Exception] = []

    async def sweep(self) -> None:
        """The broker is the tests' own."""

    async def pour(self, queue: Any) -> None:
        """Publish all."""
        await Producer(self.connect()).publish_all(
            range(NUMBER), routing_key=queue.name
        )

    async def cancelling(self, queue: Any, **options: Any) -> None:
        """Consume and cancel again and again, until all has come."""
        for number in range(1000):
            if len(self.received) == NUMBER:
                return
            consumer = Consumer(
                self.connection,
                queue,
                on_cancel=lambda tag, error: self.ended.append(error),
                **options,
            )
            await consumer.consume()
            await self.pause(0.02 if number < ROUNDS else 0.5)
            await consumer.close()
        self.fail(f"only {len(self.received)} have come")

    @program
    async def test_settled_late(self) -> None:
        """
        Messages that are held when their consumer is cancelled can be settled
        after it; none comes twice without need, none is lost, nothing breaks.
        """
        queue = self.queue()
        await queue(self.connection).declare()

        async def handle(message: Message) -> None:
            if message.delivery_tag % 50 == 0:
                await deferLater(self.clock, 0.03)
            self.received[int(str(message.payload))] += 1
            await message.ack()

        await self.pour(queue)
        await self.cancelling(queue, on_message=handle, prefetch_count=40)
        again = sum(self.received.values()) - NUMBER
        self.assertEqual((again, self.ended), (0, []))

    @program
    async def test_not_settled(self) -> None:
        """Of what is read without acks nothing is lost by cancelling in order."""
        queue = self.queue()
        await queue(self.connection).declare()

        def handle(message: Message) -> None:
            self.received[int(str(message.payload))] += 1

        await self.pour(queue)
        await self.cancelling(queue, on_message=handle, no_ack=True)
        self.assertEqual(sum(self.received.values()), NUMBER)
        self.assertEqual(self.ended, [])


class RabbitMQCancelTests(CancelCases):
    """On RabbitMQ."""

    abilities = STOMP_RABBITMQ

    def setUp(self) -> None:
        self.url = rabbitmq().stomp_url
        super().setUp()


class ActiveMQCancelTests(CancelCases):
    """On ActiveMQ."""

    abilities = STOMP_ACTIVEMQ

    def setUp(self) -> None:
        self.url = activemq().stomp_url
        super().setUp()


del CancelCases
