"""Taking all that a queue has, though more may come."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import Probe
from tests.support.stomp_peer import Peer, message, receipt
from txkombu.exceptions import SessionLost
from txkombu.transport.stomp.draining import MOST_SECONDS, Drain

IDLE = 0.2
STEP = 0.01


class DrainTests(SynchronousTestCase):
    """A broker that hands out what it has, and what comes."""

    def setUp(self) -> None:
        self.peer = Peer()
        self.peer.log_in()
        self.drain = Drain(self.peer.socket, self.peer.clock, IDLE)
        self.peer.socket.subscribe("s1", self.drain.take, lambda error: None)
        self.sent = 0

    def run_drain(self) -> Probe:
        """Begin to take messages."""
        self.peer.frames()
        return Probe(Deferred.fromCoroutine(self.drain.run()))

    def answer(self) -> None:
        """Answer what was asked for, until nothing is."""
        while asked := self.peer.frames():
            for each in asked:
                if "receipt" in each.headers:
                    self.peer.send(receipt(each.headers["receipt"]))

    def send(self, number: int, body: bytes = b"") -> None:
        """Hand out messages."""
        self.sent += number
        self.peer.send(message("s1", body) * number)

    def wait(self, draining: Probe, number: int = 0, body: bytes = b"") -> float:
        """Hand out so many messages a time until it ends; return when that was."""
        passed = 0.0
        while not draining.fired and passed < 60:
            self.answer()
            self.send(number, body)
            self.peer.clock.advance(STEP)
            passed += STEP
        return passed

    def assertTaken(self, draining: Probe) -> None:
        """It ended in order, and counted all that was handed out until then."""
        self.assertIsNone(draining.outcome)
        self.assertEqual(self.drain.number, self.sent)
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_empty(self) -> None:
        """If nothing comes for a while, nothing is there."""
        draining = self.run_drain()
        self.assertLess(self.wait(draining), 0.25)
        self.assertTaken(draining)

    def test_few(self) -> None:
        """A few messages are all there are if nothing follows for a while."""
        draining = self.run_drain()
        self.send(3)
        self.assertLess(self.wait(draining), 0.25)
        self.assertTaken(draining)

    def test_late(self) -> None:
        """What a broker hands out late is taken."""
        draining = self.run_drain()
        self.answer()
        self.peer.clock.advance(IDLE - STEP)
        self.send(3)
        self.wait(draining)
        self.assertEqual(self.drain.number, 3)
        self.assertTaken(draining)

    def test_busy(self) -> None:
        """To messages that come one by one there is an end, and soon."""
        draining = self.run_drain()
        self.assertLess(self.wait(draining, 1), 1)
        self.assertTaken(draining)

    def test_all_of_many(self) -> None:
        """All that is there is taken, however long that takes, and what falters."""
        draining = self.run_drain()
        for _ in range(30):
            for _ in range(20):
                self.answer()
                self.send(10)
                self.peer.clock.advance(STEP)
            self.answer()
            self.peer.clock.advance(0.3)
        self.assertFalse(draining.fired)
        self.wait(draining)
        self.assertTaken(draining)

    def test_large(self) -> None:
        """Large messages, which take their time, are not taken for new ones."""
        draining = self.run_drain()
        for _ in range(500):
            self.answer()
            self.send(1, b"x" * 50_000)
            self.peer.clock.advance(STEP)
        self.assertFalse(draining.fired)
        self.wait(draining)
        self.assertTaken(draining)

    def test_slow_network(self) -> None:
        """What was handed out is waited for, however late it comes."""
        draining = self.run_drain()
        self.answer()
        self.peer.clock.advance(IDLE)
        [*_, fence] = self.peer.frames()
        self.peer.clock.advance(60)
        self.assertFalse(draining.fired)
        self.send(3)
        self.peer.send(receipt(fence.headers["receipt"]))
        self.assertFalse(draining.fired)
        self.peer.socket.abort()
        self.assertIsInstance(draining.outcome, SessionLost)

    def test_flood(self) -> None:
        """If as much comes as the broker can hand out it ends some time."""
        draining = self.run_drain()
        self.assertLess(self.wait(draining, 20), MOST_SECONDS + 1)
        self.assertTaken(draining)

    def test_given_up(self) -> None:
        """A cancelled one leaves nothing behind, and so does a lost one."""
        draining = self.run_drain()
        self.answer()
        draining.deferred.cancel()
        self.assertIsInstance(draining.outcome, CancelledError)
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])
