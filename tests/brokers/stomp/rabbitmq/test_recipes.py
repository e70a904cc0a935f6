"""
Declaring, binding, emptying and deleting queues by STOMP, on RabbitMQ.

What the broker has is looked at by AMQP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.contract.harness import (
    ChannelWatcher,
    Inbox,
    Journal,
    SessionWatcher,
    consume,
    publish,
)
from tests.support.rabbitmq import RabbitMQ, rabbitmq
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import (
    AccessRefused,
    BrokerError,
    InternalError,
    KombuError,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
    Unroutable,
)
from txkombu.interfaces import ISessionChannel
from txkombu.transport.amqp.native import AmqpTransport
from txkombu.transport.stomp.connections import (
    ConnectionPool,
    Connector,
    SilentOwner,
)
from txkombu.transport.stomp.dialect import BoundQueue, GetResult, StompBinding
from txkombu.transport.stomp.protocol import fence
from txkombu.transport.stomp.rabbitmq import RabbitMQDialect
from txkombu.transport.stomp.wire.frames import encode_frame
from txkombu.transport.stomp.wire.parser import Frame
from txkombu.url import Parameters, parse_url

_names = count(1)
_T = TypeVar("_T")
_E = TypeVar("_E", bound=KombuError)

DIRECT = Exchange("amq.direct")
_USERS = "rabbit_auth_backend_internal"


class Case(TestCase):
    """
    Has sockets to RabbitMQ, and an AMQP channel to look at it.

    @cvar permits_transient: whether queues may be neither durable nor exclusive.
    """

    timeout = 120
    permits_transient = True

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # trial waits for it
        return Deferred.fromCoroutine(self.prepare())

    async def prepare(self) -> None:
        """Connect."""
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.broker = self.node()
        self.parameters = parse_url(self.broker.stomp_url)
        self.connections = await self.connect(self.parameters)
        self.dialect = RabbitMQDialect("", "guest")
        session = await AmqpTransport().connect(
            parse_url(self.broker.url), None, self.reactor, SessionWatcher(Journal())
        )
        self.addCleanup(session.close)
        self.amqp_session = session
        self.amqp = await self.channel()

    def node(self) -> RabbitMQ:
        """Where it runs."""
        return rabbitmq()

    async def connect(self, parameters: Parameters) -> ConnectionPool:
        """The sockets of one more session."""
        connector = Connector(parameters, None, self.reactor)
        main = await connector.open(SilentOwner())
        connector.follow(errors_are_fatal=True, length_is_last=True)
        connections = ConnectionPool(connector, main, lambda reason: None)

        async def end() -> None:
            await connections.end_in_order()
            await main.close()

        self.addCleanup(lambda: Deferred.fromCoroutine(end()))
        return connections

    async def channel(self) -> ISessionChannel:
        """A channel to look with, which an error ends."""
        return await self.amqp_session.open_channel(ChannelWatcher(Journal()))

    def name(self) -> str:
        """A name that nothing has."""
        return f"stomp-recipe-{next(_names)}-{id(self):x}"

    def queue(self, name: str = "", **options: Any) -> Queue:
        """A queue that is not there, and that will be gone after the test."""
        queue = Queue(name or self.name(), **options)
        self.addCleanup(self.remove, queue)
        return queue

    def remove(self, queue: Queue) -> Deferred[Any]:
        return self.amqp.queue_delete(queue, False, False)

    async def full(self, *bodies: bytes, **options: Any) -> Queue:
        """A queue with messages."""
        queue = self.queue(**options)
        await self.declare(queue)
        for body in bodies or (b"1", b"2", b"3"):
            await publish(self.amqp, Exchange(""), queue.name, body)
        return queue

    async def counts(self, queue: Queue) -> tuple[int, int]:
        """The messages and consumers of a queue."""
        channel = await self.channel()
        found = await channel.queue_declare(queue, True)
        await channel.close()
        return found.message_count or 0, found.consumer_count or 0

    async def until(
        self, ask: Callable[[], Awaitable[_T]], wanted: _T, seconds: float = 30
    ) -> None:
        """Wait for what the broker does after it has answered."""
        limit = self.reactor.seconds() + seconds
        while (found := await ask()) != wanted and self.reactor.seconds() < limit:
            await deferLater(self.reactor, 0.02)
        self.assertEqual(found, wanted)

    async def has(self, queue: Queue, messages: int) -> None:
        """A queue comes to have so many messages, and nobody to take them."""
        await self.until(lambda: self.counts(queue), (messages, 0))

    async def is_fresh(self, queue: Queue, messages: int = 1) -> None:
        """A queue has messages, none of which was handed out."""
        await self.has(queue, messages)
        for _ in range(messages):
            delivery = await self.amqp.basic_get(queue, True)
            assert delivery is not None
            self.assertFalse(delivery.redelivered)
            headers: Any = delivery.properties.get("headers", {})
            self.assertEqual(headers.get("x-delivery-count", 0), 0)

    async def has_arrived(self, queue: Queue, *bodies: bytes) -> None:
        """A queue has these messages."""
        for body in bodies:
            delivery = await self.amqp.basic_get(queue, True)
            assert delivery is not None, body
            self.assertEqual(delivery.body, body)
        self.assertIsNone(await self.amqp.basic_get(queue, True))

    async def declare(self, queue: Queue, passive: bool = False) -> None:
        """Declare a queue."""
        self.dialect.check_queue(queue)
        await self.dialect.declare_queue(queue, passive, self.connections)

    async def bind(
        self,
        queue: Queue,
        exchange: Exchange,
        key: str,
        connections: ConnectionPool | None = None,
    ) -> None:
        """Bind a queue."""
        bound = StompBinding(exchange, key, {})
        self.dialect.check_binding(bound, BoundQueue(queue))
        await self.dialect.bind_queue(queue, bound, connections or self.connections)

    async def get(self, queue: Queue, no_ack: bool = False) -> GetResult | None:
        """Get a message."""
        return await self.dialect.get(BoundQueue(queue), no_ack, self.connections)

    async def purge(
        self, queue: Queue, connections: ConnectionPool | None = None
    ) -> int:
        """Purge a queue."""
        return await self.dialect.purge_queue(
            BoundQueue(queue), connections or self.connections
        )

    async def refusal(self, kind: type[_E], doing: Awaitable[object]) -> _E:
        """What something fails with; no socket is left."""
        try:
            await doing
        except kind as error:
            self.assertEqual(self.left, 0)
            return error
        raise self.failureException(f"{kind.__name__} not raised")

    @property
    def left(self) -> int:
        """How many sockets recipes have left open, and not for further ones."""
        return len(self.connections._open) - (self.connections._spare is not None)

    async def run_code(self, code: str) -> str:
        """Run code in the node."""
        return await deferToThread(self.broker.evaluate, code)

    async def limited(
        self,
        configure: str = ".*",
        write: str = ".*",
        read: str = ".*",
        topics: str = "",
    ) -> ConnectionPool:
        """
        The sockets of a user with these permissions.

        @param topics: what keys of C{amq.topic} may begin with.
        """
        user = self.name()
        await self.evaluate(
            f"{_USERS}:add_user(U, {_text('secret')}, A)",
            f"{_USERS}:set_permissions(U, V, {_text(configure)}, {_text(write)}, "
            f"{_text(read)}, A)",
            f"{_USERS}:set_topic_permissions(U, V, {_text('amq.topic')}, "
            f"{_text(f'^{topics}')}, {_text(f'^{topics}')}, A)",
            user=user,
        )
        self.addCleanup(self.forget, user)
        return await self.connect(
            attrs.evolve(self.parameters, userid=user, password="secret")
        )

    def forget(self, user: str) -> Deferred[str]:
        """Delete a user."""
        return Deferred.fromCoroutine(
            self.evaluate(f"{_USERS}:delete_user(U, A)", user=user)
        )

    async def evaluate(self, *steps: str, user: str) -> str:
        """Run code about a user, U, in the node."""
        names = f"U = {_text(user)}, V = {_text('/')}, A = {_text('test')}"
        return await self.run_code(", ".join((names, *steps)))


def _text(text: str) -> str:
    return f'<<"{text}">>'


class DeclareTests(Case):
    """Queues come to be."""

    async def test_durable(self) -> None:
        """A durable queue is there as AMQP would declare it."""
        queue = self.queue(expires=600, max_priority=5, message_ttl=60)
        await self.declare(queue)
        self.assertEqual(
            await self.amqp.queue_declare(queue, False), (queue.name, 0, 0)
        )
        self.assertEqual(self.left, 0)

    async def test_all_arguments(self) -> None:
        """Every argument of the list arrives, as the broker has it itself."""
        queue = self.queue(
            expires=600,
            max_priority=5,
            message_ttl=60,
            max_length=7,
            max_length_bytes=1000,
            queue_type="classic",
            queue_arguments={
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "nowhere",
            },
        )
        await self.declare(queue)
        await self.amqp.queue_declare(queue, False)

    async def test_transient(self) -> None:
        """A queue need not be durable, where the broker permits that."""
        queue = self.queue(durable=False)
        if not self.permits_transient:
            error = await self.refusal(InternalError, self.declare(queue))
            self.assertIn("transient_nonexcl_queues", error.text)
            return
        await self.declare(queue)
        await self.amqp.queue_declare(queue, False)

    async def test_any_name(self) -> None:
        """Names are any UTF-8 of up to 255 bytes."""
        tail = self.name()
        for name in (f"a/b%41 ä:\x01\\{tail}", f"{'ü' * 100}{tail}"):
            queue = self.queue(name)
            await self.declare(queue)
            await self.declare(queue, passive=True)
            self.assertEqual((await self.amqp.queue_declare(queue, False)).queue, name)

    async def test_again(self) -> None:
        """Declaring a queue again leaves it and its messages as they are."""
        queue = await self.full()
        await self.declare(queue)
        self.assertEqual(await self.counts(queue), (3, 0))

    async def test_other_properties(self) -> None:
        """One that is there with other properties is refused, every time."""
        queue = await self.full()
        for other, what in (
            (Queue(queue.name, max_length=4), "x-max-length"),
            (Queue(queue.name, durable=False), "durable"),
        ):
            for _ in range(5):
                error = await self.refusal(PreconditionFailed, self.declare(other))
                self.assertIn(f"inequivalent arg '{what}'", error.text)
        self.assertEqual(await self.counts(queue), (3, 0))

    async def test_not_permitted(self) -> None:
        """One that the user may not declare is refused."""
        queue = self.queue()
        connections = await self.limited(configure="^other")
        await self.refusal(
            AccessRefused, self.dialect.declare_queue(queue, False, connections)
        )
        await self.refusal(NotFound, self.declare(queue, passive=True))

    async def test_rights(self) -> None:
        """To declare one takes the right to configure it, to look for it to read."""
        queue = self.queue()
        connections = await self.limited(write="^$", read="^$")
        await self.dialect.declare_queue(queue, False, connections)
        reader = await self.limited(write="^$", configure="^$")
        await self.dialect.declare_queue(queue, True, reader)

    async def test_passive(self) -> None:
        """One that is there is found, and keeps what it has."""
        queue = await self.full()
        await self.declare(queue, passive=True)
        await self.has(queue, 3)

    async def test_declared_again(self) -> None:
        """One that was declared by this session, and is gone, comes to be again."""
        queue = await self.full()
        for _ in range(3):
            await self.remove(queue)
            await self.declare(queue)
            self.assertEqual(await self.counts(queue), (0, 0))

    async def test_passive_takes_nothing(self) -> None:
        """Looking for a queue does not mark its messages as handed out."""
        for kind in ("classic", "quorum"):
            queue = await self.full(b"1", queue_type=kind)
            for _ in range(3):
                await self.declare(queue, passive=True)
            await self.is_fresh(queue)

    async def test_passive_consumed_alone(self) -> None:
        """One that somebody consumes alone is found, too."""
        queue = await self.full()
        await self.amqp.basic_consume(
            queue, "alone", False, True, {}, 1, lambda _: None, lambda _: None
        )
        for _ in range(2):
            await self.declare(queue, passive=True)
        self.assertEqual(await self.counts(queue), (2, 1))

    async def test_passive_missing(self) -> None:
        """One that is not there is told, and does not come to be."""
        queue = self.queue()
        for _ in range(2):
            error = await self.refusal(NotFound, self.declare(queue, passive=True))
            self.assertEqual(
                error.text, f"NOT_FOUND - no queue '{queue.name}' in vhost '/'"
            )

    async def test_exclusive_elsewhere(self) -> None:
        """One that is another's is locked."""
        queue = Queue(self.name(), exclusive=True)
        await self.amqp.queue_declare(queue, False)
        for passive in (True, False):
            await self.refusal(ResourceLocked, self.declare(queue, passive))

    async def test_helpers_go(self) -> None:
        """No helper queue stays."""
        queue = await self.full()
        await self.declare(queue, passive=True)
        await self.bind(queue, DIRECT, "key")
        await self.declare_exchange(Exchange("amq.topic", passive=True))
        await self.purge(queue)
        self.assertIsNone(await self.get(queue))

        async def names() -> tuple[bool, bool]:
            # Only their names: erl_call writes a text of 64 KiB as numbers.
            found = await self.run_code(
                "[element(4, amqqueue:get_name(Q)) || "
                'Q <- rabbit_amqqueue:list(<<"/">>)]'
            )
            return (queue.name in found, ".txkombu-" in found)

        await self.until(names, (True, False))

    async def declare_exchange(self, exchange: Exchange) -> None:
        """Make sure of an exchange."""
        self.dialect.check_exchange(exchange)
        await self.dialect.declare_exchange(exchange, self.connections)

    async def test_exchange_there(self) -> None:
        """An exchange that the broker has is found, and one that is mapped always."""
        name = self.name()
        for kind in ("direct", "fanout", "topic", "headers"):
            exchange = Exchange(f"{name}/{kind}", kind, passive=True)
            declared = Exchange(exchange.name, kind)
            await self.amqp.exchange_declare(declared, False)
            self.addCleanup(self.amqp.exchange_delete, declared, False)
            await self.declare_exchange(exchange)
        for exchange in (DIRECT, Exchange("amq.match", "headers"), Exchange("")):
            await self.declare_exchange(exchange)
        await self.declare_exchange(Exchange(self.name()))
        self.assertEqual(self.left, 0)

    async def test_exchange_missing(self) -> None:
        """One that the broker does not have is told."""
        exchange = Exchange(self.name(), passive=True)
        error = await self.refusal(NotFound, self.declare_exchange(exchange))
        self.assertEqual(
            error.text, f"NOT_FOUND - no exchange '{exchange.name}' in vhost '/'"
        )


