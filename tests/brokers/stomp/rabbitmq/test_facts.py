"""
What RabbitMQ's STOMP plugin does, where our mapping and refusals rest on it.

Each test sends what the library refuses to send, or does without what it does, so
that it fails when there is no reason for that any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.contract.harness import ChannelWatcher, Journal, SessionWatcher, publish
from tests.support.rabbitmq import rabbitmq
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import BrokerError, KombuError, NotFound, SessionLost
from txkombu.interfaces import ISessionChannel
from txkombu.transport.amqp.native import AmqpTransport
from txkombu.transport.stomp.connections import Connector, SilentOwner
from txkombu.transport.stomp.protocol import StompProtocol, fence
from txkombu.transport.stomp.rabbitmq.mapping import destination_of, origin_of, route
from txkombu.transport.stomp.wire.frames import encode_frame
from txkombu.transport.stomp.wire.parser import Frame
from txkombu.url import parse_url

_names = count(1)

Headers = Iterable[tuple[str, str]]

DURABLE = (("durable", "true"), ("auto-delete", "false"), ("exclusive", "false"))
OWNED = (("durable", "true"), ("auto-delete", "false"), ("exclusive", "true"))
HELD = (("ack", "client-individual"), ("prefetch-count", "1"))


class Case(TestCase):
    """Has a queue, and sockets to send anything by."""

    timeout = 120

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # trial waits for it
        return Deferred.fromCoroutine(self.prepare())

    async def prepare(self) -> None:
        """Connect, and declare the queue by AMQP."""
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.broker = rabbitmq()
        self.connector = Connector(parse_url(self.broker.stomp_url), None, self.reactor)
        session = await AmqpTransport().connect(
            parse_url(self.broker.url), None, self.reactor, SessionWatcher(Journal())
        )
        self.addCleanup(session.close)
        self.session = session
        self.amqp = await self.channel()
        self.queue = await self.declared()
        self.to = ("destination", f"/amq/queue/{self.queue.name}")

    async def channel(self) -> ISessionChannel:
        """A channel to look with, which an error ends."""
        return await self.session.open_channel(ChannelWatcher(Journal()))

    async def declared(self, **options: Any) -> Queue:
        """A queue that is gone after the test."""
        queue = Queue(self.name(), **options)
        await self.amqp.queue_declare(queue, False)
        self.addCleanup(self.amqp.queue_delete, queue, False, False)
        return queue

    def name(self) -> str:
        """A name that nothing has."""
        return f"stomp-fact-{next(_names)}-{id(self):x}"

    async def connect(self) -> StompProtocol:
        """One more socket."""
        socket = await self.connector.open(SilentOwner())
        self.addCleanup(socket.close)
        return socket

    async def told(
        self, socket: StompProtocol, command: str, *headers: tuple[str, str]
    ) -> None:
        """Send a frame, and wait for its receipt."""
        receipt, done = socket.receipt()
        socket.write(encode_frame(command, [*headers, ("receipt", receipt)]))
        await done

    async def send(self, *headers: tuple[str, str]) -> None:
        """Send a message by a socket of its own."""
        await self.told(await self.connect(), "SEND", *headers)

    async def refused(self, *headers: tuple[str, str]) -> KombuError:
        """What comes of a message that is refused."""
        try:
            await self.send(*headers)
        except KombuError as error:
            return error
        raise self.failureException(f"{headers} was not refused")

    async def subscribe(
        self, socket: StompProtocol, id: str, *headers: tuple[str, str]
    ) -> list[Frame]:
        """
        Subscribe.

        @return: what comes, from now on.
        """
        frames: list[Frame] = []
        socket.subscribe(id, frames.append, lambda _: None)
        await self.told(socket, "SUBSCRIBE", ("id", id), *headers)
        return frames

    async def take(self) -> Frame:
        """The next message of the queue."""
        socket = await self.connect()
        ack = (("ack", "auto"), ("prefetch-count", "0"))
        frames = await self.subscribe(socket, "t", self.to, *ack)
        while not frames:
            await self.pause()
        await socket.close()
        return frames[0]

    async def pause(self) -> None:
        await deferLater(self.reactor, 0.02)

    async def count(self, queue: Queue) -> int:
        """The messages that are ready, once nobody holds any."""
        channel = await self.channel()
        found = await channel.queue_declare(queue, True)
        await channel.close()
        return found.message_count or 0

    async def exists(self, name: str) -> bool:
        """Whether there is such a queue."""
        try:
            await self.count(Queue(name))
        except NotFound:
            return False
        return True


class MessageTests(Case):
    """Messages."""

    async def test_fatal(self) -> None:
        """Values of properties that are refused end the socket."""
        for name, value, text in (
            ("expiration", "1.5", "invalid expiration"),
            ("user-id", "other", "authenticated user was 'guest'"),
            ("CC", "q", "unacceptable_type_in_header"),
            ("BCC", "q", "unacceptable_type_in_header"),
        ):
            error = await self.refused(self.to, (name, value))
            assert isinstance(error, BrokerError), name
            self.assertIn(text, error.text)

    async def test_no_reason(self) -> None:
        """Others are refused, and nobody learns why."""
        for name, value in (
            ("reply-to", "a/b"),
            ("reply-to", "/x"),
            ("timestamp", "now"),
        ):
            error = await self.refused(self.to, (name, value))
            self.assertIn("Processing error", str(error))

    async def test_priority_wraps(self) -> None:
        """A priority beyond a byte becomes another one on its way to AMQP."""
        await self.send(self.to, ("priority", "300"))
        delivery = await self.amqp.basic_get(self.queue, True)
        assert delivery is not None
        self.assertEqual(delivery.properties["priority"], 44)

    async def test_too_long(self) -> None:
        """A property that AMQP cannot have is taken, and kills AMQP's consumers."""
        await self.send(self.to, ("correlation-id", "x" * 300))
        self.assertEqual(len((await self.take()).last("correlation-id")), 300)

    async def test_reply_to(self) -> None:
        """A name to reply to comes back with a prefix."""
        await self.send(self.to, ("reply-to", "there %2F"))
        self.assertEqual((await self.take()).last("reply-to"), "/reply-queue/there %2F")

    async def test_leaks(self) -> None:
        """Headers of the frame are told to receivers as a user's."""
        await self.send(self.to)
        self.assertIn("receipt", (await self.take()).headers)

    async def test_types_are_lost(self) -> None:
        """Of an AMQP producer's headers only text and numbers arrive, as text."""
        headers = {
            "text": "a",
            "number": 3,
            "yes": True,
            "none": None,
            "float": 1.5,
            "list": ["a"],
        }
        await publish(
            self.amqp, Exchange(""), self.queue.name, headers=headers, delivery_mode=1
        )
        found = (await self.take()).headers
        self.assertEqual((found["text"], found["number"]), ("a", "3"))
        self.assertEqual(found["persistent"], "1")
        for name in ("yes", "none", "float", "list"):
            self.assertNotIn(name, found)

    async def test_headers_before_properties(self) -> None:
        """An AMQP header that is called as a property comes before that."""
        await publish(
            self.amqp,
            Exchange(""),
            self.queue.name,
            headers={"content-type": "header", "destination": "/elsewhere"},
            content_type="property",
        )
        frame = await self.take()
        self.assertEqual(frame.headers["content-type"], "header")
        self.assertEqual(frame.last("content-type"), "property")
        self.assertEqual(frame.headers["destination"], f"/queue/{self.queue.name}")
        self.assertEqual(frame.last("destination"), "/elsewhere")

    async def test_first_message_is_told_async(self) -> None:
        """What is sent behind a refused message is refused without a reason."""
        socket = await self.connect()
        receipt, done = socket.receipt()
        lost = [("destination", "/exchange/stomp-fact-missing/k"), ("receipt", receipt)]
        socket.write(encode_frame("SEND", lost) + encode_frame("SEND", [self.to]) * 50)
        error: Any = await self.assertFailure(done, BrokerError)
        self.assertRegex(str(error), "Processing error|no exchange")


