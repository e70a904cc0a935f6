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
from txkombu import Queue
from txkombu.exceptions import AccessRefused, SessionLost
from txkombu.transport.stomp.activemq import recipes
from txkombu.transport.stomp.dialect import GetResult
from txkombu.transport.stomp.protocol import StompProtocol

DESTINATIONS = ("/queue/a", "/queue/b")


class OneSocket:
    """
    What recipes get as their sockets: one, whose peer a test plays.

    @ivar left: how often it was disconnected.
    @ivar dropped: how often it was dropped.
    """

    def __init__(self) -> None:
        self.peer = Peer()
        self.peer.log_in()
        self.peer.frames()
        self.peer.socket.errors_are_fatal = False
        self.clock: Any = self.peer.clock
        self.left = self.dropped = 0

    def short(self) -> Any:
        raise NotImplementedError

    def declaring(self, name: str = "") -> Any:
        raise NotImplementedError

    def of(self, queue: Queue) -> Any:
        raise NotImplementedError

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
        self.connections = OneSocket()
        self.peer = self.connections.peer

    def get(self, *destinations: str, no_ack: bool = False) -> Probe:
        """Get, and answer the browsers' subscriptions."""
        getting = recipes.get(destinations or DESTINATIONS, no_ack, self.connections)
        probe = Probe(Deferred.fromCoroutine(getting))
        self.browsers = self.answered()
        return probe

    def answered(self) -> list[dict[str, str]]:
        """Answer what was subscribed to, and give that."""
        subscribed = self.written()
        for each in subscribed:
            self.peer.send(receipt(each["receipt"]))
        return subscribed

    def get_from_one(self, **options: bool) -> Probe:
        """Get from a queue of one source, which has something."""
        probe = self.get("/queue/a", **options)
        self.peer.send(message("b0", b"1"))
        self.assertEqual([each["id"] for each in self.answered()], ["s1"])
        return probe

    def written(self, command: str = "SUBSCRIBE") -> list[dict[str, str]]:
        """The headers of what was written, which is all of one kind."""
        frames: Sequence[Any] = self.peer.frames()
        self.assertEqual({each.command for each in frames} - {command}, set())
        return [dict(each.headers) for each in frames]

    def test_subscribed(self) -> None:
        """
        Every source is browsed, for one message; those that have something are then
        subscribed to, for one message, one after the other.
        """
        self.get()
        for number, destination in enumerate(DESTINATIONS):
            self.assertLessEqual(
                {
                    "destination": destination,
                    "id": f"b{number}",
                    "ack": "client-individual",
                    "activemq.prefetchSize": "1",
                    "browser": "true",
                }.items(),
                self.browsers[number].items(),
            )
        self.peer.send(message("b1", b"1"), message("b0", b"2"))
        for destination in reversed(DESTINATIONS):
            (subscribed,) = self.answered()
            self.assertEqual(subscribed["destination"], destination)
            self.assertEqual(subscribed["ack"], "client-individual")
            self.assertEqual(subscribed["activemq.prefetchSize"], "1")
            self.assertNotIn("browser", subscribed)
            self.peer.clock.advance(0.1)
        self.peer.lose()

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

    def test_first(self) -> None:
        """The first message is got, and nothing else is taken with it."""
        probe = self.get()
        self.peer.send(message("b1", b"1"), message("b0", b"2"))
        (subscribed,) = self.answered()
        self.peer.send(message(subscribed["id"], b"1", ack="x"))
        only = self.alone()
        (ended,) = self.written("UNSUBSCRIBE")
        self.assertEqual(ended["id"], subscribed["id"])
        self.assertFalse(probe.fired)
        self.peer.send(message(only, b"1", ack="z", redelivered="true"))
        got = probe.outcome
        assert isinstance(got, GetResult)
        self.assertEqual((got.frame.body, got.socket), (b"1", self.peer.socket))
        self.assertEqual(got.frame.headers["ack"], "z")
        given_up = sorted(each["id"] for each in self.written("UNSUBSCRIBE"))
        self.assertEqual(given_up, ["b0", "b1"])
        self.peer.send(message(subscribed["id"], b"3"))
        self.assertEqual((self.connections.left, self.connections.dropped), (0, 0))
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_mark(self) -> None:
        """It is marked as it was when it came first, however often it comes."""
        for marks in ({}, {"redelivered": "true"}):
            self.setUp()
            probe = self.get_from_one()
            self.peer.send(message("s1", b"1", ack="x", **marks))
            only = self.alone()
            self.peer.send(message(only, b"1", ack="z", redelivered="true"))
            headers = probe.outcome.frame.headers
            self.assertEqual("redelivered" in headers, bool(marks))

    def test_taken_by_others(self) -> None:
        """If somebody else has it meanwhile, the next one is got."""
        probe = self.get_from_one()
        self.peer.send(message("s1", b"1", ack="x"))
        self.alone()
        self.peer.clock.advance(2)
        self.assertFalse(probe.fired)
        self.assertEqual(self.connections.left, 1)
        *_, again = [each for each in self.peer.frames() if each.command == "SUBSCRIBE"]
        self.peer.send(receipt(again.headers["receipt"]))
        self.peer.send(message(again.headers["id"], browser="end"))
        self.assertIsNone(probe.outcome)
        self.assertEqual((self.connections.left, self.connections.dropped), (2, 0))
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_lost_while_given_back(self) -> None:
        """If the socket is lost while it is on its way back, that is said at once."""
        for answered in (False, True):
            self.setUp()
            probe = self.get_from_one()
            self.peer.send(message("s1", b"1", ack="x"))
            if answered:
                self.alone()
            self.peer.lose()
            self.assertIsInstance(probe.outcome, SessionLost)
            self.assertEqual(self.connections.dropped, 1)
            self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_error_of_giving_up(self) -> None:
        """That a subscription is over by itself is no error."""
        self.get_from_one()
        self.peer.send(message("s1", b"1"))
        only = self.alone()
        self.peer.frames()
        self.peer.send(message(only, b"1"))
        (browser,) = self.written("UNSUBSCRIBE")
        self.peer.send(frame("ERROR", receipt_id=browser["receipt"], message="none"))
        self.assertTrue(self.peer.socket.alive)
        self.peer.lose()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_no_ack(self) -> None:
        """What needs no settling is settled at once."""
        self.get_from_one(no_ack=True)
        self.peer.send(message("s1", b"1", ack="x"))
        only = self.alone()
        self.peer.send(message(only, b"1", ack="z"))
        *_, ack = self.peer.frames()
        self.assertEqual((ack.command, ack.headers["id"]), ("ACK", "z"))

    def test_acknowledged_to_the_system(self) -> None:
        """
        Receipts are answered with an empty line, so that ActiveMQ need not hold back
        what comes behind them.
        """
        probe = self.get("/queue/a")
        self.assertEqual(self.peer.wire.writes[-1], b"\n")
        self.peer.send(message("b0", b"1"))
        self.answered()
        self.assertEqual(self.peer.wire.writes[-1], b"\n")
        self.peer.lose()
        self.assertIsInstance(probe.outcome, SessionLost)

    def test_empty(self) -> None:
        """If all browsers have seen nothing, there is nothing."""
        probe = self.get()
        self.peer.send(message("b0", browser="end"))
        self.assertFalse(probe.fired)
        self.peer.send(message("b1", browser="end"))
        self.assertIsNone(probe.outcome)
        self.assertEqual(self.connections.left, 1)
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_others_have_it(self) -> None:
        """
        If a browser has seen something, it may come to us, for half a second; what
        comes meanwhile from other sources, too.
        """
        probe = self.get()
        # A message may have whatever headers.
        seen = message("b0", b"1", browser="end", priority="4")
        self.peer.send(seen, message("b1", browser="end"))
        self.assertEqual([each["id"] for each in self.answered()], ["s2"])
        self.peer.clock.advance(0.1)
        self.assertEqual([each["id"] for each in self.answered()], ["s3"])
        self.peer.clock.advance(0.39)
        self.assertFalse(probe.fired)
        self.peer.clock.advance(0.02)
        self.assertIsNone(probe.outcome)
        self.assertEqual(self.connections.left, 1)
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_comes_late(self) -> None:
        """What comes while it is waited for is got, from whatever source."""
        for source in ("s2", "s3"):
            self.setUp()
            self.get()
            self.peer.send(message("b0", b"1"), message("b1", browser="end"))
            self.answered()
            self.peer.clock.advance(0.1)
            self.answered()
            self.peer.send(message(source, b"late", ack="x"))
            self.alone()
            self.peer.lose()

    def test_browser_is_silent(self) -> None:
        """A source of which nothing is seen is waited for as if it had something."""
        probe = self.get("/queue/a")
        self.peer.clock.advance(0.5)
        (subscribed,) = self.answered()
        self.peer.send(message(subscribed["id"], b"1", ack="x"))
        only = self.alone()
        self.peer.send(message(only, b"1", ack="z"))
        self.assertEqual(probe.outcome.frame.body, b"1")

    def test_refused(self) -> None:
        """Who may not read is told so, and the socket is given up."""
        getting = recipes.get(DESTINATIONS, False, self.connections)
        probe = Probe(Deferred.fromCoroutine(getting))
        first, second = self.written()
        text = "User a is not authorized to read from: queue"
        for each in (first, second):
            error = frame("ERROR", receipt_id=each["receipt"], message=text)
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

    def test_lost_with_a_message(self) -> None:
        """A message that came over a socket that is lost is not handed out."""
        getting = recipes.get(DESTINATIONS, False, self.connections)
        probe = Probe(Deferred.fromCoroutine(getting))
        browser, _ = self.answered()
        self.peer.send(message(browser["id"], b"1"), message("b1", browser="end"))
        (first,) = self.written()
        self.peer.send(message("s2", b"1"), receipt(first["receipt"]))
        self.peer.lose()
        self.assertIsInstance(probe.outcome, SessionLost)

    def test_cancelled(self) -> None:
        """Cancelling drops the socket, so that the broker has all back."""
        probe = self.get()
        probe.deferred.cancel()
        self.assertIsInstance(probe.outcome, CancelledError)
        self.assertEqual(self.connections.dropped, 1)
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])
        self.peer.send(message("s0", b"1"))