class BindTests(Case):
    """Queues are bound, and lose nothing by it."""

    async def test_bind(self) -> None:
        """What is published by the key arrives, beside what was there."""
        queue = await self.full(b"before")
        await self.bind(queue, Exchange("media"), "video")
        await publish(self.amqp, DIRECT, "txkombu.media.video", b"after")
        await self.has(queue, 2)
        await self.has_arrived(queue, b"before", b"after")
        self.assertEqual(self.left, 0)

    async def test_topic(self) -> None:
        """Patterns match words of the key, and of no other exchange's."""
        queue = await self.full(b"")
        await self.amqp.queue_purge(queue)
        name = self.name()
        feed = Exchange(name, "topic")
        for pattern in ("#.err", "a.*.b", "x.#"):
            await self.bind(queue, feed, pattern)
        for number, key in enumerate(
            ("err", "a.err", "a.c.b", "a.b", "x", "x.y.z", "", "y.x")
        ):
            destination = self.dialect.destination(feed, key)
            _, _, through, sent = destination.split("/")
            await publish(self.amqp, Exchange(through), sent, b"%d" % number)
        await publish(self.amqp, Exchange("amq.topic"), "txkombu.other.err", b"other")
        await self.has_arrived(queue, b"0", b"1", b"2", b"4", b"5")

    async def test_fanout(self) -> None:
        """A queue of a fanout exchange gets all, whatever the keys."""
        queue = await self.full(b"")
        await self.amqp.queue_purge(queue)
        all = Exchange(self.name(), "fanout")
        await self.bind(queue, all, "ignored")
        for key in ("", "a", "a.b", "#", "."):
            _, _, through, sent = self.dialect.destination(all, key).split("/")
            await publish(self.amqp, Exchange(through), sent, key.encode())
        await self.has_arrived(queue, b"", b"a", b"a.b", b"#", b".")

    async def test_native(self) -> None:
        """A queue is bound to an exchange that the broker has as by AMQP."""
        exchange = Exchange(self.name(), "direct", passive=True)
        declared = Exchange(exchange.name)
        await self.amqp.exchange_declare(declared, False)
        self.addCleanup(self.amqp.exchange_delete, declared, False)
        queue = await self.full(b"before")
        for key in ("a/b c", ""):
            await self.bind(queue, exchange, key)
            await publish(self.amqp, declared, key, key.encode())
        await self.has_arrived(queue, b"before", b"a/b c", b"")

    async def test_nothing_else_is_bound(self) -> None:
        """
        Once a queue is bound nothing else gets what is published: RabbitMQ 4.3
        nacks what is on its way to a queue that goes, such as one of ours.
        """
        native = Exchange(self.name(), "topic", passive=True)
        await self.amqp.exchange_declare(Exchange(native.name, "topic"), False)
        self.addCleanup(self.amqp.exchange_delete, native, False)
        for exchange in (
            Exchange(self.name(), "direct"),
            Exchange(self.name(), "topic"),
            Exchange(self.name(), "fanout"),
            native,
        ):
            queue = await self.full()
            await self.bind(queue, exchange, "key")
            await self.amqp.queue_delete(queue, False, False)
            to = self.dialect.destination(exchange, "key").split("/")
            returned = self.amqp.basic_publish(
                b"", {}, Exchange(to[2]), to[3], mandatory=True, confirm=True
            )
            await self.assertFailure(returned, Unroutable)

    async def test_arguments(self) -> None:
        """A queue with arguments is bound as it was declared."""
        queue = await self.full(
            expires=600,
            max_priority=5,
            durable=not self.permits_transient,
            queue_type="classic",
        )
        await self.bind(queue, Exchange("media"), "video")
        await self.has(queue, 3)

    async def test_at_once(self) -> None:
        """Several bindings of one queue may be made at the same time."""
        queue = await self.full(b"before")
        exchange = Exchange(self.name())
        await gatherResults(
            Deferred.fromCoroutine(self.bind(queue, exchange, f"k{number}"))
            for number in range(5)
        )
        for number in range(5):
            key = f"txkombu.{exchange.name}.k{number}"
            await publish(self.amqp, DIRECT, key, b"%d" % number)
        await self.until(lambda: self.counts(queue), (6, 0))

    async def test_takes_nothing(self) -> None:
        """Binding a queue does not mark its messages as handed out."""
        for kind in ("classic", "quorum"):
            queue = await self.full(b"1", b"2", queue_type=kind)
            for number in range(25):
                await self.bind(queue, Exchange(self.name()), f"k{number}")
            await self.is_fresh(queue, 2)

    async def test_consumer_beside(self) -> None:
        """It takes nothing from those who consume the queue meanwhile."""
        queue = await self.full()
        come: list[tuple[bytes, bool]] = []
        await self.amqp.basic_consume(
            queue,
            "beside",
            True,
            False,
            {},
            0,
            lambda delivery: come.append((delivery.body, delivery.redelivered)),
            lambda _: None,
        )
        name = self.name()
        for number in range(10):
            await self.bind(queue, Exchange(name), f"k{number}")
            await publish(self.amqp, Exchange(""), queue.name, b"%d" % (number + 4))

        async def count() -> int:
            return len(come)

        await self.until(count, 13)
        self.assertEqual(come, [(b"%d" % n, False) for n in range(1, 14)])

    async def test_durable(self) -> None:
        """A binding of a durable queue is durable."""
        queue = await self.full()
        name = self.name()
        await self.bind(queue, Exchange(name), "key")
        shown = "[destination_name, routing_key]"
        listed = await self.run_code(f'rabbit_binding:info_all(<<"/">>, {shown})')
        wanted = f"[{{destination_name,{_text(queue.name)}}},"
        self.assertIn(
            f"{wanted}{{routing_key,{_text(f'txkombu.{name}.key')}}}]", listed
        )
        if self.permits_transient:
            await self.is_durable(name)

    async def is_durable(self, name: str) -> None:
        """A binding is in the table of those that are kept."""
        found = await self.run_code(
            "length(ets:match(rabbit_durable_route, {route, {binding, '_', "
            f"<<\"txkombu.{name}.key\">>, '_', '_'}}, '_'}}))",
        )
        self.assertEqual(found, "1")

    # --- what the plugin deletes the queue for, if it is not tried before ----

    async def survives(
        self,
        kind: type[BrokerError],
        exchange: Exchange,
        queue: Queue | None = None,
        connections: ConnectionPool | None = None,
        key: str = "key",
    ) -> str:
        """A bind that is refused leaves the queue and its messages."""
        queue = queue or await self.full()
        error = await self.refusal(kind, self.bind(queue, exchange, key, connections))
        await self.until(lambda: self.messages(queue), 3)
        return error.text

    async def messages(self, queue: Queue) -> int:
        """The messages of a queue."""
        return (await self.counts(queue))[0]

    async def is_deleted(
        self, queue: Queue, exchange: str, connections: ConnectionPool, key: str = "key"
    ) -> None:
        """The bind without a trial does delete it, so that the trial is needed."""
        async with connections.declaring() as socket:
            receipt, done = socket.receipt()
            headers = {
                "destination": f"/exchange/{exchange}/{key}",
                "id": "b",
                "ack": "client-individual",
                "prefetch-count": "1",
                "x-queue-name": queue.name,
                "durable": "true",
                "auto-delete": "false",
                "exclusive": "false",
                "receipt": receipt,
            }
            socket.write(encode_frame("SUBSCRIBE", headers.items()))
            await self.assertFailure(done, BrokerError)
        await self.until(lambda: self.exists(queue), False)

    async def exists(self, queue: Queue) -> bool:
        """Whether there is such a queue."""
        try:
            await self.counts(queue)
        except NotFound:
            return False
        return True

    async def test_missing_exchange(self) -> None:
        """Binding to an exchange that is missing is refused, and nothing else."""
        missing = Exchange(self.name(), passive=True)
        queue = await self.full()
        text = await self.survives(NotFound, missing, queue)
        self.assertEqual(text, f"NOT_FOUND - no exchange '{missing.name}' in vhost '/'")
        await self.is_deleted(queue, missing.name, self.connections)

    async def test_exchange_not_readable(self) -> None:
        """So is binding to one that the user may not read."""
        connections = await self.limited(read="^stomp")
        queue = await self.full()
        text = await self.survives(AccessRefused, DIRECT, queue, connections)
        self.assertIn("access to exchange 'amq.direct'", text)
        await self.is_deleted(queue, "amq.direct", connections)

    async def test_queue_not_readable(self) -> None:
        """So is binding a queue that the user may not read."""
        connections = await self.limited(read="^amq")
        queue = await self.full()
        text = await self.survives(AccessRefused, DIRECT, queue, connections)
        self.assertIn(f"access to queue '{queue.name}'", text)
        await self.is_deleted(queue, "amq.direct", connections)

    async def test_queue_not_writable(self) -> None:
        """So is binding a queue that the user may not write."""
        connections = await self.limited(write="^amq")
        queue = await self.full()
        text = await self.survives(AccessRefused, DIRECT, queue, connections)
        self.assertIn(f"access to queue '{queue.name}.txkombu-", text)
        self.assertIn("permissions have to cover it", text)
        await self.is_deleted(queue, "amq.direct", connections)

    async def test_topic_not_readable(self) -> None:
        """So is binding by a key that the user may not read."""
        connections = await self.limited(topics="a")
        topic = Exchange("amq.topic")
        await self.bind(await self.full(), topic, "a.b", connections)
        queue = await self.full()
        text = await self.survives(AccessRefused, topic, queue, connections, "b.a")
        self.assertIn("access to topic 'b.a' in exchange 'amq.topic'", text)
        await self.is_deleted(queue, "amq.topic", connections, "b.a")

    async def test_exclusively_consumed(self) -> None:
        """So is binding a queue that somebody consumes alone."""
        queue = await self.full()
        channel = await self.channel()
        await channel.basic_consume(
            queue, "alone", False, True, {}, 1, lambda _: None, lambda _: None
        )
        error = await self.refusal(AccessRefused, self.bind(queue, DIRECT, "key"))
        self.assertIn("exclusive use", error.text)
        self.assertEqual(await self.counts(queue), (2, 1))
        await self.is_deleted(queue, "amq.direct", self.connections)

    async def test_queue_not_configurable(self) -> None:
        """One that the user may not declare is refused in time."""
        connections = await self.limited(configure="^other")
        text = await self.survives(AccessRefused, DIRECT, None, connections)
        self.assertIn("access to queue", text)

    async def test_other_properties(self) -> None:
        """One that is there with other properties is refused."""
        queue = await self.full()
        for other in (
            Queue(queue.name, max_length=4),
            Queue(queue.name, durable=False),
        ):
            error = await self.refusal(
                PreconditionFailed, self.bind(other, DIRECT, "key")
            )
            self.assertIn("inequivalent arg", error.text)
        await self.has(queue, 3)


