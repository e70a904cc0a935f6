"""
Limits of size and number, and transient queues.
"""

from __future__ import annotations

import tracemalloc
from struct import pack
from typing import Any

from pamqp import body, header
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import (
    DEFAULT,
    ChannelWatcher,
    Inbox,
    Journal,
    Probe,
    SessionWatcher,
    consume,
    publish,
)
from tests.support.amqp_peer import Basic, Channel, Connection, Peer, Wire
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import InternalError, ProtocolError, ResourceError, SessionLost
from txkombu.transport.amqp.native import AmqpTransport, NativeSession
from txkombu.transport.amqp.wire.frames import BODY, frame
from txkombu.url import Parameters

LARGE = {"x": "y" * 5000}


class SizeTests(SynchronousTestCase):
    """Methods and headers that are larger than a frame."""

    def setUp(self) -> None:
        self.peer = Peer()
        self.peer.log_in(frame_max=4096, heartbeat=0)
        self.channel = self.peer.channel()
        self.peer.taken()

    def test_too_large(self) -> None:
        """What is too large for a frame is a ValueError, and nothing of it is sent."""
        channel, queue = self.channel, Queue("q")
        for act in (
            lambda: channel.queue_declare(Queue("q", queue_arguments=LARGE), False),
            lambda: channel.exchange_declare(Exchange("e", arguments=LARGE), False),
            lambda: channel.queue_bind(queue, Exchange("e"), "", LARGE),
            lambda: channel.basic_consume(
                queue, "t", False, False, LARGE, 1, Inbox().on_delivery, print
            ),
            lambda: publish(channel, DEFAULT, "q", headers=LARGE),
        ):
            with self.assertRaisesRegex(ValueError, "a frame of 5... bytes, at most"):
                act()
        self.assertEqual(self.peer.names(), [])

    def test_largest(self) -> None:
        """What just fits into a frame is sent."""
        short = {"x": "y" * 4000}
        self.channel.queue_declare(Queue("q", queue_arguments=short), False)
        publish(self.channel, DEFAULT, "q", b"", confirm=False, headers=short)
        self.peer.clock.advance(0)
        for _, _, payload in self.peer.frames():
            self.assertLessEqual(len(payload) + 8, 4096)

    def test_bodies(self) -> None:
        """A body is cut into frames of the size that was agreed on."""
        content = bytes(range(250)) * 40
        publish(self.channel, DEFAULT, "q", content, confirm=False)
        self.peer.clock.advance(0)
        pieces = [payload for kind, _, payload in self.peer.frames() if kind == BODY]
        self.assertEqual([len(piece) for piece in pieces], [4088, 4088, 1824])
        self.assertEqual(b"".join(pieces), content)

    def test_larger_than_agreed(self) -> None:
        """A frame of the broker that is larger than agreed ends the session."""
        self.peer.session.dataReceived(pack(">BHI", BODY, 1, 4089))
        (reason,) = self.peer.journal.all("session_lost")
        self.assertIsInstance(reason, ProtocolError)
        self.assertRegex(str(reason), "4097 bytes is larger than 4096")
        self.assertEqual(self.peer.names(), ["Connection.Close"])

    def test_channels(self) -> None:
        """A channel too many is an error before anything is sent."""
        peer = Peer()
        peer.log_in(channel_max=2, heartbeat=0)
        peer.channel(), peer.channel()
        third = Probe(peer.session.open_channel(ChannelWatcher(Journal())))
        self.assertIsInstance(third.outcome, ResourceError)
        self.assertEqual(peer.names(), [])

    def test_number_of_a_dead_channel(self) -> None:
        """The number of a channel that ended is used again."""
        self.peer.send(1, Channel.Close(404, "NOT_FOUND", 0, 0))
        self.assertEqual(self.peer.names(), ["Channel.CloseOk"])
        self.assertEqual(self.peer.channel().number, 1)
        self.assertEqual(self.peer.channel().number, 2)


