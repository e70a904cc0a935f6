"""
What programs can rely on over every transport: one suite for all of them.

Each case runs with the real reactor on a broker that others use, too, so every test has
exchange and queue names of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar, cast
from uuid import uuid4

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import TestCase

from tests.contract.capabilities import AMQP, Abilities, Ability, Nature, fitting, needs
from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue
from txkombu.exceptions import (
    AccessRefused,
    ChannelClosed,
    ConnectionClosed,
    Nacked,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
    Unroutable,
)
from txkombu.interfaces import Capability as Can
from txkombu.interfaces import Settlement
from txkombu.policy import retry

E = TypeVar("E", bound=Exception)
Program = Callable[[Any], Coroutine[Any, Any, None]]

PROPERTIES: Mapping[str, Any] = {
    "delivery_mode": 1,
    "priority": 3,
    "correlation_id": "c",
    "reply_to": "r",
    "message_id": "m",
    "timestamp": datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
    "type": "t",
    "app_id": "a",
}
"""
What a message may have beside its content and expiration.
"""


def program(body: Program) -> Callable[[Any], Deferred[None]]:
    """Make a test of a coroutine function."""

    def test(self: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(body(self))

    test.__doc__ = body.__doc__
    test.__name__ = body.__name__
    return test


class Conformance(TestCase):
    """
    The base of all cases: a connection, names, and cleaning up.

    @cvar url: the broker's URL; set by the modules that run the suite.
    @cvar abilities: what its transport can do on this broker.
    @cvar carried: the properties that arrive as they were published.
    """

    url = ""
    abilities: Abilities = AMQP
    carried: Mapping[str, Any] = PROPERTIES
    timeout = 180

    def setUp(self) -> None:
        self.clock = IReactorTime(reactor)
        self.suffix = uuid4().hex[:8]
        self.connections: list[BrokerConnection] = []
        self.temporary: list[Exchange | Queue] = []
        self.connection = self.connect()
        self.got: list[Any] = []
        self.waiting: list[tuple[int, Deferred[None]]] = []

    def tearDown(self) -> Deferred[None]:  # type: ignore[override]  # trial waits
        return Deferred.fromCoroutine(self.clean_up())

    async def clean_up(self) -> None:
        """Delete what the test made, and close what it opened."""
        await self.sweep()
        for connection in self.connections:
            await connection.close()

    async def sweep(self) -> None:
        """Delete the exchanges and queues of the test."""
        sweeper = self.sweeper()
        for entity in self.temporary:
            # An exclusive queue is deleted with its connection.
            with contextlib.suppress(ResourceLocked):
                await entity(sweeper).delete()

    def sweeper(self) -> BrokerConnection:
        """Return a connection that can delete what the test made."""
        return self.connect()

    def can(self, *wanted: Ability) -> bool:
        """Return whether this broker can do all of that."""
        return self.abilities.can(*wanted)

    def missing_exchange(self) -> Exchange:
        """Return an exchange that the broker reports as missing."""
        return Exchange("no-" + self.suffix)

    def connect(self, **options: Any) -> BrokerConnection:
        """Make a connection that is closed at the end."""
        connection = BrokerConnection(self.url, reactor=self.clock, **options)
        self.connections.append(connection)
        return connection

    def exchange(self, type: str = "direct", **options: Any) -> Exchange:
        """Describe an exchange that is deleted at the end."""
        name = f"ex-{len(self.temporary)}-{self.suffix}"
        exchange = Exchange(name, type, **options)
        self.temporary.append(exchange)
        return exchange

    def queue(self, *arguments: Any, **options: Any) -> Queue:
        """Describe a queue that is deleted at the end."""
        name = f"q-{len(self.temporary)}-{self.suffix}"
        queue = Queue(name, *arguments, **options)
        self.temporary.append(queue)
        return queue

    def take(self, payload: Any, message: Message) -> None:
        """Return a callback that records the payload and acks."""
        message.ack()
        self.note(payload)

    def note(self, what: Any) -> None:
        """Record something, and wake whoever waits for that many."""
        self.got.append(what)
        for count, waiter in list(self.waiting):
            if len(self.got) >= count and not waiter.called:
                waiter.callback(None)

    def when_got(self, count: int) -> Deferred[None]:
        """Return a Deferred that fires when that many things are recorded."""
        waiter: Deferred[None] = Deferred()
        if len(self.got) >= count:
            waiter.callback(None)
        else:
            self.waiting.append((count, waiter))
        return waiter.addTimeout(60, self.clock)

    async def fails(self, kind: type[E], awaitable: Awaitable[Any]) -> E:
        """Return the error with which a Deferred fails; it has to be of that kind."""
        try:
            await awaitable
        except kind as error:
            return error
        raise AssertionError(f"did not fail with {kind.__name__}")

    async def drained(self, queue: Queue) -> list[Any]:
        """Take all messages of a queue."""
        bound = queue(self.connection)
        found = []
        while (message := await bound.get(no_ack=True)) is not None:
            found.append(message.payload)
        return found

    async def returned(self, queue: Queue, count: int) -> list[Any]:
        """
        Take so many messages of a queue, as soon as they are there or have returned.
        """
        bound = queue(self.connection)
        found: list[Any] = []
        while len(found) < count:
            message = await bound.get(no_ack=True)
            if message is None:
                await self.pause(0.02)
            else:
                found.append(message.payload)
        return found + await self.drained(queue)

    async def pause(self, seconds: float) -> None:
        """Let time pass."""
        passed: Deferred[None] = Deferred()
        self.clock.callLater(seconds, passed.callback, None)
        await passed


class Routing(Conformance):
    @program
    async def test_direct(self) -> None:
        """
        A direct exchange routes a message to every queue bound with exactly its key.
        """
        exchange = self.exchange("direct")
        one, two = self.queue(exchange, "k"), self.queue(exchange, "k")
        for queue in (one, two):
            await queue(self.connection).declare()
        producer = Producer(self.connection, exchange)
        await producer.publish("k", "k")
        await producer.publish("other", "other")
        self.assertEqual(await self.drained(one), ["k"])
        self.assertEqual(await self.drained(two), ["k"])

    @program
    async def test_fanout(self) -> None:
        """A fanout exchange routes to every queue, whatever the key."""
        exchange = self.exchange("fanout")
        one, two = self.queue(exchange), self.queue(exchange, "ignored")
        for queue in (one, two):
            await queue(self.connection).declare()
        await Producer(self.connection, exchange).publish(1, "any")
        self.assertEqual(await self.drained(one), [1])
        self.assertEqual(await self.drained(two), [1])

    @program
    async def test_topic(self) -> None:
        """A topic exchange routes as the seed page says."""
        exchange = self.exchange("topic")
        queue = self.queue(exchange, "*.stock.#")
        await queue(self.connection).declare()
        producer = Producer(self.connection, exchange)
        for key in ("usd.stock", "eur.stock.db", "stock.nasdaq", "a.b.stock"):
            await producer.publish(key, key)
        self.assertEqual(await self.drained(queue), ["usd.stock", "eur.stock.db"])

    @program
    async def test_by_name(self) -> None:
        """A declared exchange can be named when publishing."""
        exchange = self.exchange("topic")
        queue = self.queue(exchange, "*.stock.#")
        await queue(self.connection).declare()
        producer = Producer(self.connection)
        await producer.publish("x", "usd.stock", exchange=exchange.name)
        self.assertEqual(await self.drained(queue), ["x"])

    @needs(Can.HEADERS_EXCHANGE)
    @program
    async def test_headers(self) -> None:
        """A headers exchange routes by headers, by all of them or by any."""
        exchange = self.exchange("headers")
        every = self.queue(
            exchange, binding_arguments={"x-match": "all", "a": 1, "b": "x"}
        )
        some = self.queue(
            exchange, binding_arguments={"x-match": "any", "a": 1, "b": "x"}
        )
        for queue in (every, some):
            await queue(self.connection).declare()
        producer = Producer(self.connection, exchange)
        await producer.publish("both", headers={"a": 1, "b": "x", "c": 0})
        await producer.publish("one", headers={"a": 1})
        self.assertEqual(await self.drained(every), ["both"])
        self.assertEqual(await self.drained(some), ["both", "one"])

    @program
    async def test_default_exchange(self) -> None:
        """The default exchange routes a message to the queue that the key names."""
        queue = self.queue()
        await queue(self.connection).declare()
        await Producer(self.connection).publish("x", queue.name)
        self.assertEqual(await self.drained(queue), ["x"])

    @needs(Can.EXCHANGE_BIND)
    @program
    async def test_exchange_to_exchange(self) -> None:
        """An exchange receives from another one until it is unbound."""
        source, destination = self.exchange("topic"), self.exchange("fanout")
        queue = self.queue(destination)
        await source(self.connection).declare()
        await queue(self.connection).declare()
        await destination(self.connection).bind_to(source, "a.#")
        producer = Producer(self.connection, source)
        await producer.publish(1, "a.b")
        await destination(self.connection).unbind_from(source, "a.#")
        await producer.publish(2, "a.b")
        self.assertEqual(await self.drained(queue), [1])

    @needs(Can.QUEUE_UNBIND)
    @program
    async def test_bindings(self) -> None:
        """A queue may have many bindings, and each can be removed."""
        exchange, other = self.exchange(), self.exchange("fanout")
        queue = self.queue(
            [exchange.binding("a"), exchange.binding("b"), other.binding()]
        )
        bound = queue(self.connection)
        await bound.declare()
        await bound.unbind_from(exchange, "b")
        for target, key in ((exchange, "a"), (exchange, "b"), (other, "c")):
            await Producer(self.connection, target).publish(key, key)
        self.assertEqual(await self.drained(queue), ["a", "c"])

    @program
    async def test_several_bindings(self) -> None:
        """A queue gets a message once, however many of its bindings match."""
        exchange, other = self.exchange(), self.exchange("fanout")
        queue = self.queue(
            [exchange.binding("a"), exchange.binding("b"), other.binding()]
        )
        await queue(self.connection).declare()
        for target, key in ((exchange, "a"), (exchange, "b"), (exchange, "c")):
            await Producer(self.connection, target).publish(key, key)
        await Producer(self.connection, other).publish("d", "d")
        self.assertEqual(sorted(await self.drained(queue)), ["a", "b", "d"])

    @program
    async def test_nobody_knows_the_other(self) -> None:
        """
        A producer and a consumer on different connections share only what they declare;
        messages wait for a consumer that starts later.
        """
        exchange = self.exchange("topic")
        queue = self.queue(exchange, "a.*")
        await queue(self.connect()).declare()
        producer = Producer(self.connect(), exchange)
        await producer.publish(1, "a.b")
        await producer.publish(2, "b.a")
        await producer.publish(3, "a.c")
        consumer = Consumer(self.connection, queue, callbacks=[self.take])
        await consumer.consume()
        await self.when_got(2)
        self.assertEqual(self.got, [1, 3])


class Content(Conformance):
    async def there_and_back(self, body: Any, **options: Any) -> Message:
        """Publish one message, and get it."""
        queue = self.queue()
        bound = queue(self.connection)
        await bound.declare()
        await Producer(self.connection).publish(body, queue.name, **options)
        message = await bound.get(no_ack=True)
        assert message is not None
        return message

    @program
    async def test_serializers(self) -> None:
        """
        The content type names the serializer of every message; a consumer needs no
        setting.
        """
        for serializer in ("json", "yaml", "msgpack"):
            body = {"n": 1, "text": "ü€", "list": [1, 2.5, None, True]}
            message = await self.there_and_back(body, serializer=serializer)
            self.assertEqual(message.payload, body)

    @program
    async def test_raw(self) -> None:
        """str and bytes are sent unchanged, with the given labels."""
        text = await self.there_and_back("grüß")
        self.assertEqual((text.payload, text.content_type), ("grüß", "text/plain"))
        data = await self.there_and_back(
            b"\x00\xff\xce", content_type="image/jpeg", content_encoding="binary"
        )
        self.assertEqual((data.body, data.payload), (b"\x00\xff\xce", b"\x00\xff\xce"))
        self.assertEqual(
            (data.content_type, data.content_encoding), ("image/jpeg", "binary")
        )

    @program
    async def test_sizes(self) -> None:
        """Bodies may be empty, or large."""
        for size in (0, 1, 131_064, 131_065, 1024 * 1024):
            message = await self.there_and_back(bytes(size))
            self.assertEqual(message.body, bytes(size))

    @program
    async def test_compression(self) -> None:
        """A compressed body arrives as it was before."""
        message = await self.there_and_back(["x"] * 1000, compression="zlib")
        self.assertEqual(message.payload, ["x"] * 1000)

    @program
    async def test_properties(self) -> None:
        """Every property arrives."""
        message = await self.there_and_back(1, **self.carried)
        for name, value in self.carried.items():
            self.assertEqual(message.properties[name], value, name)

    @program
    async def test_expiration(self) -> None:
        """A message expires after the given time; its consumer sees the expiration."""
        message = await self.there_and_back(1, expiration=60)
        self.assertEqual(message.properties["expiration"], "60000")
        queue = self.queue()
        await queue(self.connection).declare()
        producer = Producer(self.connection)
        await producer.publish("short", queue.name, expiration=0.2)
        await producer.publish("long", queue.name, expiration=60)
        await self.pause(0.4)
        self.assertEqual(await self.drained(queue), ["long"])

    @program
    async def test_text_headers(self) -> None:
        """Headers that are text arrive as they were published."""
        headers = {"text": "ü" * 300, "key: ß": "a\nb\\c:", "empty": ""}
        message = await self.there_and_back(1, headers=headers)
        self.assertEqual(message.headers, headers)

    @needs(Nature.TYPED_HEADERS)
    @program
    async def test_headers(self) -> None:
        """Headers of every type arrive as they were published."""
        headers = {
            "int": 1,
            "negative": -(2**40),
            "float": 0.1,
            "true": True,
            "none": None,
            "text": "ü" * 300,
            "list": [1, "x", None, {"a": False}],
            "table": {"nested": {"deep": 1.5}},
            "time": datetime(2020, 1, 2, tzinfo=timezone.utc),
        }
        message = await self.there_and_back(1, headers=headers)
        self.assertEqual(message.headers, headers)

    @program
    async def test_names_in_any_script(self) -> None:
        """Names and keys may be any UTF-8, also with blanks."""
        exchange = Exchange(f"börse {self.suffix}", "topic")
        queue = Queue(f"キュー {self.suffix}", exchange, "ключ.*")
        self.temporary += [exchange, queue]
        await queue(self.connection).declare()
        await Producer(self.connection, exchange).publish(1, "ключ.ü")
        message = await queue(self.connection).get(no_ack=True)
        assert message is not None
        info = message.delivery_info
        self.assertEqual(
            (info["exchange"], info["routing_key"]), (exchange.name, "ключ.ü")
        )


class Consuming(Conformance):
    @program
    async def test_the_seed_program(self) -> None:
        """The main job: consumer, producer, callback, ack."""
        queue = self.queue(self.exchange("direct"), "importer")
        channel = await self.connection.channel()
        consumer = Consumer(channel, [queue])
        consumer.register_callback(self.take)
        drain_waiters = self.connection.drain_events(timeout=20)
        producer = Producer(await self.connect().channel(), queue.exchange)
        await consumer.consume()
        await producer.publish({"import_feed": "http://x"}, routing_key="importer")
        await drain_waiters
        await producer.close()
        self.assertEqual(self.got, [{"import_feed": "http://x"}])

    @program
    async def test_many_in_order(self) -> None:
        """Messages arrive in the order in which they were published."""
        queue = self.queue(self.exchange(), "k")
        await Consumer(self.connection, queue, callbacks=[self.take]).consume()
        producer = Producer(self.connection, queue.exchange, "k")
        self.assertEqual(await producer.publish_all(range(2000)), 2000)
        await self.when_got(2000)
        self.assertEqual(self.got, list(range(2000)))

    @program
    async def test_requeue(self) -> None:
        """A requeued message is delivered again, marked as redelivered."""
        queue = self.queue()

        def callback(payload: Any, message: Message) -> None:
            message.ack() if message.redelivered else message.requeue()
            self.note(message.redelivered)

        await Consumer(self.connection, queue, callbacks=[callback]).consume()
        await Producer(self.connection).publish(1, queue.name)
        await self.when_got(2)
        self.assertEqual(self.got, [False, True])

    @needs(Can.QUEUE_ARGUMENTS, Nature.DEATH_HISTORY)
    @program
    async def test_failure_and_dead_letter(self) -> None:
        """A message whose handler fails each time is dead-lettered."""
        dlx = self.exchange("fanout")
        dead = self.queue(dlx)
        queue = self.queue(queue_arguments={"x-dead-letter-exchange": dlx.name})
        await dead(self.connection).declare()

        def callback(payload: Any, message: Message) -> None:
            raise RuntimeError("no way")

        soon = retry(delay=0.05)
        await Consumer(
            self.connection, queue, callbacks=[callback], on_failure=soon
        ).consume()
        await Consumer(self.connection, dead, on_message=self.see).consume()
        await Producer(self.connection).publish("bad", queue.name)
        await self.when_got(1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        [message] = self.got
        [death] = message.headers["x-death"]
        self.assertEqual(
            (death["queue"], death["reason"], death["count"]),
            (queue.name, "rejected", 1),
        )

    def see(self, message: Message) -> None:
        """Ack and record the message itself."""
        message.ack()
        self.note(message)

    @program
    async def test_prefetch(self) -> None:
        """At most prefetch_count messages are delivered and unsettled."""
        queue = self.queue()
        held: list[Message] = []

        def hold(message: Message) -> None:
            held.append(message)
            self.note(message.payload)

        consumer = Consumer(self.connection, queue, on_message=hold, prefetch_count=2)
        await consumer.consume()
        await Producer(self.connection).publish_all(range(5), routing_key=queue.name)
        await self.when_got(2)
        await self.pause(0.1)
        self.assertEqual(self.got, [0, 1])
        await held[0].ack()
        await self.when_got(3)
        await held[2].ack(multiple=True)
        await self.when_got(5)
        self.assertEqual(self.got, [0, 1, 2, 3, 4])

    @program
    async def test_multiple_and_nack(self) -> None:
        """nack gives several messages back at once."""
        queue = self.queue()
        bound = queue(self.connection)
        await bound.declare()
        await Producer(self.connection).publish_all(range(3), routing_key=queue.name)
        messages = [await bound.get() for _ in range(3)]
        assert messages[1] is not None and messages[2] is not None
        await messages[1].nack(multiple=True)
        self.assertIs(await messages[2].ack(), Settlement.SENT)
        left = await self.returned(queue, 2)
        # The channel that settled asks for the counts, as it does for the messages.
        ordered = self.can(Nature.REQUEUE_IN_PLACE, Can.QUEUE_COUNTS)
        self.assertEqual(left if ordered else sorted(left), [0, 1])

    @needs(Can.QUEUE_ARGUMENTS)
    @program
    async def test_priority_queue(self) -> None:
        """A priority queue delivers the highest priority first."""
        queue = self.queue(max_priority=5)
        await queue(self.connection).declare()
        producer = Producer(self.connection)
        for priority in (0, 5, 3, 5):
            await producer.publish(priority, queue.name, priority=priority)
        self.assertEqual(await self.drained(queue), [5, 5, 3, 0])

    @program
    async def test_cancel_and_consume_again(self) -> None:
        """Messages published while a consumer is cancelled wait for it."""
        queue = self.queue()
        consumer = Consumer(self.connection, queue, callbacks=[self.take])
        await consumer.consume()
        await consumer.cancel()
        await Producer(self.connection).publish("waits", queue.name)
        await self.pause(0.1)
        self.assertEqual(self.got, [])
        await consumer.consume()
        await self.when_got(1)

    @program
    async def test_async_iteration(self) -> None:
        """C{async for} takes messages; leaving it gives unsettled ones back."""
        queue = self.queue()
        await queue(self.connection).declare()
        await Producer(self.connection).publish_all(range(3), routing_key=queue.name)
        async with Consumer(self.connection, queue) as consumer:
            async for message in consumer:
                if message.payload == 1:
                    break
                await message.ack()
        self.assertEqual(sorted(await self.returned(queue, 2)), [1, 2])

    @program
    async def test_get(self) -> None:
        """get returns a message, or None."""
        queue = self.queue()
        consumer = Consumer(self.connection, queue)
        self.assertIsNone(await consumer.get())
        await Producer(self.connection).publish("x", queue.name)
        message = await consumer.get()
        assert message is not None
        self.assertEqual(message.payload, "x")
        await message.ack()
        self.assertIsNone(await consumer.get())

    @needs(Can.EXCLUSIVE_QUEUE, Nature.SHARED_EXCLUSIVE)
    @program
    async def test_get_exclusive(self) -> None:
        """
        get returns every message of an exclusive queue, settled or not, each time.
        """
        queue = self.queue(exclusive=True)
        bound = queue(self.connection)
        await bound.declare()
        bodies = ["a", "b", "c"]
        producer = Producer(self.connection)
        await producer.publish_all(bodies, routing_key=queue.name)
        messages = [await bound.get() for _ in bodies]
        self.assertEqual([each and each.payload for each in messages], bodies)
        self.assertIsNone(await bound.get())
        for message in messages:
            assert message is not None
            await message.requeue()
        self.assertEqual(sorted(await self.returned(queue, len(bodies))), bodies)
        for _ in range(20):
            await producer.publish_all(bodies, routing_key=queue.name)
            self.assertEqual(await self.drained(queue), bodies)

    @needs(Can.EXCLUSIVE_QUEUE, Nature.SHARED_EXCLUSIVE)
    @program
    async def test_held_by_a_cancelled_consumer(self) -> None:
        """
        Messages that a cancelled consumer holds do not count towards the next one's
        prefetch.
        """
        queue = self.queue(exclusive=True)
        held: list[Message] = []

        def hold(payload: Any, message: Message) -> None:
            held.append(message)
            self.note(payload)

        first, second, third = (
            Consumer(self.connection, queue, callbacks=[hold], prefetch_count=1)
            for _ in range(3)
        )
        await first.consume()
        await second.consume()
        await Producer(self.connection).publish_all(
            ["a", "b", "c"], routing_key=queue.name
        )
        await self.when_got(2)
        await first.cancel()
        await third.consume()
        await self.when_got(3)
        self.assertEqual(sorted(self.got), ["a", "b", "c"])
        for message in held:
            await message.ack()

    @program
    async def test_simple_queue(self) -> None:
        """SimpleQueue puts and gets messages."""
        name = f"simple-{self.suffix}"
        self.temporary += [Queue(name), Exchange(name)]
        simple = self.connection.SimpleQueue(name)
        await simple.put({"a": 1})
        message = await simple.get(timeout=20)
        self.assertEqual(message.payload, {"a": 1})
        await message.ack()
        with self.assertRaises(simple.Empty):
            await simple.get(timeout=0.1)
        await simple.close()

    @needs(Can.EXCLUSIVE_QUEUE, Nature.SHARED_EXCLUSIVE)
    @program
    async def test_simple_buffer(self) -> None:
        """SimpleBuffer's queue ends with its consumer; its messages need no ack."""
        name = f"buffer-{self.suffix}"
        buffer = self.connection.SimpleBuffer(name)
        await buffer.put(1)
        await buffer.put(2)
        self.assertEqual((await buffer.get_nowait()).payload, 1)
        self.assertEqual((await buffer.get(timeout=20)).payload, 2)
        await buffer.close()
        with self.assertRaises(NotFound):
            await Queue(name)(self.connection).queue_declare(passive=True)

    @needs(Can.QUEUE_UNBIND)
    @program
    async def test_unbind(self) -> None:
        """queue_unbind and binding.unbind undo the bindings that they are told of."""
        exchange = self.exchange()
        queue = self.queue(exchange, "a")(self.connection)
        await queue.declare()
        further = exchange.binding("b")
        await further.bind(queue)
        producer = Producer(self.connection, exchange)
        await producer.publish(1, "a")
        await producer.publish(2, "b")
        await queue.queue_unbind()
        await further.unbind(queue)
        await producer.publish(3, "a")
        await producer.publish(4, "b")
        self.assertEqual(await self.drained(queue), [1, 2])

    @needs(Can.SERVER_NAMED_QUEUE, Can.EXCLUSIVE_QUEUE)
    @program
    async def test_server_named_queue(self) -> None:
        """A queue without a name gets one from the broker."""
        exchange = self.exchange("fanout")
        queue = Queue("", exchange, exclusive=True)
        consumer = Consumer(self.connection, queue, callbacks=[self.take])
        await consumer.consume()
        [queue] = cast("list[Queue]", consumer.queues)
        self.assertTrue(queue.name)
        await Producer(self.connection, exchange).publish(1)
        await self.when_got(1)

    @needs(Can.SERVER_NAMED_QUEUE, Can.EXCLUSIVE_QUEUE)
    @program
    async def test_server_named_queue_declared_before(self) -> None:
        """A server-named queue that has its name can be used like any other."""
        queue = Queue("", self.exchange("fanout"), exclusive=True)(self.connection)
        await queue.declare()
        channel = self.connection.default_channel
        await Consumer(channel, queue, callbacks=[self.take]).consume()
        await queue.queue_declare()
        await Producer(self.connection, queue.exchange).publish(1)
        await self.when_got(1)
        name = queue.name
        self.connection.drop()
        await self.connection.connect()
        while not self.connection.is_consuming:
            await self.pause(0.05)
        self.assertNotEqual(queue.name, name)
        await Producer(self.connection, queue.exchange).publish(2)
        await self.when_got(2)

    @program
    async def test_no_name_yet(self) -> None:
        """
        A queue that was not declared, and so has no name, is refused: a broker could
        take it for the one that was declared before on the channel.
        """
        channel = await self.connection.channel()
        queue = self.queue()(channel)
        await queue.declare()
        await Producer(channel).publish(1, queue.name)
        unnamed = Queue()(channel)
        for operate in (
            unnamed.purge,
            unnamed.delete,
            unnamed.get,
            lambda: unnamed.consume(callback=print),
            lambda: unnamed.bind_to(Exchange("amq.direct"), "key"),
            lambda: unnamed.unbind_from(Exchange("amq.direct"), "key"),
        ):
            error = await self.fails(ValueError, operate())
            self.assertIn("the queue has no name yet", str(error))
        self.assertEqual(await self.drained(queue), [1])

    @needs(Can.QUEUE_COUNTS, Can.QUEUE_PURGE, Can.QUEUE_DELETE)
    @program
    async def test_purge_and_delete_count(self) -> None:
        """purge and delete return how many messages they removed."""
        queue = self.queue()
        bound = queue(self.connection)
        await bound.declare()
        producer = Producer(self.connection)
        await producer.publish_all(range(3), routing_key=queue.name)
        self.assertEqual((await bound.queue_declare(passive=True)).message_count, 3)
        self.assertEqual(await bound.purge(), 3)
        await producer.publish_all(range(2), routing_key=queue.name)
        self.assertEqual(await bound.delete(), 2)
        self.assertEqual(await bound.delete(), 0)


