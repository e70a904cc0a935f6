"""
Consumers that are ended before the broker has confirmed their start, and queues that a
consumer drops.

STOMP brokers send messages before they confirm a subscription.
"""

from __future__ import annotations

from collections.abc import Callable
from gc import collect

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fakes import Call, FakeChannel, FakeSession, FakeTransport, delivery
from txkombu import BrokerConnection, Consumer, Message, Queue
from txkombu.exceptions import (
    AccessRefused,
    ChannelClosed,
    DecodeError,
    OperationTimeout,
    SessionLost,
)
from txkombu.interfaces import QueueDeclareOk

ENDS: list[Callable[[Consumer], Deferred[None]]] = [
    Consumer.cancel,
    Consumer.close,
    lambda consumer: consumer.flow(False),
    lambda consumer: consumer.cancel_by_queue("video"),
]


class Refused(Exception):
    """The error with which handlers in these tests fail."""


class StartingTestCase(SynchronousTestCase):
    """Has a consumer, one handler at a time, whose start is not confirmed yet."""

    no_ack = False

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = FakeTransport()
        self.connection = BrokerConnection(
            transport=self.transport, reactor=self.clock, operation_timeout=20
        )
        opening = self.connection.channel()
        self.session = FakeSession()
        self.transport.attempts[-1].succeed(self.session)
        self.user_channel = self.successResultOf(opening)
        del self.channel.answers["basic_consume"]
        self.began: list[int] = []
        self.gates: list[Deferred[None]] = []
        self.consumer = Consumer(
            self.user_channel,
            Queue("video"),
            on_message=self.handle,
            concurrency=1,
            no_ack=self.no_ack,
        )
        self.starting = self.consumer.consume()

    @property
    def channel(self) -> FakeChannel:
        """The session channel."""
        return self.session.channels[0]

    @property
    def start(self) -> Call:
        """The last start of a consumer at the broker."""
        return self.channel.called("basic_consume")[-1]

    def handle(self, message: Message) -> Deferred[None]:
        """Handle a message until the test ends it."""
        self.began.append(message.delivery_tag)
        gate: Deferred[None] = Deferred()
        self.gates.append(gate)
        return gate.addCallback(lambda _: self.settle(message))

    def settle(self, message: Message) -> None:
        """Handle a message at once."""
        message.ack()

    def deliver(self, *tags: int) -> None:
        """Deliver messages to the consumer."""
        name = self.start.arguments[1]
        for tag in tags:
            self.start.arguments[6](delivery(tag, consumer_tag=name))

    def handed_back(self) -> list[int]:
        """Return the tags of the messages that were handed back, in order."""
        return [tag for method, tag, *_ in self.channel.settled if method == "nack"]

    def started(self) -> None:
        """Have the broker confirm the start, and check that it ends the consumer."""
        self.assertEqual(self.handed_back(), [], "they would come again at once")
        self.channel.answers["basic_cancel"] = lambda tag: self.assertEqual(
            self.handed_back(), []
        )
        tag = self.start.arguments[1]
        self.start.succeed()
        [ended] = self.channel.called("basic_cancel")
        self.assertEqual(ended.arguments, (tag,))


class EndedTests(StartingTestCase):
    """What becomes of their messages."""

    def test_waiting(self) -> None:
        """
        A message that waits then, or comes later, is not handled, but requeued when the
        consumer runs, and ends.
        """
        for end in ENDS:
            self.setUp()
            self.deliver(1, 2)
            self.successResultOf(end(self.consumer))
            self.deliver(3)
            self.gates[0].callback(None)
            self.assertEqual(self.began, [1])
            self.started()
            self.assertEqual((self.began, self.handed_back()), ([1], [2, 3]))
            self.assertFalse(self.consumer.consuming_from("video"))
            self.starting.addErrback(lambda failure: failure.trap(ChannelClosed))
            self.successResultOf(self.starting)

    def test_still_coming(self) -> None:
        """One that comes while the consumer is being ended goes back at once."""
        self.consumer.cancel()
        del self.channel.answers["basic_cancel"]
        self.deliver(1)
        self.start.succeed()
        self.assertEqual(self.handed_back(), [1])
        self.deliver(2)
        self.assertEqual((self.began, self.handed_back()), ([], [1, 2]))
        self.channel.called("basic_cancel")[0].succeed()
        self.failureResultOf(self.starting, ChannelClosed)

    def test_failed(self) -> None:
        """So is one whose handler has failed, or fails then."""
        for failed_before in (True, False):
            self.setUp()
            self.deliver(1)
            if failed_before:
                self.gates[0].errback(Refused("for now"))
            self.consumer.cancel()
            if not failed_before:
                self.gates[0].errback(Refused("for now"))
            self.assertEqual(self.consumer.retrying, 0)
            self.clock.advance(5)
            self.assertEqual(self.began, [1])
            self.started()
            self.assertEqual(self.handed_back(), [1])
            self.failureResultOf(self.starting, ChannelClosed)
            self.flushLoggedErrors(Refused)

    def test_once_more(self) -> None:
        """A consumer that is started again handles what comes then."""
        self.deliver(1, 2)
        self.consumer.cancel()
        again = self.consumer.consume()
        self.gates[0].callback(None)
        self.started()
        self.failureResultOf(self.starting, ChannelClosed)
        self.start.succeed()
        self.successResultOf(again)
        self.deliver(5)
        self.assertEqual((self.began, self.handed_back()), ([1, 5], [2]))

    def test_other_queue(self) -> None:
        """Dropping one queue does not concern the messages of others."""
        other = Consumer(
            self.user_channel,
            [Queue("video"), Queue("audio")],
            on_message=self.handle,
            concurrency=1,
        )
        starting = other.consume()
        starts = self.channel.called("basic_consume")[-2:]
        for number, call in enumerate(starts):
            for tag in (10 * number + 1, 10 * number + 2):
                call.arguments[6](delivery(tag, consumer_tag=call.arguments[1]))
        other.cancel_by_queue("video")
        self.gates[0].callback(None)
        self.assertEqual(self.began, [1, 11])
        for call in starts:
            call.succeed()
        self.successResultOf(starting)
        self.assertEqual(self.handed_back(), [2])
        self.gates[1].callback(None)
        self.assertEqual(self.began, [1, 11, 12])

    def test_not_started(self) -> None:
        """If the start fails, what waits is handed back, cancelled or not."""
        errors = [AccessRefused("no"), SessionLost("alone"), OperationTimeout("it", 20)]
        for error in errors:
            for cancelled in (False, True):
                self.setUp()
                self.deliver(1, 2)
                if cancelled:
                    self.consumer.cancel()
                self.start.fail(error)
                self.failureResultOf(self.starting)
                self.assertEqual(self.handed_back(), [2])
                self.gates[0].callback(None)
                self.assertEqual(self.began, [1])

    def test_lost(self) -> None:
        """After a loss the broker has them anyway."""
        self.deliver(1, 2)
        self.consumer.cancel()
        self.session.lost = True
        error = SessionLost("cut")
        self.transport.attempts[-1].listener.session_lost(error)
        self.channel.die(error)
        self.failureResultOf(self.starting)
        self.gates[0].callback(None)
        self.assertEqual((self.began, self.handed_back()), ([1], []))


