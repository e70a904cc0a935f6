"""
Consumers on real STOMP brokers that end by no wish of the program's.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.conformance.suite import Conformance, program
from tests.contract.capabilities import STOMP_ACTIVEMQ, STOMP_RABBITMQ
from tests.support.activemq import fragile_activemq
from tests.support.rabbitmq import rabbitmq
from txkombu import BrokerConnection, Consumer, Message, Producer, Queue


class RabbitMQTests(Conformance):
    """On RabbitMQ, whose queues can be deleted under a consumer."""

    abilities = STOMP_RABBITMQ

    def setUp(self) -> None:
        self.url = rabbitmq().stomp_url
        super().setUp()
        self.ended: list[Exception] = []

    async def consume(self, queue: Queue, on_cancel: Any = None) -> None:
        """Consume, and note what ends the consumer."""

        def note(tag: str, error: Exception) -> None:
            self.ended.append(error)

        consumer = Consumer(
            self.connection,
            queue,
            callbacks=[self.take],
            on_cancel=on_cancel or note,
        )
        await consumer.consume()

    async def comes_again(self, queue: Queue) -> None:
        """It is started again, and receives what is published then."""
        while not self.connection.is_consuming:
            await self.pause(0.1)
        producer = Producer(self.connection, routing_key=queue.name)
        await producer.publish("after")
        await self.when_got(1)
        self.assertEqual(self.got, ["after"])

    @program
    async def test_on_cancel_exits(self) -> None:
        """Whatever on_cancel raises, a consumer whose queue was deleted comes back."""
        queue = self.queue()
        told: Deferred[None] = Deferred()

        def on_cancel(tag: str, error: Exception) -> None:
            told.callback(None)
            raise SystemExit("the broker ended me")

        await self.consume(queue, on_cancel)
        amqp = BrokerConnection(rabbitmq().url, reactor=self.clock)
        self.connections.append(amqp)
        await queue(amqp).delete()
        await told
        await self.comes_again(queue)
        await self.connection.close()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    @program
    async def test_exclusive_queue_deleted(self) -> None:
        """So does one of an exclusive queue, which is declared anew for it."""
        queue = self.queue(exclusive=True)
        await self.consume(queue)
        rabbitmq().delete_queue(queue.name)
        while not self.ended:
            await self.pause(0.1)
        await self.comes_again(queue)
        self.assertEqual(len(self.ended), 1)


class ActiveMQKilledTests(Conformance):
    """On an ActiveMQ that is killed."""

    abilities = STOMP_ACTIVEMQ

    def setUp(self) -> None:
        self.url = fragile_activemq().stomp_url
        super().setUp()

    async def sweep(self) -> None:
        """The broker is the tests' own."""

    @program
    async def test_unmarked(self) -> None:
        """
        After it was killed what had been handed out comes again, and is not marked:
        ActiveMQ does not write down what it handed out.
        """
        queue = self.queue()

        def on_message(message: Message) -> None:
            self.note((message.payload, message.redelivered))

        await Consumer(self.connection, queue, on_message=on_message).consume()
        producer = Producer(self.connection, routing_key=queue.name)
        await producer.publish("x", delivery_mode=2)
        await self.when_got(1)
        broker = fragile_activemq()
        broker.kill()
        broker.start()
        await self.when_got(2)
        self.assertEqual(self.got, [("x", False)] * 2)
