"""
The contract: publishing and its verdicts.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timezone
from decimal import Decimal

from twisted.internet.defer import gatherResults

from tests.contract.capabilities import Nature, needs
from tests.contract.harness import (
    DEFAULT,
    Harness,
    Inbox,
    Journal,
    Probe,
    consume,
    publish,
)
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import (
    ChannelClosed,
    Nacked,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Unroutable,
)
from txkombu.interfaces import Capability as Can


class PublishTests(Harness):
    """A published message arrives as it was."""

    async def test_bodies(self) -> None:
        """Bodies of any size arrive, also of sizes around that of a frame."""
        channel = await self.channel()
        queue = await self.queue(channel)
        frame = 131072 - 8
        for size in (0, 1, frame - 1, frame, frame + 1, 2 * frame, 3_000_000):
            body = bytes(size % 251 for size in range(1000)) * (size // 1000 + 1)
            await self.put(channel, queue, body[:size])
            delivery = await self.take(channel, queue)
            self.assertEqual(len(delivery.body), size)
            self.assertTrue(delivery.body == body[:size])

    async def test_properties(self) -> None:
        """Every property arrives as it was published."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await publish(channel, DEFAULT, queue.name, **self.carried)
        delivery = await self.take(channel, queue)
        arrived = {
            name: value
            for name, value in delivery.properties.items()
            if name in self.carried
        }
        self.assertEqual(arrived, self.carried)

    @needs(Nature.OWN_PROPERTIES)
    async def test_own_properties(self) -> None:
        """Properties not set are absent."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await publish(channel, DEFAULT, queue.name, **self.carried)
        delivery = await self.take(channel, queue)
        self.assertEqual(dict(delivery.properties), self.carried)
        await publish(channel, DEFAULT, queue.name)
        delivery = await self.take(channel, queue)
        self.assertEqual(dict(delivery.properties), {})

    async def test_text_headers(self) -> None:
        """
        Headers that are text arrive, whatever characters their names and values have.
        """
        channel = await self.channel()
        queue = await self.queue(channel)
        headers = {
            "plain": "text",
            "empty": "",
            "grüße": "naïve 日本",
            "a:b c": "d: e",
            "lines": "one\ntwo\r\nthree\\n",
            "x" * 100: "y" * 1000,
        }
        await publish(channel, DEFAULT, queue.name, headers=headers)
        delivery = await self.take(channel, queue)
        self.assertEqual(delivery.properties["headers"], headers)

    @needs(Nature.TYPED_HEADERS)
    async def test_headers(self) -> None:
        """Headers of every type arrive, also nested ones."""
        channel = await self.channel()
        queue = await self.queue(channel)
        headers: dict[str, object] = {
            "int": -7,
            "long": 2**40,
            "float": 0.1,
            "true": True,
            "false": False,
            "none": None,
            "text": "naïve",
            "bytes": b"\xff\x00",
            "decimal": Decimal("1.10"),
            "time": datetime(2024, 1, 1, tzinfo=timezone.utc),
            "list": [1, "two", [3.0], {"four": 4}],
            "table": {"deep": {"er": {}}},
        }
        await publish(channel, DEFAULT, queue.name, headers=headers)
        delivery = await self.take(channel, queue)
        self.assertEqual(delivery.properties["headers"], headers)

    async def test_changes_nothing(self) -> None:
        """Publishing does not change the properties that were passed in."""
        channel = await self.channel()
        queue = await self.queue(channel)
        nested = {"b": [1]} if self.can(Nature.TYPED_HEADERS) else "1"
        properties: dict[str, object] = {"headers": {"a": nested}, "priority": 1}
        before = deepcopy(properties)
        await channel.basic_publish(b"", properties, DEFAULT, queue.name, False, True)
        self.assertEqual(properties, before)

    async def test_order(self) -> None:
        """
        Messages arrive in the order in which they were published, confirmed or not.
        """
        channel = await self.channel()
        queue = await self.queue(channel)
        bodies = [b"%d" % number for number in range(50)]
        for number, body in enumerate(bodies):
            publish(channel, DEFAULT, queue.name, body, confirm=number % 3 == 0)
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox)
        await inbox.first(50)
        self.assertEqual(inbox.bodies, bodies)

    async def test_never_delivers_within(self) -> None:
        """basic_publish delivers nothing before it returns."""
        channel = await self.channel()
        queue = await self.queue(channel)
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox)
        confirmed = publish(channel, DEFAULT, queue.name)
        self.assertEqual(inbox.bodies, [])
        await confirmed
        await inbox.first()

    async def test_impossible(self) -> None:
        """A message that cannot be written raises, and the channel continues."""
        channel = await self.channel()
        queue = await self.queue(channel)
        with self.assertRaises(ValueError):
            publish(channel, DEFAULT, "ü" * 128)
        with self.assertRaises(TypeError):
            publish(channel, DEFAULT, queue.name, headers={"key": object()})
        with self.assertRaises(TypeError):
            publish(channel, DEFAULT, queue.name, no_such_property=1)
        await self.put(channel, queue, b"fine")
        await self.check_left(channel, queue, b"fine")


class VerdictTests(Harness):
    """The broker's verdicts on messages."""

    async def test_confirmed(self) -> None:
        """A confirmed publish fires when the broker has the message."""
        channel = await self.channel()
        queue = await self.queue(channel)
        probes = [Probe(publish(channel, DEFAULT, queue.name)) for _ in range(20)]
        self.assertFalse(any(probe.fired for probe in probes))
        await gatherResults([probe.deferred for probe in probes])
        await self.check_ready(channel, queue, 20)

    async def test_unconfirmed(self) -> None:
        """A publish without confirm fires at once."""
        channel = await self.channel()
        queue = await self.queue(channel)
        self.assertIsNone(
            Probe(publish(channel, DEFAULT, queue.name, confirm=False)).outcome
        )
        await self.take(channel, queue)

    async def test_mixed_plainly(self) -> None:
        """Publishes without confirm do not misalign the confirms of others."""
        channel = await self.channel()
        queue = await self.queue(channel)
        probes = [
            Probe(publish(channel, DEFAULT, queue.name, confirm=number % 2 == 0))
            for number in range(9)
        ]
        self.assertEqual([probe.fired for probe in probes], [False, True] * 4 + [False])
        await gatherResults([probe.deferred for probe in probes])
        await self.check_ready(channel, queue, 9)

    async def test_nowhere(self) -> None:
        """A message that no queue receives is confirmed, and dropped."""
        channel = await self.channel()
        exchange = await self.exchange(channel)
        queue = await self.queue(channel)
        await channel.queue_bind(queue, exchange, "key", {})
        await self.done(publish(channel, exchange, "other"))
        await self.done(publish(channel, DEFAULT, self.name()))
        await self.check_empty(channel, queue)

    @needs(Can.MANDATORY)
    async def test_mixed(self) -> None:
        """Publishes without confirm do not misalign the verdicts on others."""
        channel = await self.channel()
        queue = await self.queue(channel)
        first = Probe(publish(channel, DEFAULT, queue.name))
        publish(channel, DEFAULT, queue.name, confirm=False)
        lost = Probe(
            publish(channel, DEFAULT, self.name(), mandatory=True, message_id="1")
        )
        publish(channel, DEFAULT, queue.name, confirm=False)
        await publish(channel, DEFAULT, queue.name)
        self.assertIsNone(first.outcome)
        self.assertIsInstance(lost.outcome, Unroutable)

    @needs(Can.MANDATORY)
    async def test_unroutable(self) -> None:
        """
        A mandatory message that no queue receives fails, and the error has the message.
        """
        channel = await self.channel()
        missing = self.name()
        failed = Probe(
            publish(channel, DEFAULT, missing, b"x" * 200_000, True, message_id="m-1")
        )
        await publish(channel, DEFAULT, missing)
        error = failed.outcome
        self.assertIsInstance(error, Unroutable)
        returned = error.returned
        self.assertEqual((returned.reply_code, returned.reply_text), (312, "NO_ROUTE"))
        self.assertEqual((returned.exchange, returned.routing_key), ("", missing))
        self.assertEqual(len(returned.body), 200_000)
        self.assertEqual(dict(returned.properties), {"message_id": "m-1"})

    @needs(Can.MANDATORY)
    async def test_routable_mandatory(self) -> None:
        """A mandatory message that a queue receives is confirmed."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await publish(channel, DEFAULT, queue.name, mandatory=True, message_id="1")
        await self.check_ready(channel, queue, 1)

    @needs(Can.MANDATORY)
    async def test_third_unroutable(self) -> None:
        """Of three mandatory messages only the returned one fails."""
        channel = await self.channel()
        queue = await self.queue(channel)
        keys = [queue.name, queue.name, self.name(), queue.name]
        probes = [
            Probe(publish(channel, DEFAULT, key, b"", True, message_id=f"m-{number}"))
            for number, key in enumerate(keys)
        ]
        await publish(channel, DEFAULT, queue.name)
        outcomes = [type(probe.outcome) for probe in probes]
        self.assertEqual(outcomes, [type(None), type(None), Unroutable, type(None)])
        self.assertEqual(probes[2].outcome.returned.properties["message_id"], "m-2")

    @needs(Can.MANDATORY)
    async def test_returned_without_confirm(self) -> None:
        """Without confirm the listener gets a returned message."""
        journal = Journal()
        channel = await self.channel(journal=journal)
        missing = self.name()
        await publish(channel, DEFAULT, missing, b"b", True, False, message_id="7")
        (returned,) = await journal.first("returned")
        self.assertEqual(returned.routing_key, missing)
        self.assertEqual(returned.body, b"b")

    @needs(Can.QUEUE_ARGUMENTS, Nature.REJECT_PUBLISH)
    async def test_nacked(self) -> None:
        """A message that a full queue refuses fails with Nacked."""
        channel = await self.channel()
        queue = await self.queue(
            channel, max_length=1, queue_arguments={"x-overflow": "reject-publish"}
        )
        probes = [Probe(publish(channel, DEFAULT, queue.name)) for _ in range(3)]
        # A message without a queue is confirmed sooner than those of a queue.
        await gatherResults([probe.deferred for probe in probes])
        await publish(channel, DEFAULT, self.name())
        outcomes = [probe.outcome for probe in probes]
        self.assertIsNone(outcomes[0])
        self.assertIsInstance(outcomes[1], Nacked)
        self.assertIsInstance(outcomes[2], Nacked)
        await self.check_ready(channel, queue, 1)

    @needs(Nature.MISSING_EXCHANGE, Nature.CHANNEL_ERRORS)
    async def test_missing_exchange(self) -> None:
        """
        Publishing to a missing exchange closes the channel: messages to that exchange
        are refused, the outcome of others is unknown, later ones are not sent.
        """
        journal = Journal()
        channel = await self.channel(journal=journal)
        queue = await self.queue(channel)
        missing = self.missing_exchange()
        near = Exchange(missing.name + "0")
        refused = [Probe(publish(channel, missing, "key")) for _ in range(3)]
        unknown = [
            Probe(publish(channel, DEFAULT, queue.name)),
            Probe(publish(channel, near, "key")),
        ]
        declared = Probe(channel.queue_declare(Queue(self.name()), False))
        (lost,) = await journal.first("channel_lost")
        for probe in refused:
            self.assertIsInstance(probe.outcome, NotFound)
            text = f"NOT_FOUND - no exchange '{missing.name}' in vhost '/'"
            self.check_reply(probe.outcome, missing.name, text, (60, 40))
        for probe in unknown:
            self.assertIsInstance(probe.outcome, OutcomeUnknown)
            self.assertIsInstance(probe.outcome.__cause__, NotFound)
        self.assertIsInstance(declared.outcome, ChannelClosed)
        self.assertIsInstance(declared.outcome.__cause__, NotFound)
        self.assertIsInstance(lost, NotFound)
        late = Probe(publish(channel, DEFAULT, queue.name))
        self.assertIsInstance(late.outcome, NotSent)
        late = Probe(publish(channel, DEFAULT, queue.name, confirm=False))
        self.assertIsInstance(late.outcome, NotSent)

    @needs(Nature.MISSING_EXCHANGE, Nature.CHANNEL_ERRORS)
    async def test_missing_exchange_unconfirmed(self) -> None:
        """Without confirm only the listener is told that the exchange is missing."""
        journal = Journal()
        channel = await self.channel(journal=journal)
        await publish(channel, self.missing_exchange(), "key", confirm=False)
        (error,) = await journal.first("channel_lost")
        self.assertIsInstance(error, NotFound)
