"""
RabbitMQ 4 with quorum queues, with consumers that are too slow, and with queues that it
denies.
"""

from __future__ import annotations

from typing import Any

from tests.conformance.suite import Conformance, program
from tests.further_brokers import roots
from txkombu import Consumer, Message, Producer, Queue
from txkombu._util import backoff
from txkombu.exceptions import ConsumerCancelled, InternalError
from txkombu.interfaces import Settlement
from txkombu.policy import ReconnectPolicy, hosting, retry

LIMIT = 3
TRIES = 8


class FourTests(Conformance):
    """What all versions have in common."""

    suite: str

    def setUp(self) -> None:
        self.url = roots.rabbitmq_of(self.suite).url
        super().setUp()
        self.patch(backoff, "DEFAULT", ReconnectPolicy(first=0.1))

    async def handed_out(self, how: str) -> list[Message]:
        """
        Give one message of a quorum queue back again and again; return the deliveries
        until no more arrive.
        """
        dead = self.queue()
        await dead(self.connection).declare()
        arguments = {
            "x-delivery-limit": LIMIT,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead.name,
        }
        queue = self.queue(queue_type="quorum", queue_arguments=arguments)
        await queue(self.connection).declare()
        await Producer(self.connection).publish("x", queue.name)
        found: list[Message] = []
        while len(found) < TRIES:
            channel = await self.connection.channel()
            message = await self.next_of(queue(channel), dead)
            if message is None:
                break
            found.append(message)
            if how == "lost":
                self.connection.drop()
            elif how == "closed":
                await channel.close()
            elif how == "recovered":
                await channel.basic_recover(True)
            elif how == "nack":
                await message.nack(requeue=True)
            else:
                await message.reject(requeue=True)
        return found

    async def next_of(self, queue: Queue, dead: Queue) -> Message | None:
        """Return the queue's next message, or C{None} when it was dead-lettered."""
        while True:
            message = await queue.get()
            if message is not None:
                return message
            letter = await dead(self.connection).get(no_ack=True)
            if letter is not None:
                death: Any = letter.headers["x-death"]
                self.assertEqual(death[0]["reason"], "delivery_limit")
                return None
            await self.pause(0.05)

    async def counted(self, how: str) -> None:
        """
        Check that giving back in that way counts towards the limit, and that messages
        show the count.
        """
        found = await self.handed_out(how)
        self.assertEqual(
            [each.delivery_count for each in found], list(range(LIMIT + 1))
        )

    @program
    async def test_reject_counts(self) -> None:
        """A message that was rejected too often is dead-lettered."""
        await self.counted("reject")

    @program
    async def test_loss_counts(self) -> None:
        """A message whose consumers were lost too often is dead-lettered."""
        await self.counted("lost")

    @program
    async def test_close_counts(self) -> None:
        """A message whose channels were closed too often is dead-lettered."""
        await self.counted("closed")

    async def rejected(self, times: int, **arguments: object) -> Queue:
        """Return a quorum queue whose message was rejected so often."""
        queue = self.queue(queue_type="quorum", queue_arguments=arguments)
        await queue(self.connection).declare()
        await Producer(self.connection).publish("x", queue.name)
        for _ in range(times):
            message = None
            while message is None:
                message = await queue(self.connection).get()
            await message.reject(requeue=True)
        return queue

    @program
    async def test_limit_by_default(self) -> None:
        """A message that was rejected 21 times is dropped, unless the limit is -1."""
        queue = await self.rejected(20)
        self.assertEqual(await self.returned(queue, 1), ["x"])
        queue = await self.rejected(21)
        await self.pause(1)
        self.assertEqual(await self.drained(queue), [])
        queue = await self.rejected(30, **{"x-delivery-limit": -1})
        self.assertEqual(await self.returned(queue, 1), ["x"])

    @program
    async def test_default_policy(self) -> None:
        """The default failure policy does not lose a message that fails 50 times."""
        self.patch(hosting, "LONGEST_HOLD", 0.02)
        queue = self.queue(queue_type="quorum")

        def fails(payload: Any, message: Message) -> None:
            self.note(message.delivery_count)
            raise RuntimeError("no database")

        consumer = Consumer(
            self.connection, queue, callbacks=[fails], on_failure=retry(2, delay=0.02)
        )
        await consumer.consume()
        await Producer(self.connect()).publish("x", queue.name)
        await self.when_got(50)
        await consumer.close()
        self.assertEqual(set(self.got), {0})
        self.assertEqual(await self.returned(queue, 1), ["x"])
        self.flushLoggedErrors(RuntimeError)

    @program
    async def test_denied_queue(self) -> None:
        """
        Declaring a queue of a denied kind fails with an error that names it, once.
        """
        queue = Queue(f"denied-{self.suffix}", durable=False)
        bound = queue(self.connection)
        error = await self.fails(InternalError, bound.declare())
        self.assertEqual(error.code, 541)
        self.assertIn("transient_nonexcl_queues", str(error))
        self.assertIn(queue.name, str(error))
        session = await self.connection.core.when_up()
        await Producer(self.connection).publish("x", "nowhere")
        self.assertIs(await self.connection.core.when_up(), session)

    async def too_slow(self) -> list[Any]:
        """
        Let a consumer settle its first message too late; check that it receives the
        message again and continues; return the errors that it was told.
        """
        told: list[Any] = []
        queue = self.queue(
            queue_type="quorum", queue_arguments={"x-consumer-timeout": 1000}
        )
        consumer = Consumer(
            self.connection,
            queue,
            on_message=self.note,
            on_cancel=lambda tag, error: told.append(error),
        )
        await consumer.consume()
        session = await self.connection.core.when_up()
        await Producer(self.connect()).publish("slow", queue.name)
        await self.when_got(2)
        slow, again = self.got
        self.assertTrue(again.redelivered)
        self.assertEqual(again.payload, "slow")
        await again.ack()
        self.assertIsInstance(await slow.ack(), Settlement)
        await Producer(self.connect()).publish("next", queue.name)
        await self.when_got(3)
        self.assertEqual(self.got[2].payload, "next")
        await self.got[2].ack()
        self.assertTrue(self.connection.is_consuming)
        self.assertIs(await self.connection.core.when_up(), session)
        await consumer.close()
        self.assertEqual(await self.drained(queue), [])
        return told


