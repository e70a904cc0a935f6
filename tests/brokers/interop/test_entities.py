"""
Exchanges, queues, dead letters and redelivery, where AMQP and STOMP share them.
"""

from __future__ import annotations

from typing import Any

from tests.brokers.interop.meeting import MeetingTests
from tests.conformance.suite import program
from tests.support.rabbitmq import rabbitmq
from txkombu import (
    BrokerConnection,
    Consumer,
    Exchange,
    Message,
    Producer,
    Queue,
    binding,
)
from txkombu.exceptions import NotFound, PreconditionFailed


def origin(message: Message) -> tuple[object, object]:
    """The exchange and routing key of a message."""
    info = message.delivery_info
    return info["exchange"], info["routing_key"]


class ExchangeTests(MeetingTests):
    """Which exchanges are the same for both."""

    async def check_shared(self, exchange: Exchange, pattern: str, key: str) -> None:
        """What either publishes reaches queues that either has bound."""
        queues = [self.queue(exchange, pattern) for _ in range(2)]
        for queue, connection in zip(queues, (self.amqp, self.stomp), strict=True):
            await queue(connection).declare()
        for publisher in (self.amqp, self.stomp):
            await Producer(publisher, exchange).publish("shared", key)
            for queue in queues:
                for reader in (self.amqp, self.stomp):
                    await self.check_came(reader, queue, exchange, key)

    async def check_came(
        self, reader: BrokerConnection, queue: Queue, exchange: Exchange, key: str
    ) -> None:
        """Take a queue's message, and put it back for the next."""
        message = await self.get(reader, queue, no_ack=False)
        self.assertEqual(message.payload, "shared")
        self.assertEqual(origin(message), (exchange.name, key))
        if reader is self.amqp:
            await message.requeue()
        else:
            await message.ack()

    @program
    async def test_predeclared(self) -> None:
        """Exchanges that every RabbitMQ has are shared, with their keys."""
        for exchange, pattern, word in (
            (Exchange("amq.direct"), "é/%", "é/%"),
            (Exchange("amq.topic", "topic"), "*.stock.#", "usd.stock.new york"),
            (Exchange("amq.topic", "topic"), "#", ""),
            (Exchange("amq.fanout", "fanout"), "", "any:\n"),
        ):
            await self.check_shared(exchange, pattern, word)

    @program
    async def test_passive(self) -> None:
        """
        An exchange that AMQP has declared is shared by those to whom it is
        passive, or not to be declared, of whatever name and type.
        """
        for type, key in (("direct", "k"), ("topic", "a.b"), ("fanout", "x")):
            exchange = self.exchange(type)
            await exchange(self.amqp).declare()
            for options in ({"passive": True}, {"no_declare": True}):
                known = Exchange(exchange.name, type, **options)  # type: ignore[arg-type]  # options of several types
                await self.check_shared(known, key, key)

    @program
    async def test_passive_name(self) -> None:
        """Its name may be any that AMQP takes, but one with a %2F in it."""
        for name in ("a b/c:d", "é~41", "*.#"):
            exchange = Exchange(f"{name}{self.suffix}", "direct", passive=True)
            self.temporary.append(exchange)
            await exchange(self.amqp).declare(passive=False)
            await self.check_shared(exchange, name, name)

    @program
    async def test_by_headers(self) -> None:
        """A STOMP producer may publish to an exchange that routes by headers."""
        exchange = Exchange("amq.headers", "headers")
        wanted = {"x-match": "all", "sort": self.suffix}
        queue = self.queue(bindings=[binding(exchange, "", wanted)])
        await queue(self.amqp).declare()
        producer = Producer(self.stomp, exchange)
        await producer.publish("other", headers={"sort": "other"})
        await producer.publish("wanted", headers={"sort": self.suffix})
        self.assertEqual(await self.drained(queue), ["wanted"])

    @program
    async def test_passive_missing(self) -> None:
        """A passive exchange that AMQP has not declared is missing."""
        missing = Exchange(f"no-{self.suffix}", passive=True)
        for connection in (self.amqp, self.stomp):
            await self.fails(NotFound, missing(connection).declare())

    @program
    async def test_default(self) -> None:
        """The default exchange is the same, and has no name for both."""
        queue = Queue(f"é a/b.c:{self.suffix}")
        self.temporary.append(queue)
        await queue(self.stomp).declare()
        for publisher in (self.amqp, self.stomp):
            await Producer(publisher).publish("shared", queue.name)
            for reader in (self.amqp, self.stomp):
                await self.check_came(reader, queue, Exchange(""), queue.name)

    @program
    async def test_mapped(self) -> None:
        """
        A mapped exchange and one of AMQP that has its name do not meet: both
        exist, and neither has what was published to the other.
        """
        for type in ("direct", "topic", "fanout"):
            exchange = self.exchange(type)
            amqp, stomp = self.queue(exchange, "k"), self.queue(exchange, "k")
            await amqp(self.amqp).declare()
            await stomp(self.stomp).declare()
            await Producer(self.amqp, exchange).publish("amqp", "k")
            await Producer(self.stomp, exchange).publish("stomp", "k")
            for queue, text in ((amqp, "amqp"), (stomp, "stomp")):
                message = await self.get(self.stomp, queue)
                self.assertEqual(message.payload, text)
                self.assertEqual(origin(message), (exchange.name, "k"))
                self.assertIsNone(await queue(self.stomp).get())

    @program
    async def test_mapped_by_amqp(self) -> None:
        """AMQP sees a mapped exchange as keys of one that the broker has."""
        exchange = Exchange(f"our.{self.suffix}", "topic")
        key = f"txkombu.our~2E{self.suffix}.a.b"
        queue = self.queue(Exchange("amq.topic", "topic"), key)
        await queue(self.amqp).declare()
        await Producer(self.stomp, exchange).publish("x", "a.b")
        message = await self.get(self.amqp, queue)
        self.assertEqual(origin(message), ("amq.topic", key))


