"""
Consumers that are refused again and again, beside others on the same channel.
"""

from __future__ import annotations

from typing import Any

from txkombu import BrokerConnection, Consumer, Message, Queue
from txkombu.core.channel import Channel
from txkombu.exceptions import AccessRefused, PreconditionFailed
from txkombu.interfaces import Settlement
from txkombu.testing import BrokerTestCase

WORK = Queue("work")
TAKEN = Queue("taken")
"""
The queue that another connection may consume from exclusively, so that no other can.
"""


class ApartTestCase(BrokerTestCase):
    """Has a channel with two consumers, one of which can be refused."""

    def setUp(self) -> None:
        super().setUp()
        self.got: list[Message] = []
        self.channel = self.result_of(self.connection.channel())
        self.declared = self.result_of(self.connect().channel())
        for queue in (WORK, TAKEN):
            self.result_of(queue(self.declared).declare())

    def consuming(self, queue: Queue, channel: Channel | None = None) -> Consumer:
        """Return a running consumer, which settles nothing."""
        consumer = Consumer(
            channel or self.channel, queue, on_message=self.got.append, concurrency=9
        )
        self.result_of(consumer.consume())
        return consumer

    def take_away(self) -> BrokerConnection:
        """Let another connection consume exclusively."""
        other = self.connect()
        alone = Consumer(other, TAKEN, exclusive=True, on_message=print)
        self.result_of(alone.consume())
        return other

    def lose_it_to_another(self) -> BrokerConnection:
        """Lose the session, and meanwhile the queue to another connection."""
        self.connection.drop()
        self.flush()
        other = self.take_away()
        self.advance(5)
        return other

    def open_channels(self) -> int:
        """Count the session channels of the connection."""
        self.flush()
        session: Any = self.connection.core.reconnector.session
        return len(session.channels)

    def publish(self, body: object, queue: Queue = WORK) -> None:
        """Publish to a queue."""
        self.result_of(
            self.connect().Producer(auto_declare=False).publish(body, queue.name)
        )

    def received(self) -> list[Any]:
        """Ack the messages that arrived since the last call; return their payloads."""
        payloads = [each.payload for each in self.got]
        for message in self.got:
            self.result_of(message.ack())
        self.got.clear()
        return payloads


class RefusedTests(ApartTestCase):
    """A consumer that is refused after a loss."""

    def test_the_other_goes_on(self) -> None:
        """
        However often it tries, the other consumer keeps its messages, and can settle
        them.
        """
        self.consuming(WORK)
        self.consuming(TAKEN)
        self.lose_it_to_another()
        self.publish("once")
        self.assertFalse(self.channel.is_consuming)
        self.advance(120)
        [message] = self.got
        self.assertEqual(self.result_of(message.ack()), Settlement.SENT)

    def test_comes_back(self) -> None:
        """It consumes as soon as it may, and its messages can be settled."""
        self.consuming(WORK)
        taken = self.consuming(TAKEN)
        other = self.lose_it_to_another()
        self.result_of(other.close())
        self.advance(31)
        self.assertTrue(self.channel.is_consuming)
        self.publish("a", TAKEN)
        self.publish("b")
        self.assertEqual(len(self.got), 2)
        self.assertEqual({*self.channel.unsettled}, {*self.got})
        self.assertEqual(self.channel.unsettled_count, 2)
        for message in self.got:
            self.assertEqual(self.result_of(message.ack()), Settlement.SENT)
        self.assertEqual(self.result_of(self.channel.flush()), Settlement.SENT)
        self.assertTrue(taken.consuming_from("taken"))

    def test_comes_back_after_the_next_loss(self) -> None:
        """It keeps its own channel, and is restored with the next session, too."""
        self.consuming(WORK)
        self.consuming(TAKEN)
        other = self.lose_it_to_another()
        self.result_of(other.close())
        self.advance(31)
        self.connection.drop()
        self.advance(5)
        self.assertTrue(self.channel.is_consuming)
        self.publish("again", TAKEN)
        self.assertEqual(self.received(), ["again"])

    def test_refused_for_the_next_session(self) -> None:
        """
        While it is refused, another loss ends the channel of the others only once.
        """
        self.consuming(WORK)
        self.consuming(TAKEN)
        self.lose_it_to_another()
        self.connection.drop()
        self.advance(2)
        self.publish("once")
        self.advance(60)
        self.assertEqual(self.received(), ["once"])

    def test_no_channels_are_left(self) -> None:
        """
        It has one more channel, however often it tries, and none when it is closed.
        """
        self.consuming(WORK)
        self.consuming(TAKEN)
        self.lose_it_to_another()
        self.advance(100)
        self.assertEqual(self.open_channels(), 2)
        self.result_of(self.channel.close())
        self.assertEqual(self.open_channels(), 0)
        self.advance(100)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled_while_refused(self) -> None:
        """Cancelling it ends its attempts and its channel; its tag is free."""
        self.consuming(WORK)
        taken = self.consuming(TAKEN)
        [tag] = taken._subscriptions.tags
        self.lose_it_to_another()
        self.assertRaises(
            ValueError, self.channel.consume, WORK, print, consumer_tag=tag
        )
        self.result_of(taken.cancel())
        self.assertEqual(self.open_channels(), 1)
        self.assertTrue(self.channel.is_consuming)
        self.result_of(self.channel.consume(WORK, print, consumer_tag=tag))

    def come_back(self) -> Consumer:
        """Let it consume on its own channel, and hold a message."""
        self.consuming(WORK)
        taken = self.consuming(TAKEN)
        other = self.lose_it_to_another()
        self.result_of(other.close())
        self.advance(31)
        self.publish("held", TAKEN)
        return taken

    def test_cancelled_while_at_work(self) -> None:
        """
        After a cancel the messages that it holds can be settled; then its channel
        closes.
        """
        taken = self.come_back()
        self.result_of(taken.cancel())
        [message] = self.got
        self.assertEqual(self.result_of(message.ack()), Settlement.SENT)
        self.result_of(taken.consume())
        self.result_of(taken.cancel())
        self.assertEqual(self.open_channels(), 1)

    def test_recover(self) -> None:
        """recover gives its messages back with the others."""
        self.come_back()
        self.result_of(self.channel.basic_recover())
        self.assertEqual([each.redelivered for each in self.got], [False, True])
        self.got.pop(0)
        self.received()


