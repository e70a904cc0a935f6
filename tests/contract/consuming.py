"""
The contract: consuming.
"""

from __future__ import annotations

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
from txkombu.entity import Queue
from txkombu.exceptions import AccessRefused, ConsumerCancelled, NotFound
from txkombu.interfaces import Capability as Can
from txkombu.interfaces import Delivery, Settlement

SENT, STALE = Settlement.SENT, Settlement.STALE


class ConsumeTests(Harness):
    """Consumers."""

    async def test_delivery(self) -> None:
        """
        A delivery carries body, properties, exchange and routing key of the published
        message.
        """
        channel = await self.channel()
        exchange = await self.exchange(channel, "topic")
        queue = await self.queue(channel)
        await channel.queue_bind(queue, exchange, "#", {})
        inbox = Inbox()
        await self.done(consume(channel, queue, "my tag", inbox))
        await publish(channel, exchange, "a.b", b"body", priority=1)
        (delivery,) = await inbox.first()
        self.assertIsInstance(delivery, Delivery)
        self.assertEqual(delivery.consumer_tag, "my tag")
        self.assertEqual(delivery.exchange, exchange.name)
        self.assertEqual(delivery.routing_key, "a.b")
        self.assertEqual(delivery.body, b"body")
        self.assertEqual(delivery.properties["priority"], 1)
        self.assertIs(delivery.redelivered, False)

    async def test_never_within(self) -> None:
        """basic_consume delivers nothing before it returns."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1")
        inbox = Inbox()
        started = consume(channel, queue, inbox=inbox)
        self.assertEqual(inbox.bodies, [])
        await started
        await inbox.first()

    async def test_prefetch(self) -> None:
        """A consumer holds no more unsettled messages than its prefetch count."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, *(b"%d" % n for n in range(5)))
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox, prefetch_count=2)
        first, second = await inbox.first(2)
        await self.check_ready(channel, queue, 3)
        self.assertEqual(len(inbox.bodies), 2)
        self.assertIs(channel.ack(first.tag, False), SENT)
        await inbox.first(3)
        self.assertIs(channel.ack(second.tag, False), SENT)
        await inbox.first(4)
        self.assertEqual(inbox.bodies, [b"0", b"1", b"2", b"3"])

    async def test_prefetch_of_each(self) -> None:
        """Each consumer of a channel has its own prefetch count."""
        channel = await self.channel()
        queues = [await self.queue(channel) for _ in range(3)]
        inboxes = [Inbox() for _ in queues]
        limits = (1, 3, 0)
        for number, queue in enumerate(queues):
            await self.put(channel, queue, *(b"%d" % n for n in range(5)))
            await consume(
                channel,
                queue,
                f"t{number}",
                inboxes[number],
                False,
                False,
                limits[number],
            )
        await inboxes[2].first(5)
        for queue, left in zip(queues, (4, 2, 0), strict=True):
            await self.check_ready(channel, queue, left)
        self.assertEqual([len(inbox.bodies) for inbox in inboxes], [1, 3, 5])

    async def test_no_ack(self) -> None:
        """With no_ack all messages are delivered, and none awaits settlement."""
        session = await self.connect()
        channel = await self.channel(session)
        queue = await self.queue(channel)
        await self.put(channel, queue, *(b"%d" % n for n in range(5)))
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox, no_ack=True, prefetch_count=1)
        await inbox.first(5)
        await channel.close()
        await self.check_empty(await self.channel(session), queue)

    async def test_several(self) -> None:
        """Consumers of one queue take turns, and each message goes to one of them."""
        channel = await self.channel()
        queue = await self.queue(channel)
        journal = Journal()
        for tag in ("a", "b"):
            await channel.basic_consume(
                queue,
                tag,
                False,
                False,
                {},
                100,
                lambda delivery: journal.note("got", delivery),
                lambda error: None,
            )
        await self.put(channel, queue, *(b"%d" % n for n in range(10)))
        got = await journal.first("got", 10)
        self.assertEqual(
            sorted(each.body for each in got), [b"%d" % n for n in range(10)]
        )
        tags = [each.consumer_tag for each in got]
        self.assertEqual((tags.count("a"), tags.count("b")), (5, 5))

    async def test_cancel(self) -> None:
        """
        A cancelled consumer gets no more messages; those that it holds can be settled.
        """
        channel = await self.channel()
        queue = await self.queue(channel)
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox)
        await self.put(channel, queue, b"1")
        (held,) = await inbox.first()
        await self.done(channel.basic_cancel("tag"))
        await self.put(channel, queue, b"2")
        await self.check_cancelled(channel, queue, 1)
        self.assertEqual(inbox.bodies, [b"1"])
        self.assertIs(channel.ack(held.tag, False), SENT)
        await channel.close()
        await self.check_left(await self.channel(), queue, b"2")

    async def test_cancel_unknown(self) -> None:
        """Cancelling an unknown consumer fires at once."""
        channel = await self.channel()
        self.assertIsNone(Probe(channel.basic_cancel("nobody")).outcome)

    async def test_tag_again(self) -> None:
        """A tag can be used again when its consumer is cancelled."""
        channel = await self.channel()
        first, second = await self.queue(channel), await self.queue(channel)
        old, new = Inbox(), Inbox()
        await consume(channel, first, "t", old)
        cancelled = Probe(channel.basic_cancel("t"))
        started = Probe(consume(channel, second, "t", new))
        await self.put(channel, first, b"first")
        await self.put(channel, second, b"second")
        (held,) = await new.first()
        self.assertEqual((cancelled.outcome, started.outcome), (None, None))
        self.assertEqual((old.bodies, new.bodies), ([], [b"second"]))
        await channel.basic_cancel("t")
        await self.check_cancelled(channel, second, 0)
        channel.ack(held.tag, False)
        await self.check_consumers(channel, second, 0)

    @needs(Nature.MISSING_QUEUE)
    async def test_missing_queue(self) -> None:
        """Consuming from a missing queue is refused, and the error names the queue."""
        channel = await self.channel()
        missing = Queue(self.name())
        error = await self.refusal(NotFound, consume(channel, missing))
        text = f"NOT_FOUND - no queue '{missing.name}' in vhost '/'"
        self.check_reply(error, missing.name, text, (60, 20))

    @needs(Can.CONSUMER_ARGUMENTS)
    async def test_arguments(self) -> None:
        """
        Arguments of a consumer reach the broker: one with higher priority gets messages
        first.
        """
        channel = await self.channel()
        queue = await self.queue(channel)
        low, high = Inbox(), Inbox()
        await consume(channel, queue, "low", low)
        await consume(channel, queue, "high", high, arguments={"x-priority": 5})
        await self.put(channel, queue, b"1", b"2")
        await high.first(2)
        self.assertEqual(low.bodies, [])

    @needs(Can.CONSUMER_EXCLUSIVE)
    async def test_exclusive(self) -> None:
        """No other consumer can use the queue of an exclusive consumer."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await consume(channel, queue, exclusive=True)
        error = await self.refusal(AccessRefused, consume(await self.channel(), queue))
        text = f"ACCESS_REFUSED - queue '{queue.name}' in vhost '/' in exclusive use"
        self.check_reply(error, queue.name, text, (60, 20))

    @needs(Can.QUEUE_DELETE)
    async def test_queue_deleted(self) -> None:
        """
        A consumer whose queue is deleted is told once; messages that it holds can still
        be settled, and its tag can be used again.
        """
        channel = await self.channel()
        queue = await self.queue(channel)
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox)
        await self.put(channel, queue, b"1")
        (held,) = await inbox.first()
        await (await self.channel()).queue_delete(queue, False, False)
        (error,) = await inbox.journal.first("cancelled")
        self.assertIsInstance(error, ConsumerCancelled)
        self.assertIs(channel.ack(held.tag, False), SENT)
        await channel.queue_declare(queue, False)
        await consume(channel, queue)
        self.assertEqual(len(inbox.journal.all("cancelled")), 1)

    async def test_not_cancelled_by_close(self) -> None:
        """
        A consumer that is cancelled or closed by the program is not told of a
        cancellation.
        """
        channel = await self.channel()
        queue = await self.queue(channel)
        inbox = Inbox()
        await consume(channel, queue, "1", inbox)
        await consume(channel, queue, "2", inbox)
        await channel.basic_cancel("1")
        await channel.close()
        self.assertEqual(inbox.journal.entries, [])

    async def test_failing_callback(self) -> None:
        """An error of a callback is logged, and affects nothing else."""
        channel = await self.channel()
        queue = await self.queue(channel)

        def fail(delivery: Delivery) -> None:
            raise KeyError("of the test")

        inbox = Inbox(fail)
        await consume(channel, queue, inbox=inbox)
        await self.put(channel, queue, b"1", b"2")
        await inbox.first(2)
        await self.check_empty(channel, queue)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    async def test_callback_closes_channel(self) -> None:
        """A callback may close the channel; nothing more is delivered then."""
        session = await self.connect()
        channel = await self.channel(session)
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1", b"2", b"3")
        closed: list[Probe] = []
        inbox = Inbox(lambda delivery: closed.append(Probe(channel.close())))
        await consume(channel, queue, inbox=inbox)
        await inbox.first()
        await closed[0].deferred
        self.assertEqual(inbox.bodies, [b"1"])
        await self.check_ready(await self.channel(session), queue, 3)

    async def test_callback_aborts(self) -> None:
        """A callback may drop the connection; nothing more is delivered then."""
        session = await self.connect()
        channel = await self.channel(session)
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1", b"2", b"3")
        inbox = Inbox(lambda delivery: session.abort())
        consume(channel, queue, inbox=inbox).addErrback(lambda reason: None)
        await inbox.first()
        await session.close()
        self.assertEqual(inbox.bodies, [b"1"])

    async def test_callback_cancels(self) -> None:
        """A callback may cancel the consumer, and publish."""
        channel = await self.channel()
        queue = await self.queue(channel)
        done: list[Probe] = []

        def once(delivery: Delivery) -> None:
            done.append(Probe(channel.basic_cancel("tag")))
            done.append(Probe(publish(channel, DEFAULT, queue.name, b"2")))
            channel.ack(delivery.tag, False)

        inbox = Inbox(once)
        await consume(channel, queue, inbox=inbox, prefetch_count=1)
        await self.put(channel, queue, b"1")
        await inbox.first()
        await self.put(channel, queue, b"3")
        for probe in done:
            await self.done(probe.deferred)
        self.assertEqual(inbox.bodies, [b"1"])
        await self.check_left(channel, queue, b"2", b"3")

    @needs(Can.CHANNEL_PREFETCH)
    async def test_qos_of_channel(self) -> None:
        """A limit of the channel applies to all its consumers together."""
        channel = await self.channel()
        queues = [await self.queue(channel) for _ in range(2)]
        await self.done(channel.basic_qos(3))
        journal = Journal()
        for queue in queues:
            await self.put(channel, queue, b"1", b"2", b"3", b"4")
            await channel.basic_consume(
                queue,
                queue.name,
                False,
                False,
                {},
                0,
                lambda delivery: journal.note("got", delivery),
                lambda error: None,
            )
        got = await journal.first("got", 3)
        left = [await self.ready(channel, queue) for queue in queues]
        self.assertEqual(sum(left), 5)
        for delivery in got:
            channel.ack(delivery.tag, False)
        await journal.first("got", 6)

    @needs(Can.CHANNEL_PREFETCH)
    async def test_qos_of_channel_first(self) -> None:
        """
        A limit that the channel had first applies beside the prefetch counts of the
        consumers, whatever those are.
        """
        channel = await self.channel()
        queues = [await self.queue(channel) for _ in range(3)]
        await self.done(channel.basic_qos(4))
        inboxes = [Inbox() for _ in queues]
        for queue in queues:
            await self.put(channel, queue, *(b"%d" % number for number in range(9)))
        for queue, inbox, count in zip(queues, inboxes, (7, 100, 0), strict=True):
            await consume(channel, queue, queue.name, inbox, prefetch_count=count)
        await inboxes[0].first(4)
        left = [await self.ready(channel, queue) for queue in queues]
        self.assertEqual(left, [5, 9, 9])

    @needs(Can.CHANNEL_PREFETCH)
    async def test_qos_of_channel_goes_on(self) -> None:
        """A consumer within both limits receives all messages while it settles them."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.done(channel.basic_qos(5))
        inbox = Inbox(lambda delivery: channel.ack(delivery.tag, False))
        await consume(channel, queue, "tag", inbox, prefetch_count=2)
        bodies = [b"%d" % number for number in range(50)]
        await self.put(channel, queue, *bodies)
        await inbox.first(50)
        self.assertEqual(inbox.bodies, bodies)
