"""
The contract: sessions, channels, and declarations.
"""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from twisted.internet.interfaces import IProtocol
from zope.interface.verify import verifyObject

from tests.contract.capabilities import Nature, needs
from tests.contract.harness import (
    DEFAULT,
    ChannelWatcher,
    Harness,
    Inbox,
    Journal,
    Probe,
    SessionWatcher,
    consume,
    publish,
)
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import (
    AccessRefused,
    ConnectionErrorReply,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
)
from txkombu.interfaces import Capability as Can
from txkombu.interfaces import (
    IBrokerTransport,
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
)


class InterfaceTests(Harness):
    """Objects provide the interfaces that they claim to provide."""

    async def test_provides(self) -> None:
        """Transport, session and channel provide their interfaces in full."""
        verifyObject(IBrokerTransport, self.transport)
        session = await self.connect()
        verifyObject(ISession, session)
        for protocol in self.protocols(session):
            verifyObject(IProtocol, protocol)
        verifyObject(ISessionChannel, await self.channel(session))

    async def test_watchers_provide(self) -> None:
        """The listeners of these tests provide their interfaces in full."""
        verifyObject(ISessionListener, SessionWatcher(Journal()))
        verifyObject(ISessionChannelListener, ChannelWatcher(Journal()))

    async def test_session_tells_of_the_broker(self) -> None:
        """A session knows the broker's name and version, and its own capabilities."""
        session = await self.connect()
        self.assertTrue(session.product)
        self.assertTrue(session.version)
        self.assertIsInstance(session.capabilities, frozenset)
        self.assertEqual(session.capabilities, self.abilities.capabilities)

    async def test_many_channels(self) -> None:
        """
        Many channels of one session exist side by side, and are closed one by one.
        """
        session = await self.connect()
        channels = [await self.channel(session) for _ in range(5)]
        for channel in channels[:-1]:
            await channel.close()
        again = [await self.channel(session) for _ in range(5)]
        queue = await self.queue(again[0])
        await self.put(channels[-1], queue, b"1")
        self.assertEqual((await self.take(again[1], queue)).body, b"1")


