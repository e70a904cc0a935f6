"""
How the native session writes the publishes of one turn of the reactor together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pamqp import commands
from pamqp.frame import marshal
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import DEFAULT, Inbox, Probe, consume, publish
from tests.support.amqp_peer import Basic, Channel, Connection, Peer
from txkombu.entity import Queue
from txkombu.exceptions import NotSent, OutcomeUnknown
from txkombu.transport.amqp.native import AT_ONCE
from txkombu.transport.amqp.wire.frames import BODY, HEARTBEAT
from txkombu.url import Parameters

QUEUE = Queue("q")


class NativeCase(SynchronousTestCase):
    """A session with an open channel whose publishes are confirmed."""

    heartbeat = 0

    def setUp(self) -> None:
        self.peer = Peer(Parameters(heartbeat=self.heartbeat))
        self.peer.log_in(heartbeat=self.heartbeat)
        self.channel = self.peer.channel()
        first = Probe(self.publish(b"first"))
        self.peer.send(1, commands.Confirm.SelectOk(), Basic.Ack(1))
        self.assertIsNone(first.outcome)
        self.peer.frames()
        self.writes: list[bytes] = []
        write = self.peer.wire.write

        def watched(data: bytes) -> None:
            self.writes.append(data)
            write(data)

        self.patch(self.peer.wire, "write", watched)

    def tearDown(self) -> None:
        """Nothing may be left to do."""
        self.peer.lose()
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def publish(self, body: bytes, confirm: bool = True, channel: Any = None) -> Any:
        """Publish a message."""
        return publish(
            channel or self.channel, DEFAULT, "q", body, False, confirm=confirm
        )

    def bodies(self) -> list[bytes]:
        """Return the bodies that were written since the last call."""
        return [payload for kind, _, payload in self.peer.frames() if kind == BODY]

    def turn(self) -> None:
        """Begin the next turn of the reactor."""
        self.peer.clock.advance(0)


class TogetherTests(NativeCase):
    """What is written in one piece."""

    def test_at_the_end(self) -> None:
        """Publishes are written in one piece, in their order, when the turn ends."""
        for number in range(5):
            Probe(self.publish(b"%d" % number, confirm=number % 2 == 0))
        self.assertEqual(self.writes, [])
        self.turn()
        self.assertEqual(len(self.writes), 1)
        self.assertEqual(self.bodies(), [b"0", b"1", b"2", b"3", b"4"])
        self.turn()
        self.assertEqual(len(self.writes), 1)

    def test_next_turn(self) -> None:
        """Those of the next turn are written when that ends."""
        for number in range(3):
            Probe(self.publish(b"%d" % number))
            self.turn()
            self.assertEqual(self.bodies(), [b"%d" % number])

    def test_many_bytes(self) -> None:
        """They do not wait for the end of the turn once they are many bytes."""
        size = AT_ONCE // 4
        for _ in range(3):
            self.publish(b"x" * size, confirm=False)
        self.assertEqual(self.writes, [])
        self.publish(b"x" * size, confirm=False)
        self.assertEqual(len(self.writes), 1)
        self.publish(b"x" * AT_ONCE, confirm=False)
        self.assertEqual(len(self.writes), 2)
        self.turn()
        self.assertEqual(len(self.writes), 2)

    def test_while_receiving(self) -> None:
        """Those that a callback makes are written once all received is handled."""
        inbox = Inbox(lambda delivery: self.publish(delivery.body, False))
        consume(self.channel, QUEUE, "tag", inbox, no_ack=True)
        self.peer.send(1, Basic.ConsumeOk("tag"))
        self.peer.frames()
        seen = len(self.writes)
        deliver = Basic.Deliver("tag", 1, False, "", "key")
        self.peer.send_content(1, deliver, b"one")
        self.assertEqual(len(self.writes), seen + 1)
        self.assertEqual(self.bodies(), [b"one"])

    def test_publish_in_callback(self) -> None:
        """A callback of one verdict may publish the next message."""
        sent = self.publish(b"one")
        sent.addCallback(lambda _: self.publish(b"two"))
        last = Probe(sent)
        self.turn()
        self.peer.send(1, Basic.Ack(2))
        self.assertEqual(self.bodies(), [b"one", b"two"])
        self.assertFalse(last.fired)
        self.peer.send(1, Basic.Ack(3))
        self.assertIsNone(last.outcome)

    def test_publish_when_full(self) -> None:
        """A publish that is made when the socket reports to be full comes behind."""
        self.patch(self.peer.journal, "note", lambda *_: self.publish(b"behind", False))
        write = self.peer.wire.write

        def full(data: bytes) -> None:
            write(data)
            self.peer.session.pauseProducing()

        self.patch(self.peer.wire, "write", full)
        self.publish(b"before", False)
        self.turn()
        self.turn()
        self.assertEqual(self.bodies(), [b"before", b"behind"])

    def test_cancelled(self) -> None:
        """One that is cancelled in its turn is written; its verdict is ignored."""
        cancelled = Probe(self.publish(b"cancelled"))
        cancelled.deferred.cancel()
        other = Probe(self.publish(b"other"))
        self.turn()
        self.assertEqual(self.bodies(), [b"cancelled", b"other"])
        self.peer.send(1, Basic.Ack(3, True))
        self.assertIsInstance(cancelled.outcome, CancelledError)
        self.assertIsNone(other.outcome)


class OrderTests(NativeCase):
    """Nothing overtakes what was published before."""

    def test_methods(self) -> None:
        """Each operation comes after the publishes before it, and before the next."""
        acts: list[tuple[str, Callable[[], object]]] = [
            ("Queue.Declare", lambda: self.channel.queue_declare(QUEUE, False)),
            ("Queue.Purge", lambda: self.channel.queue_purge(QUEUE)),
            ("Basic.Get", lambda: self.channel.basic_get(QUEUE, False)),
            ("Basic.Qos", lambda: self.channel.basic_qos(3)),
            ("Basic.Recover", self.channel.basic_recover),
            ("Channel.Open", lambda: self.peer.session.open_channel(None)),
        ]
        for name, act in acts:
            self.publish(b"before", confirm=False)
            Probe(act())  # type: ignore[arg-type]  # all return a Deferred
            self.publish(b"after", confirm=False)
            self.turn()
            wanted = ["Basic.Publish", name, "Basic.Publish"]
            self.assertEqual(self.peer.names(), wanted)

    def test_settling(self) -> None:
        """Acks, nacks and rejects come after the publishes before them."""
        consume(self.channel, QUEUE, "tag", Inbox())
        self.peer.send(1, Basic.ConsumeOk("tag"))
        for tag in (1, 2, 3):
            self.peer.deliver(1, tag)
        self.peer.frames()
        self.publish(b"0", confirm=False)
        self.channel.nack(1, False, True)
        self.publish(b"1", confirm=False)
        self.channel.reject(2, True)
        self.publish(b"2", confirm=False)
        self.channel.ack(3, False)
        self.turn()
        names = [name.split(".")[1] for name in self.peer.names()]
        wanted = ["Publish", "Nack", "Publish", "Reject", "Publish", "Ack"]
        self.assertEqual(names, wanted)

    def test_reply_before_ack(self) -> None:
        """The ack of a message comes after what its handler has published."""

        def handle(delivery: Any) -> None:
            self.publish(b"reply", confirm=False)
            self.channel.ack(delivery.tag, False)

        consume(self.channel, QUEUE, "tag", Inbox(handle))
        self.peer.send(1, Basic.ConsumeOk("tag"))
        self.peer.frames()
        self.peer.deliver(1, 1)
        self.assertEqual(self.peer.names(), ["Basic.Publish", "Basic.Ack"])

    def test_two_channels(self) -> None:
        """The publishes of all channels keep their order."""
        other = self.peer.channel()
        for number in range(4):
            channel = other if number % 2 else self.channel
            self.publish(b"%d" % number, False, channel)
        self.turn()
        numbers = [(n, body) for kind, n, body in self.peer.frames() if kind == BODY]
        self.assertEqual(numbers, [(1, b"0"), (2, b"1"), (1, b"2"), (2, b"3")])


class EndTests(NativeCase):
    """What ends in the turn of a publish loses nothing silently."""

    def test_loss(self) -> None:
        """What a loss has kept from being written fails as not sent, once."""
        written = Probe(self.publish(b"written"))
        self.turn()
        waiting = [Probe(self.publish(b"waiting")) for _ in range(2)]
        self.peer.lose()
        self.assertIsInstance(written.outcome, OutcomeUnknown)
        for probe in waiting:
            self.assertIsInstance(probe.outcome, NotSent)
        self.turn()
        self.assertEqual(self.bodies(), [b"written"])

    def test_abort(self) -> None:
        """So does what was published before this program drops the connection."""
        waiting = Probe(self.publish(b"waiting"))
        self.peer.session.abort()
        self.assertIsInstance(waiting.outcome, NotSent)
        self.turn()
        self.assertEqual(self.bodies(), [])

    def test_loss_with_unconfirmed(self) -> None:
        """Those without confirm are counted, too, to tell which were written."""
        first = Probe(self.publish(b"1"))
        self.publish(b"2", confirm=False)
        self.turn()
        self.publish(b"3", confirm=False)
        last = Probe(self.publish(b"4"))
        self.peer.lose()
        self.assertIsInstance(first.outcome, OutcomeUnknown)
        self.assertIsInstance(last.outcome, NotSent)

    def test_loss_of_two_channels(self) -> None:
        """Each channel knows which of its own publishes were not written."""
        other = self.peer.channel()
        selecting = Probe(self.publish(b"other 1", True, other))
        first = Probe(self.publish(b"1"))
        self.turn()
        last = Probe(self.publish(b"2"))
        self.peer.lose()
        for probe, kind in (
            (selecting, OutcomeUnknown),
            (first, OutcomeUnknown),
            (last, NotSent),
        ):
            self.assertIsInstance(probe.outcome, kind)

    def test_loss_tells_first(self) -> None:
        """A publish that is made while the owner learns of the loss is not sent."""
        probes: list[Probe] = []

        def note(name: str, what: object) -> None:
            if name == "session_lost":
                probes.append(Probe(self.publish(b"late")))

        self.patch(self.peer.journal, "note", note)
        self.peer.lose()
        (late,) = probes
        self.assertIsInstance(late.outcome, NotSent)
        self.assertEqual(self.bodies(), [])

    def test_publish_after_loss(self) -> None:
        """A callback that publishes again after the loss is told that it is closed."""
        sent = self.publish(b"1")
        sent.addErrback(lambda _: self.publish(b"2"))
        again = Probe(sent)
        self.peer.lose()
        self.assertIsInstance(again.outcome, NotSent)

    def test_close_of_channel(self) -> None:
        """What was published before a channel is closed still gets its verdict."""
        sent = Probe(self.publish(b"sent"))
        closed = Probe(self.channel.close())
        self.assertEqual(self.peer.names(), ["Basic.Publish", "Channel.Close"])
        self.peer.send(1, Basic.Ack(2), Channel.CloseOk())
        self.assertIsNone(sent.outcome)
        self.assertIsNone(closed.outcome)

    def test_close_of_session(self) -> None:
        """What was published before the session is closed still gets its verdict."""
        sent = Probe(self.publish(b"sent"))
        closed = Probe(self.peer.session.close())
        self.assertEqual(self.peer.names(), ["Basic.Publish", "Connection.Close"])
        self.peer.send(1, Basic.Ack(2))
        self.peer.send(0, Connection.CloseOk())
        self.peer.finish()
        self.assertIsNone(sent.outcome)
        self.assertIsNone(closed.outcome)

    def test_closed_by_broker(self) -> None:
        """What is published in the turn of the broker's close is written before."""
        sent = self.publish(b"sent")
        again = Probe(sent.addCallback(lambda _: self.publish(b"again")))
        self.turn()
        self.peer.frames()
        ends = Connection.Close(320, "CONNECTION_FORCED", 0, 0)
        self.peer.session.dataReceived(marshal(Basic.Ack(2), 1) + marshal(ends, 0))
        self.assertEqual(self.peer.names(), ["Basic.Publish", "Connection.CloseOk"])
        self.assertIsInstance(again.outcome, OutcomeUnknown)

    def test_broken_by_broker(self) -> None:
        """What is published before the broker breaks the protocol is written."""
        sent = self.publish(b"sent")
        again = Probe(sent.addCallback(lambda _: self.publish(b"again")))
        self.turn()
        self.peer.frames()
        self.peer.session.dataReceived(marshal(Basic.Ack(2), 1) + b"nonsense")
        self.assertEqual(self.peer.names(), ["Basic.Publish", "Connection.Close"])
        self.assertIsInstance(again.outcome, OutcomeUnknown)


