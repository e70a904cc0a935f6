"""
What is too large, too many, or not wanted any more by brokers.
"""

from __future__ import annotations

from struct import pack
from typing import Any

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
    publish,
)
from tests.support.amqp_peer import Channel, Connection, Peer, Wire
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import InternalError, ProtocolError, ResourceError, SessionLost
from txkombu.transport.amqp.native import AmqpTransport, NativeSession
from txkombu.transport.amqp.wire.frames import BODY
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
        """They are a ValueError, and nothing of them is sent."""
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
        """What just fits is sent."""
        short = {"x": "y" * 4000}
        self.channel.queue_declare(Queue("q", queue_arguments=short), False)
        publish(self.channel, DEFAULT, "q", b"", confirm=False, headers=short)
        for _, _, payload in self.peer.frames():
            self.assertLessEqual(len(payload) + 8, 4096)

    def test_bodies(self) -> None:
        """A body is cut into frames as large as was agreed on."""
        content = bytes(range(250)) * 40
        publish(self.channel, DEFAULT, "q", content, confirm=False)
        pieces = [payload for kind, _, payload in self.peer.frames() if kind == BODY]
        self.assertEqual([len(piece) for piece in pieces], [4088, 4088, 1824])
        self.assertEqual(b"".join(pieces), content)

    def test_larger_than_agreed(self) -> None:
        """The broker may send none that is larger, either."""
        self.peer.session.dataReceived(pack(">BHI", BODY, 1, 4089))
        (reason,) = self.peer.journal.all("session_lost")
        self.assertIsInstance(reason, ProtocolError)
        self.assertRegex(str(reason), "4097 bytes is larger than 4096")
        self.assertEqual(self.peer.names(), ["Connection.Close"])

    def test_channels(self) -> None:
        """One channel too many is an error before anything is sent."""
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
        """Note the names that are warned of."""
        if "neither durable nor" in (event.get("log_format") or ""):
            self.warnings.append(event["name"])

    def test_warned_once(self) -> None:
        """Each is warned of once, on whatever channel; others are not."""
        for channel in (self.peer.channel(), self.peer.channel()):
            channel.queue_declare(Queue("transient", durable=False), False)
            channel.queue_declare(Queue("other", durable=False), False)
            channel.queue_declare(Queue("looked-up", durable=False), True)
            channel.queue_declare(Queue("mine", durable=False, exclusive=True), False)
            channel.queue_declare(Queue("durable"), False)
        self.assertEqual(self.warnings, ["transient", "other"])

    def test_warned_once_over_sessions(self) -> None:
        """The next session of a transport does not repeat it."""
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
        """A broker that denies them ends the session with an error that names it."""
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
