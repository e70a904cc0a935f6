"""
The adapters beside the native transport: whatever is asked of them, and whatever a
broker does, they do the same, byte for byte.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pamqp.frame import marshal
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import DEFAULT, OPERATIONS, Inbox, Probe, consume, publish
from tests.support.amqp_peer import Basic, Channel, Connection, Peer, reply_to
from tests.support.pika_peer import PIKA
from tests.support.txamqp_peer import TXAMQP
from txkombu.entity import Exchange, Queue
from txkombu.interfaces import Delivery

QUEUE, EXCHANGE = Queue("q"), Exchange("e")
Step = tuple[str, int, bool]
"""What is done, which one of several, and how."""
CHANNELS: Final = 2
TAGS: Final = ("one", "two")
BODIES: Final = (b"", b"text", bytes(range(256)) * 40)
"""None, a short one, and one of several frames."""
REFUSALS: Final = (
    Channel.Close(404, "NOT_FOUND - no exchange 'e' in vhost '/'", 60, 40),
    Channel.Close(404, "NOT_FOUND - no queue 'q' in vhost '/'", 50, 10),
    Channel.Close(406, "PRECONDITION_FAILED - unknown delivery tag 1", 60, 80),
)
UNASKED: Final = (
    b"\x07",
    marshal(Basic.ConsumeOk("nobody"), 1),
    marshal(Channel.CloseOk(), 2),
    marshal(Channel.OpenOk(), 3),
    marshal(Connection.Close(320, "CONNECTION_FORCED", 0, 0), 0),
    marshal(Connection.Close(540, "NOT_IMPLEMENTED", 60, 100), 0),
    marshal(Connection.CloseOk(), 0),
)


class Life:
    """
    One session, played after a script.

    @ivar seen: what was seen of it after each step.
    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.peer.log_in(heartbeat=8, frame_max=4096)
        self.channels = [self.peer.channel() for _ in range(CHANNELS)]
        self.probes: list[Probe] = []
        self.inboxes: list[Inbox] = []
        self.asked: deque[tuple[int, Any]] = deque()
        self.delivered = [0] * CHANNELS
        self.published = [0] * CHANNELS
        self.seen: list[object] = []

    def play(self, script: list[Step]) -> None:
        """Take each step, and then lose the connection."""
        for name, number, flag in script:
            getattr(self, name)(number % CHANNELS, number // CHANNELS, flag)
            self.note(name)
        self.peer.lose()
        self.note("lost")

    def note(self, name: str) -> None:
        """Note what can be seen."""
        written = self.peer.wire.value()
        self.asked += self.peer.taken()
        wire = self.peer.wire
        self.seen.append(
            (
                name,
                written,
                [[_shown(each) for each in probe.outcomes] for probe in self.probes],
                [(what, _shown(told)) for what, told in self.peer.journal.entries],
                [list(map(_all_of, inbox.journal.entries)) for inbox in self.inboxes],
                (wire.disconnecting, wire.aborted),
            )
        )

    def begin(self, act: Callable[[], Deferred[Any]]) -> None:
        """Begin an operation, and note the error if it raises one."""
        try:
            self.watch(act())
        except ValueError as error:
            self.seen.append(str(error))

    def watch(self, begun: Deferred[Any]) -> None:
        """Note what becomes of an operation."""
        self.probes.append(Probe(begun))

    # --- what is asked -------------------------------------------------------

    def ask(self, at: int, number: int, flag: bool) -> None:
        """Begin any operation."""
        operation = list(OPERATIONS.values())[number % len(OPERATIONS)]
        self.begin(lambda: operation(self.channels[at], QUEUE, EXCHANGE))

    def send(self, at: int, number: int, flag: bool) -> None:
        """Publish."""
        options = {"message_id": f"m{number % 2}", "headers": {"f": 0.5, "n": [None]}}
        body = BODIES[number % len(BODIES)]
        to = (EXCHANGE, DEFAULT)[number % 2]
        self.watch(
            publish(
                self.channels[at], to, "key", body, flag, number % 4 != 3, **options
            )
        )
        self.peer.clock.advance(0)  # native publishes are written when the turn ends

    def start(self, at: int, number: int, flag: bool) -> None:
        """Start a consumer."""
        inbox = Inbox()
        self.inboxes.append(inbox)
        tag = TAGS[number % 2]
        self.begin(lambda: consume(self.channels[at], QUEUE, tag, inbox, flag))

    def stop(self, at: int, number: int, flag: bool) -> None:
        """End a consumer."""
        self.begin(lambda: self.channels[at].basic_cancel(TAGS[number % 2]))

    def settle(self, at: int, number: int, flag: bool) -> None:
        """Settle a delivery, or several."""
        channel, tag = self.channels[at], number // 3
        how = number % 3
        if how == 0:
            self.seen.append(channel.ack(tag, flag))
        elif how == 1:
            self.seen.append(channel.nack(tag, flag, True))
        else:
            self.seen.append(channel.reject(tag, flag))
        self.begin(channel.when_flushed)

    def cancel(self, at: int, number: int, flag: bool) -> None:
        """Cancel what was begun before."""
        if self.probes:
            self.probes[-1 - number % len(self.probes)].deferred.cancel()

    def close(self, at: int, number: int, flag: bool) -> None:
        """Close a channel, or all of it."""
        if number % 8 == 0:
            self.begin(self.peer.session.close)
        else:
            self.begin(self.channels[at].close)

    def turn(self, at: int, number: int, flag: bool) -> None:
        """Let time pass: none, or seconds."""
        self.peer.clock.advance(number % 3)

    # --- what the broker does ------------------------------------------------

    def answer(self, at: int, number: int, flag: bool) -> None:
        """Answer what was asked first."""
        if not self.asked:
            return
        channel, method = self.asked.popleft()
        if isinstance(method, Basic.Publish):
            self.published[channel - 1] += 1
            verdict = Basic.Nack if number % 4 == 0 else Basic.Ack
            self.come(marshal(verdict(self.published[channel - 1], flag), channel))
        elif isinstance(method, Basic.Get) and flag:
            got = Basic.GetOk(self.next_tag(channel - 1), flag, "", "q", 0)
            self.peer.send_content(channel, got, BODIES[number % 2])
        elif (reply := reply_to(method)) is not None:
            self.come(marshal(reply, channel))

    def next_tag(self, at: int) -> int:
        """Return the tag of one more delivery."""
        self.delivered[at] += 1
        return self.delivered[at]

    def deliver(self, at: int, number: int, flag: bool) -> None:
        """Deliver a message to one of the consumers, who need not be there."""
        method = Basic.Deliver(TAGS[number % 2], self.next_tag(at), flag, "e", "key")
        self.peer.send_content(at + 1, method, BODIES[number % len(BODIES)][:4000])

    def give_back(self, at: int, number: int, flag: bool) -> None:
        """Return a message."""
        method = Basic.Return(312, "NO_ROUTE", ("", "e")[flag], "key")
        self.peer.send_content(at + 1, method, b"returned")

    def tell(self, at: int, number: int, flag: bool) -> None:
        """Say something that was not asked for."""
        tag = TAGS[number % 2]
        self.come(
            marshal(Basic.Cancel(tag, flag), at + 1)
            if number % 3 == 0
            else marshal(Channel.Flow(flag), at + 1)
            if number % 3 == 1
            else marshal((Connection.Blocked("why"), Connection.Unblocked())[flag], 0)
        )

    def refuse(self, at: int, number: int, flag: bool) -> None:
        """Close a channel."""
        self.come(marshal(REFUSALS[number % len(REFUSALS)], at + 1))

    def err(self, at: int, number: int, flag: bool) -> None:
        """Break the protocol, or close the connection."""
        self.come(UNASKED[number % len(UNASKED)])

    def come(self, data: bytes) -> None:
        """Have bytes arrive, the first of them alone."""
        for piece in (data[:1], data[1:]):
            self.peer.session.dataReceived(piece)


def _shown(what: object) -> object:
    """Return something that can be compared."""
    if isinstance(what, Exception):
        return type(what), str(what)
    if isinstance(what, Delivery):
        return what.tag, what.redelivered, what.body, what.properties
    return what


def _all_of(entry: tuple[str, object]) -> tuple[str, object]:
    what, told = entry
    return what, _shown(told)


_OFTEN: Final = ("ask", "send", "start", "deliver", "settle", *["answer"] * 3)
_SELDOM: Final = ("stop", "cancel", "turn", "give_back", "tell", "refuse", "close")
steps = st.tuples(
    st.sampled_from((*_OFTEN * 2, *_SELDOM, "err")), st.integers(0, 60), st.booleans()
)


class AlikeTests(SynchronousTestCase):
    """The same script for each transport."""

    def lived(self, peer: Peer, script: list[Step]) -> list[object]:
        """
        Play a script; check that everything has fired then, and that no timer is left.
        """
        life = Life(peer)
        life.play(script)
        for probe in life.probes:
            self.assertEqual(len(probe.outcomes), 1)
        self.assertEqual(peer.clock.getDelayedCalls(), [])
        return life.seen

    @settings(max_examples=60, deadline=None)
    @given(st.lists(steps, min_size=15, max_size=60))
    @example([("start", 0, False), ("answer", 0, True), ("answer", 0, True)])
    def test_alike(self, script: list[Step]) -> None:
        """Bytes, outcomes and what is told are the same after each step."""
        native = self.lived(Peer(), script)
        for adapter in (TXAMQP, PIKA):
            seen = self.lived(adapter.peer(), script)
            for expected, found in zip(native, seen, strict=True):
                self.assertEqual(found, expected, adapter.scheme)


class WritingTests(SynchronousTestCase):
    """When publishes are written."""

    def test_at_once(self) -> None:
        """The adapters write each publish at once; native waits for the turn's end."""
        for peer, wanted in (
            (TXAMQP.peer(), ["Basic.Publish"]),
            (PIKA.peer(), ["Basic.Publish"]),
            (Peer(), []),
        ):
            peer.log_in(heartbeat=0)
            publish(peer.channel(), DEFAULT, "q", confirm=False)
            self.assertEqual(peer.names(), wanted)
            peer.clock.advance(0)
            self.assertEqual(peer.names(), [] if wanted else ["Basic.Publish"])
