"""
What a STOMP broker would not take is refused for that message alone.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults

from tests.conformance.suite import Conformance, program
from tests.contract.capabilities import STOMP_ACTIVEMQ, STOMP_RABBITMQ
from tests.support.activemq import activemq
from tests.support.rabbitmq import rabbitmq
from txkombu import Producer

NO_NUMBERS: tuple[dict[str, object], ...] = (
    {"load": float("nan")},
    {"load": [1.5, float("-inf")]},
    {"deep": {"er": float("inf")}},
)
READ_AS_ARGUMENTS: tuple[dict[str, object], ...] = (
    {"x-expires": "tomorrow"},
    {"x-message-ttl": "1.5"},
    {"x-max-length": ""},
    {"x-max-length-bytes": "\t5"},
    {"x-max-priority": "high"},
)


class NeighbourCases(Conformance):
    """Messages published beside one that cannot be sent."""

    refused = NO_NUMBERS

    async def sweep(self) -> None:
        """The broker is the tests' own."""

    @program
    async def test_alone(self) -> None:
        """The others are confirmed, they arrive, and the connection stays."""
        queue = self.queue()
        await queue(self.connection).declare()
        producer = Producer(self.connection, routing_key=queue.name)
        session = self.connection.core.reconnector.session
        sent = []
        for number, headers in enumerate(self.refused):
            sent.append(producer.publish(f"before {number}"))
            refusal = self.publish(producer, headers)
            sent.append(producer.publish(f"after {number}"))
            await self.assertFailure(refusal, ValueError)
        await gatherResults(sent)
        self.assertIs(self.connection.core.reconnector.session, session)
        for number in range(len(self.refused)):
            for when in ("before", "after"):
                message = await queue(self.connection).get(no_ack=True)
                assert message is not None
                self.assertEqual(message.payload, f"{when} {number}")

    def publish(self, producer: Producer, headers: dict[str, object]) -> Deferred[Any]:
        """Publish; a refusal may come at once."""
        try:
            return producer.publish("x", headers=headers)
        except ValueError:
            return fail()


class RabbitMQNeighbourTests(NeighbourCases):
    """On RabbitMQ, which reads some headers as arguments of queues."""

    abilities = STOMP_RABBITMQ
    refused = NO_NUMBERS + READ_AS_ARGUMENTS

    def setUp(self) -> None:
        self.url = rabbitmq().stomp_url
        super().setUp()


class ActiveMQNeighbourTests(NeighbourCases):
    """On ActiveMQ."""

    abilities = STOMP_ACTIVEMQ

    def setUp(self) -> None:
        self.url = activemq().stomp_url
        super().setUp()


del NeighbourCases
