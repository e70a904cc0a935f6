"""What takes time on STOMP while somebody sets the wall clock."""

from __future__ import annotations

from typing import Any

from tests.contract.harness import DEFAULT, Inbox, Probe, consume, publish
from tests.support.jumpy_reactor import JumpyReactor
from tests.support.stomp_fakes import StompTestCase
from txkombu._util import steady_clock
from txkombu.entity import Queue
from txkombu.transport.protocol import CLOSE_SECONDS

HOUR = 3600


class WallClockTests(StompTestCase):
    """Closing and cancelling take as long as they may."""

    prompt = False

    def make_clock(self) -> Any:
        reactor = JumpyReactor()
        self.patch(steady_clock, "monotonic", reactor.monotonic)
        return reactor

    def ends_in_time(self, waiting: Probe) -> None:
        """It has its whole time, and no more."""
        self.clock.set_clock(HOUR)
        self.clock.advance(CLOSE_SECONDS - 1)
        self.assertFalse(waiting.fired)
        self.clock.advance(1)
        self.assertDone(waiting)

    def test_closing(self) -> None:
        """A channel that closes waits for a receipt."""
        sent = Probe(publish(self.channel, DEFAULT, "q"))
        self.ends_in_time(Probe(self.channel.close()))
        self.assertTrue(sent.fired)

    def test_cancelling(self) -> None:
        """A consumer that is cancelled waits for what is under way to it."""
        self.dialect.stops = True
        started = Probe(consume(self.channel, Queue("q"), "t", Inbox()))
        socket = self.connector.accept()
        socket.answer_all()
        self.assertDone(started)
        socket.deliver("s1")
        self.ends_in_time(Probe(self.channel.basic_cancel("t")))