class Verdicts(Conformance):
    @needs(Can.MANDATORY)
    @program
    async def test_unroutable(self) -> None:
        """A mandatory message that no queue receives fails, and is returned."""
        returned: list[Any] = []
        exchange = self.exchange()
        producer = Producer(
            self.connection, exchange, on_return=lambda *told: returned.append(told)
        )
        sent = producer.publish("x", "nobody", mandatory=True)
        error = await self.fails(Unroutable, sent)
        self.assertEqual(error.returned.body, b"x")
        self.assertEqual(returned[0][1:3], (exchange.name, "nobody"))

    @needs(Can.MANDATORY)
    @program
    async def test_three_mandatory_one_unroutable(self) -> None:
        """Each verdict goes to its message, though the bodies are alike."""
        queue = self.queue(self.exchange(), "k")
        await queue(self.connection).declare()
        producer = Producer(self.connection, queue.exchange)
        await producer.publish("warm", "k")
        keys = ["k", "k", "nobody", "k", "nobody"]
        sent = [producer.publish("same", key, mandatory=True) for key in keys]
        for key, each in zip(keys, sent, strict=True):
            if key == "nobody":
                await self.fails(Unroutable, each)
            else:
                await each

    @needs(Can.QUEUE_ARGUMENTS, Nature.REJECT_PUBLISH)
    @program
    async def test_nacked(self) -> None:
        """A full queue that rejects publishes fails them with Nacked."""
        queue = self.queue(
            max_length=1, queue_arguments={"x-overflow": "reject-publish"}
        )
        await queue(self.connection).declare()
        producer = Producer(self.connection)
        await producer.publish(1, queue.name)
        await self.fails(Nacked, producer.publish(2, queue.name))
        await producer.publish(3, "nobody")

    @needs(Nature.MISSING_EXCHANGE)
    @program
    async def test_missing_exchange(self) -> None:
        """
        Publishing to a missing exchange fails with the broker's 404, which names it.
        """
        missing = self.missing_exchange()
        producer = Producer(self.connection)
        error = await self.fails(NotFound, producer.publish(1, "k", exchange=missing))
        self.assertEqual(error.code, 404)
        self.assertIn(missing.name, str(error))

    @program
    async def test_without_confirm(self) -> None:
        """Messages published without confirm arrive, too."""
        queue = self.queue()
        await queue(self.connection).declare()
        producer = Producer(self.connection)
        for number in range(500):
            await producer.publish(number, queue.name, confirm=False)
        await producer.publish(500, queue.name)
        self.assertEqual(await self.drained(queue), list(range(501)))


