"""
What the tests share in which several clients meet at one broker.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.brokers.stomp.harness import ConformingOnRabbitMQ
from txkombu import BrokerConnection, Message, Queue

PATIENCE = 30.0
"""Seconds."""


class MeetingTests(ConformingOnRabbitMQ):
    """
    Clients by AMQP and by STOMP at one RabbitMQ.

    @ivar amqp: a connection by AMQP.
    @ivar stomp: a connection by STOMP.
    """

    amqp: BrokerConnection
    stomp: BrokerConnection

    def setUp(self) -> None:
        super().setUp()
        self.stomp = self.connection
        self.amqp = self.sweeper()

    async def get(
        self,
        connection: BrokerConnection,
        queue: Queue,
        accept: Iterable[str] | None = None,
        no_ack: bool = True,
    ) -> Message:
        """Take the next message; one that another client gave back may take time."""
        limit = self.clock.seconds() + PATIENCE
        bound = queue(connection)
        while (message := await bound.get(no_ack, accept)) is None:
            assert self.clock.seconds() < limit, f"nothing comes to {queue.name}"
            await self.pause(0.02)
        return message