class ConfirmTests(NativeCase):
    """Confirms, which are read in a way of their own."""

    def test_in_content(self) -> None:
        """One in the midst of a content breaks the protocol."""
        sent = Probe(self.publish(b"sent"))
        self.turn()
        deliver = Basic.Deliver("tag", 1, False, "", "key")
        self.peer.send(1, deliver, Basic.Ack(2))
        self.assertIsInstance(sent.outcome, OutcomeUnknown)
        (reason,) = self.peer.journal.all("session_lost")
        self.assertIn("midst of a content", str(reason))

    def test_after_the_end(self) -> None:
        """One that comes after both sides have closed the channel is ignored."""
        sent = Probe(self.publish(b"sent"))
        Probe(self.channel.close())
        self.peer.send(1, Channel.Close(404, "gone", 0, 0))
        self.assertIsInstance(sent.outcome, OutcomeUnknown)
        self.peer.send(1, Basic.Ack(2), Channel.CloseOk())
        self.assertEqual(self.peer.journal.all("session_lost"), [])

    def test_publish_between(self) -> None:
        """A callback may publish while one confirm settles several publishes."""
        first = self.publish(b"1").addCallback(lambda _: self.publish(b"3"))
        probes = [Probe(first), Probe(self.publish(b"2"))]
        self.turn()
        self.peer.send(1, Basic.Ack(3, True))
        self.assertEqual([probe.fired for probe in probes], [False, True])
        self.peer.send(1, Basic.Ack(0, True))
        self.assertIsNone(probes[0].outcome)


class HeartbeatTests(NativeCase):
    """Publishes and heartbeats."""

    heartbeat = 4

    def setUp(self) -> None:
        super().setUp()
        self.peer.clock.advance(2)
        self.peer.frames()

    def beats(self) -> int:
        """Count the heartbeats that were sent since the last call."""
        return [kind for kind, _, _ in self.peer.frames()].count(HEARTBEAT)

    def test_written(self) -> None:
        """No heartbeat is due where publishes were written meanwhile."""
        self.publish(b"sent", confirm=False)
        self.peer.clock.advance(2)
        self.assertEqual(self.beats(), 0)
        self.peer.clock.advance(2)
        self.assertEqual(self.beats(), 1)