class BodyLimitTests(SynchronousTestCase):
    """Bodies that are larger than C{max_message_size}."""

    def setUp(self) -> None:
        self.begin(1000)

    def begin(self, limit: int) -> None:
        """Start a session that has this limit, and a consumer."""
        self.peer = Peer(Parameters(heartbeat=0, max_message_size=limit))
        self.peer.log_in(heartbeat=0)
        self.channel = self.peer.channel()
        self.inbox = Inbox()
        consume(self.channel, Queue("q"), "tag", self.inbox)
        self.peer.send(1, Basic.QosOk(), Basic.ConsumeOk("tag"))
        self.peer.taken()

    def announce(self, method: Any, size: int) -> None:
        """Send a method and the header of a content."""
        head = header.ContentHeader(0, size, Basic.Properties())
        self.peer.send(1, method, head)

    def refusal(self) -> str:
        """Return why the session ended, after the broker was told."""
        (reason,) = self.peer.journal.all("session_lost")
        self.assertIsInstance(reason, ProtocolError)
        self.assertEqual(self.peer.names(), ["Connection.Close"])
        return str(reason)

    def test_refused_at_the_header(self) -> None:
        """
        A header that announces too large a body ends the session, whatever method it
        follows.
        """
        for method in (
            Basic.Deliver("tag", 1, False, "", "q"),
            Basic.GetOk(1, False, "", "q", 0),
            Basic.Return(312, "NO_ROUTE", "", "q"),
        ):
            for size in (1001, 2**32, 2**63, 2**64 - 1):
                self.begin(1000)
                if isinstance(method, Basic.GetOk):
                    Probe(self.channel.basic_get(Queue("q"), False))
                    self.peer.taken()
                self.announce(method, size)
                wanted = (
                    f"a body of {size} bytes is larger than 1000, the max_message_size"
                )
                self.assertIn(wanted, self.refusal())

    def test_whole_in_one_piece(self) -> None:
        """Too large a body that arrives whole ends the session."""
        method = Basic.Deliver("tag", 1, False, "", "q")
        self.peer.send_content(1, method, b"x" * 1001)
        self.assertIn("a body of 1001 bytes", self.refusal())
        self.assertEqual(self.inbox.bodies, [])

    def test_largest(self) -> None:
        """A body of exactly that size is delivered, whole or in pieces."""
        self.peer.send_content(1, Basic.Deliver("tag", 1, False, "", "q"), b"x" * 1000)
        self.announce(Basic.Deliver("tag", 2, False, "", "q"), 1000)
        for _ in range(10):
            self.peer.send(1, body.ContentBody(b"y" * 100))
        self.assertEqual(self.inbox.bodies, [b"x" * 1000, b"y" * 1000])

    def test_default(self) -> None:
        """Without the option the limit is 128 MiB."""
        size = 128 * 1024 * 1024
        self.begin(Parameters().max_message_size)
        self.announce(Basic.Deliver("tag", 1, False, "", "q"), size)
        self.assertEqual(self.peer.journal.all("session_lost"), [])
        self.begin(Parameters().max_message_size)
        self.announce(Basic.Deliver("tag", 1, False, "", "q"), size + 1)
        self.assertIn(f"larger than {size}", self.refusal())

    def test_empty_pieces(self) -> None:
        """
        Pieces of a body that hold nothing, or little, take no more memory than the
        body.
        """
        self.announce(Basic.Deliver("tag", 1, False, "", "q"), 1000)
        nothing = frame(BODY, 1, b"") * 10_000
        self.peer.session.dataReceived(nothing)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for _ in range(10):
            self.peer.session.dataReceived(nothing)
        self.assertLess(tracemalloc.get_traced_memory()[0], 20_000)


class TransientQueueTests(SynchronousTestCase):
    """Queues that are neither durable nor exclusive."""

    def setUp(self) -> None:
        self.warnings: list[str] = []
        observer: Any = self.observe
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.peer = Peer()
        self.peer.log_in(heartbeat=0)

    def observe(self, event: Any) -> None:
        """Note the names in warnings."""
        if "neither durable nor" in (event.get("log_format") or ""):
            self.warnings.append(event["name"])

    def test_warned_once(self) -> None:
        """
        One warning is logged about each such queue, on whatever channel; none about
        others.
        """
        for channel in (self.peer.channel(), self.peer.channel()):
            channel.queue_declare(Queue("transient", durable=False), False)
            channel.queue_declare(Queue("other", durable=False), False)
            channel.queue_declare(Queue("looked-up", durable=False), True)
            channel.queue_declare(Queue("mine", durable=False, exclusive=True), False)
            channel.queue_declare(Queue("durable"), False)
        self.assertEqual(self.warnings, ["transient", "other"])

    def test_warned_once_over_sessions(self) -> None:
        """The next session of a transport does not repeat the warning."""
        transport = AmqpTransport()
        for _ in range(2):
            session = NativeSession(
                Parameters(),
                "there",
                Clock(),
                SessionWatcher(Journal()),
                transport._warned,
            )
            self.peer.session = session
            self.peer.wire = Wire()
            self.peer.log_in(heartbeat=0)
            self.peer.channel().queue_declare(Queue("q", durable=False), False)
        self.assertEqual(self.warnings, ["q"])

    def test_denied(self) -> None:
        """
        A broker that denies such queues ends the session with an error that names the
        queue.
        """
        one, two = self.peer.channel(), self.peer.channel()
        other = Probe(two.queue_purge(Queue("other")))
        denied = Probe(one.queue_declare(Queue("mine", durable=False), False))
        text = "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated."
        self.peer.send(0, Connection.Close(541, text, 50, 10))
        self.assertIsInstance(denied.outcome, InternalError)
        self.assertEqual((denied.outcome.about, denied.outcome.code), ("mine", 541))
        self.assertIn("'mine'", str(denied.outcome))
        self.assertIsInstance(other.outcome, SessionLost)
        self.assertIsInstance(other.outcome.__cause__, InternalError)
