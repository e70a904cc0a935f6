"""
Beside stomp.py, on both brokers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tests.brokers.interop.table import BODIES
from tests.brokers.stomp.harness import ConformingOnActiveMQ, ConformingOnRabbitMQ
from tests.conformance.suite import Conformance, program
from tests.support.activemq import activemq
from tests.support.rabbitmq import rabbitmq
from tests.support.stomp_py_peer import StompPy
from txkombu import Consumer, Exchange, Message, Producer, Queue

T = TypeVar("T")


def aside(function: Callable[..., T], *arguments: Any) -> Deferred[T]:
    """Call what blocks in a thread, while the reactor goes on."""
    return cast("Deferred[T]", deferToThread(function, *arguments))


class Cases(Conformance):
    """
    What is the same with both brokers.

    @ivar peer: stomp.py, logged in.
    @cvar to_queue: what comes before the name of a queue.
    @cvar timestamp: a time as the broker has it in STOMP, for 2020-01-02.
    @cvar lifetime: a header by which a message expires in the future.
    """

    to_queue: ClassVar[str]
    timestamp: ClassVar[str]
    lifetime: ClassVar[Mapping[str, str]]
    peer: StompPy

    def start_peer(self, port: int) -> None:
        """Log stomp.py in, until the end of the test."""
        self.peer = StompPy(port)
        self.addCleanup(self.peer.close)

    def shared(self) -> tuple[Exchange, str]:
        """@return: a topic exchange, and what STOMP has before its keys."""
        raise NotImplementedError

    def reply_queue(self) -> Queue:
        """A queue for replies."""
        raise NotImplementedError

    async def named(self) -> tuple[Queue, str]:
        """@return: a declared queue with dots in its name, and its destination."""
        queue = Queue(f"orders.in.{self.suffix}")
        self.temporary.append(queue)
        await queue(self.connection).declare()
        return queue, self.to_queue + queue.name

    async def got_all(self, queue: Queue, count: int) -> list[Message]:
        """Consume so many messages."""

        def keep(message: Message) -> None:
            message.ack()
            self.note(message)

        consumer = Consumer(self.connection, queue, on_message=keep)
        await consumer.consume()
        await self.when_got(count)
        await consumer.close()
        return self.got

    @program
    async def test_content_to_us(self) -> None:
        """What stomp.py sends is decoded by its content type, and is text without."""
        queue, destination = await self.named()
        json = {"content_type": "application/json"}
        sent: list[tuple[bytes | str, Mapping[str, str], object]] = [
            ('{"a": "é"}', json, {"a": "é"}),
            ("é\n:", {"content_type": "text/plain"}, "é\n:"),
            ("é", {}, "é"),
            ("", {}, ""),
            (b"\xff\0", {"content_encoding": "binary"}, b"\xff\0"),
            (b"[1]\0" * 2**18, {"content_encoding": "binary"}, b"[1]\0" * 2**18),
        ]
        for body, headers, _ in sent:
            await aside(lambda b, h: self.peer.send(destination, b, **h), body, headers)
        for message, (_, _, payload) in zip(
            await self.got_all(queue, len(sent)), sent, strict=True
        ):
            self.assertEqual(message.payload, payload)

    @program
    async def test_content_to_them(self) -> None:
        """stomp.py has every body that we publish, with its labels."""
        queue, destination = await self.named()
        producer = Producer(self.connection)
        self.peer.subscribe(destination)
        samples: Any = [sample for row in BODIES for sample in row.samples]
        for body, options in samples:
            await producer.publish(body, queue.name, **options)
            frame = await aside(self.peer.receive)
            if isinstance(body, str | bytes):
                data = body.encode() if isinstance(body, str) else body
                self.assertEqual(frame.body or b"", data)
        await producer.publish({"a": "é"}, queue.name)
        frame = await aside(self.peer.receive)
        self.assertEqual(frame.body, '{"a":"é"}'.encode())
        self.assertEqual(frame.headers["content-type"], "application/json")
        self.assertEqual(frame.headers["content-encoding"], "utf-8")

    @program
    async def test_properties_to_us(self) -> None:
        """Properties that stomp.py gives are those of the message."""
        queue, destination = await self.named()
        sent = {
            "persistent": "true",
            "priority": "7",
            "correlation-id": "é:\\",
            "type": "t",
            "app-id": "a",
            "amqp-message-id": "m",
            "timestamp": self.timestamp,
            "mine": "m:\n",
        }
        self.peer.send(destination, "x", **sent, **self.lifetime)
        (message,) = await self.got_all(queue, 1)
        found = dict(message.properties)
        self.assertEqual(str(found.pop("timestamp")), "2020-01-02 00:00:00+00:00")
        self.assertGreater(int(cast(str, found.pop("expiration"))), 10_000)
        self.assertEqual(
            found,
            {
                "delivery_mode": 2,
                "priority": 7,
                "correlation_id": "é:\\",
                "type": "t",
                "app_id": "a",
                "message_id": "m",
                "headers": {"mine": "m:\n"},
            },
        )

    @program
    async def test_properties_to_them(self) -> None:
        """Properties that we give are the headers that STOMP has for them."""
        queue, destination = await self.named()
        self.peer.subscribe(destination)
        await Producer(self.connection).publish(
            "x",
            queue.name,
            priority=7,
            correlation_id="é:\\",
            type="t",
            app_id="a",
            message_id="m",
            timestamp=1_577_923_200,
            expiration=60,
            headers={"mine": "m:\n", "count": 1},
        )
        headers = (await aside(self.peer.receive)).headers
        expected = {
            "persistent": "true",
            "priority": "7",
            "correlation-id": "é:\\",
            "type": "t",
            "app-id": "a",
            "amqp-message-id": "m",
            "timestamp": self.timestamp,
            "expiration": "60000",
            "mine": "m:\n",
            "count": "1",
        }
        self.assertLessEqual(expected.items(), headers.items())

    @program
    async def test_transient(self) -> None:
        """What is not persistent is not so for the other, either."""
        queue, destination = await self.named()
        self.peer.send(destination, "x")
        (message,) = await self.got_all(queue, 1)
        self.assertEqual(message.properties["delivery_mode"], 1)
        self.peer.subscribe(destination)
        await Producer(self.connection).publish("x", queue.name, delivery_mode=1)
        frame = await aside(self.peer.receive)
        self.assertNotIn("persistent", frame.headers)

    @program
    async def test_exchange(self) -> None:
        """An exchange is a destination; both have what either publishes there."""
        exchange, place = self.shared()
        queue = self.queue(exchange, "*.stock")
        await queue(self.connection).declare()
        self.peer.subscribe(f"{place}usd.stock")
        self.peer.send(f"{place}usd.stock", "theirs", persistent="true")
        await Producer(self.connection, exchange).publish("ours", "usd.stock")
        for text in (b"theirs", b"ours"):
            frame = await aside(self.peer.receive)
            self.assertEqual(frame.body, text)
        messages = await self.got_all(queue, 2)
        self.assertEqual([each.payload for each in messages], ["theirs", "ours"])
        for message in messages:
            info = message.delivery_info
            self.assertEqual(info["exchange"], exchange.name)
            self.assertEqual(info["routing_key"], "usd.stock")

    @program
    async def test_redelivered(self) -> None:
        """What stomp.py held when it went comes to us, marked; and in turn."""
        queue, destination = await self.named()
        port = self.port()
        with StompPy(port) as other:
            other.subscribe(destination, ack="client-individual")
            await Producer(self.connection).publish("x", queue.name)
            frame = await aside(other.receive)
            self.assertNotEqual(frame.headers.get("redelivered"), "true")
        bound = queue(self.connection)
        while (message := await bound.get()) is None:
            await self.pause(0.02)
        self.assertTrue(message.redelivered)
        await message.requeue()
        self.peer.subscribe(destination, ack="client-individual")
        frame = await aside(self.peer.receive)
        self.assertEqual(frame.body, b"x")
        self.peer.ack(frame)
        self.assertIsNone(await bound.get())

    def port(self) -> int:
        """Where the broker speaks STOMP."""
        raise NotImplementedError

    @program
    async def test_we_serve(self) -> None:
        """stomp.py asks, and has its reply in a queue of its own that is temporary."""
        queue, destination = await self.named()
        producer = Producer(self.connection)

        async def serve(payload: object, message: Message) -> None:
            reply_to = cast(str, message.properties["reply_to"])
            correlation = cast(str, message.properties["correlation_id"])
            await producer.publish(
                {"to": payload}, reply_to, correlation_id=correlation
            )
            await message.ack()

        consumer = Consumer(self.connection, queue, callbacks=[serve])
        await consumer.consume()
        self.await_replies()
        for number in ("1", "2"):
            self.peer.send(
                destination, number, reply_to="/temp-queue/r", correlation_id=number
            )
            frame = await aside(self.peer.receive)
            self.assertEqual(frame.body, b'{"to":"%s"}' % number.encode())
            self.assertEqual(frame.headers["correlation-id"], number)

    def await_replies(self) -> None:
        """Subscribe to the temporary queue, where the broker wants that."""

    @program
    async def test_they_serve(self) -> None:
        """We ask, and stomp.py replies to the destination that it is told."""
        queue, destination = await self.named()
        self.peer.subscribe(destination)

        def serve() -> None:
            frame = self.peer.receive()
            headers = {"correlation-id": frame.headers["correlation-id"]}
            self.peer.send(frame.headers["reply-to"], b"to " + frame.body, **headers)

        replies = self.reply_queue()(self.connection)
        await replies.declare()
        consumer = Consumer(self.connection, replies, callbacks=[self.take])
        await consumer.consume()
        producer = Producer(self.connection)
        for number in ("1", "2"):
            served = aside(serve)
            await producer.publish(
                number, queue.name, reply_to=replies, correlation_id=number
            )
            await served
        await self.when_got(2)
        self.assertEqual(self.got, ["to 1", "to 2"])


class RabbitMQTests(Cases, ConformingOnRabbitMQ):
    """stomp.py on RabbitMQ."""

    to_queue = "/amq/queue/"
    timestamp = "1577923200"
    lifetime: ClassVar[Mapping[str, str]] = {"expiration": "60000"}

    def setUp(self) -> None:
        super().setUp()
        self.start_peer(self.port())

    def port(self) -> int:
        return rabbitmq().stomp_port

    def shared(self) -> tuple[Exchange, str]:
        return Exchange("amq.topic", "topic"), "/topic/"

    def reply_queue(self) -> Queue:
        return Queue(exclusive=True)

    @program
    async def test_queue_of_theirs(self) -> None:
        """A queue that stomp.py makes by using it is ours to use, and declare."""
        queue = Queue(f"orders.in.{self.suffix}")
        self.temporary.append(queue)
        self.peer.send(f"/queue/{queue.name}", "x")
        await queue(self.connection).declare()
        (message,) = await self.got_all(queue, 1)
        self.assertEqual(message.payload, "x")
        self.peer.subscribe(f"/queue/{queue.name}")
        await Producer(self.connection).publish("y", queue.name)
        self.assertEqual((await aside(self.peer.receive)).body, b"y")

    @program
    async def test_named_exchange(self) -> None:
        """An exchange that the broker has is reached by its name and a key."""
        exchange = Exchange("amq.direct")
        queue = self.queue(exchange, f"k.{self.suffix}")
        await queue(self.connection).declare()
        self.peer.send(f"/exchange/amq.direct/k.{self.suffix}", "x")
        (message,) = await self.got_all(queue, 1)
        self.assertEqual(message.delivery_info["exchange"], "amq.direct")
        self.assertEqual(message.delivery_info["routing_key"], f"k.{self.suffix}")

    @program
    async def test_mapped_exchange(self) -> None:
        """A mapped exchange is reached by a key of the one that it is mapped to."""
        exchange = Exchange(f"our.{self.suffix}", "topic")
        place = f"/exchange/amq.topic/txkombu.our~2E{self.suffix}."
        queue = self.queue(exchange, "*.stock")
        await queue(self.connection).declare()
        self.peer.subscribe(f"{place}#")
        self.peer.send(f"{place}usd.stock", "theirs")
        await Producer(self.connection, exchange).publish("ours", "eur.stock")
        for text in (b"theirs", b"ours"):
            self.assertEqual((await aside(self.peer.receive)).body, text)
        messages = await self.got_all(queue, 2)
        keys = [each.delivery_info["routing_key"] for each in messages]
        self.assertEqual(keys, ["usd.stock", "eur.stock"])
        self.assertEqual(messages[0].delivery_info["exchange"], exchange.name)


class ActiveMQTests(Cases, ConformingOnActiveMQ):
    """stomp.py on ActiveMQ."""

    to_queue = "/queue/"
    timestamp = "1577923200000"
    lifetime: ClassVar[Mapping[str, str]] = {"expires": "99999999999999"}

    def setUp(self) -> None:
        super().setUp()
        self.start_peer(self.port())

    def port(self) -> int:
        return activemq().stomp_port

    def shared(self) -> tuple[Exchange, str]:
        exchange = self.exchange("topic")
        return exchange, f"/topic/VirtualTopic.{exchange.name}."

    def reply_queue(self) -> Queue:
        return Queue(f"replies.{self.suffix}")

    def await_replies(self) -> None:
        self.peer.subscribe("/temp-queue/r")

    @program
    async def test_dead_letters(self) -> None:
        """What we reject is where ActiveMQ keeps such, for stomp.py and for us."""
        queue, _ = await self.named()
        await Producer(self.connection).publish(
            "bad", queue.name, headers={"mine": "m"}
        )
        message = await queue(self.connection).get()
        assert message is not None
        await message.reject()
        self.peer.subscribe("/queue/ActiveMQ.DLQ", ack="client-individual")
        frame = await aside(self.dead_letter, f"/queue/{queue.name}")
        self.assertEqual(frame.body, b"bad")
        self.assertEqual(frame.headers["mine"], "m")

    def dead_letter(self, died_at: str) -> Any:
        """The letter that was sent to some destination; others are left."""
        while True:
            frame = self.peer.receive()
            if frame.headers["original-destination"] == died_at:
                self.peer.ack(frame)
                return frame


del Cases  # its tests are those of the classes above
