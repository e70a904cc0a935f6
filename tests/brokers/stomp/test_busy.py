"""
What goes on all the time: publishing to a queue that is purged, binding, and queues for
one request each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.task import LoopingCall

from tests.brokers.stomp.activemq.test_recipes import RecipesCase
from tests.brokers.stomp.harness import StompOnRabbitMQ
from tests.brokers.stomp.rabbitmq.test_recipes import Case
from tests.contract.harness import DEFAULT, Inbox, consume, publish
from txkombu import Exchange, Queue
from txkombu.exceptions import NotFound
from txkombu.interfaces import ISessionChannel

OLD = 1500
EVERY = 0.05
MOST = 10.0
"""Purging a busy queue must not take longer, in seconds, however slow this machine."""


@asynccontextmanager
async def published_to(
    channel: ISessionChannel, queue: Queue, clock: Any
) -> AsyncIterator[None]:
    """Fill a queue, and publish to it all the time in the context."""
    await gatherResults(
        [publish(channel, DEFAULT, queue.name, b"old") for _ in range(OLD)]
    )
    publishing = LoopingCall(publish, channel, DEFAULT, queue.name, b"new")
    publishing.clock = clock
    ended = publishing.start(EVERY)
    try:
        yield
    finally:
        publishing.stop()
        await ended
        await publish(channel, DEFAULT, queue.name, b"last")


class RabbitMQTests(Case):
    """On RabbitMQ."""

    async def test_purge(self) -> None:
        """A queue that is published to all the time is emptied, and in short time."""
        for options in ({}, {"queue_type": "quorum"}):
            queue = await self.full(**options)
            async with published_to(self.amqp, queue, self.reactor):
                began = self.reactor.seconds()
                number = await self.purge(queue)
                self.assertLess(self.reactor.seconds() - began, MOST)
            self.assertGreater(number, OLD)
            left = await self.amqp.basic_get(queue, True)
            assert left is not None
            self.assertIn(left.body, (b"new", b"last"))

    async def test_bound(self) -> None:
        """However often a queue is bound on one socket, few consumers stay there."""
        queue, exchange = await self.full(), Exchange(self.name())
        await self.bind(queue, exchange, "first")
        spare, before = self.connections._spare, await self.consumers()
        for number in range(30):
            await self.bind(queue, exchange, f"k{number}")
        self.assertIs(self.connections._spare, spare)
        self.assertEqual(await self.consumers(), before)
        self.assertEqual(before, "1")

    async def consumers(self) -> str:
        """How many consumers there are on the broker."""
        return await self.run_code('length(rabbit_amqqueue:consumers_all(<<"/">>))')

    async def test_exclusive_missing(self) -> None:
        """An exclusive queue that is not there is not bound, nor made by that."""
        queue = Queue(self.name(), exclusive=True)
        await self.refusal(NotFound, self.bind(queue, Exchange("x"), "key"))
        await self.refusal(NotFound, self.declare(queue, passive=True))


class ExclusiveQueueTests(StompOnRabbitMQ):
    """Exclusive queues of RabbitMQ that come and go."""

    async def test_ended(self) -> None:
        """When they have ended nothing of them is left, and their names are free."""
        channel: Any = await self.channel()
        session, queue = channel._session, Queue(self.name(), exclusive=True)
        exchange = await self.exchange(channel, "topic")
        for number in range(3):
            await channel.queue_declare(queue, False)
            await channel.queue_bind(queue, exchange, "key", {})
            inbox = Inbox()
            await consume(channel, queue, f"t{number}", inbox)
            await publish(channel, exchange, "key", b"request")
            [delivery] = await inbox.first()
            channel.ack(delivery.tag, False)
            await channel.basic_cancel(f"t{number}")
        self.assertEqual(session.connections.own, {})
        self.assertEqual(session.exclusive_queues._queues, {})
        plain = Queue(queue.name)
        await channel.queue_declare(plain, False)
        self.addCleanup(channel.queue_delete, plain, False, False)
        await channel.queue_bind(plain, exchange, "key", {})
        await publish(channel, exchange, "key", b"plain")
        self.assertEqual((await self.take(channel, plain, True)).body, b"plain")

    async def test_held(self) -> None:
        """So are they if messages are still held when another one is declared."""
        channel: Any = await self.channel()
        queue, inbox = Queue(self.name(), exclusive=True), Inbox()
        await channel.queue_declare(queue, False)
        await consume(channel, queue, "t", inbox)
        await publish(channel, DEFAULT, queue.name, b"held")
        await inbox.first()
        await channel.basic_cancel("t")
        plain = Queue(queue.name)
        await channel.queue_declare(plain, False)
        self.addCleanup(channel.queue_delete, plain, False, False)
        await publish(channel, DEFAULT, plain.name, b"plain")
        self.assertEqual((await self.take(channel, plain, True)).body, b"plain")


class ActiveMQTests(RecipesCase):
    """On ActiveMQ."""

    async def test_purge(self) -> None:
        """A queue that is published to all the time is emptied, and in short time."""
        channel, other = await self.channel(), await self.channel()
        queue = await self.queue(channel)
        async with published_to(other, queue, self.clock):
            began = self.clock.seconds()
            number = await channel.queue_purge(queue)
            self.assertLess(self.clock.seconds() - began, MOST)
        self.assertGreater(number, OLD)
        left = await self.take(channel, queue, True)
        self.assertIn(left.body, (b"new", b"last"))