class NameTests(Case):
    """Names in destinations."""

    async def test_origin(self) -> None:
        """A MESSAGE tells the exchange and the key it was published with, exactly."""
        exchanges = [
            Exchange("a.b/c%2Fd ä", kind) for kind in ("direct", "topic", "fanout")
        ]
        exchanges += [Exchange("amq.direct"), Exchange("amq.topic", "topic")]
        keys = ("k", "a.b/c", "%41%", " ä ", "..", "a:b\n\\c~", "")
        for exchange in exchanges:
            for key in keys:
                to = route(exchange, key)
                await self.amqp.queue_bind(
                    self.queue, Exchange(to.exchange), to.key, {}
                )
                await self.send(("destination", destination_of(to)))
                found = (await self.take()).headers["destination"]
                self.assertEqual(origin_of(found), (exchange.name, key), found)

    async def test_slash(self) -> None:
        """What stands for a slash cannot stand for itself; nothing else is decoded."""
        key = self.name()
        await self.amqp.queue_bind(self.queue, Exchange("amq.direct"), f"{key}/x", {})
        await self.send(("destination", f"/exchange/amq.direct/{key}%2Fx"))
        self.assertIn(f"{key}%2Fx", (await self.take()).headers["destination"])
        for text in ("%2f", "%41"):
            await self.amqp.queue_bind(
                self.queue, Exchange("amq.direct"), f"{key}{text}", {}
            )
            await self.send(("destination", f"/exchange/amq.direct/{key}{text}"))
            self.assertIn(f"{key}%25", (await self.take()).headers["destination"])

    async def test_line_ends(self) -> None:
        """Line ends are taken out of the names of queues, by AMQP, too."""
        name = self.name()
        declared = await self.amqp.queue_declare(Queue(f"{name}\n\r"), False)
        self.addCleanup(self.amqp.queue_delete, Queue(name), False, False)
        self.assertEqual(declared.queue, name)

    async def test_sending_declares(self) -> None:
        """Sending to a queue the other way declares it, with other properties."""
        queue = await self.declared(max_length=5)
        error = await self.refused(("destination", f"/queue/{queue.name}"))
        self.assertIn("inequivalent arg 'x-max-length'", str(error))
        socket = await self.connect()
        missing = self.name()
        await self.told(socket, "SEND", ("destination", f"/queue/{missing}"))
        self.addCleanup(self.amqp.queue_delete, Queue(missing), False, False)
        self.assertTrue(await self.exists(missing))


