"""Heartbeats, when the wall clock is set while they run."""

from __future__ import annotations

from itertools import pairwise

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.support.amqp_peer import Peer
from tests.support.jumpy_reactor import JumpyReactor
from txkombu._util import steady_clock
from txkombu.transport.connect import connect
from txkombu.transport.heartbeat import Heartbeat
from txkombu.transport.protocol import CLOSE_SECONDS
from txkombu.url import Parameters

HOUR = 3600
INTERVAL = 20.0


class WallClockTests(SynchronousTestCase):
    """A wall clock that is set makes neither side take the other for dead."""

    def setUp(self) -> None:
        self.reactor = JumpyReactor()
        self.patch(steady_clock, "monotonic", self.reactor.monotonic)
        self.beats: list[float] = []
        self.deaths: list[float] = []
        self.wrote = False
        self.heartbeat = Heartbeat(self.reactor, self.beat, self.dead, self.has_written)
        self.heartbeat.start(INTERVAL)

    def beat(self) -> None:
        """Note that one was sent."""
        self.wrote = True
        self.beats.append(self.reactor.passed)

    def has_written(self) -> bool:
        """Tell whether one was sent since this was last asked."""
        wrote, self.wrote = self.wrote, False
        return wrote

    def dead(self) -> None:
        """Note that the peer was given up."""
        self.deaths.append(self.reactor.passed)

    def run_with_peer(self, seconds: int) -> None:
        """Let time pass with a peer that says something every ten seconds."""
        for _ in range(seconds // 10):
            self.reactor.advance(10)
            self.heartbeat.heard()

    def longest_pause(self) -> float:
        """Return the longest time in which no heartbeat was sent, in seconds."""
        times = [0.0, *self.beats, self.reactor.passed]
        return max(b - a for a, b in pairwise(times))

    def test_set_forward(self) -> None:
        """A clock that is set forward, again and again, changes nothing."""
        for _ in range(20):
            self.run_with_peer(30)
            self.reactor.set_clock(HOUR)
        self.assertEqual(self.deaths, [])
        self.assertEqual(len(self.beats), 60)
        self.assertLessEqual(self.longest_pause(), INTERVAL / 2)

    def test_set_back(self) -> None:
        """A clock that is set back delays heartbeats only until the peer's next one."""
        for _ in range(20):
            self.run_with_peer(30)
            self.reactor.set_clock(-HOUR)
        self.assertEqual(self.deaths, [])
        self.assertLess(self.longest_pause(), 2 * INTERVAL)

    def test_silent_peer(self) -> None:
        """A silent peer is given up after the same time as ever."""
        self.reactor.advance(11)
        self.heartbeat.heard()
        self.reactor.set_clock(HOUR)
        self.reactor.advance(35)
        self.assertEqual(self.deaths, [])
        self.reactor.advance(20)
        self.assertEqual(len(self.deaths), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_no_stall(self) -> None:
        """A clock that was set forward is not taken for a blocked reactor."""
        self.run_with_peer(30)
        self.reactor.set_clock(HOUR)
        self.assertEqual(self.heartbeat.note_of_stall(), "")


class _Endpoint:
    """Never connects."""

    def connect(self, factory: object) -> Deferred[None]:
        return Deferred()


class AttemptTests(SynchronousTestCase):
    """Connecting and closing take as long as they may."""

    def setUp(self) -> None:
        self.reactor = JumpyReactor()
        self.patch(steady_clock, "monotonic", self.reactor.monotonic)
        self.peer = Peer(clock=self.reactor)

    def test_connecting(self) -> None:
        """An attempt has its whole time, and no more."""
        endpoint = _Endpoint()
        parameters = Parameters(connect_timeout=10)
        attempt = connect(self.peer.session, parameters, endpoint, self.reactor)  # type: ignore[arg-type]  # all that is needed
        self.reactor.set_clock(HOUR)
        self.reactor.advance(9)
        self.assertNoResult(attempt)
        self.reactor.advance(1)
        self.failureResultOf(attempt, TimeoutError)

    def test_closing(self) -> None:
        """A peer that has to close the connection has its whole time, and no more."""
        self.peer.log_in()
        closing = self.peer.session.close()
        self.reactor.set_clock(HOUR)
        self.reactor.advance(CLOSE_SECONDS - 1)
        self.assertNoResult(closing)
        self.reactor.advance(1)
        self.successResultOf(closing)
