"""
What the contract and the conformance suite need to know of STOMP's brokers.

A broker takes back what a socket held after it has told its client that the
socket is closed, so that a test waits for what it expects, for a while.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from twisted.internet.defer import Deferred

from tests.conformance.suite import Conformance
from tests.contract.capabilities import STOMP_ACTIVEMQ, STOMP_RABBITMQ
from tests.contract.harness import (
    ChannelWatcher,
    Harness,
    Journal,
    SessionWatcher,
    publish,
)
from tests.support.activemq import activemq
from tests.support.rabbitmq import RabbitMQ, rabbitmq
from tests.support.raw_stomp_client import QUIET, Raw
from txkombu import BrokerConnection
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import BrokerError, NotSent
from txkombu.interfaces import Delivery, ISession, ISessionChannel, QueueDeclareOk
from txkombu.transport.amqp.native import AmqpTransport
from txkombu.transport.stomp import StompTransport
from txkombu.transport.stomp.dialect import ConsumeOptions
from txkombu.url import parse_url


class Stomp(Harness):
    """What is other than in AMQP, on either broker."""

    generated = ""
    held = NotSent
    late = (True, False)
    immediate = frozenset(
        {"exchange_declare", "exchange_declare passive", "basic_recover"}
    )

    def lose(self, session: ISession) -> None:
        session.socket.transport.abortConnection()  # type: ignore[attr-defined]  # what it is here has it

    def protocols(self, session: ISession) -> list[object]:
        return [session.socket]  # type: ignore[attr-defined]  # what it is here has it

    async def check_cancelled(
        self, channel: ISessionChannel, queue: Queue, number: int
    ) -> None:
        """What it holds may keep a subscription alive that is sent no more."""
        await self.check_ready(channel, queue, number)

    async def take(
        self, channel: ISessionChannel, queue: Queue, no_ack: bool = False
    ) -> Delivery:
        return await self.take_returned(channel, queue, no_ack)

    def check_reply(
        self, error: BrokerError, about: str, text: str, method: tuple[int, int]
    ) -> None:
        """STOMP has no numbers of methods, and words of its own."""
        self.assertEqual(error.about, about)
        self.assertIn(about, str(error))


class StompOnRabbitMQ(Stomp):
    """The contract on a RabbitMQ, whose queues are counted over AMQP."""

    abilities = STOMP_RABBITMQ

    def broker(self) -> RabbitMQ:
        """Where it runs."""
        return rabbitmq()

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.transport = StompTransport()
        self.parameters = parse_url(self.broker().stomp_url)
        self.clock: Any = reactor

    def missing_exchange(self) -> Exchange:
        """Those of C{amq.} are the broker's; others have no need to exist."""
        return Exchange(f"amq.{self.name()}")

    def offend(self, channel: ISessionChannel) -> Deferred[Any]:
        return publish(channel, self.missing_exchange(), "key")

    async def ready(self, channel: ISessionChannel, queue: Queue) -> int:
        counted = (await self._declared(queue)).message_count
        assert counted is not None
        return counted

    async def consumers(self, channel: ISessionChannel, queue: Queue) -> int:
        counted = (await self._declared(queue)).consumer_count
        assert counted is not None
        return counted

    async def _declared(self, queue: Queue) -> QueueDeclareOk:
        session = await AmqpTransport().connect(
            parse_url(self.broker().url), None, self.clock, SessionWatcher(Journal())
        )
        try:
            channel = await session.open_channel(ChannelWatcher(Journal()))
            return await channel.queue_declare(queue, True)
        finally:
            await session.close()


class StompOnActiveMQ(Stomp):
    """
    The contract on an ActiveMQ.  What a queue has ready is what another client is
    given, who then closes its connection: all goes back to where it was.
    """

    abilities = STOMP_ACTIVEMQ

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.transport = StompTransport()
        self.parameters = parse_url(activemq().stomp_url)
        self.clock: Any = reactor

    async def ready(self, channel: ISessionChannel, queue: Queue) -> int:
        return len(self._given(channel, queue))

    async def check_cancelled(
        self, channel: ISessionChannel, queue: Queue, number: int
    ) -> None:
        """What it holds keeps its subscription, and what comes by that meanwhile."""

    async def consumers(self, channel: ISessionChannel, queue: Queue) -> int:
        """None, if another client is given all of some messages."""
        markers = [b"marker %d" % number for number in range(5)]
        await self.put(channel, queue, *markers)
        given = self._given(channel, queue, taken=markers)
        return len(set(markers).difference(given))

    async def check_left(
        self, channel: ISessionChannel, queue: Queue, *bodies: bytes
    ) -> None:
        """What was held goes back in no certain order."""
        found = [(await self.take(channel, queue, True)).body for _ in bodies]
        self.assertEqual(sorted(found), sorted(bodies))
        await self.check_empty(channel, queue)

    def _given(
        self, channel: Any, queue: Queue, taken: Container[bytes] = ()
    ) -> list[bytes]:
        """The messages ready in a queue; some are acked, the others go back."""
        sources = channel._dialect.sources(channel._bound(queue), ConsumeOptions(1000))
        with Raw(activemq().stomp_port) as raw:
            for number, source in enumerate(sources):
                prefetch = {"activemq.prefetchSize": 1000}
                raw.subscribe(source.destination, str(number), **prefetch)
            frames = list(raw.inbox)
            while (frame := raw.next_frame_within(QUIET)) is not None:
                frames.append(frame)
            for frame in frames:
                if frame.body in taken:
                    raw.request("ACK", {"id": frame["ack"]})
        return [frame.body for frame in frames]


class ConformingOnRabbitMQ(Conformance):
    """The conformance suite on a RabbitMQ, which is swept over AMQP."""

    abilities = STOMP_RABBITMQ

    def broker(self) -> RabbitMQ:
        """Where it runs."""
        return rabbitmq()

    def address(self) -> str:
        """The URL of it."""
        return self.broker().stomp_url

    def setUp(self) -> None:
        self.url = self.address()
        super().setUp()

    def missing_exchange(self) -> Exchange:
        return Exchange(f"amq.no-{self.suffix}")

    def sweeper(self) -> BrokerConnection:
        connection = BrokerConnection(self.broker().url, reactor=self.clock)
        self.connections.append(connection)
        return connection


class ConformingOnActiveMQ(Conformance):
    """The conformance suite on an ActiveMQ, which keeps what was made."""

    abilities = STOMP_ACTIVEMQ

    def address(self) -> str:
        """The URL of it."""
        return activemq().stomp_url

    def setUp(self) -> None:
        self.url = self.address()
        super().setUp()

    async def sweep(self) -> None:
        """Nothing can be deleted over STOMP."""
