"""
Peers that do not speak AMQP, or speak it badly on purpose.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pamqp import body, header
from pamqp.frame import marshal
from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import DEFAULT, Inbox, Probe, consume, publish
from tests.support.amqp_peer import START, Basic, Channel, Connection, Peer
from txkombu.entity import Queue
from txkombu.exceptions import (
    BrokerError,
    ChannelClosed,
    ConnectError,
    KombuError,
    ProtocolError,
    SessionLost,
)
from txkombu.transport.amqp.wire.frames import frame
from txkombu.transport.protocol import CLOSE_SECONDS

QUEUE = Queue("q")
BORROWED = [HealthCheck.differing_executors]
"""The cases are run on other transports, too: see C{adapted}."""
TUNE = Connection.Tune(2047, 131072, 60)

BEFORE_TUNE: dict[str, bytes] = {
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "another version": b"AMQP\x00\x01\x00\x00",
    "TLS": b"\x15\x03\x03\x00\x02\x02\x46",
    "a body": frame(3, 0, b"x"),
    "a header": frame(2, 0, b"x" * 14),
    "a frame of a channel": frame(1, 1, b"\x00\x14\x00\x0b\x00\x00\x00\x00"),
    "tune before start": marshal(TUNE, 0),
    "start twice": marshal(START, 0) * 2,
    "open-ok before tune": marshal(START, 0) + marshal(Connection.OpenOk(), 0),
    "an unknown method": frame(1, 0, b"\xff\xff\xff\xff"),
    "an empty method": frame(1, 0, b""),
    "a frame without its end": frame(1, 0, b"\x00\x0a\x00\x0a")[:-1] + b"x",
    "an enormous frame": b"\x01\x00\x00\xff\xff\xff\xff",
    "a blocked notice": marshal(Connection.Blocked("no"), 0),
    "tiny frames": marshal(START, 0) + marshal(Connection.Tune(0, 100, 0), 0),
}


class LoginTests(SynchronousTestCase):
    """Bytes that come before the login is over."""

    def refused(self, sent: bytes) -> ConnectError:
        """Send bytes instead of what is due, and return the error."""
        peer = Peer()
        peer.connect()
        peer.session.dataReceived(sent)
        self.assertIsInstance(peer.login.outcome, ConnectError)
        self.assertTrue(peer.wire.aborted)
        self.assertEqual(peer.clock.getDelayedCalls(), [])
        self.assertEqual(peer.journal.entries, [])
        peer.lose()
        error: ConnectError = peer.login.outcome
        return error

    def test_refused(self) -> None:
        """Whatever is not due is refused; the error says who sent it."""
        for what, sent in BEFORE_TUNE.items():
            with self.subTest(what):
                self.assertIn("the peer", str(self.refused(sent)))

    @settings(suppress_health_check=BORROWED)
    @given(st.binary(min_size=1, max_size=60))
    def test_any_bytes(self, sent: bytes) -> None:
        """
        Any bytes leave the login open or end it with a typed error; they raise nothing.
        """
        peer = Peer()
        peer.connect()
        peer.session.dataReceived(sent)
        peer.lose()
        self.assertIsInstance(peer.login.outcome, ConnectError)
        self.assertEqual(peer.clock.getDelayedCalls(), [])

    def test_frames_of_a_guest(self) -> None:
        """Before a size is agreed on, the size of frames is limited all the same."""
        too_large = b"\x01\x00\x00\x00\x02\x00\x00"
        self.assertRegex(str(self.refused(too_large)), "larger than 131072")


class Case(SynchronousTestCase):
    """A session with a channel, a consumer, and many outstanding operations."""

    def setUp(self) -> None:
        self.start()

    def start(self, clock: IReactorTime | None = None) -> None:
        """Begin with a new session."""
        self.peer = Peer(clock=clock)
        self.peer.log_in(heartbeat=0)
        self.channel = self.peer.channel()
        self.inbox = Inbox()
        started = Probe(consume(self.channel, QUEUE, "tag", self.inbox))
        self.peer.send(1, Basic.QosOk(), Basic.ConsumeOk("tag"))
        self.assertIsNone(started.outcome)
        self.waiting = [
            Probe(publish(self.channel, DEFAULT, "q")),
            Probe(publish(self.channel, DEFAULT, "q", mandatory=True, message_id="m")),
            Probe(self.channel.queue_purge(QUEUE)),
            Probe(self.channel.basic_get(QUEUE, False)),
        ]

    def ended(self) -> Exception | None:
        """
        Return the reason of the end, if the session has ended; check that nothing is
        outstanding then.
        """
        told = self.peer.journal.all("session_lost")
        self.assertLessEqual(len(told), 1)
        if not told:
            return None
        for probe in self.waiting:
            self.assertTrue(probe.fired)
        self.peer.clock.advance(2 * CLOSE_SECONDS)
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])
        (reason,) = told
        assert isinstance(reason, Exception)
        return reason

    def finish(self) -> None:
        """Lose the connection, and check that nothing is outstanding."""
        self.peer.lose()
        for probe in self.waiting:
            self.assertEqual(len(probe.outcomes), 1)
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])


def _content(size: int, properties: Any = None) -> bytes:
    return marshal(header.ContentHeader(0, size, properties or Basic.Properties()), 1)


UNREADABLE = frame(2, 1, b"\x00\x3c\x00\x00" + b"\0" * 8 + b"\x20\x00\x00\x00\x00\x09")
"""A header with headers that are longer than it."""

DELIVER = marshal(Basic.Deliver("tag", 1, False, "", "q"), 1)

BROKEN: dict[str, tuple[bytes, str]] = {
    "a header without a method": (_content(1), "without a method"),
    "a body without a method": (frame(3, 1, b"x"), "without a method"),
    "a body without a header": (DELIVER + frame(3, 1, b"x"), "without a header"),
    "two headers": (DELIVER + _content(5) * 2, "second header"),
    "a method in a content": (DELIVER + DELIVER, "midst of a content"),
    "a whole delivery in a content": (
        DELIVER + DELIVER + _content(1) + frame(3, 1, b"x"),
        "midst of a content",
    ),
    "a body that is too long": (
        DELIVER + _content(3) + frame(3, 1, b"four"),
        "longer than its header",
    ),
    "a body that is too long in the end": (
        DELIVER + _content(3) + frame(3, 1, b"tw") + frame(3, 1, b"oo"),
        "longer than its header",
    ),
    "a short header": (DELIVER + frame(2, 1, b"\x00\x3c"), "cut short"),
    "another class": (DELIVER + frame(2, 1, b"\x00\x0a" + b"\0" * 12), "class 10"),
    "a heartbeat of a channel": (frame(8, 1, b""), "without a method"),
    "a channel that is not open": (frame(1, 9, b"\x00\x3c\x00\x0b"), "channel 9"),
    "a delivery to such a channel": (
        marshal(Basic.Deliver("tag", 1, False, "", "q"), 9)
        + marshal(header.ContentHeader(0, 0, Basic.Properties()), 9),
        "channel 9",
    ),
    "an unknown type": (b"\x07\x00\x01\x00\x00\x00\x00\xce", "begins with"),
    "an unknown method": (frame(1, 1, b"\x00\x3c\xff\xff"), "unknown method 60"),
    "a cut method": (frame(1, 1, b"\x00\x3c\x00\x3c\x03ta"), "cut short"),
    "a method of the client": (marshal(Basic.Ack(1), 0), "answers nothing"),
    "a frame that is too large": (b"\x03\x00\x01\x7f\xff\xff\xff", "larger than"),
    "no end": (frame(1, 1, b"\x00\x3c\x00\x0b")[:-1] + b"\0", "lacks its end"),
    "an unasked reply": (
        marshal(Basic.GetOk(1, False, "", "q", 0), 1) + _content(0),
        "answers nothing",
    ),
    "a name that is no text": (
        DELIVER.replace(b"\x03tag", b"\x03\xff\xfe\xfd") + _content(0),
        "not UTF-8",
    ),
}


class SessionTests(Case):
    """Bytes that come after the login."""

    def test_broken(self) -> None:
        """What breaks the protocol ends the session, and everything fires."""
        for what, (sent, text) in BROKEN.items():
            for size in (len(sent), 1):
                with self.subTest(what, size=size):
                    self.start()
                    self.peer.taken()
                    for start in range(0, len(sent), size):
                        self.peer.session.dataReceived(sent[start : start + size])
                    self.assertEqual(self.peer.names()[-1], "Connection.Close")
                    self.assertRegex(str(self.ended()), text)
                    self.assertIsInstance(self.ended(), ProtocolError)
                    self.finish()

    def test_truncated(self) -> None:
        """A frame that is never completed ends with the connection."""
        whole = DELIVER + _content(3) + frame(3, 1, b"abc")
        for size in range(1, len(whole)):
            self.start()
            self.peer.session.dataReceived(whole[:size])
            self.assertEqual(self.inbox.bodies, [])
            self.finish()
            (reason,) = self.peer.journal.all("session_lost")
            self.assertIsInstance(reason, SessionLost)

    @settings(max_examples=200, suppress_health_check=BORROWED)
    @given(st.data())
    def test_any_damage(self, data: st.DataObject) -> None:
        """Damaged frames are refused with a typed error, or are other frames."""
        self.start()
        sent = bytearray()
        for _ in range(data.draw(st.integers(1, 4))):
            sent += data.draw(
                st.sampled_from(
                    [each for each, _ in BROKEN.values()]
                    + [
                        DELIVER + _content(2) + frame(3, 1, b"ok"),
                        marshal(Basic.Ack(1, True), 1),
                        marshal(Basic.Cancel("tag"), 1),
                        marshal(Channel.Close(404, "no queue 'q'", 50, 30), 1),
                        marshal(Connection.Close(320, "bye", 0, 0), 0),
                        marshal(Connection.Blocked("why"), 0),
                    ]
                )
            )
        for _ in range(data.draw(st.integers(0, 3))):
            sent[data.draw(st.integers(0, len(sent) - 1))] = data.draw(
                st.integers(0, 255)
            )
        size = data.draw(st.integers(1, len(sent)))
        for start in range(0, len(sent), size):
            self.peer.session.dataReceived(bytes(sent[start : start + size]))
        reason = self.ended()
        if reason is not None:
            self.assertIsInstance(reason, ProtocolError | BrokerError)
        self.finish()

    def test_lengths_allocate_nothing(self) -> None:
        """The length of a frame or a body alone allocates no memory."""
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            self.peer.session.dataReceived(DELIVER + _content(2**27))
            self.peer.session.dataReceived(b"\x03\x00\x01\x00\x01\xff\xf8abc")
            _, maximum = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(maximum - before, 100_000)
        self.assertIsNone(self.ended())
        self.finish()

    def test_silence(self) -> None:
        """A peer that says nothing more is taken for dead by its heartbeats."""
        peer = Peer()
        peer.connect()
        peer.send(0, START)
        peer.send(0, TUNE)
        peer.send(0, Connection.OpenOk())
        for _ in range(200 // 5):
            peer.clock.advance(5)
        (reason,) = peer.journal.all("session_lost")
        self.assertIsInstance(reason, SessionLost)
        self.assertTrue(peer.wire.aborted)
        peer.lose()
        self.assertEqual(peer.clock.getDelayedCalls(), [])

    def test_returns_that_cannot_be_read(self) -> None:
        """A returned message whose properties cannot be read ends the session."""
        returned = marshal(Basic.Return(312, "NO_ROUTE", "", "q"), 1)
        self.peer.session.dataReceived(returned + UNREADABLE)
        self.assertIsInstance(self.ended(), ProtocolError)
        self.finish()

    def test_delivery_that_cannot_be_read(self) -> None:
        """
        A delivery whose properties cannot be read is an error for its consumer only.
        """
        self.peer.session.dataReceived(DELIVER + UNREADABLE)
        (delivery,) = self.inbox.journal.all("delivery")
        for _ in range(2):
            with self.assertRaisesRegex(KombuError, "a message's properties"):
                _ = delivery.properties
        self.assertIsNone(self.ended())
        self.finish()

    def test_consumer_timeout(self) -> None:
        """
        A channel that the broker closes because nothing was acked ends with that error,
        which fails no operation in particular.
        """
        text = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out"
        self.peer.session.dataReceived(DELIVER + _content(0))
        self.peer.send(1, Channel.Close(406, text, 0, 0))
        (error,) = self.peer.journal.all("channel_lost")
        self.assertEqual((error.code, error.text), (406, text))
        for probe in self.waiting[2:]:
            self.assertIsInstance(probe.outcome, ChannelClosed)
        self.assertIsNone(self.ended())
        self.finish()


class SizeTests(Case):
    """Bodies of every size."""

    def arrive(self, size: int, piece: int, frame_max: int = 131072) -> bytes:
        """Deliver a message in pieces, and return its body."""
        content = bytes(range(256)) * (size // 256 + 1)
        content = content[:size]
        stream = [DELIVER, _content(size)]
        maximum = frame_max - 8
        stream += [
            marshal(body.ContentBody(content[start : start + maximum]), 1)
            for start in range(0, size, maximum)
        ]
        sent = b"".join(stream)
        for start in range(0, len(sent), piece):
            self.peer.session.dataReceived(sent[start : start + piece])
        (arrived,) = self.inbox.bodies
        self.assertEqual(arrived, content)
        return arrived

    def test_sizes(self) -> None:
        """
        Bodies of no byte, of one, of a full frame and of one byte more arrive whole.
        """
        for size in (0, 1, 131072 - 8, 131072 - 7, 5 * 2**20):
            for piece in (65536, 2**24):
                self.start()
                self.arrive(size, piece)
                self.finish()

    def test_byte_by_byte(self) -> None:
        """A megabyte that comes byte by byte arrives in bearable time."""
        self.arrive(2**20, 1)
        self.finish()

    def test_large(self) -> None:
        """64 MiB in pieces of 64 KiB arrive in bearable time."""
        self.arrive(64 * 2**20, 65536)
        self.finish()

    def test_returned(self) -> None:
        """A returned message of several frames arrives whole."""
        content = b"x" * 300_000
        returned = Basic.Return(312, "NO_ROUTE", "", "q")
        parts = [
            marshal(returned, 1),
            _content(len(content), Basic.Properties(message_id="m")),
            *(
                frame(3, 1, content[start : start + 100_000])
                for start in range(0, 300_000, 100_000)
            ),
        ]
        self.peer.session.dataReceived(b"".join(parts))
        self.peer.send(1, Basic.Ack(2, True))
        error = self.waiting[1].outcome
        self.assertEqual(error.returned.body, content)
        self.assertIsNone(self.waiting[0].outcome)


def _ignoring(then: Callable[[Case], object], case: Case, _: object) -> None:
    then(case)


class ReentranceTests(Case):
    """Callbacks that end a session or a channel while bytes are read."""

    def test_during_delivery(self) -> None:
        """What a delivery's callback ends, what came in the same piece finds ended."""
        given: list[tuple[str, Callable[[Case], object], int]] = [
            ("abort", lambda case: case.peer.session.abort(), 1),
            ("close", lambda case: case.peer.session.close(), 1),
            ("close channel", lambda case: case.channel.close(), 1),
            ("cancel", lambda case: case.channel.basic_cancel("tag"), 3),
            ("raise", lambda case: 1 / 0, 3),
        ]
        for name, then, number in given:
            with self.subTest(name):
                self.start()
                self.inbox._then = partial(_ignoring, then, self)
                stream = b"".join(
                    marshal(Basic.Deliver("tag", tag, False, "", "q"), 1)
                    + _content(2)
                    + frame(3, 1, b"ok")
                    for tag in (1, 2, 3)
                )
                self.peer.session.dataReceived(stream)
                self.assertEqual(len(self.inbox.bodies), number)
                self.flushLoggedErrors(ZeroDivisionError)
                self.peer.clock.advance(2 * CLOSE_SECONDS)
                self.peer.lose()

    def test_silence_after_abort(self) -> None:
        """After an abort in a callback, nothing answers what came in the same piece."""
        self.peer.taken()
        self.inbox._then = lambda _: self.peer.session.abort()
        deliver = marshal(Basic.Deliver("tag", 1, False, "", "q"), 1) + _content(0)
        self.peer.session.dataReceived(deliver + deliver)
        self.assertEqual(self.peer.frames(), [])
        self.peer.lose()

    def test_during_verdict(self) -> None:
        """What a verdict's callback ends, what came in the same piece finds ended."""
        self.waiting[0].deferred.addCallback(lambda _: self.peer.session.abort())
        self.peer.send(1, Basic.Ack(2, True), Basic.GetEmpty())
        self.assertEqual([len(each.outcomes) for each in self.waiting], [1] * 4)
        self.assertIsNone(self.waiting[1].outcome)
        self.peer.lose()
