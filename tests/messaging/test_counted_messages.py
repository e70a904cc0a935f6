"""
Every message whose decoded size is counted is counted no more when it is done with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from txkombu import Consumer, Message, Queue
from txkombu._util.limits import MAX_BODY_SIZE
from txkombu.core.decoded_memory import BODIES
from txkombu.policy import Drop, Halt, Hold, Reject, Requeue
from txkombu.simple import SimpleBuffer, SimpleQueue
from txkombu.testing import BrokerTestCase

QUEUE = Queue("large")
BODY = ["x" * 600_000]
"""It counts as more than 8 MiB when it is decoded."""
MANY = 2 * BODIES
"""How many of them are more than a channel may hold."""


class Refused(Exception):
    """The error with which handlers in these tests fail."""


class CountedTestCase(BrokerTestCase):
    """Has a queue with large messages, and reads from it on one channel."""

    def setUp(self) -> None:
        super().setUp()
        self.channel = self.result_of(self.connection.channel())
        self.producer = self.connection.Producer(routing_key="large")
        self.result_of(QUEUE(self.channel).declare())

    def send(self, count: int = 1) -> None:
        """Publish so many messages."""
        sending = [self.producer.publish(BODY) for _ in range(count)]
        self.result_of(gatherResults(sending))

    @property
    def held(self) -> int:
        """How many bytes the messages of the channel are counted as."""
        return self.channel.core.memory.held

    def consumer(self, on_message: Any = None, **options: Any) -> Consumer:
        """Return a running no_ack consumer."""
        consumer = Consumer(
            self.channel, QUEUE, **{"no_ack": True, **options}, on_message=on_message
        )
        self.result_of(consumer.consume())
        return consumer


class TakenTests(CountedTestCase):
    """Messages that the program takes one by one, and that need no ack."""

    def assertAllCome(self, take: Callable[[], Deferred[Message]]) -> None:
        """Check that more messages come than the channel may hold."""
        for _ in range(MANY):
            self.assertEqual(self.result_of(take()).payload, BODY)
        self.assertEqual(self.held, 0)

    def test_iteration(self) -> None:
        """An iteration goes on, and so do the other consumers of the channel."""
        self.send(MANY)
        consumer, taken = self.consumer(), 0

        async def read() -> None:
            nonlocal taken
            async for message in consumer:
                self.assertEqual(message.payload, BODY)
                taken += 1

        reading = Deferred.fromCoroutine(read())
        self.flush()
        self.assertEqual((taken, self.held), (MANY, 0))
        self.result_of(consumer.close())
        self.successResultOf(reading)
        self.send()
        got: list[object] = []
        self.consumer(lambda message: got.append(message.payload))
        self.assertEqual(got, [BODY])

    def test_take(self) -> None:
        """So does a program that calls take."""
        self.send(MANY)
        self.assertAllCome(self.consumer().take)

    def test_simple_queue(self) -> None:
        """So do simple queues, whether they wait for a message or not."""
        for kind in (SimpleQueue, SimpleBuffer):
            simple = kind(self.channel, f"{kind.__name__}.large", no_ack=True)
            for get in (simple.get_nowait, simple.get):
                putting = [simple.put(BODY) for _ in range(MANY)]
                self.result_of(gatherResults(putting))
                self.assertAllCome(get)
            self.result_of(simple.close())

    def test_queue_consume(self) -> None:
        """So does the callback of a plain consumer."""
        got: list[object] = []
        consuming = QUEUE(self.channel).consume(
            callback=lambda message: got.append(message.payload), no_ack=True
        )
        self.result_of(consuming)
        self.send(MANY)
        self.assertEqual((len(got), self.held), (MANY, 0))

    def test_decoded_before(self) -> None:
        """A message that is decoded before its callback begins is done with then."""

        def late(message: Message) -> None:
            self.assertEqual(message.payload, BODY)
            message.begin()

        self.result_of(self.channel.consume(QUEUE, late, no_ack=True))
        self.send(MANY)
        self.assertEqual(self.held, 0)

    def test_taken_with_ack(self) -> None:
        """Messages that need an ack still count until they have it."""
        self.send(MANY)
        consumer = self.consumer(no_ack=False)
        first = self.result_of(consumer.take())
        self.assertEqual(first.payload, BODY)
        self.assertGreater(self.held, MAX_BODY_SIZE)
        first.ack()
        self.assertEqual(self.held, 0)
        self.result_of(consumer.close())


class HandledTests(CountedTestCase):
    """Messages of handlers that need no ack."""

    def setUp(self) -> None:
        super().setUp()
        self.attempts = 0
        self.gates: list[Deferred[None]] = []

    def slow(self, message: Message) -> Deferred[None]:
        """Decode, and wait for the test."""
        self.assertEqual(message.payload, BODY)
        self.gates.append(Deferred())
        return self.gates[-1]

    def fails(self, message: Message) -> None:
        """Decode, and fail."""
        self.attempts += 1
        self.assertEqual(message.payload, BODY)
        raise Refused("always")

    def failing(self, **options: Any) -> Consumer:
        """Return a consumer whose handler has failed with one message."""
        consumer = self.consumer(self.fails, **options)
        self.send()
        self.addCleanup(self.flushLoggedErrors, Refused)
        return consumer

    def assertFails(self, times: int) -> None:
        """Check how often the handler ran in all, and that nothing counts then."""
        self.advance(100)
        self.assertEqual((self.attempts, self.held), (times, 0))

    def test_counts_meanwhile(self) -> None:
        """They count while they are handled, so that no more begin than have room."""
        self.send(MANY)
        self.consumer(self.slow)
        begun = len(self.gates)
        self.assertLess(begun, MANY)
        self.gates[0].callback(None)
        self.flush()
        self.assertEqual(len(self.gates), begun + 1)
        for gate in self.gates:
            if not gate.called:
                gate.callback(None)
        self.flush()
        self.assertEqual(len(self.gates), MANY)
        for gate in self.gates:
            if not gate.called:
                gate.callback(None)
        self.assertEqual(self.held, 0)

    def test_verdicts(self) -> None:
        """Whatever a handler says becomes of its message, it is done with."""
        for verdict in (Drop(), Reject(), Requeue()):

            def handle(message: Message, verdict: Exception = verdict) -> None:
                self.assertEqual(message.payload, BODY)
                raise verdict

            consumer = self.consumer(handle)
            self.send()
            self.advance(60)
            self.assertEqual(self.held, 0)
            self.result_of(consumer.close())

    def test_tried_again(self) -> None:
        """One that is held counts until its last attempt."""
        self.failing()
        self.advance(1)
        self.assertEqual(self.attempts, 2)
        self.assertGreater(self.held, MAX_BODY_SIZE)
        self.assertFails(5)

    def test_cancelled(self) -> None:
        """
        After a cancel it is still tried as often as promised, since the broker does not
        take it back; so it is after flow(False).
        """
        for concurrency in (None, 1):
            for end in (Consumer.cancel, lambda consumer: consumer.flow(False)):
                self.attempts = 0
                consumer = self.failing(concurrency=concurrency)
                self.result_of(end(consumer))
                self.assertEqual(consumer.retrying, 1)
                self.assertFails(5)
                self.successResultOf(consumer.when_idle())
                self.result_of(consumer.close())

    def test_cancelled_while_at_work(self) -> None:
        """So is one whose handler fails while its consumer is being ended, or later."""
        for answered in (False, True):
            self.attempts = 0
            self.gates.clear()
            consumer = self.consumer(self.slow_then_fails)
            self.send()
            ending = consumer.cancel()
            if answered:
                self.result_of(ending)
            self.gates[0].errback(Refused("at last"))
            self.assertFails(4)
            self.result_of(consumer.close())
        self.flushLoggedErrors(Refused)

    def slow_then_fails(self, message: Message) -> object:
        """Wait for the test at the first attempt; fail at the others."""
        return (
            self.slow(message) if not self.gates else maybeDeferred(self.fails, message)
        )

    def closed(self, consumer: Consumer) -> list[str]:
        """Close a consumer; return the lines that this logs."""
        with capturedLogs() as events:
            self.result_of(consumer.close())
        return [formatEvent(event) or "" for event in events]

    def test_closed(self) -> None:
        """A close drops it, and says so, as nobody else has it."""
        for concurrency in (None, 1):
            self.attempts = 0
            [text] = self.closed(self.failing(concurrency=concurrency))
            self.assertIn("from 'large', unsettled> is dropped: its consumer", text)
            self.assertIn("was closed before", text)
            self.assertFails(1)

    def test_closed_when_due(self) -> None:
        """So it does with one that is due and not yet begun with."""
        queue = Queue("brief", auto_delete=True)
        consumer = Consumer(self.channel, queue, no_ack=True, on_message=self.fails)
        self.result_of(consumer.consume())
        self.result_of(self.producer.publish(BODY, routing_key="brief"))
        self.result_of(consumer.flow(False))
        self.advance(2)
        [text] = self.closed(consumer)
        self.assertIn("from 'brief', unsettled> is dropped: its consumer", text)
        self.assertFails(1)
        self.flushLoggedErrors(Refused)

    def test_fails_after_a_close(self) -> None:
        """So it does with one whose handler fails after the close."""
        consumer = self.consumer(self.slow)
        self.send()
        self.assertEqual(self.closed(consumer), [])
        with capturedLogs() as events:
            self.gates[0].errback(Refused("at last"))
        texts = [formatEvent(event) or "" for event in events]
        self.assertIn("from 'large', unsettled> is dropped: its consumer", texts[-1])
        self.flushLoggedErrors(Refused)
        self.assertFails(0)

    def test_lost_meanwhile(self) -> None:
        """A loss changes nothing: the broker does not have it."""
        self.failing()
        self.connection.drop()
        self.assertFails(5)

    def test_channel_closed(self) -> None:
        """The end of its channel is a close of its consumer."""
        self.failing()
        with capturedLogs() as events:
            self.result_of(self.channel.close())
        [text] = [formatEvent(event) or "" for event in events]
        self.assertIn("is dropped: its consumer", text)
        self.assertFails(1)

    def test_policy_says_requeue(self) -> None:
        """A policy that would have it requeued drops it, and the log says so."""

        def requeue(message: Message, failure: Failure) -> Hold:
            return Hold(5, requeue=True)

        with capturedLogs() as events:
            consumer = self.failing(on_failure=requeue)
        [text] = [formatEvent(event) or "" for event in events]
        self.assertIn("dropped, its consumer needs no acks", text)
        self.assertEqual(consumer.retrying, 0)
        self.assertFails(1)

    def test_policy_fails(self) -> None:
        """So does a policy that fails."""

        def broken(message: Message, failure: Failure) -> None:
            raise Refused("policy")

        with capturedLogs() as events:
            self.failing(on_failure=broken)
        [text] = [formatEvent(event) or "" for event in events]
        self.assertIn("on_failure itself failed", text)
        self.assertIn("dropped, its consumer needs no acks", text)
        self.assertNotIn("requeued", text)
        self.assertFails(1)

    def test_halt(self) -> None:
        """So does a halt."""

        def handle(message: Message) -> None:
            self.assertEqual(message.payload, BODY)
            raise Halt

        self.consumer(handle)
        with capturedLogs() as events:
            self.send()
        text = next(filter(None, map(formatEvent, events)))
        self.assertIn("dropped, its consumer needs no acks, and ends", text)
        self.assertEqual(self.held, 0)

    def test_kept(self) -> None:
        """One that is decoded when its handler has ended does not count."""
        kept: list[Message] = []
        self.consumer(kept.append)
        self.send(MANY)
        for message in kept:
            self.assertEqual(message.payload, BODY)
        self.assertEqual((len(kept), self.held), (MANY, 0))


class LostTests(CountedTestCase):
    """Messages that need an ack, when their session channel is gone."""

    def test_decoded_later(self) -> None:
        """One that is decoded after that does not count, however it is settled."""
        ends: list[Callable[[Message], object]] = [
            Message.ack,
            Message.nack,
            Message.reject,
            lambda message: message.ack(multiple=True),
        ]
        for end in ends:
            kept: list[Message] = []
            consumer = self.consumer(kept.append, no_ack=False)
            self.send()
            self.connection.drop()
            self.assertEqual(kept[0].payload, BODY)
            self.assertEqual(self.held, 0)
            end(kept[0])
            self.assertEqual(self.held, 0)
            self.advance(60)
            self.result_of(kept[1].ack())
            self.result_of(consumer.close())

    def test_decoded_after_a_recover(self) -> None:
        """So it is after a recover."""
        kept: list[Message] = []
        self.consumer(kept.append, no_ack=False)
        self.send()
        self.result_of(self.channel.basic_recover())
        self.assertEqual(kept[0].payload, BODY)
        self.assertEqual(self.held, 0)
        kept[1].ack()

    def test_waiting_ones(self) -> None:
        """
        Messages that go back all at once begin with no handler when that makes room.
        """
        for go_back in (self.recover, self.connection.drop):
            handled: list[Message] = []

            def handle(message: Message, handled: list[Message] = handled) -> None:
                self.assertEqual(message.payload, BODY)
                handled.append(message)

            consumer = self.consumer(handle, no_ack=False)
            self.send(MANY)
            full = len(handled)
            self.assertLess(full, MANY)
            go_back()
            self.assertEqual([each for each in handled[full:] if each.is_back], [])
            self.advance(1)
            while len(handled) < full + MANY:
                before = len(handled)
                for each in handled:
                    if not (each.acknowledged or each.is_back):
                        each.ack()
                self.flush()
                self.assertGreater(len(handled), before)
            self.assertEqual({each.is_back for each in handled[full:]}, {False})
            for each in handled[-BODIES:]:
                if not each.acknowledged:
                    each.ack()
            self.assertEqual(self.held, 0)
            self.result_of(consumer.close())

    def recover(self) -> None:
        """Hand all unsettled messages back."""
        self.result_of(self.channel.basic_recover())
