"""
The contract: getting and settling.
"""

from __future__ import annotations

from tests.contract.capabilities import Nature, needs
from tests.contract.harness import Harness, Inbox, Probe, consume
from txkombu.entity import Queue
from txkombu.exceptions import NotFound
from txkombu.interfaces import Capability as Can
from txkombu.interfaces import Delivery, ISessionChannel, Settlement

SENT, STALE = Settlement.SENT, Settlement.STALE


class GetTests(Harness):
    """Getting single messages."""

    async def test_get(self) -> None:
        """get returns the oldest message, which then awaits settlement."""
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
        """get returns no message if the queue is empty."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.done(channel.basic_get(queue, False))

    async def test_no_ack(self) -> None:
        """A message from get with no_ack is settled."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1")
        delivery = await self.take(channel, queue, no_ack=True)
        self.assertEqual(delivery.body, b"1")
        await channel.close()
        await self.check_empty(await self.channel(), queue)

    @needs(Nature.MISSING_QUEUE)
    async def test_missing(self) -> None:
        """get on a missing queue is refused, and the error names the queue."""
        channel = await self.channel()
        missing = Queue(self.name())
        error = await self.refusal(NotFound, channel.basic_get(missing, False))
        text = f"NOT_FOUND - no queue '{missing.name}' in vhost '/'"
        self.check_reply(error, missing.name, text, (60, 70))