class QueueTests(MeetingTests):
    """A queue is one and the same for both."""

    @program
    async def test_declared_alike(self) -> None:
        """
        What one has declared the other may declare again, with every argument
        that STOMP has.
        """
        options: dict[str, Any] = {
            "max_priority": 5,
            "message_ttl": 60.5,
            "expires": 300,
            "max_length": 9,
            "max_length_bytes": 9000,
            "queue_arguments": {
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "dead",
            },
        }
        for first, second in ((self.amqp, self.stomp), (self.stomp, self.amqp)):
            for arguments in (
                {},
                {"durable": False},
                options,
                {"queue_type": "quorum"},
            ):
                queue = self.queue(**arguments)
                await queue(first).declare()
                await queue(second).declare()
                other = Queue(queue.name, **{**arguments, "max_length": 8})
                await self.fails(PreconditionFailed, other(second).declare())

    @program
    async def test_bound_alike(self) -> None:
        """A queue has a message once that both have bound."""
        exchange = Exchange("amq.topic", "topic")
        queue = self.queue(exchange, f"{self.suffix}.*")
        for connection in (self.amqp, self.stomp, self.amqp):
            await queue(connection).declare()
        await Producer(self.amqp, exchange).publish("once", f"{self.suffix}.x")
        self.assertEqual(await self.drained(queue), ["once"])

    @program
    async def test_competing(self) -> None:
        """Consumers of both share the messages of a queue, each to one of them."""
        queue = self.queue()
        for connection in (self.amqp, self.stomp):
            consumer = Consumer(
                connection, queue, callbacks=[self.keep], prefetch_count=1
            )
            await consumer.consume()
        await Producer(self.amqp).publish_all(range(4), routing_key=queue.name)
        await self.when_got(2)
        by = {message.consumer_tag for _, message in self.got}
        self.assertEqual(len(by), 2)
        for number in range(4):
            await self.when_got(number + 1)
            await self.got[number][1].ack()
        self.assertEqual(sorted(number for number, _ in self.got), [0, 1, 2, 3])

    def keep(self, payload: Any, message: Message) -> None:
        """A callback that leaves the message unsettled."""
        self.note((payload, message))

    @program
    async def test_priorities(self) -> None:
        """A queue with priorities heeds those that either gives."""
        queue = self.queue(max_priority=5)
        await queue(self.stomp).declare()
        for connection, priority in ((self.amqp, 1), (self.stomp, 5), (self.amqp, 3)):
            producer = Producer(connection)
            await producer.publish(priority, queue.name, priority=priority)
        self.assertEqual(await self.drained(queue), [5, 3, 1])


