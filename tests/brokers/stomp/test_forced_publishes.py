"""
Publishes that are under way when a RabbitMQ closes their STOMP connection.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.threads import deferToThread

from tests.conformance.suite import Conformance, program
from tests.contract.capabilities import STOMP_RABBITMQ
from tests.support.fault_proxy import FaultProxy
from tests.support.rabbitmq import HOST, rabbitmq
from txkombu import BrokerConnection, Producer
from txkombu.exceptions import ConnectionForced, OutcomeUnknown
from txkombu.url import parse_url

_CLOSE_NEWEST = """
    {_, Newest} = lists:max(
        [{element(12, T), element(6, T)} || T <- rabbit_connection_tracking:list()]
    ),
    amqp_direct_connection:server_close(Newest, 320, <<"of the test">>)
"""


class RabbitMQTests(Conformance):
    """Behind a proxy, which holds back what is published."""

    abilities = STOMP_RABBITMQ

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.url = rabbitmq().stomp_url
        super().setUp()
        self.proxy = FaultProxy(reactor, parse_url(self.url).port)
        self.addCleanup(self.proxy.stop)

    async def clean_up(self) -> None:
        self.proxy.thaw()
        await super().clean_up()

    async def under_way(self, producer: Producer, body: str, **options: Any) -> Any:
        """Publish a message that does not arrive before its connection is closed."""
        await producer.publish("before")
        self.proxy.freeze(self.proxy.to_broker)
        publishing = producer.publish(body, **options)
        await deferToThread(rabbitmq().evaluate, _CLOSE_NEWEST)
        return publishing

    @program
    async def test_closed_by_operator(self) -> None:
        """What became of the only message is not known, and it may be sent again."""
        url = f"stomp://guest:guest@{HOST}:{self.proxy.port}"
        connection = BrokerConnection(url, reactor=self.clock)
        self.connections.append(connection)
        queue = self.queue()
        await queue(connection).declare()
        producer = Producer(connection, routing_key=queue.name)
        publishing = await self.under_way(producer, "unknown")
        error: Any = await self.assertFailure(publishing, OutcomeUnknown)
        self.assertIsInstance(error.__cause__, ConnectionForced)
        self.assertFalse(error.is_safe_to_repeat)
        self.proxy.thaw()
        publishing = await self.under_way(producer, "again", retry=True)
        connections = self.proxy.accepted
        while self.proxy.accepted == connections:  # the next channel's
            await self.pause(0.1)
        self.proxy.thaw()
        await publishing
        got = []
        while (message := await queue(connection).get(no_ack=True)) is not None:
            got.append(message.payload)
        self.assertEqual(got, ["before", "before", "again"])