class SettleTests(Harness):
    """Ack, nack, reject, recover."""

    async def taken(
        self, channel: ISessionChannel, queue: Queue, number: int
    ) -> list[Delivery]:
        """Put so many messages into a queue, and get them all."""
        await self.put(channel, queue, *(b"%d" % n for n in range(number)))
        return [await self.take(channel, queue) for _ in range(number)]

    async def check_unsettled(
        self, channel: ISessionChannel, queue: Queue, *bodies: bytes
    ) -> None:
        """Close a channel, and check what is in a queue then, in order."""
        await channel.close()
        await self.check_left(await self.channel(), queue, *bodies)

    async def test_ack(self) -> None:
        """An acked message is gone, in whatever order messages are acked."""
        channel = await self.channel()
        queue = await self.queue(channel)
        taken = await self.taken(channel, queue, 6)
        for number in (5, 0, 3, 1):
            self.assertIs(channel.ack(taken[number].tag, False), SENT)
        await self.check_unsettled(channel, queue, b"2", b"4")

    async def test_ack_in_turns(self) -> None:
        """Acks of several turns add up."""
        channel = await self.channel()
        queue = await self.queue(channel)
        taken = await self.taken(channel, queue, 6)
        for number in (5, 0, 3, 1):
            channel.ack(taken[number].tag, False)
            self.assertIs(await channel.when_flushed(), SENT)
        await self.check_unsettled(channel, queue, b"2", b"4")

    async def test_ack_multiple(self) -> None:
        """A multiple ack settles all earlier unsettled messages."""
        channel = await self.channel()
        queue = await self.queue(channel)
        taken = await self.taken(channel, queue, 6)
        channel.ack(taken[1].tag, False)
        self.assertIs(channel.ack(taken[3].tag, True), SENT)
        await self.check_unsettled(channel, queue, b"4", b"5")

    async def test_nack_again(self) -> None:
        """
        A nacked message is delivered again, marked as redelivered, or dropped, as the
        caller asks.
        """
        channel = await self.channel()
        queue = await self.queue(channel)
        first, second = await self.taken(channel, queue, 2)
        self.assertIs(channel.nack(first.tag, False, True), SENT)
        self.assertIs(channel.nack(second.tag, False, False), SENT)
        delivery = await self.take(channel, queue)
        self.assertEqual((delivery.body, delivery.redelivered), (b"0", True))
        self.assertIs(channel.ack(delivery.tag, False), SENT)
        await self.check_unsettled(channel, queue)

    async def test_nack_consumed(self) -> None:
        """
        A message that a consumer nacked is delivered again, also to the same consumer.
        """
        channel = await self.channel()
        queue = await self.queue(channel)
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox, prefetch_count=1)
        await self.put(channel, queue, b"1")
        (delivery,) = await inbox.first()
        self.assertIs(channel.nack(delivery.tag, False, True), SENT)
        delivery = (await inbox.first(2))[1]
        self.assertEqual((delivery.body, delivery.redelivered), (b"1", True))
        self.assertIs(channel.ack(delivery.tag, False), SENT)
        await self.check_unsettled(channel, queue)

    @needs(Nature.REQUEUE_IN_PLACE)
    async def test_nack(self) -> None:
        """A nacked message returns to its place, marked as redelivered."""
        channel = await self.channel()
        queue = await self.queue(channel)
        taken = await self.taken(channel, queue, 3)
        await self.put(channel, queue, b"later")
        channel.ack(taken[0].tag, False)
        self.assertIs(channel.nack(taken[1].tag, False, True), SENT)
        delivery = await self.take(channel, queue)
        self.assertEqual((delivery.body, delivery.redelivered), (b"1", True))
        self.assertIs(channel.nack(delivery.tag, False, False), SENT)
        await self.check_unsettled(channel, queue, b"2", b"later")

    async def test_nack_multiple(self) -> None:
        """A multiple nack settles all earlier unsettled messages."""
        channel = await self.channel()
        queue = await self.queue(channel)
        taken = await self.taken(channel, queue, 5)
        channel.ack(taken[1].tag, False)
        self.assertIs(channel.nack(taken[3].tag, True, False), SENT)
        await self.check_unsettled(channel, queue, b"4")

    async def test_reject(self) -> None:
        """A rejected message is dropped or requeued, as the caller asks."""
        channel = await self.channel()
        queue = await self.queue(channel)
        taken = await self.taken(channel, queue, 3)
        self.assertIs(channel.reject(taken[0].tag, False), SENT)
        self.assertIs(channel.reject(taken[2].tag, True), SENT)
        delivery = await self.take(channel, queue)
        self.assertEqual((delivery.body, delivery.redelivered), (b"2", True))
        await self.check_unsettled(channel, queue, b"1", b"2")

    @needs(Can.QUEUE_ARGUMENTS)
    async def test_dead_lettered(self) -> None:
        """A rejected message goes to the queue that its own queue names."""
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
        inbox = Inbox()
        await consume(channel, grave, inbox=inbox)
        channel.reject(delivery.tag, False)
        (delivery,) = await inbox.first()
        self.assertEqual((delivery.body, delivery.routing_key), (b"0", grave.name))

    @needs(Can.QUEUE_ARGUMENTS, Nature.DEATH_HISTORY)
    async def test_dead_letter(self) -> None:
        """A rejected message goes to the dead letter exchange of its queue."""
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
        """
        Messages of several consumers, of get, and of no_ack consumers are settled side
        by side.
        """
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
        for queue, left in zip(queues, (0, 2, 0, 2), strict=True):
            await self.check_ready(channel, queue, left)

    @needs(Can.RECOVER, Nature.REQUEUE_IN_PLACE)
    async def test_recover(self) -> None:
        """
        recover gives all messages back; their old tags are stale and have no effect.
        """
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
        await self.check_unsettled(channel, queue, b"2")

    @needs(Can.RECOVER)
    async def test_recover_consumed(self) -> None:
        """A consumer receives the messages that it held again after recover."""
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
        await self.check_unsettled(channel, queue)

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
        """Closing a session first sends the acks of this turn."""
        session = await self.connect()
        channel = await self.channel(session)
        queue = await self.queue(channel)
        (delivery,) = await self.taken(channel, queue, 1)
        channel.ack(delivery.tag, False)
        await session.close()
        await self.check_empty(await self.channel(), queue)
