"""
How messages are got from ActiveMQ: what is waited for, and for how long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import Probe
from tests.support.stomp_peer import Peer, frame, message, receipt
from txkombu import Exchange, Queue
from txkombu.exceptions import AccessRefused, SessionLost
from txkombu.transport.stomp.activemq import ActiveMQDialect
from txkombu.transport.stomp.dialect import BoundQueue, GetResult, StompBinding
from txkombu.transport.stomp.protocol import StompProtocol

ONE = BoundQueue(Queue("a"))
TWO = BoundQueue(Queue("a"), [StompBinding(Exchange("e"), "b", {})])
DESTINATIONS = ["/queue/a", "/queue/Consumer.a.VirtualTopic.e.b"]


class OneSocket:
    """
    What a recipe gets as its connections: one, whose peer a test plays.

    @ivar left: how often it was disconnected.
    @ivar dropped: how often it was dropped.
    """

    def __init__(self) -> None:
        self.peer = Peer()
        self.peer.log_in()
        self.peer.frames()
        self.peer.socket.follow(errors_are_fatal=False, length_is_last=False)
        self.clock: Any = self.peer.clock
        self.left = self.dropped = 0

    def open(self) -> Deferred[StompProtocol]:
        return succeed(self.peer.socket)

    def leave(self, socket: StompProtocol) -> Deferred[None]:
        self.left += 1
        return succeed(None)

    def drop(self, socket: StompProtocol) -> None:
        self.dropped += 1


class GetTests(SynchronousTestCase):
    """Getting a message."""

    def setUp(self) -> None:
        self.connections: Any = OneSocket()
        self.peer = self.connections.peer

    def get(self, bound: BoundQueue = TWO, no_ack: bool = False) -> Probe:
        """Get; answer the first subscription, and note its id."""
        getting = ActiveMQDialect().get(bound, no_ack, self.connections)
        probe = Probe(Deferred.fromCoroutine(getting))
        (subscribed,) = self.answered()
        self.first = subscribed["id"]
        self.assertEqual(subscribed["destination"], DESTINATIONS[0])
        return probe

    def answered(self) -> list[dict[str, str]]:
        """Answer what was subscribed to, and give that."""
        subscribed = self.written()
        for each in subscribed:
            self.peer.send(receipt(each["receipt"]))
        return subscribed

    def written(self, command: str = "SUBSCRIBE") -> list[dict[str, str]]:
        """The headers of what was written, which is all of one kind."""
        frames: Sequence[Any] = self.peer.frames()
        self.assertEqual({each.command for each in frames} - {command}, set())
        return [dict(each.headers) for each in frames]

    def send_first(self, **headers: str) -> None:
        """Send a message by the first subscription."""
        self.peer.send(message(self.first, b"1", ack="x", **headers))

    def alone(self) -> str:
        """
        Answer the subscription that only the message which came first can come by;
        that is asked for before the first one is ended.
        """
        (only,) = self.written()
        self.assertEqual(only["selector"], "JMSMessageID='m'")
        self.assertEqual(only["activemq.priority"], "127")
        self.peer.send(receipt(only["receipt"]))
        return only["id"]

    def test_subscribed(self) -> None:
        """
        Every source is subscribed to, for one message, one source after the other.
        """
        probe = self.get()
        self.peer.clock.advance(0.1)
        (subscribed,) = self.answered()
        self.assertEqual(subscribed["destination"], DESTINATIONS[1])
        self.assertEqual(subscribed["ack"], "client-individual")
        self.assertEqual(subscribed["activemq.prefetchSize"], "1")
        self.peer.lose()
        self.assertIsInstance(probe.outcome, SessionLost)

    def test_first(self) -> None:
        """The first message is got, and nothing else is taken with it."""
        probe = self.get()
        self.peer.clock.advance(0.1)
        (second,) = self.answered()
        self.peer.send(message(second["id"], b"1", ack="x"))
        (given_up,) = [each for each in self.peer.frames() if self.is_end(each)]
        self.assertEqual(given_up.headers["id"], self.first)
        self.assertFalse(probe.fired)
        self.peer.lose()

    def is_end(self, written: Any) -> bool:
        """Whether a frame ends a subscription."""
        return bool(written.command == "UNSUBSCRIBE")

    def test_alone(self) -> None:
        """It is got once more, by a subscription that no other message can come by."""
        probe = self.get(ONE)
        self.send_first()
        only = self.alone()
        (ended,) = self.written("UNSUBSCRIBE")
        self.assertEqual(ended["id"], self.first)
        self.assertFalse(probe.fired)
        self.peer.send(message(only, b"1", ack="z", redelivered="true"))
        got = probe.outcome
        assert isinstance(got, GetResult)
        self.assertEqual((got.frame.body, got.socket), (b"1", self.peer.socket))
        self.assertEqual(got.frame.headers["ack"], "z")
        self.peer.send(message(self.first, b"3"))
        self.assertEqual(self.written(), [])
        self.assertEqual((self.connections.left, self.connections.dropped), (0, 0))
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_mark(self) -> None:
        """It is marked as it was when it came first, however often it comes."""
        for marks in ({}, {"redelivered": "true"}):
            self.setUp()
            probe = self.get(ONE)
            self.send_first(**marks)
            only = self.alone()
            self.peer.send(message(only, b"1", ack="z", redelivered="true"))
            headers = probe.outcome.frame.headers
            self.assertEqual("redelivered" in headers, bool(marks))

    def test_taken_by_others(self) -> None:
        """If somebody else has it meanwhile, the next one is got."""
        probe = self.get(ONE)
        self.send_first()
        self.alone()
        self.peer.clock.advance(2)
        self.assertFalse(probe.fired)
        self.assertEqual(self.connections.left, 1)
        *_, again = [each for each in self.peer.frames() if each.command == "SUBSCRIBE"]
        self.peer.send(receipt(again.headers["receipt"]))
        self.peer.clock.advance(0.5)
        self.assertIsNone(probe.outcome)
        self.assertEqual((self.connections.left, self.connections.dropped), (2, 0))
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_lost_while_given_back(self) -> None:
        """If the socket is lost while it is on its way back, that is said at once."""
        for answered in (False, True):
            self.setUp()
            probe = self.get(ONE)
            self.send_first()
            if answered:
                self.alone()
            self.peer.lose()
            self.assertIsInstance(probe.outcome, SessionLost)
            self.assertEqual(self.connections.dropped, 1)
            self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_no_ack(self) -> None:
        """What needs no settling is settled at once."""
        self.get(ONE, no_ack=True)
        self.send_first()
        only = self.alone()
        self.peer.send(message(only, b"1", ack="z"))
        *_, ack = self.peer.frames()
        self.assertEqual((ack.command, ack.headers["id"]), ("ACK", "z"))

    def test_acknowledged_to_the_system(self) -> None:
        """
        Receipts are answered with an empty line, so that ActiveMQ need not hold back
        what comes behind them.
        """
        self.get(ONE)
        self.assertEqual(self.peer.wire.writes[-1], b"\n")
        self.peer.lose()

    def test_empty(self) -> None:
        """
        If nothing comes for a while, nothing is there: a tenth of a second for each
        source, and half a second for the last one.
        """
        probe = self.get()
        self.peer.clock.advance(0.1)
        self.answered()
        self.peer.clock.advance(0.49)
        self.assertFalse(probe.fired)
        self.peer.clock.advance(0.02)
        self.assertIsNone(probe.outcome)
        self.assertEqual(self.connections.left, 1)
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_comes_late(self) -> None:
        """What comes while it is waited for is got, from whatever source."""
        for is_first in (True, False):
            self.setUp()
            self.get()
            self.peer.clock.advance(0.1)
            (second,) = self.answered()
            source = self.first if is_first else second["id"]
            self.peer.send(message(source, b"late", ack="x"))
            (given_up, only) = self.peer.frames()
            self.assertTrue(self.is_end(given_up))
            self.assertIn("selector", dict(only.headers))
            self.peer.lose()

    def test_refused(self) -> None:
        """Who may not read is told so, and the socket is given up."""
        getting = ActiveMQDialect().get(TWO, False, self.connections)
        probe = Probe(Deferred.fromCoroutine(getting))
        (first,) = self.written()
        text = "User a is not authorized to read from: queue"
        error = frame("ERROR", receipt_id=first["receipt"], message=text)
        self.peer.send(error.replace(b"from: ", b"from\\c "))
        self.assertIsInstance(probe.outcome, AccessRefused)
        self.assertEqual(self.connections.dropped, 1)

    def test_lost(self) -> None:
        """If the socket is lost, that is said at once."""
        probe = self.get()
        self.peer.lose()
        self.assertIsInstance(probe.outcome, SessionLost)
        self.assertEqual(self.connections.dropped, 1)
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """Cancelling drops the socket, so that the broker has all back."""
        probe = self.get()
        probe.deferred.cancel()
        self.assertIsInstance(probe.outcome, CancelledError)
        self.assertEqual(self.connections.dropped, 1)
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])
        self.send_first()