class Refusals(Conformance):
    @needs(Can.QUEUE_PASSIVE, Nature.MISSING_QUEUE)
    @program
    async def test_passive(self) -> None:
        """Passively declaring a missing queue fails with a 404 that names it."""
        bound = self.queue()(self.connection)
        error = await self.fails(NotFound, bound.queue_declare(passive=True))
        self.assertIn(bound.name, str(error))

    @needs(Can.EXCHANGE_PASSIVE)
    @program
    async def test_passive_exchange(self) -> None:
        """Passively declaring a missing exchange fails with a 404 that names it."""
        bound = self.exchange(passive=True)(self.connection)
        error = await self.fails(NotFound, bound.declare())
        self.assertIn(bound.name, str(error))

    @needs(Can.QUEUE_PASSIVE, Nature.MISSING_QUEUE, Nature.MISSING_EXCHANGE)
    @program
    async def test_right_after_a_refusal(self) -> None:
        """After a refusal the same channel can be used at once."""
        channel = await self.connection.channel()
        queue = self.queue()
        missing = Queue("no-" + self.suffix)(channel)
        await self.fails(NotFound, missing.queue_declare(passive=True))
        await queue(channel).declare()
        producer = Producer(channel)
        publish = producer.publish
        await self.fails(NotFound, publish(1, "k", exchange=self.missing_exchange()))
        await publish("after", queue.name)
        self.assertEqual(await self.drained(queue), ["after"])

    @needs(Can.QUEUE_ARGUMENTS, Nature.QUEUE_CHECKED)
    @program
    async def test_other_properties(self) -> None:
        """A queue that exists with other properties gives a 406 that names it."""
        queue = self.queue()
        await queue(self.connection).declare()
        other = Queue(queue.name, max_length=7)(self.connection)
        error = await self.fails(PreconditionFailed, other.declare())
        self.assertIn(other.name, str(error))

    @needs(Nature.EXCHANGE_CHECKED)
    @program
    async def test_other_type(self) -> None:
        """An exchange that exists with another type gives a 406 that names it."""
        exchange = self.exchange("direct")
        await exchange(self.connection).declare()
        other = Exchange(exchange.name, "fanout")(self.connection)
        error = await self.fails(PreconditionFailed, other.declare())
        self.assertIn(other.name, str(error))

    @needs(Can.EXCLUSIVE_QUEUE)
    @program
    async def test_exclusive_queue(self) -> None:
        """A queue that is exclusive to one connection gives others a 405."""
        queue = self.queue(exclusive=True)
        await queue(self.connection).declare()
        consuming = Consumer(self.connect(), queue, auto_declare=False).consume()
        await self.fails(ResourceLocked, consuming)

    @needs(Can.EXCLUSIVE_QUEUE, Can.QUEUE_ARGUMENTS)
    @program
    async def test_exclusive_queue_declared_otherwise(self) -> None:
        """
        An exclusive queue cannot be declared with other properties by its own
        connection either; it stays as it is, with its messages.
        """
        queue = self.queue(exclusive=True)
        await queue(self.connection).declare()
        await Producer(self.connection).publish_all(["a", "b"], routing_key=queue.name)
        for kind, other in (
            (PreconditionFailed, Queue(queue.name, exclusive=True, max_length=7)),
            (ResourceLocked, Queue(queue.name)),
        ):
            error = await self.fails(kind, other(self.connection).queue_declare())
            self.assertIn(queue.name, str(error))
        transient = Queue(queue.name, exclusive=True, durable=False)
        await transient(self.connection).queue_declare()
        await Consumer(self.connection, queue, callbacks=[self.take]).consume()
        await self.when_got(2)
        self.assertEqual(self.got, ["a", "b"])

    @needs(Can.CONSUMER_EXCLUSIVE)
    @program
    async def test_exclusive_consumer(self) -> None:
        """A second consumer beside an exclusive one gets a 403."""
        queue = self.queue()
        await Consumer(self.connection, queue, exclusive=True).consume()
        await self.fails(AccessRefused, Consumer(self.connection, queue).consume())

    @needs(Can.QUEUE_DELETE_CONDITIONAL)
    @program
    async def test_conditions_of_delete(self) -> None:
        """
        A queue that is in use, or has messages, is not deleted if the caller demands
        that.
        """
        queue = self.queue()
        bound = queue(self.connection)
        await bound.declare()
        await Producer(self.connection).publish(1, queue.name)
        await self.fails(PreconditionFailed, bound.delete(if_empty=True))
        consumer = Consumer(self.connection, queue)
        await consumer.consume()
        await self.fails(PreconditionFailed, bound.delete(if_unused=True))
        await consumer.close()

    @program
    async def test_predeclared_exchanges(self) -> None:
        """The broker's own exchanges are never declared."""
        for name in ("", "amq.direct", "amq.topic"):
            await Exchange(name)(self.connection).declare()

    @program
    async def test_closed(self) -> None:
        """Operations on a closed channel or connection say that it is closed."""
        channel = await self.connection.channel()
        await channel.close()
        await self.fails(ChannelClosed, Queue("x")(channel).declare())
        await self.connection.close()
        await self.fails(ConnectionClosed, Queue("x")(self.connection).declare())