class ExchangeTests(Harness):
    """Declaring, binding and deleting exchanges."""

    async def test_types(self) -> None:
        """An exchange of each usual type can be declared, and declared again."""
        channel = await self.channel()
        for type in ("direct", "fanout", "topic"):
            exchange = await self.exchange(channel, type)
            await self.done(channel.exchange_declare(exchange, False))

    @needs(Can.HEADERS_EXCHANGE)
    async def test_headers_type(self) -> None:
        """A headers exchange can be declared, and declared again."""
        channel = await self.channel()
        exchange = await self.exchange(channel, "headers")
        await self.done(channel.exchange_declare(exchange, False))

    @needs(Can.EXCHANGE_PASSIVE)
    async def test_passive(self) -> None:
        """A passive declaration succeeds for an exchange that exists."""
        channel = await self.channel()
        exchange = await self.exchange(channel)
        await self.done(channel.exchange_declare(exchange, True))

    @needs(Can.EXCHANGE_PASSIVE)
    async def test_passive_missing(self) -> None:
        """
        A passive declaration of a missing exchange is refused, and the error names it.
        """
        channel = await self.channel()
        missing = Exchange(self.name(), passive=True)
        error = await self.refusal(NotFound, channel.exchange_declare(missing, True))
        text = f"NOT_FOUND - no exchange '{missing.name}' in vhost '/'"
        self.check_reply(error, missing.name, text, (40, 10))

    @needs(Nature.EXCHANGE_CHECKED)
    async def test_other_properties(self) -> None:
        """Declaring an existing exchange with another type is refused."""
        channel = await self.channel()
        exchange = await self.exchange(channel, "direct")
        other = Exchange(exchange.name, "fanout")
        error = await self.refusal(
            PreconditionFailed, channel.exchange_declare(other, False)
        )
        self.assertEqual(
            error.text,
            "PRECONDITION_FAILED - inequivalent arg 'type' for exchange "
            f"'{exchange.name}' in vhost '/': received 'fanout' but current is "
            "'direct'",
        )

    @needs(Nature.EXCHANGE_CHECKED)
    async def test_reserved(self) -> None:
        """Names that begin with C{amq.} are reserved for the broker."""
        channel = await self.channel()
        await self.refusal(
            AccessRefused, channel.exchange_declare(Exchange("amq.ours"), False)
        )

    @needs(Can.CUSTOM_EXCHANGE_TYPES)
    async def test_unknown_type(self) -> None:
        """A type that the broker does not have is refused with a typed error."""
        journal = Journal()
        session = await self.connect(journal)
        channel = await self.channel(session, journal)
        error = await self.refusal(
            self.unknown_type,
            channel.exchange_declare(Exchange(self.name(), "no-such-type"), False),
        )
        self.assertRegex(error.text, "^[A-Z_]+ - unknown exchange type 'no-such-type'$")
        await journal.first("channel_lost")
        ends = issubclass(self.unknown_type, ConnectionErrorReply)
        self.assertEqual(
            [name for name, _ in journal.entries],
            ["session_lost", "channel_lost"] if ends else ["channel_lost"],
        )

    @needs(Can.EXCHANGE_DELETE, Can.EXCHANGE_PASSIVE)
    async def test_delete(self) -> None:
        """A deleted exchange is gone; deleting it again is no error."""
        channel = await self.channel()
        exchange = await self.exchange(channel)
        await self.done(channel.exchange_delete(exchange, False))
        await self.done(channel.exchange_delete(exchange, False))
        await self.refusal(NotFound, channel.exchange_declare(exchange, True))

    @needs(Can.EXCHANGE_DELETE)
    async def test_delete_in_use(self) -> None:
        """
        An exchange with bindings is not deleted if the caller demands that it is
        unused.
        """
        channel = await self.channel()
        exchange = await self.exchange(channel)
        queue = await self.queue(channel)
        await channel.queue_bind(queue, exchange, "key", {})
        error = await self.refusal(
            PreconditionFailed, channel.exchange_delete(exchange, True)
        )
        self.assertEqual(
            error.text,
            f"PRECONDITION_FAILED - exchange '{exchange.name}' in vhost '/' in use",
        )

    @needs(Can.EXCHANGE_BIND)
    async def test_exchange_bindings(self) -> None:
        """
        A message for one exchange reaches another exchange that is bound to it with its
        key.
        """
        channel = await self.channel()
        source = await self.exchange(channel, "topic")
        destination = await self.exchange(channel, "fanout")
        queue = await self.queue(channel)
        await channel.queue_bind(queue, destination, "", {})
        await channel.exchange_bind(destination, source, "a.#", {})
        await publish(channel, source, "a.b")
        await publish(channel, source, "b.a")
        await self.check_ready(channel, queue, 1)
        await channel.exchange_unbind(destination, source, "a.#", {})
        await publish(channel, source, "a.b")
        await self.check_ready(channel, queue, 1)

    @needs(Can.EXCHANGE_PASSIVE, Can.HEADERS_EXCHANGE)
    async def test_default_exchange_and_amq_exist(self) -> None:
        """The broker's own exchanges exist."""
        channel = await self.channel()
        for name, type in (("amq.topic", "topic"), ("amq.match", "headers")):
            await self.done(channel.exchange_declare(Exchange(name, type), True))


