"""
What is done with exchanges, queues and messages on a real ActiveMQ.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.brokers.stomp.harness import StompOnActiveMQ
from tests.contract.harness import DEFAULT, PROPERTIES, Inbox, Probe, consume, publish
from tests.support.activemq import READER, STRANGER, activemq
from tests.support.broker_process import HOST
from tests.support.raw_stomp_client import Raw, RawFrame
from tests.transport.stomp.activemq.test_mapping import ODD
from txkombu import Exchange, Queue
from txkombu.exceptions import (
    AccessRefused,
    BrokerError,
    ContentTooLarge,
    NotSupported,
    OutcomeUnknown,
)
from txkombu.interfaces import Capability, ISessionChannel
from txkombu.transport.stomp.activemq import dialect
from txkombu.url import parse_url

DEAD_LETTERS = Queue("ActiveMQ.DLQ")
TYPED: Mapping[str, object] = {
    "text": "a:b\n",
    "number": -7,
    "truth": True,
    "nothing": None,
    "list": [1, {"two": "drei"}],
    "time": datetime(2020, 2, 29, 12, tzinfo=timezone.utc),
    "expires": "of mine",
    "JMSXGroupID": "group",
}


class RecipesCase(StompOnActiveMQ):
    """What the tests of this module share."""

    def raw(self, login: str = "guest") -> Raw:
        """A client that shares nothing with the library."""
        raw = Raw(activemq().stomp_port, login)
        self.addCleanup(raw.close)
        return raw

    async def as_user(self, login: str) -> ISessionChannel:
        """A channel of a user who may not do everything."""
        port = activemq().stomp_port
        self.parameters = parse_url(f"stomp://{login}:{login}@{HOST}:{port}")
        return await self.channel()

    async def bound(
        self, channel: ISessionChannel, type: str, *keys: str
    ) -> tuple[Exchange, Queue]:
        """A new queue that is bound to a new exchange."""
        exchange = await self.exchange(channel, type)
        queue = await self.queue(channel)
        for key in keys:
            await channel.queue_bind(queue, exchange, key, {})
        return exchange, queue

    async def on_the_wire(self, queue: Queue) -> RawFrame:
        """The next message of a queue as ActiveMQ sends it, taken out of it."""
        return await self.taken(f"/queue/{queue.name}")

    async def taken(self, destination: str) -> RawFrame:
        """As L{on_the_wire}, of a physical queue."""
        return await deferToThread(self._take_now, destination)

    def _take_now(self, destination: str) -> RawFrame:
        with Raw(activemq().stomp_port) as raw:
            raw.subscribe(destination)
            frame = raw.message()
            raw.request("ACK", {"id": frame["ack"]})
            return frame

    async def later(self, seconds: float) -> None:
        """Wait."""
        await deferLater(self.clock, seconds)


class RoutingTests(RecipesCase):
    """Exchanges and bindings."""

    async def check_exact(self, type: str, binding: str, key: str) -> None:
        """A delivery tells the exchange and the key of its publish."""
        channel = await self.channel()
        exchange, queue = await self.bound(channel, type, binding)
        await publish(channel, exchange, key)
        delivery = await self.take(channel, queue)
        self.assertEqual(
            (delivery.exchange, delivery.routing_key), (exchange.name, key)
        )
        self.assertNotIn("x-txk-routing-key", str(delivery.properties))

    async def test_direct(self) -> None:
        """A direct exchange tells its key, dots and all."""
        await self.check_exact("direct", "a.b", "a.b")

    async def test_topic(self) -> None:
        """A topic exchange tells the key, not the pattern."""
        await self.check_exact("topic", "a.#", "a.b..c")

    async def test_fanout(self) -> None:
        """A fanout exchange tells the key, too, and none if there was none."""
        await self.check_exact("fanout", "", "any key: ü")
        await self.check_exact("fanout", "other", "")

    async def test_default(self) -> None:
        """The default exchange tells the queue's name."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1")
        delivery = await self.take(channel, queue)
        self.assertEqual((delivery.exchange, delivery.routing_key), ("", queue.name))

    async def test_odd_names(self) -> None:
        """Names and keys of every kind lead where they should, and come back."""
        channel = await self.channel()
        await gatherResults(
            [
                Deferred.fromCoroutine(self._there_and_back(channel, odd))
                for odd in ODD
                if odd
            ]
        )

    async def _there_and_back(self, channel: ISessionChannel, odd: str) -> None:
        exchange = Exchange(self.name() + odd, "direct")
        queue = Queue(self.name() + odd)
        await channel.exchange_declare(exchange, False)
        await channel.queue_declare(queue, False)
        await channel.queue_bind(queue, exchange, odd, {})
        await publish(channel, exchange, odd, b"bound")
        await publish(channel, DEFAULT, queue.name, b"own")
        found = [await self.take(channel, queue, no_ack=True) for _ in range(2)]
        self.assertEqual(
            {each.body: (each.exchange, each.routing_key) for each in found},
            {b"bound": (exchange.name, odd), b"own": ("", queue.name)},
        )

    async def test_overlap(self) -> None:
        """Bindings that overlap are refused, whoever made the first in this session."""
        session = await self.connect()
        first, second = [await self.channel(session) for _ in range(2)]
        exchange, queue = await self.bound(first, "topic", "a.*", "a.*")
        refused = second.queue_bind(queue, exchange, "*.b", {})
        error = await self.refusal(NotSupported, refused)
        self.assertIn("'a.*'", str(error))

    async def test_plain_queues(self) -> None:
        """A queue of a name with dots is the one that others mean, both ways."""
        channel = await self.channel()
        queue = Queue(f"orders.{self.name()}")
        raw = self.raw()
        raw.publish(f"/queue/{queue.name}", b"from them")
        delivery = await self.take(channel, queue)
        self.assertEqual(delivery.body, b"from them")
        channel.ack(delivery.tag, False)
        await self.put(channel, queue, b"from us")
        self.assertEqual((await self.on_the_wire(queue)).body, b"from us")

    async def test_other_bindings(self) -> None:
        """
        Who knows only some of a queue's bindings sees only what came by these: the
        rest stays until somebody who knows the others comes.
        """
        channel = await self.channel()
        exchange, queue = await self.bound(channel, "direct", "known", "dropped")
        for key in ("known", "dropped"):
            await publish(channel, exchange, key, key.encode())
        other = await self.channel()
        await other.queue_bind(queue, exchange, "known", {})
        self.assertEqual((await self.take(other, queue, True)).body, b"known")
        await self.check_empty(other, queue)
        self.assertEqual((await self.take(channel, queue, True)).body, b"dropped")

    async def test_kept(self) -> None:
        """What is published to a declared queue waits for its consumers."""
        channel = await self.channel()
        exchange, queue = await self.bound(channel, "fanout", "")
        await channel.close()
        await publish(await self.channel(), exchange, "")
        again = await self.channel()
        await again.queue_bind(queue, exchange, "", {})
        delivery = await self.take(again, queue)
        self.assertIs(delivery.redelivered, False)

    async def test_replies(self) -> None:
        """Who asks from a queue that only the broker knows is answered."""
        channel = await self.channel()
        queue = await self.queue(channel)
        raw = self.raw()
        raw.subscribe("/temp-queue/answers")
        asked = {"reply-to": "/temp-queue/answers", "correlation-id": "c"}
        raw.publish(f"/queue/{queue.name}", b"question", **asked)
        reply_to = (await self.take(channel, queue)).properties["reply_to"]
        assert isinstance(reply_to, str)
        self.assertTrue(reply_to.startswith("/remote-temp-queue/"), reply_to)
        await publish(channel, DEFAULT, reply_to, b"answer", correlation_id="c")
        answer = raw.message()
        self.assertEqual((answer.body, answer["correlation-id"]), (b"answer", "c"))

    async def test_reply_to(self) -> None:
        """The queue where replies are awaited is one that others understand."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await publish(channel, DEFAULT, queue.name, reply_to="my.answers")
        frame = await self.on_the_wire(queue)
        self.assertEqual(frame["reply-to"], "/queue/my.answers")


class GettingTests(RecipesCase):
    """Getting and purging."""

    async def filled(self, *counts: int) -> tuple[ISessionChannel, Queue, Exchange]:
        """A queue with so many messages by its own name and by each binding."""
        channel = await self.channel()
        keys = [f"k{number}" for number in range(len(counts) - 1)]
        exchange, queue = await self.bound(channel, "direct", *keys)
        for key, count in zip(["", *keys], counts, strict=True):
            to, key = (exchange, key) if key else (DEFAULT, queue.name)
            await gatherResults(
                [publish(channel, to, key, key.encode()) for _ in range(count)]
            )
        return channel, queue, exchange

    async def test_purge(self) -> None:
        """All of a queue is thrown away, by whatever binding it came, and counted."""
        channel, queue, _ = await self.filled(2500, 500, 1)
        self.assertEqual(await channel.queue_purge(queue), 3001)
        self.assertEqual(await channel.queue_purge(queue), 0)

    async def test_purge_leaves_held(self) -> None:
        """What awaits settlement is not purged."""
        channel, queue, _ = await self.filled(3)
        held = await self.take(channel, queue)
        await self.check_ready(channel, queue, 2)
        self.assertEqual(await channel.queue_purge(queue), 2)
        channel.reject(held.tag, True)
        self.assertIs((await self.take(channel, queue)).redelivered, True)

    async def test_get_all(self) -> None:
        """Messages are got by whatever binding they came."""
        channel, queue, _ = await self.filled(1, 1, 1)
        found = [(await self.take(channel, queue)).routing_key for _ in range(3)]
        self.assertEqual(sorted(found), sorted(["k0", "k1", queue.name]))

    async def test_get_leaves_others(self) -> None:
        """Who gets one message holds back none of the others."""
        channel, queue, exchange = await self.filled(2, 2)
        await self.take(channel, queue)
        other = await self.channel()
        await other.queue_bind(queue, exchange, "k0", {})
        for _ in range(3):
            await self.take(other, queue)

    async def test_get_marks_nothing(self) -> None:
        """
        What is got was not handed out before, and is not marked as if it had been,
        whoever got and settled the one before it.
        """
        channel, queue, _ = await self.filled(0)
        channels = [channel, await self.channel()]
        for number in range(30):
            await publish(channel, DEFAULT, queue.name, b"%d" % number)
        for number in range(30):
            no_ack = number % 3 == 2
            turn = channels[number % 2]
            delivery = await self.take(turn, queue, no_ack=no_ack)
            self.assertEqual(delivery.body, b"%d" % number)
            self.assertIs(delivery.redelivered, False, number)
            if not no_ack:
                turn.ack(delivery.tag, False)
                turn.flush()

    async def test_get_marks_no_other_source(self) -> None:
        """Nor is what waits in a queue of another binding meanwhile."""
        channel, queue, exchange = await self.filled(8, 8, 8)
        other = await self.channel()
        for key in ("k0", "k1"):
            await other.queue_bind(queue, exchange, key, {})
        for number in range(24):
            turn = (channel, other)[number % 2]
            delivery = await self.take(turn, queue)
            self.assertIs(delivery.redelivered, False, number)
            turn.ack(delivery.tag, False)
            turn.flush()

    async def test_get_marks_what_comes_again(self) -> None:
        """What was handed out, and given back or lost, is marked."""
        channel, queue, _ = await self.filled(1)
        self.assertIs((await self.take(channel, queue)).redelivered, False)
        await channel.close()
        again = await self.take(await self.channel(), queue)
        self.assertIs(again.redelivered, True)

    async def test_get_what_others_hold(self) -> None:
        """What others hold is not there."""
        self.patch(dialect, "IDLE_SECONDS", 0.2)
        channel, queue, _ = await self.filled(1, 0)
        await self.take(channel, queue)
        self.assertIsNone(await channel.basic_get(queue, False))

    async def test_get_later(self) -> None:
        """What comes while it is waited for is got."""
        channel, queue, exchange = await self.filled(1, 0)
        await self.take(channel, queue)
        self.patch(dialect, "IDLE_SECONDS", 20)
        got = channel.basic_get(queue, False)
        await self.later(0.1)
        await publish(await self.channel(), exchange, "k0", b"late")
        delivery = await got
        assert delivery is not None
        self.assertEqual(delivery.body, b"late")

    async def test_get_for_good(self) -> None:
        """What is got without settling is gone."""
        channel, queue, _ = await self.filled(1, 1)
        for _ in range(2):
            await self.take(channel, queue, no_ack=True)
        await channel.close()
        await self.check_empty(await self.channel(), queue)

    async def test_get_nothing_stays_open(self) -> None:
        """A get that found nothing leaves no consumer behind."""
        channel, queue, _ = await self.filled(0, 0)
        await self.check_empty(channel, queue)
        await self.put(channel, queue, b"1")
        raw = self.raw()
        raw.subscribe(f"/queue/{queue.name}")
        self.assertNotIn("redelivered", raw.message().headers)


class ConsumingTests(RecipesCase):
    """Consuming and settling."""

    async def test_all_sources(self) -> None:
        """A consumer has what came by every binding, also by one made later."""
        channel = await self.channel()
        exchange, queue = await self.bound(channel, "topic", "a.*", "b.#")
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox)
        await channel.queue_bind(queue, exchange, "c", {})
        for key in ("a.x", "b", "c", "d"):
            await publish(channel, exchange, key, key.encode())
        await publish(channel, DEFAULT, queue.name, b"own")
        await inbox.first(4)
        self.assertEqual(sorted(inbox.bodies), [b"a.x", b"b", b"c", b"own"])

    async def test_prefetch(self) -> None:
        """A consumer of several sources holds no more than its prefetch."""
        channel = await self.channel()
        exchange, queue = await self.bound(channel, "direct", "a", "b", "c")
        for key in ("a", "b", "c"):
            for _ in range(3):
                await publish(channel, exchange, key)
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox, prefetch_count=2)
        await inbox.first(2)
        await self.later(0.2)
        self.assertEqual(len(inbox.bodies), 2)

    async def test_no_limit(self) -> None:
        """A consumer without a limit is given everything as it settles."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await gatherResults(
            [publish(channel, DEFAULT, queue.name) for _ in range(1500)]
        )
        inbox = Inbox(lambda delivery: channel.ack(delivery.tag, False))
        await consume(channel, queue, inbox=inbox, prefetch_count=0)
        await inbox.first(1500)

    async def carried_over(self, **properties: Any) -> tuple[RawFrame, RawFrame]:
        """A message on the wire, before and after it was put back."""
        channel = await self.channel()
        exchange, queue = await self.bound(channel, "direct", "key")
        mirror = await self.queue(channel)
        await channel.queue_bind(mirror, exchange, "key", {})
        await publish(channel, exchange, "key", b"a\0b", **properties)
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox)
        channel.reject((await inbox.first(1))[-1].tag, True)
        channel.nack((await inbox.first(2))[-1].tag, False, True)
        first, *again = await inbox.first(3)
        self.assertIs(first.redelivered, False)
        for each in again:
            self.assertIs(each.redelivered, True)
            self.assertEqual(each.body, b"a\0b")
            self.assertEqual(each.properties, first.properties)
            self.assertEqual((each.exchange, each.routing_key), (exchange.name, "key"))
        await channel.close()
        key = f"VirtualTopic.{exchange.name}.key"
        return (
            await self.taken(f"/queue/Consumer.{mirror.name}.{key}"),
            await self.taken(f"/queue/Consumer.{queue.name}.{key}"),
        )

    async def test_requeued(self) -> None:
        """A message that was put back is the same, as we see it and as others do."""
        before, after = await self.carried_over(**{**PROPERTIES, "headers": TYPED})
        of_the_delivery = {"destination", "ack", "subscription", "message-id"}
        for frame in (before, after):
            for name in of_the_delivery:
                del frame.headers[name]
        self.assertEqual(after.headers.pop("x-txk-redelivered"), "true")
        # The copy was handed out, too.
        self.assertEqual(after.headers.pop("redelivered"), "true")
        self.assertEqual(after.headers, before.headers)
        self.assertEqual(after["persistent"], "true")
        self.assertEqual(after.body, before.body)

    async def test_requeued_with_most_headers(self) -> None:
        """A message with the most headers that can be sent can be put back."""
        headers = {f"h{number}": "x" * 100 for number in range(899)}
        await self.carried_over(headers={**headers, "long": "y" * 10_000}, priority=1)

    async def test_typed_headers(self) -> None:
        """Headers come back with their types, and as text for others."""
        channel = await self.channel()
        queue = await self.queue(channel)
        for _ in range(2):
            await publish(channel, DEFAULT, queue.name, headers=dict(TYPED))
        delivery = await self.take(channel, queue, no_ack=True)
        self.assertEqual(delivery.properties["headers"], TYPED)
        frame = await self.on_the_wire(queue)
        self.assertEqual((frame["text"], frame["number"]), ("a:b\n", "-7"))

    async def test_requeued_text(self) -> None:
        """A text of JMS that is put back is one still."""
        channel = await self.channel()
        queue = await self.queue(channel)
        raw = self.raw()
        raw.request("SEND", {"destination": f"/queue/{queue.name}"}, b"text")
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox)
        channel.nack((await inbox.first())[0].tag, False, True)
        await inbox.first(2)
        await channel.close()
        frame = await self.on_the_wire(queue)
        self.assertIn("x-txk-redelivered", frame.headers)
        self.assertNotIn("content-length", frame.headers)
        self.assertEqual(frame.body, b"text")

    async def test_requeued_to_a_pattern(self) -> None:
        """What came by a pattern is put back where it came from, once."""
        channel = await self.channel()
        exchange, queue = await self.bound(channel, "topic", "a.*", "b.#", "c")
        for key in ("a.x", "b", "c"):
            await publish(channel, exchange, key)
        for _ in range(2):
            inbox = Inbox()
            await consume(channel, queue, inbox=inbox)
            found = {each.routing_key: each.tag for each in await inbox.first(3)}
            self.assertEqual(sorted(found), ["a.x", "b", "c"])
            await channel.basic_cancel("tag")
            for tag in found.values():
                channel.nack(tag, False, True)
        await self.check_ready(channel, queue, 3)

    async def test_requeue_refused(self) -> None:
        """Who may not send cannot put a message back; it is not lost by trying."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1")
        reader = await self.as_user(READER)
        inbox = Inbox()
        await consume(reader, queue, inbox=inbox)
        (delivery,) = await inbox.first()
        reader.nack(delivery.tag, False, True)
        (error,) = await inbox.journal.first("cancelled")
        self.assertIsInstance(error, BrokerError)
        again = await self.take(channel, queue)
        self.assertEqual((again.body, again.redelivered), (b"1", True))

    async def test_dead_letters(self) -> None:
        """What is rejected for good is a dead letter, if it was to be kept."""
        channel = await self.channel()
        await channel.queue_purge(DEAD_LETTERS)
        exchange, queue = await self.bound(channel, "direct", "key")
        for body, mode in ((b"kept", 2), (b"transient", 1)):
            await publish(channel, exchange, "key", body, delivery_mode=mode)
            channel.reject((await self.take(channel, queue)).tag, False)
        dead = await self.take(channel, DEAD_LETTERS)
        self.assertEqual(dead.body, b"kept")
        self.assertEqual((dead.exchange, dead.routing_key), ("", "ActiveMQ.DLQ"))
        await self.check_empty(channel, queue)

    async def test_expiration(self) -> None:
        """What has lived for its time is gone; what has not tells that time."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await publish(channel, DEFAULT, queue.name, b"old", expiration="1")
        await publish(channel, DEFAULT, queue.name, b"new", expiration="60000")
        await self.later(0.05)
        delivery = await self.take(channel, queue)
        self.assertEqual(delivery.body, b"new")
        self.assertEqual(delivery.properties["expiration"], "60000")
        channel.nack(delivery.tag, False, True)
        left = int((await self.on_the_wire(queue))["expires"]) - time.time() * 1000
        self.assertTrue(50_000 < left <= 60_000, left)

    async def test_forbidden(self) -> None:
        """Who may nothing is told so, whatever he asks."""
        channel = await self.as_user(STRANGER)
        queue = Queue(self.name())
        exchange = Exchange(self.name(), "fanout")
        for begin in (
            lambda: channel.queue_declare(queue, False),
            lambda: channel.queue_bind(queue, exchange, "", {}),
            lambda: channel.queue_purge(queue),
            lambda: channel.basic_get(queue, False),
            lambda: consume(channel, queue),
            lambda: publish(channel, exchange, ""),
            lambda: publish(channel, DEFAULT, queue.name),
        ):
            error = await self.refusal(AccessRefused, begin())
            self.assertIn("not authorized", str(error))

    async def test_forbidden_unconfirmed(self) -> None:
        """
        Who may not send is told so, though only another publish asked.  That one
        ends the socket; it comes before or after the refusal of the last.
        """
        channel = await self.as_user(STRANGER)
        exchange, other = (Exchange(self.name(), "fanout") for _ in range(2))
        unconfirmed = publish(channel, exchange, "", confirm=False)
        confirmed = publish(channel, exchange, "")
        elsewhere = Probe(publish(channel, other, ""))
        await unconfirmed
        refusal = await self.refusal(AccessRefused, confirmed)
        self.assertEqual(refusal.about, exchange.name)
        await elsewhere.deferred
        if isinstance(elsewhere.outcome, AccessRefused):
            self.assertEqual(elsewhere.outcome.about, other.name)
        else:
            self.assertIsInstance(elsewhere.outcome, OutcomeUnknown)

    async def test_large_bodies(self) -> None:
        """A body that is larger than ActiveMQ reads is refused before it is sent."""
        channel = await self.channel()
        sent = publish(channel, DEFAULT, self.name(), bytes(100 * 1024 * 1024 + 1))
        error = await self.refusal(ContentTooLarge, sent)
        self.assertIn("104857600 bytes, not 104857601", str(error))

    async def test_tls(self) -> None:
        """All its sockets speak TLS if one does."""
        self.parameters = parse_url(activemq().tls_url)
        channel = await self.channel()
        exchange, queue = await self.bound(channel, "fanout", "")
        await publish(channel, exchange, "", b"1")
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox)
        self.assertEqual((await inbox.first())[0].body, b"1")

    async def test_capabilities(self) -> None:
        """The session knows what its broker can do."""
        session = await self.connect()
        self.assertEqual((session.product, session.version), ("ActiveMQ", "5.17.2"))
        self.assertIn(Capability.GET, session.capabilities)
        self.assertNotIn(Capability.QUEUE_DELETE, session.capabilities)
