"""
The contract: consuming, getting and settling.
"""

from __future__ import annotations

from txkombu.entity import Queue
from txkombu.exceptions import AccessRefused, ConsumerCancelled, NotFound
from txkombu.interfaces import Delivery, ISessionChannel, Settlement

from .contract_harness import (
    DEFAULT,
    Harness,
    Inbox,
    Journal,
    Probe,
    consume,
    publish,
)

SENT, STALE = Settlement.SENT, Settlement.STALE


class ConsumeTests(Harness):
    """Consumers."""

    async def test_delivery(self) -> None:
        """A delivery carries what the message was published with."""
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
        self.assertEqual(dict(delivery.properties), {"priority": 1})
        self.assertIs(delivery.redelivered, False)

    async def test_never_within(self) -> None:
        """Consuming delivers nothing from within the call."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1")
        inbox = Inbox()
        started = consume(channel, queue, inbox=inbox)
        self.assertEqual(inbox.bodies, [])
        await started
        await inbox.first()

    async def test_prefetch(self) -> None:
        """A consumer holds no more unsettled messages than its prefetch."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, *(b"%d" % n for n in range(5)))
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox, prefetch_count=2)
        first, second = await inbox.first(2)
        self.assertEqual(await self.ready(channel, queue), 3)
        self.assertEqual(len(inbox.bodies), 2)
        self.assertIs(channel.ack(first.tag, False), SENT)
        await inbox.first(3)
        self.assertIs(channel.ack(second.tag, False), SENT)
        await inbox.first(4)
        self.assertEqual(inbox.bodies, [b"0", b"1", b"2", b"3"])

    async def test_prefetch_of_each(self) -> None:
        """Consumers of one channel have prefetches of their own."""
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
        left = [await self.ready(channel, queue) for queue in queues]
        self.assertEqual(left, [4, 2, 0])

    async def test_no_ack(self) -> None:
        """With no_ack everything comes, and awaits no settlement."""
        session = await self.connect()
        channel = await self.channel(session)
        queue = await self.queue(channel)
        await self.put(channel, queue, *(b"%d" % n for n in range(5)))
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox, no_ack=True, prefetch_count=1)
        await inbox.first(5)
        await channel.close()
        self.assertEqual(await self.ready(await self.channel(session), queue), 0)

    async def test_several(self) -> None:
        """Consumers of one queue take turns, each message goes to one."""
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
        """A cancelled consumer gets no more; what it holds can be settled."""
        channel = await self.channel()
        queue = await self.queue(channel)
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox)
        await self.put(channel, queue, b"1")
        (held,) = await inbox.first()
        await self.done(channel.basic_cancel("tag"))
        await self.put(channel, queue, b"2")
        declared = await channel.queue_declare(queue, True)
        self.assertEqual(declared, (queue.name, 1, 0))
        self.assertEqual(inbox.bodies, [b"1"])
        self.assertIs(channel.ack(held.tag, False), SENT)
        await channel.close()
        channel = await self.channel()
        self.assertEqual(await self.ready(channel, queue), 1)

    async def test_cancel_unknown(self) -> None:
        """Cancelling what does not consume fires at once."""
        channel = await self.channel()
        self.assertIsNone(Probe(channel.basic_cancel("nobody")).outcome)

    async def test_tag_again(self) -> None:
        """A tag can be used again once its consumer was cancelled."""
        channel = await self.channel()
        first, second = await self.queue(channel), await self.queue(channel)
        old, new = Inbox(), Inbox()
        await consume(channel, first, "t", old)
        cancelled = Probe(channel.basic_cancel("t"))
        started = Probe(consume(channel, second, "t", new))
        await self.put(channel, first, b"first")
        await self.put(channel, second, b"second")
        await new.first()
        self.assertEqual((cancelled.outcome, started.outcome), (None, None))
        self.assertEqual((old.bodies, new.bodies), ([], [b"second"]))
        await channel.basic_cancel("t")
        self.assertEqual((await channel.queue_declare(second, True))[2], 0)

    async def test_missing_queue(self) -> None:
        """Consuming from a missing queue is refused by its name."""
        channel = await self.channel()
        missing = Queue(self.name())
        error = await self.refusal(NotFound, consume(channel, missing))
        self.assertEqual(
            error.text, f"NOT_FOUND - no queue '{missing.name}' in vhost '/'"
        )
        self.assertEqual((error.class_id, error.method_id), (60, 20))
        self.assertEqual(error.about, missing.name)

    async def test_exclusive(self) -> None:
        """An exclusive consumer shares its queue with nobody."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await consume(channel, queue, exclusive=True)
        error = await self.refusal(AccessRefused, consume(await self.channel(), queue))
        self.assertEqual(
            error.text,
            f"ACCESS_REFUSED - queue '{queue.name}' in vhost '/' in exclusive use",
        )

    async def test_queue_deleted(self) -> None:
        """
        When its queue goes a consumer is told, once; what it holds can still
        be settled, and its tag used again.
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
        """Who cancels or closes is not told that the consumer was cancelled."""
        channel = await self.channel()
        queue = await self.queue(channel)
        inbox = Inbox()
        await consume(channel, queue, "1", inbox)
        await consume(channel, queue, "2", inbox)
        await channel.basic_cancel("1")
        await channel.close()
        self.assertEqual(inbox.journal.entries, [])

    async def test_failing_callback(self) -> None:
        """An error of a callback is logged and harms nothing."""
        channel = await self.channel()
        queue = await self.queue(channel)

        def fail(delivery: Delivery) -> None:
            raise KeyError("of the test")

        inbox = Inbox(fail)
        await consume(channel, queue, inbox=inbox)
        await self.put(channel, queue, b"1", b"2")
        await inbox.first(2)
        self.assertEqual(await self.ready(channel, queue), 0)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    async def test_callback_closes_channel(self) -> None:
        """A callback may close the channel; nothing more is delivered."""
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
        self.assertEqual(await self.ready(await self.channel(session), queue), 3)

    async def test_callback_aborts(self) -> None:
        """A callback may drop the connection; nothing more is delivered."""
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
        self.assertEqual([probe.outcome for probe in done], [None, None])
        self.assertEqual(inbox.bodies, [b"1"])
        self.assertEqual(await self.ready(channel, queue), 2)

    async def test_pause(self) -> None:
        """Paused delivery goes on when it is resumed, and nothing is lost."""
        channel = await self.channel()
        queue = await self.queue(channel)
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox, no_ack=True)
        channel.pause_delivery()
        other = await self.channel()
        await self.put(other, queue, b"1", b"2", b"3")
        channel.resume_delivery()
        await inbox.first(3)
        self.assertEqual(inbox.bodies, [b"1", b"2", b"3"])

    async def test_paused_close(self) -> None:
        """A paused channel, and its session, can be closed."""
        session = await self.connect()
        channel = await self.channel(session)
        queue = await self.queue(channel)
        await consume(channel, queue, no_ack=True)
        channel.pause_delivery()
        await channel.close()
        channel = await self.channel(session)
        channel.pause_delivery()
        await session.close()

    async def test_qos_of_channel(self) -> None:
        """The channel's limit holds for all its consumers together."""
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


