"""
The contract: an operation that is cancelled leaves nothing behind.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, gatherResults

from tests.contract.capabilities import needs
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
from txkombu.exceptions import Unroutable
from txkombu.interfaces import Capability as Can


class CancelTests(Harness):
    """Operations that are cancelled, and their late replies."""

    async def test_aligned(self) -> None:
        """A cancelled operation fails at once, and does not misalign later replies."""
        channel = await self.channel()
        exchange = await self.exchange(channel)
        for name, begin in self.operations().items():
            if name in self.immediate:
                continue
            queue = await self.queue(channel)
            await self.put(channel, queue, b"1")
            probe = Probe(begin(channel, queue, exchange))
            declared = Probe(channel.queue_declare(queue, False))
            probe.deferred.cancel()
            self.assertIsInstance(probe.outcome, CancelledError, name)
            await declared.deferred
            self.assertEqual(declared.outcome.queue, queue.name, name)
            await channel.exchange_declare(exchange, False)

    async def test_get(self) -> None:
        """A message that arrives for a cancelled get is given back."""
        session = await self.connect()
        channel = await self.channel(session)
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1")
        got = Probe(channel.basic_get(queue, False))
        got.deferred.cancel()
        self.assertIsInstance(got.outcome, CancelledError)
        await self.settled(channel, queue)
        delivery = await self.take(await self.channel(session), queue)
        self.assertEqual(delivery.body, b"1")
        self.assertIn(delivery.redelivered, self.late)

    async def test_consume(self) -> None:
        """
        A consumer that starts after its cancellation is cancelled, and its messages
        given back.
        """
        session = await self.connect()
        channel = await self.channel(session)
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1", b"2")
        inbox = Inbox()
        started = Probe(consume(channel, queue, "t", inbox))
        started.deferred.cancel()
        self.assertIsInstance(started.outcome, CancelledError)
        for _ in range(3):  # start, end, return of messages
            await self.settled(channel, queue)
        other = await self.channel(session)
        await self.check_ready(other, queue, 2)
        await self.check_consumers(other, queue, 0)
        self.assertEqual(inbox.bodies, [])
        again = Inbox()
        await consume(channel, queue, "t", again)
        await again.first(2)
        self.assertEqual(again.bodies, [b"1", b"2"])

    async def test_open(self) -> None:
        """
        A channel that opens after its cancellation is closed, and its number is free.
        """
        session = await self.connect()
        journal = Journal()
        opening = Probe(session.open_channel(ChannelWatcher(journal)))
        opening.deferred.cancel()
        self.assertIsInstance(opening.outcome, CancelledError)
        for _ in range(3):
            await self.queue(await self.channel(session))
        self.assertEqual(journal.entries, [])

    async def test_publish(self) -> None:
        """
        The confirm of a cancelled publish is ignored, and those of others are not.
        """
        channel = await self.channel()
        queue = await self.queue(channel)
        probes = [Probe(publish(channel, DEFAULT, queue.name)) for _ in range(3)]
        probes[1].deferred.cancel()
        self.assertIsInstance(probes[1].outcome, CancelledError)
        await gatherResults([probes[0].deferred, probes[2].deferred])
        await publish(channel, DEFAULT, queue.name)
        kinds = [type(probe.outcome) for probe in probes]
        self.assertEqual(kinds, [type(None), CancelledError, type(None)])
        await self.check_ready(channel, queue, 4)

    @needs(Can.MANDATORY)
    async def test_publish_mandatory(self) -> None:
        """
        The verdict on a cancelled mandatory publish is ignored, and those on others are
        not.
        """
        channel = await self.channel()
        queue = await self.queue(channel)
        probes = [
            Probe(publish(channel, DEFAULT, key, mandatory=True, message_id=str(n)))
            for n, key in enumerate([queue.name, queue.name, self.name(), queue.name])
        ]
        probes[0].deferred.cancel()
        self.assertIsInstance(probes[0].outcome, CancelledError)
        await publish(channel, DEFAULT, queue.name)
        kinds = [type(probe.outcome) for probe in probes]
        self.assertEqual(kinds, [CancelledError, type(None), Unroutable, type(None)])
        await self.check_ready(channel, queue, 4)

    async def test_cancel_and_close(self) -> None:
        """
        Cancelling the Deferred of a cancel or a close does not stop the cancel or
        close.
        """
        session = await self.connect()
        channel = await self.channel(session)
        queue = await self.queue(channel)
        await consume(channel, queue)
        cancelling = Probe(channel.basic_cancel("tag"))
        cancelling.deferred.cancel()
        await self.check_consumers(channel, queue, 0)
        closing = Probe(channel.close())
        closing.deferred.cancel()
        self.assertTrue(cancelling.fired and closing.fired)
        await channel.close()
        closing = Probe(session.close())
        closing.deferred.cancel()
        self.assertTrue(closing.fired)
        await session.close()

    async def test_cancelled_then_lost(self) -> None:
        """A cancelled operation does not fire again when the session ends."""
        session = await self.connect()
        channel = await self.channel(session)
        queue, exchange = await self.queue(channel), await self.exchange(channel)
        probes = [
            Probe(begin(channel, queue, exchange))
            for name, begin in self.operations().items()
            if name not in self.immediate
        ]
        probes.append(Probe(publish(channel, DEFAULT, queue.name)))
        for probe in probes:
            probe.deferred.cancel()
        session.abort()
        for probe in probes:
            self.assertIsInstance(probe.outcome, CancelledError)

    async def test_connect(self) -> None:
        """A cancelled attempt to connect ends in that turn."""
        journal = Journal()
        connecting = Probe(
            self.transport.connect(
                self.parameters, None, self.clock, SessionWatcher(journal)
            )
        )
        connecting.deferred.cancel()
        self.assertIsInstance(connecting.outcome, CancelledError)
        await self.connect()
        self.assertEqual(journal.entries, [])