class DeathTests(MeetingTests):
    """Dead letters."""

    async def dead(self, connection: BrokerConnection) -> Queue:
        """Have a message rejected; @return: where it is now."""
        dead = self.queue()
        arguments = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead.name,
        }
        self.alive = self.queue(queue_arguments=arguments)
        for queue in (dead, self.alive):
            await queue(connection).declare()
        await Producer(self.amqp).publish(
            {"a": 1}, self.alive.name, headers={"mine": "m"}, correlation_id="c"
        )
        message = await self.get(connection, self.alive, no_ack=False)
        await message.reject()
        return dead

    @program
    async def test_by_stomp(self) -> None:
        """
        What a STOMP consumer rejects is a dead letter, whose history STOMP tells
        in part: where it died first, and why.
        """
        dead = await self.dead(self.stomp)
        message = await self.get(self.stomp, dead)
        self.assertEqual(message.payload, {"a": 1})
        self.assertEqual(message.properties["correlation_id"], "c")
        self.assertEqual(
            message.headers,
            {
                "mine": "m",
                "x-first-death-exchange": "",
                "x-first-death-queue": self.alive.name,
                "x-first-death-reason": "rejected",
            },
        )

    @program
    async def test_by_amqp(self) -> None:
        """AMQP tells the whole history of what a STOMP consumer has rejected."""
        dead = await self.dead(self.stomp)
        headers: Any = (await self.get(self.amqp, dead)).headers
        (death,) = headers["x-death"]
        self.assertEqual(death["queue"], self.alive.name)
        self.assertEqual(death["reason"], "rejected")
        self.assertEqual(death["count"], 1)

    @program
    async def test_to_stomp(self) -> None:
        """What an AMQP consumer rejects is the same dead letter for STOMP."""
        dead = await self.dead(self.amqp)
        headers = (await self.get(self.stomp, dead)).headers
        self.assertEqual(headers["x-first-death-reason"], "rejected")
        self.assertNotIn("x-death", headers)

    @program
    async def test_expired(self) -> None:
        """What either publishes with an expiration expires."""
        dead = self.queue()
        arguments = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead.name,
        }
        queue = self.queue(queue_arguments=arguments)
        reader = Consumer(self.stomp, dead, callbacks=[self.take])
        await reader.consume()
        await queue(self.stomp).declare()
        for connection in (self.amqp, self.stomp):
            await Producer(connection).publish("old", queue.name, expiration=0.001)
        await self.when_got(2)
        self.assertEqual(self.got, ["old", "old"])
        self.assertIsNone(await queue(self.stomp).get())


class RedeliveredTests(MeetingTests):
    """Messages that come again."""

    @program
    async def test_requeued(self) -> None:
        """What one puts back is marked for the other, and never before."""
        for first, second in ((self.amqp, self.stomp), (self.stomp, self.amqp)):
            queue = self.queue()
            await queue(first).declare()
            await Producer(first).publish("x", queue.name)
            message = await self.get(first, queue, no_ack=False)
            self.assertFalse(message.redelivered)
            await message.requeue()
            self.assertTrue((await self.get(second, queue)).redelivered)

    @program
    async def test_lost(self) -> None:
        """So is what one still held when its connection was closed."""
        for url in (rabbitmq().url, self.url):
            queue = self.queue()
            await queue(self.stomp).declare()
            await Producer(self.stomp).publish("x", queue.name)
            holder = BrokerConnection(url, reactor=self.clock)
            consumer = Consumer(holder, queue, callbacks=[self.hold])
            await consumer.consume()
            await self.when_got(1)
            await holder.close()
            for connection in (self.amqp, self.stomp):
                await self.check_again(connection, queue)
            self.got.clear()

    def hold(self, payload: Any, message: Message) -> None:
        """A callback that leaves the message unsettled, on purpose."""
        self.note(message)

    async def check_again(self, connection: BrokerConnection, queue: Queue) -> None:
        """The message comes marked, and is put back."""
        message = await self.get(connection, queue, no_ack=False)
        self.assertTrue(message.redelivered)
        await message.requeue()


class LeakTests(MeetingTests):
    """Headers that are nobody's."""

    @program
    async def test_no_receipt(self) -> None:
        """A publish without a confirm leaves no receipt in AMQP's headers."""
        queue = self.queue()
        await queue(self.amqp).declare()
        producer = Producer(self.stomp)
        await producer.publish("x", queue.name, confirm=False)
        await producer.publish("y", queue.name)
        headers = (await self.get(self.amqp, queue)).headers
        self.assertEqual(headers, {"content-length": "1"})

    @program
    async def test_forwarded(self) -> None:
        """
        An AMQP program that publishes again what it had from STOMP, headers and
        all, with another body, is understood by STOMP, which sees of these only
        the user's.
        """
        first, second = self.queue(), self.queue()
        for queue in (first, second):
            await queue(self.amqp).declare()
        mine = {"text": "t", "count": 1, "list": [None, True]}
        await Producer(self.stomp).publish("short", first.name, headers=mine)
        message = await self.get(self.amqp, first)
        leaked = {**message.headers, "transaction": "t", "receipt": "r"}
        for headers in (leaked, {**leaked, "count": 2}):
            await Producer(self.amqp).publish("a" * 99, second.name, headers=headers)
        message = await self.get(self.stomp, second)
        self.assertEqual(message.payload, "a" * 99)
        self.assertEqual(message.headers, mine)
        # What was changed on the way is what counts, as the text that STOMP has.
        changed = await self.get(self.stomp, second)
        self.assertEqual(changed.headers, {**mine, "count": "2"})