class QueueTests(Case):
    """Queues."""

    async def declare(
        self, name: str, *headers: tuple[str, str], socket: StompProtocol | None = None
    ) -> None:
        """Declare a queue by a transaction that is taken back."""
        socket = socket or await self.connect()
        within = ("transaction", "d")
        socket.write(
            encode_frame("BEGIN", [within])
            + encode_frame(
                "SEND", [("destination", f"/queue/{name}"), within, *headers]
            )
        )
        self.addCleanup(self.amqp.queue_delete, Queue(name), False, False)
        await self.told(socket, "ABORT", within)

    async def test_ignored_arguments(self) -> None:
        """Arguments that are not in the plugin's list go unheard."""
        name = self.name()
        await self.declare(
            name,
            *DURABLE,
            ("x-overflow", "reject-publish"),
            ("x-single-active-consumer", "true"),
            ("x-queue-mode", "lazy"),
        )
        found = await self.amqp.queue_declare(Queue(name), False)
        self.assertEqual(found.queue, name)

    async def test_no_number(self) -> None:
        """An argument that is no number is refused, and nobody learns why."""
        declaring = self.declare(self.name(), *DURABLE, ("x-max-length", "many"))
        error: Any = await self.assertFailure(
            Deferred.fromCoroutine(declaring), BrokerError
        )
        self.assertIn("Processing error", str(error))

    async def test_numbers_out_of_range(self) -> None:
        """Numbers out of range end the socket without a word."""
        for argument in (
            ("x-max-length", "-1"),
            ("x-expires", "0"),
            ("x-max-priority", "256"),
        ):
            socket = await self.connect()
            await self.declare(self.name(), *DURABLE, argument, socket=socket)
            while socket.alive:
                await self.pause()
            await self.assertFailure(fence(socket), SessionLost)

    async def test_disconnect_hides_refusals(self) -> None:
        """A refused declaration is not told before the receipt of a DISCONNECT."""
        socket = await self.connect()
        within = ("transaction", "d")
        other = [*DURABLE, ("x-max-length", "4")]
        socket.write(
            encode_frame("BEGIN", [within])
            + encode_frame(
                "SEND", [("destination", f"/queue/{self.queue.name}"), within, *other]
            )
            + encode_frame("ABORT", [within])
        )
        await self.told(socket, "DISCONNECT")

    async def test_reserved(self) -> None:
        """Queues cannot have names that begin as the broker's own."""
        socket = await self.connect()
        headers = (("destination", "/queue/amq.stomp-fact"), *HELD, *DURABLE)
        receipt, done = socket.receipt()
        frame = [("id", "a"), *headers, ("receipt", receipt)]
        socket.write(encode_frame("SUBSCRIBE", frame))
        error: Any = await self.assertFailure(done, BrokerError)
        self.assertIn("reserved prefix", str(error))

    async def test_delete_by_topic_only(self) -> None:
        """Ending a durable subscription deletes its queue, if it is to a topic."""
        for destination, stays in (
            ("/exchange/amq.direct/nowhere", True),
            ("/topic/nowhere", False),
        ):
            queue = await self.declared()
            name = ("x-queue-name", queue.name)
            socket = await self.connect()
            to = ("destination", destination)
            await self.subscribe(socket, "a", to, name, *HELD, *DURABLE)
            await self.told(
                socket, "UNSUBSCRIBE", ("id", "a"), ("durable", "true"), name
            )
            self.assertIs(await self.exists(queue.name), stays)

    async def test_prefetch_is_inherited(self) -> None:
        """A subscription without a prefetch has that of the one before."""
        other = await self.declared()
        socket = await self.connect()
        to = ("destination", f"/amq/queue/{other.name}")
        await self.subscribe(socket, "a", to, *HELD)
        for _ in range(3):
            await publish(self.amqp, Exchange(""), self.queue.name)
        frames = await self.subscribe(
            socket, "b", self.to, ("ack", "client-individual")
        )
        while not frames:
            await self.pause()
        await fence(socket)
        self.assertEqual(len(frames), 1)


