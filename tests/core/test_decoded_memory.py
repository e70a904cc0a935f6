"""
How much memory the decoded unsettled messages of a channel take.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fakes import FakeChannel
from txkombu._util.limits import MAX_BODY_SIZE
from txkombu.core.decoded_memory import BODIES, DecodedMemory
from txkombu.core.unacked import UnackedMessages
from txkombu.interfaces import Delivery
from txkombu.message import Message

LIMIT = BODIES * MAX_BODY_SIZE


class DecodedMemoryTests(SynchronousTestCase):
    """The count, and waiting for room."""

    def setUp(self) -> None:
        self.memory = DecodedMemory()
        self.resumed: list[str] = []

    def test_full(self) -> None:
        """Above its limit it is full; a waiter continues when it no longer is."""
        self.memory.hold(LIMIT)
        self.assertFalse(self.memory.is_full)
        with capturedLogs() as logged:
            self.memory.hold(1)
            self.memory.let_go(1)
            self.memory.hold(1)
        self.assertEqual(len(logged), 1, "it is told once")
        self.assertTrue(self.memory.is_full)
        self.memory.when_room(lambda: self.resumed.append("a"))
        self.memory.let_go(1)
        self.assertEqual((self.memory.is_full, self.resumed), (False, ["a"]))
        self.memory.let_go(LIMIT)
        self.assertEqual(self.resumed, ["a"])

    def test_larger_bodies(self) -> None:
        """
        A consumer that allows larger bodies has room for several of them, without using
        it up.
        """
        self.memory.allow(10 * MAX_BODY_SIZE)
        self.memory.allow(1)
        self.memory.hold(10 * LIMIT)
        self.assertFalse(self.memory.is_full)


class MessageTests(SynchronousTestCase):
    """How much each message counts."""

    def setUp(self) -> None:
        self.memory = DecodedMemory()
        self.unacked = UnackedMessages(FakeChannel(), self.memory)

    @property
    def held(self) -> int:
        """What is counted now."""
        return self.memory.held

    def message(self, body: bytes, kind: str, no_ack: bool = False) -> Message:
        """Make a message with that body."""
        properties = {"content_type": kind, "content_encoding": "utf-8"}
        delivery = Delivery(1, "tag", False, "", "q", body, properties)
        return Message(delivery, self.unacked, acks_at_begin=no_ack)

    def test_decoded(self) -> None:
        """
        A decoded value counts more than its text, once, until the message is settled.
        """
        body = b"[" + b"1," * 5000 + b"1]"
        message = self.message(body, "application/json")
        self.assertEqual(self.held, 0)
        self.assertEqual(len(message.payload), 5001)  # type: ignore[arg-type]  # a list
        message.decode()
        self.assertGreater(self.held, len(body))
        message.ack()
        self.assertEqual(self.held, 0)

    def test_text(self) -> None:
        """A text counts as its own size."""
        message = self.message(b"x" * 10_000, "text/plain")
        self.assertEqual(len(str(message.payload)), 10_000)
        self.assertEqual(self.held, 10_000)
        message.reject()
        self.assertEqual(self.held, 0)

    def test_small(self) -> None:
        """Small messages are not counted."""
        self.assertEqual(self.message(b'"x"', "application/json").payload, "x")
        self.assertEqual(self.held, 0)

    def test_settled_before(self) -> None:
        """A message that was settled before it is decoded does not count."""
        message = self.message(b"x" * 10_000, "text/plain")
        message.ack()
        self.assertEqual(len(str(message.payload)), 10_000)
        self.assertEqual(self.held, 0)

    def test_every_end(self) -> None:
        """A message no longer counts, in whatever way it was settled."""
        ends: list[Callable[[Message], object]] = [
            lambda message: message.ack(multiple=True),
            lambda message: message.nack(),
            lambda message: message.requeue(),
            lambda message: self.unacked.lose_all(),
            lambda message: self.unacked.lose("tag"),
            lambda message: self.unacked.die(),
        ]
        for end in ends:
            message = self.message(b"x" * 10_000, "text/plain")
            self.assertEqual(len(str(message.payload)), 10_000)
            end(message)
            self.assertEqual(self.held, 0)

    def test_no_ack(self) -> None:
        """A no_ack message counts until its handler has finished."""
        message = self.message(b"x" * 10_000, "text/plain", no_ack=True)
        message.begin()
        message.count_in(self.memory)
        self.assertEqual(len(str(message.payload)), 10_000)
        self.assertEqual(self.held, 10_000)
        message.begin()
        message.let_go()
        self.assertEqual(self.held, 0)
        message.decode()
        self.assertEqual(self.held, 0)

    def test_no_ack_without_end(self) -> None:
        """One that begins where nobody tells of its end does not count."""
        for decoded_before in (False, True):
            message = self.message(b"x" * 10_000, "text/plain", no_ack=True)
            if decoded_before:
                message.decode()
            message.begin()
            message.decode()
            self.assertEqual(self.held, 0)

    def test_back_at_the_broker(self) -> None:
        """One that is decoded when the broker has it again does not count."""
        ways = [
            self.unacked.lose_all,
            lambda: self.unacked.lose("tag"),
            self.unacked.die,
        ]
        for go_back in ways:
            message = self.message(b"x" * 10_000, "text/plain")
            go_back()
            message.decode()
            self.assertEqual(self.held, 0)
            message.ack()
            self.assertEqual(self.held, 0)

    def test_all_before_there_is_room(self) -> None:
        """
        Messages that are settled together, or go back together, are so before those
        who wait for room hear of it.
        """
        for go in (
            lambda last: self.unacked.lose_all(),
            lambda last: self.unacked.lose("tag"),
            lambda last: self.unacked.die(),
            lambda last: last.ack(multiple=True),
            lambda last: last.nack(multiple=True),
        ):
            self.setUp()
            messages = []
            for tag in range(1, 4):
                large = Delivery(tag, "tag", False, "", "q", b"x" * 10_000, {})
                messages.append(Message(large, self.unacked))
                messages[-1].decode()
            self.memory.hold(LIMIT)
            self.memory.when_room(partial(self.look_at, messages))
            go(messages[-1])
            self.assertEqual(self.looked_at, [True] * 3)

    def look_at(self, messages: list[Message]) -> None:
        """Note of each message whether it is settled, or went back."""
        self.looked_at = [each.acknowledged or each.is_back for each in messages]
