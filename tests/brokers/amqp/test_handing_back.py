"""
What RabbitMQ counts of the messages that a consumer hands back as it closes.
"""

from __future__ import annotations

from tests.conformance.suite import Conformance, program
from tests.support.rabbitmq import rabbitmq
from txkombu import Consumer, Producer

COUNT = 60
PREFETCH = 50


class HandingBackTests(Conformance):
    """A quorum queue, which counts how often it delivers a message."""

    def setUp(self) -> None:
        self.url = rabbitmq().url
        super().setUp()

    @program
    async def test_delivered_once(self) -> None:
        """
        However it is closed, a consumer does not get again what it hands back then, and
        each message counts as delivered once.
        """
        for what in ("consumer", "channel", "connection"):
            queue = self.queue(queue_type="quorum")
            producer = Producer(self.connection, routing_key=queue.name)
            await producer.publish_all(range(COUNT), declare=[queue])
            connection = self.connect()
            consumer = Consumer(connection, queue, prefetch_count=PREFETCH)
            await consumer.consume()
            while consumer.channel.unsettled_count < PREFETCH:
                await self.pause(0.05)
            closing = {
                "consumer": consumer.close,
                "channel": consumer.channel.close,
                "connection": connection.close,
            }
            await closing[what]()
            counts: list[int] = []
            while len(counts) < COUNT:
                message = await queue(self.connection).get(no_ack=True)
                if message is not None:
                    count = message.headers.get("x-delivery-count", 0)
                    assert isinstance(count, int)
                    counts.append(count)
            self.assertEqual(max(counts), 1, what)
            self.assertEqual(sum(counts), PREFETCH, what)