class DeadLetterTests(Case):
    """Messages die to where they should."""

    async def test_dead_letters(self) -> None:
        """A message rejected goes on by the mapped exchange, with its key."""
        known = {
            "fan": Exchange(self.name(), "fanout"),
            "direct": Exchange(self.name(), "direct"),
        }
        self.dialect.exchange_named = known.get
        for name, key, expected in (("fan", None, ""), ("direct", "k.l", "k.l")):
            dead = self.queue()
            await self.declare(dead)
            await self.bind(dead, known[name], key or "")
            arguments = {"x-dead-letter-exchange": name}
            if key is not None:
                arguments["x-dead-letter-routing-key"] = key
            queue = await self.full(b"to die", queue_arguments=arguments)
            got = await self.get(queue)
            assert got is not None
            got.socket.write(self.dialect.nack(got.frame, False))
            await self.connections.leave(got.socket)
            await self.has(dead, 1)
            got = await self.get(dead)
            assert got is not None
            delivery = self.dialect.delivery(got.frame, 1, "")
            self.assertEqual(delivery.body, b"to die")
            self.assertEqual(
                (delivery.exchange, delivery.routing_key),
                (known[name].name, expected),
            )
            headers: Any = delivery.properties["headers"]
            self.assertEqual(headers["x-first-death-reason"], "rejected")
            await self.connections.leave(got.socket)


