"""
The unsettled messages of one session channel.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fakes import FakeChannel, delivery
from txkombu.core.decoded_memory import DecodedMemory
from txkombu.core.unacked import UnackedMessages
from txkombu.exceptions import MessageStateError
from txkombu.interfaces import Settlement
from txkombu.message import Message


class InboxTests(SynchronousTestCase):
    """Settling on the channel that delivered a message, and knowing what is left."""

    def setUp(self) -> None:
        self.channel = FakeChannel()
        self.unacked = UnackedMessages(self.channel, DecodedMemory())
        self.messages = {tag: Message(delivery(tag), self.unacked) for tag in (1, 2, 5)}

    def left(self) -> list[int]:
        """Return the tags of the messages that await settlement, in order."""
        return list(self.unacked.unsettled)

    def test_knows_them(self) -> None:
        """Every message that needs settlement is known, in order."""
        self.assertEqual(self.unacked.unsettled, self.messages)
        self.assertEqual(self.left(), [1, 2, 5])

    def test_no_ack(self) -> None:
        """A message that needs no settlement is not known."""
        Message(delivery(9), None)
        self.assertEqual(self.left(), [1, 2, 5])

    def test_each_way(self) -> None:
        """Each settlement reaches the channel once, with its arguments."""
        self.messages[1].ack()
        self.messages[2].nack(requeue=False)
        self.messages[5].reject(requeue=True)
        self.assertEqual(
            self.channel.settled,
            [("ack", 1, False), ("nack", 2, False, False), ("reject", 5, True)],
        )
        self.assertEqual(self.left(), [])

    def test_lost_consumer(self) -> None:
        """
        The broker has the messages of a lost consumer: settling them is stale, and
        others are not affected.
        """
        other = Message(delivery(7, consumer_tag="other"), self.unacked)
        self.unacked.lose("tag")
        self.assertEqual(self.left(), [7])
        self.assertTrue(self.messages[2].is_back)
        self.assertFalse(other.is_back)
        self.channel.dead = True
        self.assertIs(self.successResultOf(self.messages[2].ack()), Settlement.STALE)

    def test_handed_to_the_socket(self) -> None:
        """
        The Deferred fires when the settlement was written to the socket, not before.
        """
        settling = [
            self.messages[1].ack(),
            self.messages[2].nack(),
            self.messages[5].reject(),
        ]
        for each in settling:
            self.assertNoResult(each)
        self.channel.flush()
        for each in settling:
            self.assertIs(self.successResultOf(each), Settlement.SENT)

    def test_dies_before_that(self) -> None:
        """If the channel ends before that, it fires with STALE."""
        acking = self.messages[1].ack()
        self.channel.die()
        self.assertIs(self.successResultOf(acking), Settlement.STALE)

    def test_dead(self) -> None:
        """
        On a channel that has ended every settlement is stale at once, and does no harm.
        """
        self.channel.die()
        for settling in (
            self.messages[1].ack(multiple=True),
            self.messages[2].nack(),
            self.messages[5].reject(),
        ):
            self.assertIs(self.successResultOf(settling), Settlement.STALE)
        self.assertEqual(self.channel.settled, [])

    def test_settled_twice_on_a_dead_channel(self) -> None:
        """A second settlement is an error there, too."""
        self.channel.die()
        self.unacked.die()
        self.messages[1].ack()
        self.assertRaises(MessageStateError, self.messages[1].ack)

    def test_cancelled(self) -> None:
        """Cancelling the Deferred takes nothing back, and affects no other."""
        first, second = self.messages[1].ack(), self.messages[2].ack()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.channel.flush()
        self.successResultOf(second)
        self.assertEqual(len(self.channel.settled), 2)

    def test_multiple(self) -> None:
        """A multiple ack settles all earlier messages, and no later one."""
        self.messages[2].ack(multiple=True)
        self.assertEqual(self.channel.settled, [("ack", 2, True)])
        self.assertEqual(self.left(), [5])
        self.assertTrue(self.messages[1].acknowledged)
        self.assertFalse(self.messages[5].acknowledged)
        text = str(self.assertRaises(MessageStateError, self.messages[1].reject))
        self.assertIn("acknowledged", text)

    def test_multiple_nack(self) -> None:
        """
        A multiple nack settles all earlier messages, and each says how it was settled.
        """
        for requeue, state in ((True, "requeued"), (False, "rejected")):
            self.setUp()
            self.messages[5].nack(multiple=True, requeue=requeue)
            self.assertEqual(self.channel.settled, [("nack", 5, True, requeue)])
            self.assertEqual(self.left(), [])
            text = str(self.assertRaises(MessageStateError, self.messages[2].ack))
            self.assertIn(state, text)

    def test_multiple_behind_settled_ones(self) -> None:
        """Messages that were settled before keep their result."""
        self.messages[1].reject()
        self.messages[5].ack(multiple=True)
        text = str(self.assertRaises(MessageStateError, self.messages[1].ack))
        self.assertIn("rejected", text)

    def test_multiple_twice(self) -> None:
        """The message itself can be settled only once."""
        self.messages[5].ack(multiple=True)
        self.assertRaises(MessageStateError, self.messages[5].ack, multiple=True)
        self.assertEqual(len(self.channel.settled), 1)

    def test_lose_all(self) -> None:
        """
        Messages that went back are no longer known, and settling them is stale, once;
        those that come later are settled as ever.
        """
        self.messages[2].ack()
        self.unacked.lose_all()
        self.assertEqual(self.left(), [])
        found = {tag: each.is_back for tag, each in self.messages.items()}
        self.assertEqual(found, {1: True, 2: False, 5: True})
        self.unacked.lose_all()
        later = Message(delivery(7), self.unacked)
        later.ack()
        self.channel.settled.clear()
        self.channel.dead = True  # it has forgotten their tags
        for settle in (self.messages[1].ack, self.messages[5].reject):
            self.assertIs(self.successResultOf(settle()), Settlement.STALE)
            self.assertRaises(MessageStateError, settle)
        self.assertEqual(self.channel.settled, [])

    def test_same_numbers(self) -> None:
        """Messages of another channel with the same numbers are not affected."""
        other = UnackedMessages(FakeChannel(), DecodedMemory())
        twin = Message(delivery(1), other)
        self.messages[5].ack(multiple=True)
        self.assertFalse(twin.acknowledged)
        self.assertEqual(list(other.unsettled), [1])

    def test_consumers_lost_one_by_one(self) -> None:
        """Each consumer loses its own messages, also those that came since."""
        self.unacked.lose_all()
        for tag in range(10, 400):
            Message(delivery(tag, consumer_tag=f"c{tag % 3}"), self.unacked)
        self.unacked.unsettled[11].ack()
        lost = list(self.unacked.unsettled.values())
        self.unacked.lose("c0")
        self.unacked.lose("none")
        later = Message(delivery(400, consumer_tag="c0"), self.unacked)
        for tag in range(12, 390):
            if tag in self.unacked.unsettled:
                self.unacked.unsettled[tag].ack()
        self.assertFalse(later.is_back)
        self.unacked.lose("c0")
        self.unacked.lose("c2")
        self.assertTrue(later.is_back)
        self.assertEqual(self.left(), [10, 391, 394, 397])
        stale = [each.delivery_tag for each in lost if each.is_back]
        wanted = [
            tag for tag in range(10, 400) if tag % 3 == 0 or tag in (392, 395, 398)
        ]
        self.assertEqual(stale, wanted)