class TrixieTests(FourTests):
    """RabbitMQ 4.0."""

    suite = "trixie"

    @program
    async def test_nack_counts(self) -> None:
        """Nacked messages count towards the delivery limit, too."""
        await self.counted("nack")

    @program
    async def test_recover_counts(self) -> None:
        """So do those that a channel recovered."""
        await self.counted("recovered")

    @program
    async def test_too_slow(self) -> None:
        """A consumer that is too slow loses its channel, and is restored."""
        self.assertEqual(await self.too_slow(), [])


class SidTests(FourTests):
    """RabbitMQ 4.3 or later."""

    suite = "sid"

    @program
    async def test_nack_does_not_count(self) -> None:
        """Messages can be nacked as often as a program likes."""
        await self.not_counted("nack")

    @program
    async def test_recover_does_not_count(self) -> None:
        """So can they be recovered."""
        await self.not_counted("recovered")

    async def not_counted(self, how: str) -> None:
        """Check that giving back in that way does not count towards the limit."""
        found = await self.handed_out(how)
        self.assertEqual(len(found), TRIES)
        self.assertEqual([each.delivery_count for each in found], list(range(TRIES)))

    @program
    async def test_too_slow(self) -> None:
        """A consumer that is too slow is cancelled, told so, and restored."""
        told = await self.too_slow()
        self.assertTrue(told)
        self.assertIsInstance(told[0], ConsumerCancelled)


del FourTests, Conformance
