"""Settlements of several messages at once are seen without a search for each."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fakes import FakeChannel
from tests.support.steps import steps_of
from txkombu import Message
from txkombu.core.decoded_memory import DecodedMemory
from txkombu.core.stream_position import StreamPosition, StreamSettler
from txkombu.core.unacked import UnackedMessages
from txkombu.interfaces import Delivery, Settlement
from txkombu.message import Memory
from txkombu.monitoring.settlements import Settlements


class Taking:
    """Settles messages nowhere."""

    gone = False

    def __init__(self) -> None:
        self.unsettled: dict[int, Message] = {}

    @property
    def memory(self) -> Memory:
        """Not asked for."""
        raise NotImplementedError

    def ack(self, tag: int, multiple: bool) -> Deferred[Settlement]:
        """Take it."""
        return succeed(Settlement.SENT)

    def release(self, tag: int) -> None:
        """Take it."""

    def nack(self, tag: int, multiple: bool, requeue: bool) -> Deferred[Settlement]:
        """Take it."""
        return succeed(Settlement.SENT)

    def reject(self, tag: int, requeue: bool) -> Deferred[Settlement]:
        """Take it."""
        return succeed(Settlement.SENT)


class SettlementsTests(SynchronousTestCase):
    """Settlements."""

    def watch(self, settlements: Settlements, *tags: int) -> list[Message]:
        """Watch messages of one channel, whose handlers begin in this order."""
        settler = Taking()
        messages = [
            Message(Delivery(tag, "tag", False, "", "work", b"", {}), settler)
            for tag in tags
        ]
        for each in messages:
            settlements.watch(each)
        return messages

    def test_growth(self) -> None:
        """Settling all, ten at a time, takes steps for each message once."""

        def steps(count: int) -> int:
            told: list[str] = []
            settlements = Settlements(lambda queue, outcome: told.append(outcome))
            messages = self.watch(settlements, *range(1, count + 1))

            def settle() -> None:
                for each in messages[9::10]:
                    each.ack(multiple=True)

            found = steps_of(settle)
            self.assertEqual(len(told), count)
            return found

        self.assertLess(steps(4000), 5 * steps(1000))

    def test_stream(self) -> None:
        """
        What is settled after it went back is stale; a stream does not hand it out
        again all the same.
        """
        told: list[str] = []
        settlements = Settlements(lambda queue, outcome: told.append(outcome))
        unacked = UnackedMessages(FakeChannel(), DecodedMemory())
        position = StreamPosition()
        settler = StreamSettler(unacked, position)
        for tag in (1, 2):
            headers = {"headers": {"x-stream-offset": 10 * tag}}
            found = Delivery(tag, "tag", False, "", "work", b"", headers)
            self.assertTrue(settler.take(found))
            settlements.watch(Message(found, settler))
        messages = list(unacked.unsettled.values())
        unacked.lose_all()
        position.lost()
        messages[1].ack()
        messages[0].nack()
        self.assertEqual(told, ["stale", "stale"])
        self.assertEqual((position.takes(10), position.takes(20)), (True, False))

    def test_begun_later(self) -> None:
        """A handler that begins after those of later messages counts all the same."""
        told: list[str] = []
        settlements = Settlements(lambda queue, outcome: told.append(outcome))
        third, _, second = self.watch(settlements, 3, 1, 2)
        second.ack(multiple=True)
        self.assertEqual(told, ["acknowledged"] * 2)
        third.reject()
        self.assertEqual(told[2:], ["rejected"])