class EmptyTests(Case):
    """Queues are emptied, and messages taken."""

    async def test_purge(self) -> None:
        """What is ready goes and is counted; what somebody holds does not."""
        queue = await self.full(b"held", b"2", b"3")
        held = await self.amqp.basic_get(queue, False)
        assert held is not None
        self.assertEqual(await self.purge(queue), 2)
        self.assertEqual(await self.purge(queue), 0)
        self.amqp.nack(held.tag, False, True)
        await self.has(queue, 1)
        self.assertEqual(self.left, 0)

    async def test_purge_many(self) -> None:
        """However many there are."""
        queue = await self.full()
        verdicts = [
            self.amqp.basic_publish(b"", {}, Exchange(""), queue.name, False, True)
            for _ in range(1500)
        ]
        await gatherResults(verdicts)
        self.assertEqual(await self.purge(queue), 1503)
        await self.has(queue, 0)

    async def test_purge_quorum(self) -> None:
        """A quorum queue, which hands out late, is emptied, too."""
        queue = await self.full(queue_type="quorum")
        self.assertEqual(await self.purge(queue), 3)
        await self.until(lambda: self.messages(queue), 0)

    async def messages(self, queue: Queue) -> int:
        """The messages of a queue."""
        return (await self.counts(queue))[0]

    async def test_purge_missing(self) -> None:
        """A queue that is not there is told."""
        queue = self.queue()
        await self.refusal(NotFound, self.purge(queue))

    async def test_get(self) -> None:
        """Messages are got in order, each settled on the socket it came by."""
        queue = await self.full(b"1", b"2")
        for body in (b"1", b"2"):
            got = await self.get(queue)
            assert got is not None
            self.assertEqual(got.frame.body, body)
            self.assertEqual(got.frame.headers["redelivered"], "false")
            self.assertEqual(self.left, 1)
            got.socket.write(self.dialect.ack(got.frame))
            await fence(got.socket)
            await self.connections.leave(got.socket)
        self.assertIsNone(await self.get(queue))
        self.assertEqual(self.left, 0)
        await self.has(queue, 0)

    async def test_reader(self) -> None:
        """Who may only read can get, purge, and settle behind a stopped consumer."""
        connections = await self.limited(configure="^$", write="^$")
        queue = await self.full(b"1", b"2", b"3", b"4")
        got = await self.dialect.get(BoundQueue(queue), False, connections)
        assert got is not None
        got.socket.write(self.dialect.ack(got.frame))
        await connections.leave(got.socket)
        socket = await connections.open()
        held: list[Frame] = []
        socket.subscribe("s", held.append, self.fail)
        headers = [("destination", f"/amq/queue/{queue.name}"), ("id", "s")]
        headers += [("ack", "client-individual"), ("prefetch-count", "2")]
        stop = self.dialect.stop_frames("s")
        socket.write(encode_frame("SUBSCRIBE", headers) + stop)
        await fence(socket)
        await fence(socket)
        self.assertEqual([frame.body for frame in held], [b"2", b"3"])
        socket.write(b"".join(self.dialect.ack(frame) for frame in held))
        await connections.leave(socket)
        self.assertEqual(await self.purge(queue, connections), 1)

    async def test_get_empty(self) -> None:
        """From an empty queue nothing is got, and one message never missed."""
        queue = await self.full(b"first")
        await self.amqp.queue_purge(queue)
        for number in range(20):
            self.assertIsNone(await self.get(queue))
            await publish(self.amqp, Exchange(""), queue.name, b"%d" % number)
            got = await self.get(queue, no_ack=True)
            assert got is not None
            self.assertEqual(got.frame.body, b"%d" % number)
            await self.connections.leave(got.socket)

    async def test_get_quorum(self) -> None:
        """So from a quorum queue, which hands out late."""
        queue = await self.full(b"1", queue_type="quorum")
        got = await self.get(queue, no_ack=True)
        assert got is not None
        self.assertEqual(got.frame.body, b"1")
        await self.connections.leave(got.socket)
        self.assertIsNone(await self.get(queue))

    async def test_get_no_ack(self) -> None:
        """One got without settlement is gone, and no other."""
        queue = await self.full(b"1", b"2")
        got = await self.get(queue, no_ack=True)
        assert got is not None
        await self.connections.leave(got.socket)
        await self.has(queue, 1)
        await self.has_arrived(queue, b"2")

    async def test_get_settling(self) -> None:
        """One handed back comes again, one that is not is gone."""
        queue = await self.full(b"1")
        for requeue, left in ((True, 1), (True, 1), (False, 0)):
            got = await self.get(queue)
            assert got is not None
            got.socket.write(self.dialect.nack(got.frame, requeue))
            await self.connections.leave(got.socket)
            await self.has(queue, left)

    async def test_get_abandoned(self) -> None:
        """One whose socket goes comes back."""
        queue = await self.full(b"1")
        got = await self.get(queue)
        assert got is not None
        self.connections.drop(got.socket)
        await self.has(queue, 1)

    async def test_get_missing(self) -> None:
        """From a queue that is not there nothing can be got."""
        error = await self.refusal(NotFound, self.get(self.queue()))
        self.assertIn("no queue", error.text)

    async def test_while_consumed(self) -> None:
        """Others that consume the queue are not disturbed."""
        queue = await self.full(b"1", b"2", b"3")
        inbox = Inbox()
        await consume(self.amqp, queue, "other", inbox, prefetch_count=1)
        await inbox.first()
        got = await self.get(queue)
        assert got is not None
        self.assertEqual(got.frame.body, b"2")
        await self.connections.leave(got.socket)
        await self.until(lambda: self.messages(queue), 2)
        self.assertEqual(await self.purge(queue), 2)
        self.assertEqual(inbox.bodies, [b"1"])