class GetTests(Harness):
    """Getting single messages."""

    async def test_get(self) -> None:
        """A message got is the oldest, and awaits settlement."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1", b"2")
        delivery = await self.take(channel, queue)
        self.assertEqual((delivery.body, delivery.consumer_tag), (b"1", ""))
        self.assertEqual((delivery.exchange, delivery.routing_key), ("", queue.name))
        await channel.close()
        channel = await self.channel()
        delivery = await self.take(channel, queue)
        self.assertEqual((delivery.body, delivery.redelivered), (b"1", True))

    async def test_empty(self) -> None:
        """There is no message in an empty queue."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.done(channel.basic_get(queue, False))

    async def test_no_ack(self) -> None:
        """A message got with no_ack is settled."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1")
        delivery = await channel.basic_get(queue, True)
        assert delivery is not None
        await channel.close()
        self.assertEqual(await self.ready(await self.channel(), queue), 0)

    async def test_missing(self) -> None:
        """Getting from a missing queue is refused by its name."""
        channel = await self.channel()
        missing = Queue(self.name())
        error = await self.refusal(NotFound, channel.basic_get(missing, False))
        self.assertEqual(error.about, missing.name)
        self.assertEqual((error.class_id, error.method_id), (60, 70))


class SettleTests(Harness):
    """Ack, nack, reject, recover."""

    async def taken(
        self, channel: ISessionChannel, queue: Queue, number: int
    ) -> list[Delivery]:
        """Put so many messages into a queue and get them all."""
        await self.put(channel, queue, *(b"%d" % n for n in range(number)))
        return [await self.take(channel, queue) for _ in range(number)]

    async def left(self, channel: ISessionChannel, queue: Queue) -> list[bytes]:
        """Close a channel; what is in a queue then, that was not settled?"""
        await channel.close()
        channel = await self.channel()
        bodies = []
        while (delivery := await channel.basic_get(queue, True)) is not None:
            bodies.append(delivery.body)
        return bodies

    async def test_ack(self) -> None:
        """What was acked is gone, in whatever order."""
        channel = await self.channel()
        queue = await self.queue(channel)
        taken = await self.taken(channel, queue, 6)
        for number in (5, 0, 3, 1):
            self.assertIs(channel.ack(taken[number].tag, False), SENT)
        self.assertEqual(await self.left(channel, queue), [b"2", b"4"])

    async def test_ack_in_turns(self) -> None:
        """Acks of several turns add up."""
        channel = await self.channel()
        queue = await self.queue(channel)
        taken = await self.taken(channel, queue, 6)
        for number in (5, 0, 3, 1):
            channel.ack(taken[number].tag, False)
            self.assertIs(await channel.when_flushed(), SENT)
        self.assertEqual(await self.left(channel, queue), [b"2", b"4"])

    async def test_ack_multiple(self) -> None:
        """A multiple ack settles all before it that are not settled."""
        channel = await self.channel()
        queue = await self.queue(channel)
        taken = await self.taken(channel, queue, 6)
        channel.ack(taken[1].tag, False)
        self.assertIs(channel.ack(taken[3].tag, True), SENT)
        self.assertEqual(await self.left(channel, queue), [b"4", b"5"])

    async def test_nack(self) -> None:
        """What was nacked goes back to its place, flagged."""
        channel = await self.channel()
        queue = await self.queue(channel)
        taken = await self.taken(channel, queue, 3)
        await self.put(channel, queue, b"later")
        channel.ack(taken[0].tag, False)
        self.assertIs(channel.nack(taken[1].tag, False, True), SENT)
        delivery = await self.take(channel, queue)
        self.assertEqual((delivery.body, delivery.redelivered), (b"1", True))
        self.assertIs(channel.nack(delivery.tag, False, False), SENT)
        self.assertEqual(await self.left(channel, queue), [b"2", b"later"])

    async def test_nack_multiple(self) -> None:
        """A multiple nack settles all before it that are not settled."""
        channel = await self.channel()
        queue = await self.queue(channel)
        taken = await self.taken(channel, queue, 5)
        channel.ack(taken[1].tag, False)
        self.assertIs(channel.nack(taken[3].tag, True, False), SENT)
        self.assertEqual(await self.left(channel, queue), [b"4"])

    async def test_reject(self) -> None:
        """What was rejected is dropped or requeued, as wished."""
        channel = await self.channel()
        queue = await self.queue(channel)
        taken = await self.taken(channel, queue, 3)
        self.assertIs(channel.reject(taken[0].tag, False), SENT)
        self.assertIs(channel.reject(taken[2].tag, True), SENT)
        delivery = await self.take(channel, queue)
        self.assertEqual((delivery.body, delivery.redelivered), (b"2", True))
        self.assertEqual(await self.left(channel, queue), [b"1", b"2"])

    async def test_dead_letter(self) -> None:
        """What was rejected goes where its queue says."""
        channel = await self.channel()
        grave = await self.queue(channel)
        queue = await self.queue(
            channel,
            queue_arguments={
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": grave.name,
            },
        )
        (delivery,) = await self.taken(channel, queue, 1)
        channel.reject(delivery.tag, False)
        inbox = Inbox()
        await consume(channel, grave, inbox=inbox)
        (delivery,) = await inbox.first()
        headers = delivery.properties["headers"]
        assert isinstance(headers, dict)
        (death,) = headers["x-death"]
        self.assertEqual(
            (death["queue"], death["reason"], death["count"]),
            (queue.name, "rejected", 1),
        )

    async def test_mixed(self) -> None:
        """Messages of several consumers, got and no_ack settle side by side."""
        channel = await self.channel()
        queues = [await self.queue(channel) for _ in range(4)]
        inboxes = [Inbox() for _ in range(3)]
        for number, inbox in enumerate(inboxes):
            await consume(
                channel, queues[number], f"t{number}", inbox, no_ack=number == 2
            )
        for body in (b"1", b"2", b"3"):
            for queue in queues:
                await self.put(channel, queue, body)
        for inbox in inboxes:
            await inbox.first(3)
        got = await self.take(channel, queues[3])
        first, second, _ = inboxes
        for delivery in (*await first.first(3), (await second.first(3))[1], got):
            self.assertIs(channel.ack(delivery.tag, False), SENT)
        self.assertIs(await channel.when_flushed(), SENT)
        await channel.close()
        channel = await self.channel()
        left = [await self.ready(channel, queue) for queue in queues]
        self.assertEqual(left, [0, 2, 0, 2])

    async def test_recover(self) -> None:
        """Recovering hands all back; old tags are stale and harm nothing."""
        channel = await self.channel()
        queue = await self.queue(channel)
        taken = await self.taken(channel, queue, 3)
        channel.ack(taken[1].tag, False)
        await self.done(channel.basic_recover())
        self.assertIs(channel.ack(taken[0].tag, False), STALE)
        self.assertIs(channel.nack(taken[2].tag, False, True), STALE)
        delivery = await self.take(channel, queue)
        self.assertEqual((delivery.body, delivery.redelivered), (b"0", True))
        self.assertIs(channel.ack(delivery.tag, False), SENT)
        self.assertEqual(await self.left(channel, queue), [b"2"])

    async def test_recover_consumed(self) -> None:
        """What a consumer held comes to it again after recovering."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1", b"2")
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox)
        await inbox.first(2)
        await channel.basic_recover()
        again = (await inbox.first(4))[2:]
        self.assertEqual([each.body for each in again], [b"1", b"2"])
        self.assertTrue(all(each.redelivered for each in again))
        for delivery in again:
            self.assertIs(channel.ack(delivery.tag, False), SENT)
        self.assertEqual(await self.left(channel, queue), [])

    async def test_flushed(self) -> None:
        """C{when_flushed} fires at once if there is nothing to flush."""
        channel = await self.channel()
        self.assertIs(Probe(channel.when_flushed()).outcome, SENT)
        queue = await self.queue(channel)
        (delivery,) = await self.taken(channel, queue, 1)
        channel.ack(delivery.tag, False)
        flushed = Probe(channel.when_flushed())
        channel.flush()
        self.assertIs(flushed.outcome, SENT)

    async def test_close_flushes(self) -> None:
        """Closing a session hands acks of this turn to the broker first."""
        session = await self.connect()
        channel = await self.channel(session)
        queue = await self.queue(channel)
        (delivery,) = await self.taken(channel, queue, 1)
        channel.ack(delivery.tag, False)
        await session.close()
        self.assertEqual(await self.ready(await self.channel(), queue), 0)