class ExclusiveTests(Case):
    """Exclusive queues, on the socket that owns them."""

    async def owned(self) -> tuple[StompProtocol, str]:
        """A socket, and a queue of its own, which is bound twice."""
        socket = await self.connect()
        name = self.name()
        to = ("destination", f"/queue/{name}")
        within = ("transaction", "d")
        socket.write(
            encode_frame("BEGIN", [within])
            + encode_frame("SEND", [to, within, *OWNED])
            + encode_frame("ABORT", [within])
        )
        await fence(socket)
        return socket, name

    async def test_life(self) -> None:
        """All is done on the owner's socket, others are locked out, and it goes."""
        socket, name = await self.owned()
        bound = []
        for key in (f"{name}-1", f"{name}-2"):
            to = ("destination", f"/exchange/amq.direct/{key}")
            bound.append(
                await self.subscribe(
                    socket, key, to, ("x-queue-name", name), *HELD, *OWNED
                )
            )
        await self.locked(name)
        for number, key in enumerate(("1", "2", "1", "2", "1", "2")):
            to = ("destination", f"/exchange/amq.direct/{name}-{key}")
            await self.told(socket, "SEND", to, ("number", str(number)))
        consumed = await self.subscribe(
            socket,
            "c",
            ("destination", f"/amq/queue/{name}"),
            ("ack", "client-individual"),
            ("prefetch-count", "3"),
        )
        while len(consumed) < 3:
            await self.pause()
        held = [frame.headers["number"] for each in bound for frame in each]
        self.assertEqual(sorted(held), ["0", "1"])
        self.assertEqual(
            [frame.headers["number"] for frame in consumed], ["2", "3", "4"]
        )
        socket.write(encode_frame("ACK", [("id", bound[0][0].headers["ack"])]))
        await fence(socket)
        await socket.close()
        while await self.exists(name):
            await self.pause()

    async def locked(self, name: str) -> None:
        """Another connection cannot use a queue."""
        socket = await self.connect()
        receipt, done = socket.receipt()
        headers = [
            ("destination", f"/amq/queue/{name}"),
            ("id", "l"),
            *HELD,
            ("receipt", receipt),
        ]
        socket.write(encode_frame("SUBSCRIBE", headers))
        error: Any = await self.assertFailure(done, BrokerError)
        self.assertIn("RESOURCE_LOCKED", str(error))
