"""Setting the system's time forward ends nothing early over STOMP."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import ChannelWatcher, Journal, Probe, SessionWatcher
from tests.support.jumpy_reactor import STEP, JumpyReactor
from tests.support.scripted_stomp_broker import ScriptedBroker
from tests.support.stomp_peer import Peer, frame
from txkombu import Queue
from txkombu._util import steady_clock
from txkombu.exceptions import SessionLost
from txkombu.transport.protocol import CLOSE_SECONDS
from txkombu.transport.stomp import StompTransport
from txkombu.url import Parameters

HOUR = 3600
RABBITMQ, ACTIVEMQ = "RabbitMQ/3.10.8", "ActiveMQ/5.17.2"


class WallClockTests(SynchronousTestCase):
    """Everything takes the time it may."""

    def open(self, server: str) -> None:
        """Open a channel on a broker."""
        self.reactor = JumpyReactor()
        self.patch(steady_clock, "monotonic", self.reactor.monotonic)
        self.broker = ScriptedBroker(server, lambda: None)
        self.journal = Journal()
        clock: Any = self.reactor
        self.session: Any = self.done(
            StompTransport().connect(
                Parameters("stomp", heartbeat=0),
                self.broker,
                clock,
                SessionWatcher(self.journal),
            )
        )
        self.addCleanup(self.session.abort)
        opening = self.session.open_channel(ChannelWatcher(self.journal))
        self.channel: Any = self.done(opening)

    def answer(self) -> None:
        """Answer everything."""
        while self.broker.answer():
            pass

    def done(self, doing: Deferred[Any]) -> Any:
        """Answer everything until it is done."""
        probe = Probe(doing)
        self.answer()
        self.assertTrue(probe.fired)
        return probe.outcome

    def assertTakes(self, seconds: float, probe: Probe) -> None:
        """It takes so long from now on, whatever the wall clock says."""
        self.reactor.set_clock(HOUR)
        self.answer()
        self.assertFalse(probe.fired)
        if seconds > STEP:
            self.reactor.advance(seconds - STEP)
            self.answer()
            self.assertFalse(probe.fired)
        for _ in range(3):
            self.reactor.advance(STEP)
            self.answer()
        self.assertTrue(probe.fired)

    def test_spare_socket(self) -> None:
        """The socket of a declaration is kept for the next one."""
        for server in (RABBITMQ, ACTIVEMQ):
            self.open(server)
            self.done(self.channel.queue_declare(Queue("q"), False))
            [*_, line] = self.broker.lines
            self.reactor.set_clock(HOUR)
            self.answer()
            self.assertTrue(line.is_open)
            self.reactor.advance(STEP)
            self.answer()
            self.assertFalse(line.is_open)

    def test_purge(self) -> None:
        """Purging waits for what comes late."""
        for server, seconds in ((RABBITMQ, 0.2), (ACTIVEMQ, 0.5)):
            self.open(server)
            purging = Probe(self.channel.queue_purge(Queue("q")))
            self.answer()
            self.assertTakes(seconds, purging)
            self.assertEqual(purging.outcome, 0)

    def test_get(self) -> None:
        """So does getting from a queue that hands out late."""
        for server, seconds in ((RABBITMQ, 0.2), (ACTIVEMQ, 0.5)):
            self.open(server)
            queue = (
                Queue("q", queue_type="quorum") if server == RABBITMQ else Queue("q")
            )
            getting = Probe(self.channel.basic_get(queue, False))
            self.answer()
            self.assertTakes(seconds, getting)
            self.assertIsNone(getting.outcome)

    def test_check(self) -> None:
        """A broker has its whole time to show that it is there."""
        self.open(RABBITMQ)
        checking = Probe(self.session.connections.check())
        self.reactor.set_clock(HOUR)
        self.reactor.advance(CLOSE_SECONDS - STEP)
        self.assertFalse(checking.fired)
        self.reactor.advance(2 * STEP)
        self.assertIs(checking.outcome, False)
        self.assertIsInstance(self.journal.all("session_lost")[0], SessionLost)

    def test_closing(self) -> None:
        """So has one that has to answer the close of a session."""
        self.open(RABBITMQ)
        self.done(self.channel.close())
        closing = Probe(self.session.close())
        self.reactor.set_clock(HOUR)
        self.reactor.advance(CLOSE_SECONDS - STEP)
        self.assertFalse(closing.fired)
        self.reactor.advance(2 * STEP)
        self.assertTrue(closing.fired)

    def test_doubt(self) -> None:
        """An error that names no cause is held back for that of another one."""
        self.reactor = JumpyReactor()
        self.patch(steady_clock, "monotonic", self.reactor.monotonic)
        clock: Any = self.reactor
        peer = Peer(clock=clock)
        peer.log_in()
        _, waiting = peer.socket.receipt()
        seen = Probe(waiting)
        peer.send(frame("ERROR", b"{badmatch,closing}", message="Processing error"))
        self.reactor.set_clock(HOUR)
        self.reactor.advance(1 - STEP)
        self.assertFalse(seen.fired)
        self.reactor.advance(2 * STEP)
        self.assertTrue(seen.fired)
