"""
What the failure policies do on every transport: cases for L{suite.cases}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from tests.conformance.suite import Conformance, program
from tests.contract.capabilities import Nature, needs
from txkombu import Consumer, Message, Producer, Queue
from txkombu.exceptions import NotSupported
from txkombu.interfaces import Capability as Can
from txkombu.policy import Halt, Park, delayed, halt, hosting, park, retry
from txkombu.policy.hosting import HostedPolicy

WAIT = 0.3
"""Seconds of the wait before a message that circles is tried again."""


class Failing(Conformance):
    """A handler that fails, and queues to look into."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(hosting, "LONGEST_HOLD", WAIT)
        self.handling = self.fails_always

    def fails_always(self, payload: Any, message: Message) -> object:
        """Note the message, and fail."""
        self.note(message)
        raise RuntimeError("no database")

    async def clean_up(self) -> None:
        """Forget the errors that were logged."""
        self.flushLoggedErrors(RuntimeError, Halt, Park)
        await super().clean_up()

    async def consume(self, queue: Queue, **options: Any) -> Consumer:
        """Return a running consumer whose handler fails."""
        consumer = Consumer(
            self.connection, queue, callbacks=[self.handling], **options
        )
        await consumer.consume()
        return consumer

    async def send(self, queue: Queue, body: object = "bad", **options: Any) -> None:
        """Publish to a queue."""
        producer = Producer(self.connect())
        await producer.publish(body, queue.name, declare=[queue], **options)

    async def only(self, queue: Queue) -> Message:
        """Wait for a message of a queue, and take it; there is to be no other."""
        bound = queue(self.connection)
        message = None
        while message is None:
            message = await bound.get(no_ack=True)
            await self.pause(0.02)
        self.assertEqual(await self.drained(queue), [])
        return message

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something holds."""
        while not condition():
            await self.pause(0.02)


class FailurePolicies(Failing):
    """What becomes of messages whose handler fails."""

    # --- delayed -------------------------------------------------------------

    def delaying(self, parked: Queue, *delays: float, **options: Any) -> HostedPolicy:
        """Return a policy whose delay queues are deleted at the end."""
        attempts = len(delays) + 1
        for queue in [each for each in self.temporary if isinstance(each, Queue)]:
            for seconds in delays:
                name = f"{queue.name}.delay.{int(seconds * 1000)}"
                self.temporary.append(Queue(name))
        return delayed(attempts, delays, park=parked, **options)

    async def check_delayed(self, **options: Any) -> None:
        """A message waits as long as it is to each time, and is parked as it was."""
        parked, queue = self.queue(), self.queue(**options)
        began: list[float] = []

        def handle(payload: Any, message: Message) -> object:
            began.append(self.clock.seconds())
            return self.fails_always(payload, message)

        self.handling = handle
        policy = self.delaying(parked, 0.3, 0.6)
        consumer = await self.consume(queue, on_failure=policy)
        await self.send(queue, {"a": 1}, headers={"h": "x"}, expiration=60)
        await self.when_got(3)
        message = await self.only(parked)
        self.assertEqual(message.payload, {"a": 1})
        self.assertEqual(message.headers["h"], "x")
        self.assertEqual(message.headers["x-exception"], "no database")
        self.assertNotIn("x-delayed-count", message.headers)
        self.assertNotIn("expiration", message.properties)
        counts = [each.headers.get("x-delayed-count") for each in self.got]
        self.assertEqual(counts, [None, 1, 2])
        first, second, third = began
        self.assertTrue(0.25 < second - first < 30, second - first)
        self.assertTrue(0.55 < third - second < 30, third - second)
        await consumer.close()
        self.assertEqual(await self.drained(queue), [])

    @needs(Can.QUEUE_ARGUMENTS)
    @program
    async def test_delayed(self) -> None:
        """A message waits in delay queues between attempts, and is parked at last."""
        await self.check_delayed()

    @needs(Can.QUEUE_ARGUMENTS, Nature.DEATH_HISTORY)
    @program
    async def test_delayed_in_quorum_queues(self) -> None:
        """So does a message of a quorum queue."""
        await self.check_delayed(queue_type="quorum")

    @needs(Can.QUEUE_ARGUMENTS)
    @program
    async def test_delay_outlives_connection(self) -> None:
        """A message that waits comes back, counted, after its consumer is gone."""
        parked, queue = self.queue(), self.queue()
        policy = self.delaying(parked, 1)
        await self.consume(queue, on_failure=policy)
        await self.send(queue)
        await self.when_got(1)
        delay = Queue(f"{queue.name}.delay.1000", no_declare=True)
        await self.pause(0.3)
        await self.connection.close()
        self.connection = self.connect()
        self.assertEqual(await self.drained(queue), [])
        await self.consume(queue, on_failure=policy)
        await self.when_got(2)
        self.assertEqual(self.got[1].headers["x-delayed-count"], 1)
        await self.only(parked)
        self.assertEqual(await self.drained(delay), [])

    @program
    async def test_not_delayed(self) -> None:
        """Without delay queues the consumer does not start."""
        if self.can(Can.QUEUE_ARGUMENTS):
            return
        policy = delayed(park=self.queue())
        error = await self.fails(
            NotSupported, self.consume(self.queue(), on_failure=policy)
        )
        self.assertIn("arguments of queues", str(error))

    # --- park ----------------------------------------------------------------

    @program
    async def test_park(self) -> None:
        """After its attempts a message is in the parking queue."""
        parked, queue = self.queue(), self.queue()
        policy = retry(2, delay=0.1, then=park(parked))
        consumer = await self.consume(queue, on_failure=policy)
        await self.send(queue, {"a": 1}, headers={"h": "x"}, message_id="m")
        await self.when_got(2)
        message = await self.only(parked)
        self.assertEqual(message.payload, {"a": 1})
        self.assertEqual(message.headers["h"], "x")
        self.assertEqual(message.properties["message_id"], "m")
        await consumer.close()
        self.assertEqual(await self.drained(queue), [])

    @program
    async def test_verdict(self) -> None:
        """A handler may ask for that."""
        parked, queue = self.queue(), self.queue()

        def handle(payload: Any, message: Message) -> object:
            raise Park(parked.name)

        self.handling = handle
        await parked(self.connection).declare()
        await self.consume(queue)
        await self.send(queue)
        self.assertEqual((await self.only(parked)).payload, "bad")

    # --- the default ---------------------------------------------------------

    async def check_circle(self, **options: Any) -> list[Message]:
        """
        A message whose handler keeps failing is tried again slowly, and neither lost
        nor in the way of others.
        """
        queue = self.queue(**options)
        policy = retry(2, delay=0.1)

        good: list[Message] = []

        def handle(payload: Any, message: Message) -> object:
            if payload == "good":
                good.append(message)
                return message.ack()
            return self.fails_always(payload, message)

        self.handling = handle
        consumer = await self.consume(queue, on_failure=policy, prefetch_count=2)
        await self.send(queue)
        began = self.clock.seconds()
        await self.when_got(10)
        # Two attempts in each round, and a wait after it.
        self.assertGreater(self.clock.seconds() - began, 3 * WAIT)
        for _ in range(20):
            await self.send(queue, "good")
        await self.until(lambda: len(good) == 20)
        await consumer.close()
        self.assertEqual(await self.returned(queue, 1), ["bad"])
        return list(self.got)

    @program
    async def test_circle(self) -> None:
        """A poisonous message circles slowly for ever."""
        await self.check_circle()

    @needs(Can.QUEUE_ARGUMENTS, Nature.DEATH_HISTORY)
    @program
    async def test_circle_in_quorum_queue(self) -> None:
        """One of a quorum queue is kept instead of returned, as returns count there."""
        got = await self.check_circle(queue_type="quorum")
        self.assertEqual({each.redelivered for each in got}, {False})

    @needs(Can.QUEUE_ARGUMENTS, Nature.DEATH_HISTORY)
    @program
    async def test_dead_letter(self) -> None:
        """With a dead letter exchange it is dead-lettered after its attempts."""
        dead = self.queue()
        arguments = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead.name,
        }
        queue = self.queue(queue_arguments=arguments)
        await dead(self.connection).declare()
        await self.consume(queue, on_failure=retry(3, delay=0.1))
        await self.send(queue)
        message = await self.only(dead)
        self.assertEqual(message.payload, "bad")
        self.assertEqual(len(self.got), 3)

    # --- halt ----------------------------------------------------------------

    async def check_halt(self, error: Exception, **options: Any) -> None:
        """The consumer ends, and all messages are in the queue."""
        queue = self.queue()

        def handle(payload: Any, message: Message) -> object:
            raise error

        self.handling = handle
        consumer = await self.consume(queue, concurrency=1, **options)
        closed: Deferred[None] = consumer.when_closed()
        for number in range(3):
            await self.send(queue, number)
        await closed
        self.assertIs(consumer.halted, error)
        self.assertEqual(sorted(await self.returned(queue, 3)), [0, 1, 2])
        self.flushLoggedErrors(RuntimeError)

    @program
    async def test_halt(self) -> None:
        """halt ends the consumer, and no message is lost."""
        await self.check_halt(RuntimeError("for good"), on_failure=halt)

    @program
    async def test_halt_verdict(self) -> None:
        """So does Halt."""
        await self.check_halt(Halt(7))