class QueueTests(Harness):
    """Declaring, binding, purging and deleting queues."""

    async def test_declare(self) -> None:
        """Declaring a queue returns its name, and does not affect its messages."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1", b"2")
        declared = await channel.queue_declare(queue, False)
        self.assertEqual(declared.queue, queue.name)
        await self.check_left(channel, queue, b"1", b"2")

    @needs(Can.QUEUE_PASSIVE)
    async def test_passive(self) -> None:
        """
        A passive declaration returns the name of a queue, and does not affect its
        messages.
        """
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1", b"2")
        declared = await channel.queue_declare(queue, True)
        self.assertEqual(declared.queue, queue.name)
        await self.check_left(channel, queue, b"1", b"2")

    @needs(Can.QUEUE_COUNTS, Can.QUEUE_PASSIVE)
    async def test_counts(self) -> None:
        """Declaring a queue returns its name and counts."""
        channel = await self.channel()
        queue = Queue(self.name())
        first = await channel.queue_declare(queue, False)
        self.assertEqual(first, (queue.name, 0, 0))
        await self.put(channel, queue, b"1", b"2")
        await consume(channel, queue, "paused", prefetch_count=1)
        second = await channel.queue_declare(queue, True)
        self.assertEqual(second, (queue.name, 1, 1))

    @needs(Can.SERVER_NAMED_QUEUE)
    async def test_server_named(self) -> None:
        """The broker chooses a name, and another one the next time."""
        channel = await self.channel()
        names = {
            (await channel.queue_declare(Queue("", exclusive=True), False)).queue
            for _ in range(2)
        }
        self.assertEqual(len(names), 2)
        for name in names:
            self.assertTrue(name, "it has none")
            self.assertTrue(name.startswith(self.generated), name)

    async def test_any_name(self) -> None:
        """Names may be any UTF-8."""
        channel = await self.channel()
        for name in ("ärger über 'ß' & \x01 日本", "a/b\\c:d~e,f?g=h>i+j;k"):
            name = self.name(name)
            exchange, queue = Exchange(name, "topic"), Queue(name)
            await channel.exchange_declare(exchange, False)
            self.assertEqual((await channel.queue_declare(queue, False)).queue, name)
            await channel.queue_bind(queue, exchange, name, {})
            await publish(channel, exchange, name)
            delivery = await self.take(channel, queue)
            self.assertEqual((delivery.exchange, delivery.routing_key), (name, name))
            await publish(channel, DEFAULT, name)
            delivery = await self.take(channel, queue)
            self.assertEqual((delivery.exchange, delivery.routing_key), ("", name))

    @needs(Nature.LONG_NAMES, Can.EXCLUSIVE_QUEUE, Can.EXCHANGE_DELETE)
    async def test_long_name(self) -> None:
        """Names may have up to 255 bytes."""
        channel = await self.channel()
        for name in ("ü" * 127, "x" * 255):
            exchange, queue = Exchange(name, "topic"), Queue(name, exclusive=True)
            await channel.exchange_declare(exchange, False)
            self.assertEqual((await channel.queue_declare(queue, False)).queue, name)
            await channel.queue_bind(queue, exchange, name, {})
            await publish(channel, exchange, name)
            delivery = await self.take(channel, queue)
            self.assertEqual((delivery.exchange, delivery.routing_key), (name, name))
            await channel.exchange_delete(exchange, False)

    @needs(Can.QUEUE_PASSIVE, Nature.MISSING_QUEUE)
    async def test_passive_missing(self) -> None:
        """
        A passive declaration of a missing queue is refused, and the error names it.
        """
        channel = await self.channel()
        missing = Queue(self.name())
        error = await self.refusal(NotFound, channel.queue_declare(missing, True))
        text = f"NOT_FOUND - no queue '{missing.name}' in vhost '/'"
        self.check_reply(error, missing.name, text, (50, 10))

    @needs(Nature.QUEUE_CHECKED, Nature.AUTO_DELETE)
    async def test_other_properties(self) -> None:
        """Declaring an existing queue with other properties is refused."""
        channel = await self.channel()
        queue = await self.queue(channel, auto_delete=True)
        other = Queue(queue.name, auto_delete=False)
        error = await self.refusal(
            PreconditionFailed, channel.queue_declare(other, False)
        )
        self.check_reply(
            error,
            queue.name,
            "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue "
            f"'{queue.name}' in vhost '/': received 'false' but current is 'true'",
            (50, 10),
        )

    @needs(Nature.QUEUE_CHECKED, Can.QUEUE_ARGUMENTS)
    async def test_other_arguments(self) -> None:
        """Declaring an existing queue with other arguments is refused."""
        channel = await self.channel()
        queue = await self.queue(channel, max_length=3)
        other = Queue(queue.name, max_length=4)
        error = await self.refusal(
            PreconditionFailed, channel.queue_declare(other, False)
        )
        self.check_reply(
            error,
            queue.name,
            "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue "
            f"'{queue.name}' in vhost '/': received '4' but current is '3'",
            (50, 10),
        )

    @needs(Can.EXCLUSIVE_QUEUE)
    async def test_exclusive_is_the_sessions(self) -> None:
        """All channels of a session may use its exclusive queue."""
        session = await self.connect()
        queue = await self.queue(await self.channel(session), exclusive=True)
        other = await self.channel(session)
        await self.put(other, queue, b"1")
        inbox = Inbox()
        await consume(other, queue, inbox=inbox)
        await inbox.first()
        self.assertEqual(inbox.bodies, [b"1"])

    @needs(Can.EXCLUSIVE_QUEUE)
    async def test_exclusive_bound(self) -> None:
        """An exclusive queue can be bound, before and after a consumer starts."""
        channel = await self.channel()
        queue = await self.queue(channel, exclusive=True)
        exchange, inbox = await self.exchange(channel), Inbox()
        await channel.queue_bind(queue, exchange, "first", {})
        await publish(channel, exchange, "first", b"1")
        await consume(channel, queue, inbox=inbox)
        await inbox.first()
        await channel.queue_bind(queue, exchange, "second", {})
        await publish(channel, exchange, "second", b"2")
        await publish(channel, exchange, "third", b"3")
        await publish(channel, exchange, "first", b"4")
        await inbox.first(3)
        self.assertEqual(inbox.bodies, [b"1", b"2", b"4"])

    @needs(Can.EXCLUSIVE_QUEUE, Can.QUEUE_PASSIVE)
    async def test_exclusive(self) -> None:
        """An exclusive queue is locked for other sessions, and deleted with its own."""
        owner = await self.connect()
        queue = await self.queue(await self.channel(owner), exclusive=True)
        error = await self.refusal(
            ResourceLocked, (await self.channel()).queue_declare(queue, True)
        )
        self.assertTrue(
            error.text.startswith(
                "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue "
                f"'{queue.name}' in vhost '/'"
            ),
            error.text,
        )
        await owner.close()
        await self.refusal(NotFound, (await self.channel()).queue_declare(queue, True))

    async def test_bind(self) -> None:
        """A binding routes matching messages, and no others."""
        channel = await self.channel()
        queue = await self.queue(channel)
        direct = await self.exchange(channel)
        topic = await self.exchange(channel, "topic")
        await self.done(channel.queue_bind(queue, direct, "key", {}))
        await self.done(channel.queue_bind(queue, direct, "key", {}))
        await self.done(channel.queue_bind(queue, topic, "*.stock.#", {}))
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox)
        for exchange, key in (
            (direct, "key"),
            (direct, "other"),
            (topic, "usd.stock"),
            (topic, "eur.stock.db"),
            (topic, "stock.nasdaq"),
            (direct, "usd.stock"),
            (topic, "key"),
        ):
            await publish(channel, exchange, key, key.encode())
        await self.put(channel, queue, b"last")
        await inbox.first(4)
        self.assertEqual(
            sorted(inbox.bodies), [b"eur.stock.db", b"key", b"last", b"usd.stock"]
        )

    async def test_bind_twice(self) -> None:
        """Each of two queues with equal bindings gets the message."""
        channel = await self.channel()
        exchange = await self.exchange(channel, "fanout")
        queues = [await self.queue(channel) for _ in range(2)]
        for queue in queues:
            await channel.queue_bind(queue, exchange, "", {})
        await publish(channel, exchange, "any", b"1")
        for queue in queues:
            await self.check_left(channel, queue, b"1")

    @needs(Nature.ANY_BINDING)
    async def test_overlapping_bindings(self) -> None:
        """A queue gets one copy of a message, however many of its bindings match."""
        channel = await self.channel()
        exchange = await self.exchange(channel, "topic")
        queue = await self.queue(channel)
        for key in ("a.*", "*.b", "#.b"):
            await channel.queue_bind(queue, exchange, key, {})
        for key in ("a.b", "x.y.b", "b.a"):
            await publish(channel, exchange, key, key.encode())
        await self.check_left(channel, queue, b"a.b", b"x.y.b")

    @needs(Can.QUEUE_UNBIND)
    async def test_bind_and_unbind(self) -> None:
        """A binding routes until it is removed."""
        channel = await self.channel()
        exchange = await self.exchange(channel)
        queue = await self.queue(channel)
        await self.done(channel.queue_bind(queue, exchange, "key", {}))
        await publish(channel, exchange, "key")
        await self.check_ready(channel, queue, 1)
        await self.done(channel.queue_unbind(queue, exchange, "key", {}))
        await publish(channel, exchange, "key")
        await self.check_ready(channel, queue, 1)

    @needs(Can.HEADERS_EXCHANGE)
    async def test_bind_by_headers(self) -> None:
        """The arguments of a binding reach the broker with their types."""
        channel = await self.channel()
        exchange = await self.exchange(channel, "headers")
        queue = await self.queue(channel)
        wanted = {"x-match": "all", "number": 3, "text": "ü", "flag": True}
        await channel.queue_bind(queue, exchange, "", wanted)
        headers = {"number": 3, "text": "ü", "flag": True, "more": 1.5}
        await publish(channel, exchange, "", headers=headers)
        await publish(channel, exchange, "", headers={**headers, "number": 4})
        await self.check_ready(channel, queue, 1)

    @needs(Nature.MISSING_EXCHANGE)
    async def test_bind_missing(self) -> None:
        """Binding to a missing exchange is refused."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1")
        missing = self.missing_exchange()
        error = await self.refusal(
            NotFound, channel.queue_bind(queue, missing, "key", {})
        )
        text = f"NOT_FOUND - no exchange '{missing.name}' in vhost '/'"
        self.check_reply(error, error.about, text, (50, 20))
        await self.check_left(await self.channel(), queue, b"1")

    @needs(Can.QUEUE_PURGE)
    async def test_purge(self) -> None:
        """Purging returns how many messages it removed, without the unsettled ones."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1", b"2", b"3")
        await self.take(channel, queue)
        self.assertEqual(await channel.queue_purge(queue), 2)
        self.assertEqual(await channel.queue_purge(queue), 0)

    @needs(Can.QUEUE_DELETE)
    async def test_delete(self) -> None:
        """A deleted queue is gone with its messages; deleting it again is no error."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1", b"2")
        await channel.queue_delete(queue, False, False)
        await channel.queue_delete(queue, False, False)
        await channel.queue_declare(queue, False)
        await self.check_empty(channel, queue)

    @needs(Can.QUEUE_DELETE, Can.QUEUE_COUNTS)
    async def test_delete_counts(self) -> None:
        """Deleting a queue returns how many messages were deleted with it."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1", b"2")
        self.assertEqual(await channel.queue_delete(queue, False, False), 2)
        self.assertEqual(await channel.queue_delete(queue, False, False), 0)

    @needs(Can.QUEUE_DELETE_CONDITIONAL)
    async def test_delete_not_empty(self) -> None:
        """
        A queue with messages is not deleted if the caller demands that it is empty.
        """
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1")
        error = await self.refusal(
            PreconditionFailed, channel.queue_delete(queue, False, True)
        )
        self.assertEqual(
            error.text,
            f"PRECONDITION_FAILED - queue '{queue.name}' in vhost '/' not empty",
        )

    @needs(Can.QUEUE_DELETE_CONDITIONAL)
    async def test_delete_in_use(self) -> None:
        """
        A queue with a consumer is not deleted if the caller demands that it is unused.
        """
        channel = await self.channel()
        queue = await self.queue(channel)
        await consume(channel, queue)
        error = await self.refusal(
            PreconditionFailed, channel.queue_delete(queue, True, False)
        )
        self.assertEqual(
            error.text,
            f"PRECONDITION_FAILED - queue '{queue.name}' in vhost '/' in use",
        )

    async def test_pipelined(self) -> None:
        """
        Operations that begin without waiting for each other take effect in their order.
        """
        channel = await self.channel()
        exchange, queue = Exchange(self.name(), "fanout"), Queue(self.name())
        probes = [
            Probe(channel.exchange_declare(exchange, False)),
            Probe(channel.queue_declare(queue, False)),
            Probe(channel.queue_bind(queue, exchange, "", {})),
            Probe(publish(channel, exchange, "")),
            Probe(publish(channel, DEFAULT, queue.name, b"2")),
        ]
        first, second = channel.basic_get(queue, True), channel.basic_get(queue, True)
        await gatherResults([probe.deferred for probe in probes])
        outcomes = [probe.outcome for probe in probes]
        self.assertEqual(outcomes.pop(1).queue, queue.name)
        self.assertEqual(outcomes, [None] * 4)
        got = [each and each.body for each in (await first, await second)]
        self.assertEqual(sorted(got), [b"2", b"body"])

    @needs(Can.QUEUE_PURGE, Can.QUEUE_COUNTS)
    async def test_pipelined_purge(self) -> None:
        """A purge takes effect in its turn, too."""
        channel = await self.channel()
        exchange, queue = Exchange(self.name(), "fanout"), Queue(self.name())
        probes = [
            Probe(channel.exchange_declare(exchange, False)),
            Probe(channel.queue_declare(queue, False)),
            Probe(channel.queue_bind(queue, exchange, "", {})),
            Probe(publish(channel, exchange, "")),
            Probe(publish(channel, DEFAULT, queue.name, confirm=False)),
        ]
        got, purged = channel.basic_get(queue, True), channel.queue_purge(queue)
        await gatherResults([probe.deferred for probe in probes])
        self.assertEqual(
            [probe.outcome for probe in probes],
            [None, (queue.name, 0, 0), None, None, None],
        )
        delivery = await got
        assert delivery is not None
        self.assertEqual((delivery.exchange, await purged), (exchange.name, 1))
