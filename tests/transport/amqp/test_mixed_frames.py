"""
Several consumers, get and no_ack on one channel, settled in any order.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import Inbox, Probe, consume
from tests.support.amqp_peer import Basic, Peer
from tests.transport.amqp.test_hostile import BORROWED
from txkombu.entity import Queue
from txkombu.interfaces import Delivery, Settlement

QUEUE = Queue("q")


class StrictBroker:
    """
    What a broker holds of one channel; it ends it over any tag it does not know.

    @ivar awaiting: the tags that await settlement.
    @ivar settled: what became of the others.
    """

    def __init__(self) -> None:
        self.awaiting: set[int] = set()
        self.settled: dict[int, str] = {}

    def take(self, method: Any) -> None:
        """Take a method of the client."""
        if isinstance(method, Basic.Ack | Basic.Nack | Basic.Reject):
            assert method.delivery_tag in self.awaiting, "unknown delivery tag"
            tags = {method.delivery_tag}
            if getattr(method, "multiple", False):
                tags |= {each for each in self.awaiting if each < method.delivery_tag}
            self.awaiting -= tags
            self.settled.update(dict.fromkeys(tags, method.name))


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["a", "b", "no_ack", "get", "get_no_ack", "turn", "ack", "nack", "reject"]
        ),
        st.integers(0, 30),
        st.booleans(),
    ),
    max_size=60,
)


class MixedTests(SynchronousTestCase):
    """One channel with all kinds of deliveries."""

    def begin(self) -> None:
        """Open a channel with two consumers, and one with no_ack."""
        self.peer = Peer()
        self.peer.log_in(heartbeat=0)
        self.channel = self.peer.channel()
        self.got: list[Delivery] = []
        for tag in ("a", "b", "no_ack"):
            no_ack = tag == "no_ack"
            inbox = Inbox(None if no_ack else self.got.append)
            Probe(consume(self.channel, QUEUE, tag, inbox, no_ack))
            self.peer.send(1, *self.replies(tag))
        self.broker = StrictBroker()
        self.meant: dict[int, str] = {}
        self.flushes: list[Deferred[Settlement]] = []
        self.last = 0

    def replies(self, tag: str) -> list[Any]:
        """Return the replies to what starts a consumer."""
        found = [Basic.ConsumeOk(tag)]
        return [Basic.QosOk(), *found] if "Basic.Qos" in self.peer.names() else found

    def arrive(self, kind: str) -> None:
        """Deliver a message."""
        self.last += 1
        no_ack = kind.endswith("no_ack")
        if not no_ack:
            self.broker.awaiting.add(self.last)
        if not kind.startswith("get"):
            self.peer.deliver(1, self.last, kind)
            return
        getting = Probe(self.channel.basic_get(QUEUE, no_ack))
        self.read()
        method = Basic.GetOk(self.last, False, "", "q", 0)
        self.peer.send_content(1, method, b"x")
        if not no_ack:
            self.got.append(getting.outcome)

    def settle(self, how: str, index: int, multiple: bool) -> None:
        """Settle a delivery, or all up to it."""
        if not self.got:
            return
        tag = self.got[index % len(self.got)].tag
        multiple = multiple and how != "reject"
        chosen = {tag} | {each.tag for each in self.got if multiple and each.tag < tag}
        chosen -= self.meant.keys()
        if tag in self.meant:
            return
        if how == "ack":
            settlement = self.channel.ack(tag, multiple)
            self.flushes.append(self.channel.when_flushed())
        elif how == "nack":
            settlement = self.channel.nack(tag, multiple, True)
        else:
            settlement = self.channel.reject(tag, False)
        self.assertIs(settlement, Settlement.SENT)
        self.meant.update(dict.fromkeys(chosen, f"Basic.{how.title()}"))

    def read(self) -> None:
        """Have the broker read what was sent."""
        for _, method in self.peer.taken():
            self.broker.take(method)

    @settings(max_examples=150, suppress_health_check=BORROWED)
    @given(_STEPS)
    def test_any_order(self, steps: list[tuple[str, int, bool]]) -> None:
        """
        The broker is told of every settlement as it was meant, in the same turn, and
        never of a tag that awaits none.
        """
        self.begin()
        for kind, index, multiple in steps:
            if kind in ("ack", "nack", "reject"):
                self.settle(kind, index, multiple)
            elif kind == "turn":
                self.turn()
            else:
                self.arrive(kind)
            self.read()
        self.turn()
        self.peer.lose()
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def turn(self) -> None:
        """Let one reactor turn pass."""
        self.peer.clock.advance(0)
        self.read()
        self.assertEqual(self.broker.settled, self.meant)
        for each in self.flushes:
            self.assertIs(self.successResultOf(each), Settlement.SENT)
        self.flushes.clear()

    def test_one_turn(self) -> None:
        """The acks of what came in one piece are one ack, in one write."""
        self.begin()
        channel = self.channel
        inbox = Inbox(lambda delivery: channel.ack(delivery.tag, False))
        Probe(consume(channel, QUEUE, "c", inbox))
        self.peer.send(1, *self.replies("c"))
        writes: list[bytes] = []
        self.patch(self.peer.wire, "write", writes.append)
        stream: list[bytes] = []
        self.patch(self.peer.session, "dataReceived", stream.append)
        for tag in range(1, 51):
            self.peer.deliver(1, tag, "c")
        type(self.peer.session).dataReceived(self.peer.session, b"".join(stream))
        self.assertEqual(len(inbox.bodies), 50)
        self.assertEqual(len(writes), 1)
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])
