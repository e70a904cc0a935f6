"""
What the contract and the conformance suite need to know of STOMP's brokers.

A broker takes back what a socket held after it has told its client that the
socket is closed, so that a test waits for what it expects, for a while.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from txkombu import BrokerConnection
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import BrokerError
from txkombu.interfaces import (
    Delivery,
    ISession,
    ISessionChannel,
    QueueDeclareOk,
)
from txkombu.transport.amqp import AmqpTransport
from txkombu.transport.stomp import StompTransport
from txkombu.url import parse_url

from .abilities import STOMP_ACTIVEMQ, STOMP_RABBITMQ
from .activemq import activemq
from .brokers import rabbitmq
from .conformance import Conformance
from .contract_harness import (
    ChannelWatcher,
    Harness,
    Journal,
    SessionWatcher,
    publish,
)

_STEP = 0.02
_PATIENCE = 5.0


class Stomp(Harness):
    """What is other than in AMQP, on either broker."""

    generated = ""
    immediate = frozenset({"exchange_declare", "basic_recover"})

    def lose(self, session: ISession) -> None:
        session.main.transport.abortConnection()  # type: ignore[attr-defined]

    def protocols(self, session: ISession) -> list[object]:
        return [session.main]  # type: ignore[attr-defined]

    async def ready(self, channel: ISessionChannel, queue: Queue) -> int:
        raise NotImplementedError

    async def consumers(self, channel: ISessionChannel, queue: Queue) -> int:
        """How many consumers a queue has."""
        raise NotImplementedError

    async def check_ready(
        self, channel: ISessionChannel, queue: Queue, number: int
    ) -> None:
        await self._wait_for(number, lambda: self.ready(channel, queue))

    async def check_consumers(
        self, channel: ISessionChannel, queue: Queue, number: int
    ) -> None:
        await self._wait_for(number, lambda: self.consumers(channel, queue))

    async def _wait_for(self, wanted: int, ask: Callable[[], Awaitable[int]]) -> None:
        limit = self.clock.seconds() + _PATIENCE
        while (found := await ask()) != wanted:
            if self.clock.seconds() > limit:
                self.assertEqual(found, wanted)
            await deferLater(self.clock, _STEP)

    async def check_cancelled(
        self, channel: ISessionChannel, queue: Queue, number: int
    ) -> None:
        """A socket is closed, and what it was sent is ready, when it holds nothing."""

    async def take(
        self, channel: ISessionChannel, queue: Queue, no_ack: bool = False
    ) -> Delivery:
        limit = self.clock.seconds() + _PATIENCE
        while (delivery := await channel.basic_get(queue, no_ack)) is None:
            assert self.clock.seconds() < limit, f"nothing comes to {queue.name}"
            await deferLater(self.clock, _STEP)
        return delivery

    def check_reply(
        self, error: BrokerError, about: str, text: str, method: tuple[int, int]
    ) -> None:
        """STOMP has no numbers of methods, and words of its own."""
        self.assertEqual(error.about, about)
        self.assertIn(about, str(error))


class StompOnRabbitMQ(Stomp):
    """The contract on a RabbitMQ, whose queues are counted over AMQP."""

    abilities = STOMP_RABBITMQ

    @property
    def amqp_url(self) -> str:
        """Where it speaks AMQP."""
        return rabbitmq().url

    @property
    def stomp_url(self) -> str:
        """Where it speaks STOMP."""
        return rabbitmq().stomp_url

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.transport = StompTransport()
        self.parameters = parse_url(self.stomp_url)
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
            parse_url(self.amqp_url), None, self.clock, SessionWatcher(Journal())
        )
        try:
            channel = await session.open_channel(ChannelWatcher(Journal()))
            return await channel.queue_declare(queue, True)
        finally:
            await session.close()


class StompOnActiveMQ(Stomp):
    """
    The contract on an ActiveMQ.  What a queue has ready is what can be got from
    it, and is handed back.
    """

    abilities = STOMP_ACTIVEMQ

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.transport = StompTransport()
        self.parameters = parse_url(activemq().stomp_url)
        self.clock: Any = reactor
        self._sessions: dict[ISessionChannel, ISession] = {}

    async def channel(
        self, session: ISession | None = None, journal: Journal | None = None
    ) -> ISessionChannel:
        session = session or await self.connect()
        channel = await super().channel(session, journal)
        self._sessions[channel] = session
        return channel

    async def ready(self, channel: ISessionChannel, queue: Queue) -> int:
        # Of the same session, which knows the bindings of the queue.
        other = await self.channel(self._sessions[channel])
        number = 0
        while await other.basic_get(queue, False) is not None:
            number += 1
        await other.close()
        return number

    async def consumers(self, channel: ISessionChannel, queue: Queue) -> int:
        """None, if three messages can be got of three that were published."""
        before = await self.ready(channel, queue)
        await self.put(channel, queue, b"a", b"b", b"c")
        return before + 3 - await self.ready(channel, queue)


class ConformingOnRabbitMQ(Conformance):
    """The conformance suite on a RabbitMQ, which is swept over AMQP."""

    abilities = STOMP_RABBITMQ

    @property
    def amqp_url(self) -> str:
        """Where it speaks AMQP."""
        return rabbitmq().url

    def setUp(self) -> None:
        self.url = rabbitmq().stomp_url
        super().setUp()

    def missing_exchange(self) -> Exchange:
        return Exchange(f"amq.no-{self.suffix}")

    def sweeper(self) -> BrokerConnection:
        connection = BrokerConnection(self.amqp_url, reactor=self.clock)
        self.connections.append(connection)
        return connection


class ConformingOnActiveMQ(Conformance):
    """The conformance suite on an ActiveMQ, which keeps what was made."""

    abilities = STOMP_ACTIVEMQ

    def setUp(self) -> None:
        self.url = activemq().stomp_url
        super().setUp()

    async def sweep(self) -> None:
        """Nothing can be deleted over STOMP."""