class StartingTests(ApartTestCase):
    """A consumer that is refused at its first start, and tried again by its owner."""

    def test_consuming(self) -> None:
        """Only the first refusal takes the other consumer's messages away."""
        self.take_away()
        self.consuming(WORK)
        self.publish("at work")
        consumer = Consumer(self.channel, TAKEN, on_message=self.got.append)
        for _ in range(3):
            self.failureResultOf(self.started(consumer), AccessRefused)
            self.advance(31)
        self.assertEqual([each.redelivered for each in self.got], [False, True])
        self.assertEqual(self.open_channels(), 1)
        self.got.pop(0)
        self.received()

    def started(self, consumer: Consumer) -> Any:
        """Try to start the consumer."""
        starting = consumer.consume()
        self.flush()
        return starting

    def test_consumes_then(self) -> None:
        """It consumes when it may, on its own channel."""
        other = self.take_away()
        self.consuming(WORK)
        consumer = Consumer(self.channel, TAKEN, on_message=self.got.append)
        self.failureResultOf(self.started(consumer), AccessRefused)
        self.result_of(other.close())
        self.result_of(consumer.consume())
        self.publish("a", TAKEN)
        self.publish("b")
        self.assertEqual(self.received(), ["a", "b"])
        self.connection.drop()
        self.advance(5)
        self.publish("c", TAKEN)
        self.assertEqual(self.received(), ["c"])
        self.result_of(consumer.close())
        self.assertEqual(self.open_channels(), 1)

    def test_closed_meanwhile(self) -> None:
        """If everything closes while it is being started, nothing is left of it."""
        self.take_away()
        self.consuming(WORK)
        consumer = Consumer(self.channel, TAKEN, on_message=self.got.append)
        self.failureResultOf(self.started(consumer), AccessRefused)
        again = consumer.consume()
        again.addErrback(lambda failure: None)
        self.result_of(self.channel.close())
        self.assertEqual(self.open_channels(), 0)

    def test_declaring(self) -> None:
        """It is the same where its declaration is refused: it gets its own channel."""
        self.consuming(WORK)
        self.publish("at work")
        other = Queue("taken", max_length=3)
        consumer = Consumer(self.channel, other, on_message=self.got.append)
        for _ in range(3):
            self.failureResultOf(self.started(consumer), PreconditionFailed)
            self.advance(31)
        self.assertEqual([each.redelivered for each in self.got], [False, True])
        self.got.pop(0)
        self.received()
        self.result_of(TAKEN(self.declared).delete())
        self.result_of(consumer.consume())
        self.publish("a", TAKEN)
        self.assertEqual(self.received(), ["a"])
        self.assertEqual(self.open_channels(), 2)
        self.result_of(consumer.close())
        self.assertEqual(self.open_channels(), 1)
