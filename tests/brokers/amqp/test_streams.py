"""Consumers of streams on a real RabbitMQ."""

from __future__ import annotations

import contextlib
from typing import Any

from tests.conformance.suite import Conformance, program
from tests.documentation.supported_rows import ARGUMENTS, OF_STREAMS
from tests.support.rabbitmq import rabbitmq
from txkombu import Consumer, Message, Producer, Queue
from txkombu.exceptions import PreconditionFailed
from txkombu.policy import retry

STREAM = {"x-queue-type": "stream"}
COUNT = 300


class StreamCase(Conformance):
    """
    Has a stream.

    @ivar handled: the bodies whose handler has acked them, in order.
    @cvar scheme: how to connect.
    """

    scheme = "amqp"

    def setUp(self) -> None:
        self.url = rabbitmq().url.replace("amqp", self.scheme, 1)
        super().setUp()
        self.stream = self.queue(queue_arguments=STREAM)
        self.handled: list[Any] = []
        self.producer = Producer(self.connect())

    async def publish(self, *bodies: object) -> None:
        """Publish to the stream, and wait for the confirms."""
        for body in bodies:
            await self.producer.publish(body, self.stream.name, declare=[self.stream])

    async def receive(self, body: Any, message: Message) -> None:
        """Handle a message: ack it a little later."""
        await self.pause(0.002 * (body % 3))
        self.handled.append(body)
        await message.ack()

    def consumer(self, offset: int | str = "first", **options: Any) -> Consumer:
        """Make a consumer of the stream, from an offset on."""
        stream = Queue(
            self.stream.name,
            queue_arguments=STREAM,
            consumer_arguments={"x-stream-offset": offset},
        )
        given = {
            "callbacks": [self.receive],
            "prefetch_count": 20,
            "concurrency": 5,
            **options,
        }
        return Consumer(self.connection, stream, **given)

    async def handles(self, count: int) -> None:
        """Wait until so many were handled, and a little longer."""
        for _ in range(3000):
            if len(self.handled) >= count:
                break
            await self.pause(0.01)
        await self.pause(0.2)
        self.assertEqual(len(self.handled), count)


class StreamArgumentTests(Conformance):
    """The arguments of streams"""

    def setUp(self) -> None:
        self.url = rabbitmq().url
        super().setUp()

    @program
    async def test_arguments(self) -> None:
        """RabbitMQ takes those that docs/reference/supported.rst has for streams."""
        taken = set()
        for name, (value, _) in ARGUMENTS.items():
            stream = self.queue(queue_arguments={name: value, **STREAM})
            with contextlib.suppress(PreconditionFailed):
                await stream(self.connection).declare()
                taken.add(name)
        self.assertEqual(taken, OF_STREAMS)


class StreamTests(StreamCase):
    """What becomes of messages over losses and restarts."""

    @program
    async def test_losses(self) -> None:
        """After each loss it goes on behind what was handled: each comes once."""
        await self.publish(*range(COUNT))
        consumer = self.consumer()
        await consumer.consume()
        for part in (1, 2, 3):
            while len(self.handled) < part * COUNT // 5:
                await self.pause(0.002)
            self.connection.drop()
        await self.handles(COUNT)
        self.assertEqual(sorted(self.handled), list(range(COUNT)))
        await consumer.close()

    @program
    async def test_published_meanwhile(self) -> None:
        """A consumer of what is new gets what is published while it is away."""
        await self.publish(0)
        consumer = self.consumer("next")
        await consumer.consume()
        await self.publish(1)
        await self.handles(1)
        self.connection.drop()
        await self.publish(2, 3)
        await self.handles(3)
        self.assertEqual(sorted(self.handled), [1, 2, 3])
        await consumer.close()

    @program
    async def test_stored(self) -> None:
        """Where the next program begins is told, and what it stored is not repeated."""
        await self.publish(*range(50))
        stored: list[int] = []
        first = self.consumer(on_offset=lambda queue, offset: stored.append(offset))
        await first.consume()
        await self.handles(50)
        await first.close()
        self.assertEqual(stored, sorted(stored))
        self.assertEqual(stored[-1], 50)
        await self.publish(50, 51)
        second = self.consumer(stored[-1])
        await second.consume()
        await self.handles(52)
        self.assertEqual(sorted(self.handled), list(range(52)))
        await second.close()

    @program
    async def test_cancelled(self) -> None:
        """A consumer that is cancelled and consumes again goes on where it was."""
        await self.publish(*range(10))
        consumer = self.consumer()
        await consumer.consume()
        await self.handles(10)
        await consumer.cancel()
        await self.publish(*range(10, 20))
        await self.pause(0.1)
        self.assertEqual(len(self.handled), 10)
        await consumer.consume()
        await self.handles(20)
        self.assertEqual(sorted(self.handled), list(range(20)))
        await consumer.close()

    @program
    async def test_failures(self) -> None:
        """A message whose handler fails is tried again, over a loss too."""
        await self.publish(*range(20))
        failed: list[int] = []

        async def fails(body: int, message: Message) -> None:
            if body % 5 == 0 and failed.count(body) < 2:
                failed.append(body)
                raise OSError("away")
            await self.receive(body, message)

        policy = retry(attempts=9, delay=0.3, factor=1, jitter=0)
        consumer = self.consumer(callbacks=[fails], on_failure=policy)
        await consumer.consume()
        while len(failed) < 4:
            await self.pause(0.01)
        self.connection.drop()
        await self.handles(20)
        self.assertEqual(sorted(self.handled), list(range(20)))
        self.assertEqual(sorted(failed), sorted([0, 5, 10, 15] * 2))
        self.assertTrue(self.flushLoggedErrors(OSError))
        await consumer.close()


class TxAMQPStreamTests(StreamTests):
    """The same over txAMQP."""

    scheme = "txamqp"


class PikaStreamTests(StreamTests):
    """The same over pika."""

    scheme = "pika"