class DeleteTests(Case):
    """Queues go."""

    async def test_delete(self) -> None:
        """A queue goes with its messages; again, it is no error."""
        transient = {"durable": not self.permits_transient}
        for options in ({}, transient, {"max_priority": 3}):
            queue = await self.full(**options)
            for _ in range(2):
                await self.dialect.delete_queue(queue, self.connections)
                await self.refusal(NotFound, self.declare(queue, passive=True))

    async def test_other_properties(self) -> None:
        """One that is there with other properties is refused, and stays."""
        queue = await self.full()
        other = Queue(queue.name, max_length=4)
        await self.refusal(
            PreconditionFailed, self.dialect.delete_queue(other, self.connections)
        )
        self.assertEqual(await self.counts(queue), (3, 0))


class CancelTests(Case):
    """Recipes that are given up."""

    async def test_cancelled(self) -> None:
        """Whenever a recipe is cancelled, no socket is left, and no message lost."""
        queue = await self.full()
        bound = StompBinding(DIRECT, "key", {})
        for begin in (
            lambda: self.dialect.declare_queue(queue, False, self.connections),
            lambda: self.dialect.declare_queue(queue, True, self.connections),
            lambda: self.dialect.bind_queue(queue, bound, self.connections),
            lambda: self.get(queue),
        ):
            for delay in (0, 0.002, 0.005, 0.01, 0.02):
                running: Deferred[Any] = Deferred.fromCoroutine(begin())
                await deferLater(self.reactor, delay)
                running.cancel()
                try:
                    result = await running
                except CancelledError:
                    pass
                else:
                    if isinstance(result, GetResult):
                        await self.connections.leave(result.socket)
                await self.until(self.still_left, 0)
        await self.has(queue, 3)

    async def still_left(self) -> int:
        """How many sockets are left; one that does not fit is going."""
        return self.left

    async def test_cancelled_while_idle(self) -> None:
        """A purge that waits whether more comes can be given up."""
        queue = await self.full()
        running: Deferred[Any] = Deferred.fromCoroutine(self.purge(queue))
        await self.until(lambda: self.messages(queue), 0)
        running.cancel()
        await self.assertFailure(running, CancelledError)
        self.assertEqual(self.left, 0)

    async def messages(self, queue: Queue) -> int:
        """The messages of a queue."""
        return (await self.counts(queue))[0]
