"""Messages that wait, and those that a program has not settled."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.messaging.test_dispatcher import DispatcherTestCase
from tests.support.steps import steps_of
from txkombu.messaging.left_messages import LeftMessages
from txkombu.messaging.messages_by_consumer import MessagesByConsumer


class LeftMessagesTests(DispatcherTestCase):
    """Messages that are kept until they are settled."""

    def test_settled_are_forgotten(self) -> None:
        """Messages that are settled in order are not kept."""
        left = LeftMessages()
        for tag in range(1, 100):
            message = self.message(tag)
            left.add(message)
            self.assertEqual(len(left), 1)
            message.ack()
        self.assertEqual(left.take_all(), [])

    def test_behind_an_unsettled_one(self) -> None:
        """Behind one that is not settled, settled ones are kept for a while only."""
        left = LeftMessages()
        first = self.message(1)
        left.add(first)
        for tag in range(2, 1000):
            message = self.message(tag)
            left.add(message)
            message.ack()
            self.assertLess(len(left), 25)
        self.assertEqual(left.take_all(), [first])
        self.assertEqual(left.take_all(), [])

    def test_lost(self) -> None:
        """Messages that the broker has again are not left."""
        left = LeftMessages()
        left.add(self.message(1))
        self.unacked.die()
        left.look_at_all()
        self.assertEqual(len(left), 0)

    def test_many_unsettled(self) -> None:
        """With many unsettled ones, a further one does not have all looked at."""
        left = LeftMessages()
        messages = [self.message(tag) for tag in range(1, 2001)]

        def add_all() -> None:
            for message in messages:
                left.add(message)

        self.assertLess(steps_of(add_all), 100 * len(messages))
        self.assertEqual(left.take_all(), messages)


class MessagesByConsumerTests(DispatcherTestCase):
    """Messages in order, and by the consumers that they came by."""

    def test_order(self) -> None:
        """They come in the order they were added, whoever they came by."""
        messages: MessagesByConsumer[int] = MessagesByConsumer()
        added = [self.message(tag, f"c{tag % 3}") for tag in range(9)]
        for number, message in enumerate(added):
            messages.add(message, number)
        self.assertEqual(list(messages), added)
        self.assertEqual(list(messages.values()), list(range(9)))
        self.assertIs(messages.first(), added[0])
        self.assertEqual(messages.take(added[4]), 4)
        self.assertIsNone(messages.take(added[4]))
        self.assertEqual([messages.take_first() for _ in range(2)], added[:2])
        found = messages.of_consumers(["c1", "c2", "c9"])
        self.assertEqual(found, added[7::3] + added[2::3])
        self.assertEqual(len(messages), 6)
        self.assertEqual(messages.take_all(), [*added[2:4], *added[5:]])
        self.assertEqual((len(messages), messages.of_consumers(["c0"])), (0, []))

    def test_only_of_the_consumer(self) -> None:
        """To find the messages of one consumer, those of others are not looked at."""
        messages: MessagesByConsumer[None] = MessagesByConsumer()
        for tag in range(1000):
            messages.add(self.message(tag, f"c{tag}"), None)
        self.assertLess(steps_of(lambda: messages.of_consumers(["c500"])), 20)

    def test_handed_back_queue_by_queue(self) -> None:
        """Of a consumer that ends the messages that wait go back, and no others."""
        self.dispatcher.set_limit(1)
        pending: Deferred[None] = Deferred()
        self.dispatcher.set_handler(lambda message: pending)
        for tag in range(1, 7):
            self.dispatcher.deliver(self.message(tag, f"c{tag % 2}"))
        self.dispatcher.hand_back_from(["c0"])
        self.assertEqual(self.handed_back(), [2, 4, 6])
        self.dispatcher.hand_back_from(["c1", "c0"])
        self.assertEqual(self.handed_back(), [2, 4, 6, 3, 5])
        self.assertEqual(self.dispatcher.load, 1)
