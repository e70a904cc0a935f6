"""
What consumers hold when they are cancelled, on a real ActiveMQ.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.brokers.stomp.harness import ConformingOnActiveMQ
from tests.conformance.suite import program
from tests.contract.harness import PATIENCE
from tests.support.activemq import activemq
from tests.support.raw_stomp_client import Raw, RawFrame
from txkombu import Consumer, Message, Producer, Queue

HELD = 3
NUMBER = 10
FIRST = list(range(HELD))
REST = list(range(HELD, NUMBER))


class KeepingTests(ConformingOnActiveMQ):
    """A consumer that holds some is cancelled, and another takes over."""

    async def cancelled(self) -> tuple[Queue, list[Message]]:
        """A queue, and what a cancelled consumer of it holds."""
        queue = self.queue()
        await queue(self.connection).declare()
        producer = Producer(self.connect(), routing_key=queue.name)
        await producer.publish_all(FIRST)
        held: list[Message] = []
        all_held: Deferred[None] = Deferred()

        def hold(message: Message) -> None:
            held.append(message)
            if len(held) == HELD:
                all_held.callback(None)

        consumer = Consumer(self.connection, queue, on_message=hold)
        await consumer.consume()
        await all_held.addTimeout(PATIENCE, self.clock)
        await consumer.cancel()
        await producer.publish_all(REST)
        return queue, held

    async def take_over(self, queue: Queue, count: int) -> list[object]:
        """What another consumer gets."""
        await Consumer(self.connect(), queue, callbacks=[self.take]).consume()
        await self.when_got(count)
        return self.got

    @program
    async def test_rest_goes_on(self) -> None:
        """What it does not hold goes to others, before anything is settled."""
        queue, held = await self.cancelled()
        self.assertEqual(await self.take_over(queue, len(REST)), REST)
        for message in held:
            await message.ack()
        await self.connection.close()
        self.assertEqual(await self.drained_elsewhere(queue), [])

    @program
    async def test_requeued(self) -> None:
        """What it hands back goes to others at once, without a copy."""
        queue, held = await self.cancelled()
        await self.take_over(queue, len(REST))
        for message in held:
            await message.requeue()
        await self.when_got(NUMBER)
        self.assertEqual(self.got, [*REST, *FIRST])

    @program
    async def test_rejected(self) -> None:
        """What it rejects is a dead letter, and comes to nobody else."""
        queue, held = await self.cancelled()
        await self.take_over(queue, len(REST))
        for message in held:
            await message.reject()
        await self.connection.close()
        self.assertEqual(await self.drained_elsewhere(queue), [])
        self.assertEqual(self.got, REST)
        self.assertEqual(self.dead_letters(queue), [b"0", b"1", b"2"])

    @program
    async def test_lost(self) -> None:
        """What it holds when its connection breaks comes again."""
        queue, _ = await self.cancelled()
        session = await self.connection.core.when_up()
        session.abort()
        found = await self.take_over(queue, NUMBER)
        self.assertEqual(sorted(map(str, found)), sorted(map(str, range(NUMBER))))

    async def drained_elsewhere(self, queue: Queue) -> list[object]:
        """What another connection finds in a queue."""
        bound = queue(self.connect())
        found: list[object] = []
        while (message := await bound.get(no_ack=True)) is not None:
            found.append(message.payload)
        return found

    def dead_letters(self, queue: Queue) -> list[bytes]:
        """The bodies of the dead letters of a queue, which go."""
        with Raw(activemq().stomp_port) as raw:
            raw.subscribe("/queue/ActiveMQ.DLQ", **{"activemq.prefetchSize": 1000})
            frames: list[RawFrame] = []
            while len(frames) < HELD:
                frame = raw.inbox.pop(0) if raw.inbox else raw.next_frame()
                if frame.headers.get("original-destination", "").endswith(queue.name):
                    frames.append(frame)
                    raw.request("ACK", {"id": frame["ack"]})
        return [frame.body for frame in frames]
