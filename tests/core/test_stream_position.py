"""Where a consumer of a stream is."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from tests.support.fakes import FakeChannel, delivery
from txkombu import Queue
from txkombu.core.decoded_memory import DecodedMemory
from txkombu.core.stream_position import StreamPosition, StreamSettler, is_stream
from txkombu.core.unacked import UnackedMessages
from txkombu.exceptions import DecodeError
from txkombu.interfaces import Settlement
from txkombu.message import Message

FIRST = {"x-stream-offset": "first"}


class PositionTests(SynchronousTestCase):
    """Which messages are handled, and where a consumer resumes."""

    def setUp(self) -> None:
        self.told: list[int] = []
        self.position = StreamPosition(self.told.append)

    def take(self, *offsets: int) -> list[int]:
        """Deliver messages; return those that are to be handled."""
        return [each for each in offsets if self.position.takes(each)]

    def handle(self, *offsets: int) -> None:
        """Settle messages."""
        for each in offsets:
            self.position.handled(each)

    def resumes_at(self) -> object:
        """Return where a consumer that began at the first offset resumes."""
        return self.position.arguments(FIRST)["x-stream-offset"]

    def test_resumes(self) -> None:
        """It resumes behind the last of those handled without a gap."""
        self.assertEqual(self.resumes_at(), "first")
        self.assertEqual(self.take(0, 1, 2, 3), [0, 1, 2, 3])
        self.handle(0, 1, 3)
        self.assertEqual((self.resumes_at(), self.told), (2, [1, 2]))
        self.handle(2)
        self.assertEqual((self.resumes_at(), self.told), (4, [1, 2, 4]))

    def test_not_handled_twice(self) -> None:
        """After a loss only what was not handled is handled again."""
        self.take(*range(6))
        self.handle(0, 1, 3, 5)
        self.position.lost()
        self.assertEqual(self.resumes_at(), 2)
        self.assertEqual(self.take(2, 3, 4, 5, 6), [2, 4, 6])
        self.handle(2)
        self.assertEqual(self.resumes_at(), 4)
        self.handle(4)
        self.assertEqual(self.resumes_at(), 6)

    def test_lost_again(self) -> None:
        """So it is after a second loss that comes early."""
        self.take(*range(4))
        self.handle(3)
        for _ in range(2):
            self.position.lost()
            self.assertEqual(self.take(0, 1), [0, 1])
        self.handle(0, 1)
        self.assertEqual(self.take(2, 3), [2])
        self.handle(2)
        self.assertEqual(self.resumes_at(), 4)

    def test_two_at_once(self) -> None:
        """A consumer that starts before the old one ends gets nothing in hand."""
        self.take(0, 1, 2)
        self.handle(0)
        self.assertEqual(self.take(1, 2, 3), [3])

    def test_handed_back(self) -> None:
        """What was handed back is handled by the next consumer, and not passed over."""
        self.take(0, 1, 2)
        self.position.returned(1)
        self.handle(0, 2)
        self.assertEqual(self.resumes_at(), 1)
        self.assertEqual(self.take(1, 2, 3), [1, 3])
        self.handle(1)
        self.assertEqual(self.resumes_at(), 3)
        self.position.returned(0)
        self.assertEqual(self.take(0), [])

    def test_handed_back_and_lost(self) -> None:
        """So it is if the session is lost before."""
        self.take(0, 1)
        self.position.returned(0)
        self.position.lost()
        self.assertEqual(self.take(0, 0, 1), [0, 1])

    def test_gaps(self) -> None:
        """Offsets that the stream has dropped are no reason to stay."""
        self.take(0, 1, 100, 101)
        self.handle(0, 1, 100)
        self.assertEqual(self.resumes_at(), 101)

    def test_nothing_yet(self) -> None:
        """One that began at the end, and had no message, resumes when it began."""
        self.assertEqual(self.position.arguments({}), {})
        self.position.begin()
        resumed = self.position.arguments({})["x-stream-offset"]
        assert isinstance(resumed, datetime)
        self.position.begin()
        self.assertEqual(self.position.arguments({})["x-stream-offset"], resumed)
        self.assertEqual(self.resumes_at(), "first")

    def test_callback_fails(self) -> None:
        """What the callback raises is logged."""
        position = StreamPosition(lambda offset: 1 / 0)
        position.takes(0)
        position.handled(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_is_stream(self) -> None:
        """A stream is told by its type, or by an offset."""
        self.assertTrue(is_stream(Queue("s", queue_type="stream"), {}))
        self.assertTrue(is_stream(Queue("s"), FIRST))
        self.assertFalse(is_stream(Queue("s", queue_type="quorum"), {}))


class SettlerTests(SynchronousTestCase):
    """Settling the messages of a stream."""

    def setUp(self) -> None:
        self.channel = FakeChannel()
        self.unacked = UnackedMessages(self.channel, DecodedMemory())
        self.position = StreamPosition()
        self.settler = StreamSettler(self.unacked, self.position)

    def deliver(self, tag: int, offset: object) -> Message | None:
        """Deliver a message; return it if it is to be handled."""
        found = delivery(tag, properties={"headers": {"x-stream-offset": offset}})
        return Message(found, self.settler) if self.settler.take(found) else None

    def messages(self, count: int) -> list[Message]:
        """Deliver messages with offsets from 0."""
        found = [self.deliver(number + 1, number) for number in range(count)]
        return [each for each in found if each is not None]

    def next(self) -> object:
        """Return where a consumer resumes."""
        return self.position.arguments({})["x-stream-offset"]

    def test_settled(self) -> None:
        """Whatever settles a message for good counts as handled."""
        messages = self.messages(4)
        messages[0].ack()
        messages[1].reject()
        messages[2].nack(requeue=False)
        self.assertEqual(self.next(), 3)
        messages[3].nack()
        self.assertEqual(self.next(), 3)
        self.assertIsNotNone(self.deliver(5, 3))

    def test_multiple(self) -> None:
        """A multiple ack counts all that it settles."""
        messages = self.messages(4)
        messages[2].ack(multiple=True)
        self.assertEqual(self.next(), 3)

    def test_begun(self) -> None:
        """A message that is acknowledged when its handler begins counts then."""
        found = delivery(1, properties={"headers": {"x-stream-offset": 7}})
        self.assertTrue(self.settler.take(found))
        Message(found, self.settler, acks_at_begin=True).begin()
        self.assertEqual(self.next(), 8)

    def test_known(self) -> None:
        """A message that was handled is acknowledged, and not handed out."""
        [message] = self.messages(1)
        message.ack()
        self.assertIsNone(self.deliver(2, 0))
        self.assertEqual(self.channel.settled, [("ack", 1, False), ("ack", 2, False)])

    def test_stale(self) -> None:
        """What is settled after a loss comes again, and is not handled twice."""
        messages = self.messages(5)
        self.unacked.die()
        messages[0].ack()  # before the loss is noted
        self.position.lost()
        messages[2].ack()
        messages[3].nack()
        self.assertEqual(self.next(), 1)
        self.settler = StreamSettler(
            UnackedMessages(self.channel, DecodedMemory()), self.position
        )
        again = [self.deliver(number, number) for number in range(1, 5)]
        self.assertEqual(
            [message is not None for message in again], [True, False, True, True]
        )

    def test_stale_and_there_again(self) -> None:
        """What comes again while it is handled counts when it was handled once."""
        [message] = self.messages(1)
        self.unacked.die()
        self.position.lost()
        self.settler = StreamSettler(
            UnackedMessages(self.channel, DecodedMemory()), self.position
        )
        self.assertIsNotNone(self.deliver(1, 0))
        message.ack()
        self.assertEqual(self.next(), 1)

    def test_went_back_alone(self) -> None:
        """So it is with what went back while the session channel lives."""
        for go_back in (self.unacked.lose_all, partial(self.unacked.lose, "tag")):
            self.setUp()
            messages = self.messages(3)
            go_back()
            self.channel.dead = True  # it has forgotten their tags
            self.assertIs(self.successResultOf(messages[0].ack()), Settlement.STALE)
            self.position.lost()
            messages[1].nack()
            messages[2].reject()
            self.assertEqual((self.next(), self.channel.settled), (1, []))
            again = [self.deliver(tag, tag - 10) for tag in (11, 12, 13)]
            found = [message is not None for message in again]
            self.assertEqual(found, [True, False, True])

    def test_unreadable(self) -> None:
        """One whose properties cannot be read is handed out, and holds up no other."""

        def broken() -> dict[str, object]:
            raise DecodeError("broken table")

        found = delivery(1, properties=broken)
        self.assertTrue(self.settler.take(found))
        message = Message(found, self.settler)
        self.assertRaises(DecodeError, getattr, message, "payload")
        [later] = [self.deliver(2, 7)]
        assert later is not None
        later.ack()
        message.reject()
        self.assertEqual(
            self.channel.settled, [("ack", 2, False), ("reject", 1, False)]
        )
        self.assertEqual(self.next(), 8)

    def test_without_offset(self) -> None:
        """A message without an offset is handled."""
        self.assertIsNotNone(self.deliver(1, None))
        plain = delivery(2)
        self.assertTrue(self.settler.take(plain))
