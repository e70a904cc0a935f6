"""
Beside Kombu, which speaks AMQP, on RabbitMQ.
"""

from __future__ import annotations

from typing import Any

import kombu

from tests.brokers.interop.meeting import MeetingTests
from tests.conformance.suite import program
from tests.support.rabbitmq import rabbitmq
from txkombu import Consumer, Exchange, Producer, Queue


class KombuTests(MeetingTests):
    """What Kombu publishes, and what it reads."""

    def setUp(self) -> None:
        super().setUp()
        self.theirs = kombu.Connection(rabbitmq().url.replace("amqp:", "pyamqp:"))
        self.addCleanup(self.theirs.release)

    @program
    async def test_to_us(self) -> None:
        """A STOMP consumer has what Kombu publishes."""
        exchange = Exchange("amq.direct")
        queue = self.queue(exchange, self.suffix)
        await queue(self.stomp).declare()
        producer = self.theirs.Producer()
        bodies = [{"a": ["é", None]}, "é", b"\xff\0", [1], {}]
        for serializer in ("json", "yaml", "msgpack", "pickle"):
            bodies.append({"by": serializer})
            options = {"exchange": "amq.direct", "routing_key": self.suffix}
            producer.publish(bodies[-1], serializer=serializer, **options)
        for body in bodies[:5]:
            producer.publish(
                body,
                exchange="amq.direct",
                routing_key=self.suffix,
                compression="zlib",
                correlation_id="c",
                headers={"text": "t", "count": 1},
            )
        accept = ["json", "yaml", "msgpack", "pickle"]
        messages = [await self.get(self.stomp, queue, accept) for _ in bodies]
        self.assertEqual([each.payload for each in messages], bodies[5:] + bodies[:5])
        self.assertEqual(messages[-1].properties["correlation_id"], "c")
        headers = {"text": "t", "count": "1", "compression": "application/x-gzip"}
        self.assertEqual(messages[-1].headers, headers)

    @program
    async def test_to_them(self) -> None:
        """Kombu has what a STOMP producer publishes, and takes it for Kombu's."""
        queue = self.queue()
        await queue(self.stomp).declare()
        producer = Producer(self.stomp)
        for body, options in (
            ({"a": ["é", None]}, {}),
            ({"a": 1}, {"compression": "bzip2", "correlation_id": "c"}),
            ({"a": 1}, {"serializer": "yaml", "priority": 3, "expiration": 60}),
            ({"a": b"\xff"}, {"serializer": "msgpack", "headers": {"text": "t"}}),
            ((1, 2), {"serializer": "pickle"}),
            (b"\xff\0", {}),
        ):
            await producer.publish(body, queue.name, **options)
            message = self.take_by_kombu(queue)
            self.assertEqual(message.payload, body)
        self.assertEqual(message.properties["delivery_mode"], 2)

    def take_by_kombu(self, queue: Queue) -> Any:
        """The next message of a queue, by Kombu's simple interface."""
        accept = ["json", "yaml", "msgpack", "pickle", "application/data"]
        channel = self.theirs.default_channel
        bound = kombu.Queue(queue.name)(channel)
        message = bound.get(no_ack=True, accept=accept)
        assert message is not None
        return message

    @program
    async def test_request(self) -> None:
        """Kombu replies to what a STOMP client asks, in a queue of the client's."""
        queue = self.queue()
        await queue(self.stomp).declare()
        replies = Queue(exclusive=True)(self.stomp)
        await replies.declare()
        consumer = Consumer(self.stomp, replies, callbacks=[self.take])
        await consumer.consume()
        await Producer(self.stomp).publish(
            {"a": 1}, queue.name, reply_to=replies, correlation_id="c"
        )
        message = self.take_by_kombu(queue)
        self.theirs.Producer().publish(
            {"to": message.payload},
            routing_key=message.properties["reply_to"],
            correlation_id=message.properties["correlation_id"],
        )
        await self.when_got(1)
        self.assertEqual(self.got, [{"to": {"a": 1}}])