class Recovery(Conformance):
    @needs(Can.EXCLUSIVE_QUEUE, Nature.AUTO_DELETE)
    @program
    async def test_consumers_come_back(self) -> None:
        """
        After a loss everything that was declared, and every consumer, is restored.
        """
        exchange = self.exchange("topic", auto_delete=True)
        queue = self.queue(exchange, "a.*", exclusive=True)
        consumer = Consumer(self.connection, queue, callbacks=[self.take])
        await consumer.consume()
        producer = Producer(self.connection, exchange)
        await producer.publish("before", "a.b")
        await self.when_got(1)
        self.connection.drop()
        await self.connection.connect()
        while not self.connection.is_consuming:
            await self.pause(0.05)
        await producer.publish("after", "a.b")
        await self.when_got(2)
        self.assertEqual(self.got, ["before", "after"])

    @needs(Can.SERVER_NAMED_QUEUE)
    @program
    async def test_reply_to_after_a_loss(self) -> None:
        """
        A message that waits for the next session has the queue's new name as reply_to.
        """
        requests = self.queue()
        await requests(self.connection).declare()
        replies = Queue("", exclusive=True)(self.connection)
        await replies.declare()
        before = replies.name
        self.connection.drop()
        await Producer(self.connection).publish(
            "question", requests.name, reply_to=replies
        )
        self.assertNotEqual(replies.name, before)
        message = await requests(self.connection).get(no_ack=True)
        assert message is not None
        self.assertEqual(message.properties["reply_to"], replies.name)

    @program
    async def test_durable_consumers_come_back(self) -> None:
        """After a loss every consumer is restored, and nothing is lost."""
        queue = self.queue(self.exchange("topic"), "a.*")

        def take(payload: Any, message: Message) -> None:
            message.ack()
            # The ack may have been in flight when the connection was lost.
            if not (message.redelivered and payload in self.got):
                self.note(payload)

        consumer = Consumer(self.connection, queue, callbacks=[take])
        await consumer.consume()
        producer = Producer(self.connection, queue.exchange)
        await producer.publish("before", "a.b")
        await self.when_got(1)
        self.connection.drop()
        await Producer(self.connect(), queue.exchange).publish("meanwhile", "a.b")
        await self.when_got(2)
        await producer.publish("after", "a.b")
        await self.when_got(3)
        self.assertEqual(self.got, ["before", "meanwhile", "after"])

    @program
    async def test_unsettled_messages_come_again(self) -> None:
        """
        A message that was never acknowledged is redelivered after a loss; acking the
        old one has no effect.
        """
        queue = self.queue()
        consumer = Consumer(self.connection, queue, on_message=self.note)
        await consumer.consume()
        await Producer(self.connect()).publish("x", queue.name)
        await self.when_got(1)
        self.connection.drop()
        await self.when_got(2)
        old, new = self.got
        self.assertEqual((old.redelivered, new.redelivered), (False, True))
        self.assertIs(await old.ack(), Settlement.STALE)
        self.assertIs(await new.ack(), Settlement.SENT)

    @needs(Can.QUEUE_DELETE)
    @program
    async def test_queue_deleted_under_a_consumer(self) -> None:
        """A consumer whose queue is deleted is told, and is restored with the queue."""
        told: list[Any] = []
        queue = self.queue()
        consumer = Consumer(
            self.connection,
            queue,
            callbacks=[self.take],
            on_cancel=lambda tag, error: told.append(error),
        )
        await consumer.consume()
        await queue(self.connect()).delete()
        while not told or not self.connection.is_consuming:
            await self.pause(0.05)
        await Producer(self.connection).publish("again", queue.name)
        await self.when_got(1)

    @needs(Can.QUEUE_PASSIVE, Nature.MISSING_QUEUE)
    @program
    async def test_channel_error_beside_a_consumer(self) -> None:
        """
        A channel error interrupts other consumers of the channel only for a moment.
        """
        queue = self.queue()
        channel = await self.connection.channel()
        await Consumer(channel, queue, callbacks=[self.take]).consume()
        refused = self.queue()(channel).queue_declare(passive=True)
        await self.fails(NotFound, refused)
        await Producer(self.connection).publish("still", queue.name)
        await self.when_got(1)


CASES = (Routing, Content, Consuming, Verdicts, Refusals, Recovery)


def cases(
    setup: type, module: str, wanted: tuple[type[Conformance], ...] = CASES
) -> dict[str, type]:
    """Return the suite's cases, or the named ones, for one broker, by name."""
    found = {}
    for case in fitting(wanted, getattr(setup, "abilities", Conformance.abilities)):
        name = f"{setup.__name__}{case.__name__}Tests"
        found[name] = type(name, (setup, case), {"__module__": module})
    return found