class NoAckTests(EndedTests):
    """The same without acks, which are sent when a handler begins."""

    no_ack = True

    def test_failed(self) -> None:
        """One whose handler has failed is tried again: the broker forgot it."""
        for failed_before in (True, False):
            self.setUp()
            self.deliver(1)
            if failed_before:
                self.gates[0].errback(Refused("for now"))
            self.consumer.cancel()
            if not failed_before:
                self.gates[0].errback(Refused("for now"))
            self.assertEqual(self.consumer.retrying, 1)
            self.started()
            self.clock.advance(1)
            self.assertEqual((self.began, self.handed_back()), ([1, 1], []))
            self.failureResultOf(self.starting, ChannelClosed)
            self.flushLoggedErrors(Refused)


class StreamsTests(StartingTestCase):
    """Queues that come and go."""

    def test_positions(self) -> None:
        """Each stream is read from where it was asked for, whatever was read before."""
        self.start.succeed()
        consumer = Consumer(
            self.user_channel, [], auto_declare=False, on_message=self.settle
        )
        for number in range(20):
            name = f"stream{number}"
            consumer.add_queue(Queue(name, queue_type="stream"))
            starting = consumer.consume()
            self.assertEqual(self.start.arguments[4], {}, name)
            self.start.succeed()
            self.successResultOf(starting)
            headers = {"x-stream-offset": 7}
            found = delivery(
                number + 1,
                consumer_tag=self.start.arguments[1],
                properties={"content_type": "text/plain", "headers": headers},
            )
            self.start.arguments[6](found)
            del starting
            self.successResultOf(consumer.cancel_by_queue(name))
            self.channel.calls.clear()
            collect()

    def test_unreadable(self) -> None:
        """A message of a stream whose properties cannot be read fails as any other."""

        def broken() -> dict[str, object]:
            raise DecodeError("broken table")

        self.start.succeed()
        failed: list[BaseException | None] = []

        def on_failure(message: Message, failure: Failure) -> None:
            failed.append(failure.value)
            message.reject()

        consumer = Consumer(
            self.user_channel,
            Queue("stream", queue_type="stream"),
            callbacks=[lambda body, message: None],
            on_failure=on_failure,
        )
        consumer.consume()
        self.start.arguments[6](delivery(1, properties=broken))
        [error] = failed
        self.assertIsInstance(error, DecodeError)
        self.assertEqual(self.channel.settled, [("reject", 1, False)])

    def test_named_by_the_broker(self) -> None:
        """A queue that the broker has named is dropped by that name, and for good."""
        self.start.succeed()
        self.channel.answers["queue_declare"] = lambda queue, passive: QueueDeclareOk(
            queue.name or "amq.gen-1", 0, 0
        )
        consumer = Consumer(self.user_channel, [], on_message=self.settle)
        for _ in range(2):
            queue = consumer.add_queue(Queue("", exclusive=True, auto_delete=True))
            starting = consumer.consume()
            self.start.succeed()
            self.successResultOf(starting)
            self.assertEqual(queue.name, "amq.gen-1")
            self.successResultOf(consumer.cancel_by_queue("amq.gen-1"))
            self.assertEqual(consumer.queues, [])
        consumer.add_queue(Queue(""))
        self.successResultOf(consumer.cancel_by_queue(""))
        self.assertEqual(consumer.queues, [])
