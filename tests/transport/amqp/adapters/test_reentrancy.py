"""
Callbacks that begin further operations, whenever they are called.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.support.amqp_peer import Peer
from tests.support.pika_peer import PIKA
from tests.support.txamqp_peer import TXAMQP
from tests.transport.amqp.adapters.test_adapters_agree import Life, Step, steps

DEPTH: Final = 4
_ASKED: Final = ("ask", "send", "start", "stop", "settle", "cancel", "close", "abort")
_interruptions = st.lists(
    st.none() | st.tuples(st.sampled_from(_ASKED), st.integers(0, 60), st.booleans()),
    max_size=60,
)


class Interrupted(Life):
    """
    One session whose owner takes another step whenever it is called back: by what it
    waits for, and by the transport that takes what is written.
    """

    def __init__(self, peer: Peer, steps: list[Step | None]) -> None:
        super().__init__(peer)
        self._steps = steps
        self._depth = 0
        self._write = peer.wire.write
        peer.wire.write = self.write  # type: ignore[method-assign]  # in its place, for this test

    def write(self, data: bytes) -> None:
        """Take what is written, and call back."""
        self._write(data)
        self.interrupt()

    def watch(self, begun: Deferred[Any]) -> None:
        """Note what becomes of an operation, and take another step then."""
        super().watch(begun)
        begun.addCallback(lambda _: self.interrupt())

    def interrupt(self) -> None:
        """Take the next step, unless that goes too deep."""
        if self._depth == DEPTH or not self._steps:
            return
        step = self._steps.pop()
        self._depth += 1
        if step is not None:
            name, number, flag = step
            getattr(self, name)(number % 2, number // 2, flag)
        self._depth -= 1

    def abort(self, at: int, number: int, flag: bool) -> None:
        """Drop the connection."""
        self.peer.session.abort()


class ReentranceTests(SynchronousTestCase):
    """Whatever callbacks do, everything fires, once."""

    @settings(max_examples=80, deadline=None)
    @given(st.lists(steps, min_size=10, max_size=40), _interruptions)
    @example(
        [("start", 0, False), *[("answer", 0, True)] * 2, ("stop", 0, False)],
        [("abort", 0, False), None, None],
    )
    def test_all_fires(
        self, script: list[Step], interruptions: list[Step | None]
    ) -> None:
        """When the session is over, nothing is outstanding, and no timer is left."""
        for kind in (Peer, TXAMQP.peer, PIKA.peer):
            life = Interrupted(kind(), list(interruptions))
            life.play(script)
            for probe in life.probes:
                self.assertEqual(len(probe.outcomes), 1)
            self.assertEqual(life.peer.clock.getDelayedCalls(), [])
            self.assertEqual(life.peer.session._channels, {})
