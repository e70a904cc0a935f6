"""
A session on AMQP 0-9-1, against a peer by hand.
"""

from __future__ import annotations

from typing import Any

from pamqp import commands
from pamqp.heartbeat import Heartbeat
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import (
    DEFAULT,
    ChannelWatcher,
    Inbox,
    Probe,
    consume,
    publish,
)
from tests.support.amqp_peer import Basic, Channel, Connection, Peer
from txkombu.entity import Queue
from txkombu.exceptions import (
    ChannelClosed,
    CommandInvalid,
    ConnectionForced,
    NotFound,
    OutcomeUnknown,
    ProtocolError,
    ResourceError,
    SessionLost,
)
from txkombu.transport.heartbeat import Heartbeat as Watch
from txkombu.transport.protocol import CLOSE_SECONDS
from txkombu.url import Parameters

QUEUE = Queue("q")


class SessionCase(SynchronousTestCase):
    """A session that is open."""

    def setUp(self) -> None:
        self.peer = Peer()
        self.peer.log_in(heartbeat=0)

    def tearDown(self) -> None:
        """Nothing may be left to do."""
        if not self.peer.session._gone:
            self.peer.lose()
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])
        self.assertEqual(self.peer.session._channels, {})

    def told(self) -> list[str]:
        """What the listeners were told."""
        return [name for name, _ in self.peer.journal.entries]


class CloseTests(SessionCase):
    """Closing, aborting and losing a session."""

    def test_close(self) -> None:
        """
        Closing writes connection.close; its reply makes the session unregister the
        producer and close the socket; it is over when the socket is gone.
        """
        closing = Probe(self.peer.session.close())
        ((_, close),) = self.peer.taken()
        self.assertEqual((close.name, close.reply_code), ("Connection.Close", 200))
        self.assertIs(self.peer.wire.producer, self.peer.session)
        self.peer.send(0, Connection.CloseOk())
        self.assertIsNone(self.peer.wire.producer)
        self.assertTrue(self.peer.wire.disconnecting)
        self.assertFalse(closing.fired)
        self.peer.finish()
        self.assertIsNone(closing.outcome)
        self.assertEqual(self.told(), [])

    def test_no_reply(self) -> None:
        """A close waits some seconds for a broker that says nothing."""
        closing = Probe(self.peer.session.close())
        self.peer.clock.advance(CLOSE_SECONDS - 0.1)
        self.assertFalse(closing.fired)
        self.peer.clock.advance(0.1)
        self.assertIsNone(closing.outcome)
        self.assertTrue(self.peer.wire.aborted)

    def test_socket_stays(self) -> None:
        """A socket that does not close is dropped after some seconds."""
        closing = Probe(self.peer.session.close())
        self.peer.send(0, Connection.CloseOk())
        self.peer.clock.advance(CLOSE_SECONDS)
        self.assertIsNone(closing.outcome)
        self.assertTrue(self.peer.wire.aborted)

    def test_lost_while_closing(self) -> None:
        """A connection that goes away while it closes counts as closed."""
        closing = Probe(self.peer.session.close())
        self.peer.lose()
        self.assertIsNone(closing.outcome)
        self.assertEqual(self.told(), [])

    def test_abort_while_closing(self) -> None:
        """Aborting ends the wait for a close."""
        closing = Probe(self.peer.session.close())
        self.peer.session.abort()
        self.assertIsNone(closing.outcome)
        self.assertTrue(self.peer.wire.aborted)

    def test_crossing(self) -> None:
        """A close that crosses the broker's own close counts as a close."""
        closing = Probe(self.peer.session.close())
        self.peer.taken()
        self.peer.send(0, Connection.Close(320, "CONNECTION_FORCED", 0, 0))
        self.assertEqual(self.peer.names(), ["Connection.CloseOk"])
        self.peer.finish()
        self.assertIsNone(closing.outcome)
        self.assertEqual(self.told(), [])

    def test_replies_while_closing(self) -> None:
        """While the session closes, replies still count, and deliveries do not."""
        channel = self.peer.channel()
        inbox = Inbox()
        consume(channel, QUEUE, inbox=inbox)
        self.peer.send(1, Basic.QosOk(), Basic.ConsumeOk("tag"))
        purged = Probe(channel.queue_purge(QUEUE))
        published = Probe(publish(channel, DEFAULT, "q"))
        unanswered = Probe(channel.queue_purge(QUEUE))
        self.peer.session.close()
        self.peer.deliver(1, 1)
        self.peer.send(1, commands.Queue.PurgeOk(7), commands.Confirm.SelectOk())
        self.peer.send(1, Basic.Ack(1))
        self.assertEqual((purged.outcome, published.outcome), (7, None))
        self.peer.send(0, Connection.CloseOk())
        self.assertIsInstance(unanswered.outcome, SessionLost)
        self.assertEqual(inbox.bodies, [])

    def test_close_flushes(self) -> None:
        """Acks of this turn go out before connection.close."""
        channel = self.peer.channel()
        consume(channel, QUEUE)
        self.peer.send(1, Basic.QosOk(), Basic.ConsumeOk("tag"))
        self.peer.deliver(1, 1)
        self.peer.taken()
        channel.ack(1, False)
        self.peer.session.close()
        self.assertEqual(self.peer.names(), ["Basic.Ack", "Connection.Close"])

    def test_callback_aborts_while_closing(self) -> None:
        """A callback that aborts during a close leaves no timer."""
        channel = self.peer.channel()
        consume(channel, QUEUE)
        self.peer.send(1, Basic.QosOk(), Basic.ConsumeOk("tag"))
        cancelled = channel.basic_cancel("tag")
        cancelled.addCallback(lambda _: self.peer.session.abort())
        closing = Probe(self.peer.session.close())
        self.assertIsNone(closing.outcome)

    def test_forced(self) -> None:
        """The broker's own close is answered, and ends the session typed."""
        channel = self.peer.channel()
        declared = Probe(channel.queue_declare(QUEUE, False))
        published = Probe(publish(channel, DEFAULT, "q"))
        self.peer.taken()
        self.peer.send(0, Connection.Close(320, "CONNECTION_FORCED - bye", 0, 0))
        self.assertEqual(self.peer.names(), ["Connection.CloseOk"])
        self.assertTrue(self.peer.wire.disconnecting)
        self.assertIsInstance(declared.outcome, SessionLost)
        self.assertIsInstance(declared.outcome.__cause__, ConnectionForced)
        self.assertIsInstance(published.outcome, OutcomeUnknown)
        self.assertEqual(self.told(), ["session_lost", "channel_lost"])
        (reason,) = self.peer.journal.all("session_lost")
        self.assertIsInstance(reason, ConnectionForced)
        closing = Probe(self.peer.session.close())
        self.assertFalse(closing.fired)
        self.peer.clock.advance(CLOSE_SECONDS)
        self.assertIsNone(closing.outcome)

    def test_forced_by_request(self) -> None:
        """
        An error of the connection fails the request it names, on whichever
        channel; the others learn that the session was lost.
        """
        channels = [self.peer.channel() for _ in range(3)]
        bystander = Probe(channels[0].queue_purge(QUEUE))
        guilty = Probe(channels[1].queue_declare(Queue("guilty"), False))
        alike = Probe(channels[2].queue_declare(Queue("alike"), False))
        text = "INTERNAL_ERROR - transient queue 'guilty' denied"
        self.peer.send(0, Connection.Close(541, text, 50, 10))
        self.assertIsInstance(bystander.outcome, SessionLost)
        self.assertEqual(guilty.outcome.code, 541)
        self.assertIsInstance(alike.outcome, SessionLost)


class EventTests(SessionCase):
    """What the broker and the transport tell."""

    def test_blocked(self) -> None:
        """Blocked and unblocked are passed on."""
        self.peer.send(0, Connection.Blocked("low on memory"))
        self.peer.send(0, Connection.Unblocked())
        self.assertEqual(
            self.peer.journal.entries,
            [("blocked", "low on memory"), ("unblocked", None)],
        )

    def test_write_paused(self) -> None:
        """
        The session is a push producer of its transport, and tells its owner when to
        wait.
        """
        producer: Any = self.peer.wire.producer
        self.assertTrue(self.peer.wire.streaming)
        producer.pauseProducing()
        producer.resumeProducing()
        producer.stopProducing()
        self.assertEqual(self.told(), ["write_paused", "write_resumed"])

    def test_nothing_after_the_end(self) -> None:
        """The owner is told nothing after the end."""
        producer: Any = self.peer.wire.producer
        self.peer.session.close()
        producer.pauseProducing()
        self.peer.send(0, Connection.Blocked("x"), Connection.Unblocked())
        producer.resumeProducing()
        self.assertEqual(self.told(), [])

    def test_failing_listener(self) -> None:
        """A listener that raises does no harm."""

        def fail(*args: object) -> None:
            raise KeyError("of the test")

        self.patch(self.peer.journal, "note", fail)
        self.peer.send(0, Connection.Blocked("x"))
        self.peer.channel()
        self.peer.lose()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 3)


class BrokenTests(SessionCase):
    """Peers that break the protocol."""

    def broken(self, channel: int, *frames: Any) -> ProtocolError:
        """Send frames, and return the reason of the end."""
        self.peer.taken()
        self.peer.send(channel, *frames)
        self.told_why()
        (reason,) = self.peer.journal.all("session_lost")
        assert isinstance(reason, ProtocolError)
        return reason

    def told_why(self) -> None:
        """
        Check that the peer is told, and that the socket closes without its answer.
        """
        *_, (number, method) = self.peer.taken()
        self.assertEqual((number, method.name), (0, "Connection.Close"))
        self.assertEqual(method.reply_code, 501)
        self.assertTrue(method.reply_text)
        self.assertTrue(self.peer.wire.disconnecting)
        self.assertFalse(self.peer.wire.aborted)
        self.peer.send(0, Connection.CloseOk())
        self.peer.clock.advance(CLOSE_SECONDS)
        self.assertTrue(self.peer.wire.aborted)

    def test_garbage(self) -> None:
        """Bytes that are no frame end the session."""
        channel = self.peer.channel()
        purged = Probe(channel.queue_purge(QUEUE))
        self.peer.session.dataReceived(b"garbage")
        self.assertIsInstance(purged.outcome, SessionLost)
        self.assertIsInstance(purged.outcome.__cause__, ProtocolError)
        self.told_why()
        self.assertEqual(self.told(), ["session_lost", "channel_lost"])

    def test_unknown_channel(self) -> None:
        """A frame for a channel that is not open ends the session."""
        error = self.broken(9, Basic.QosOk())
        self.assertRegex(str(error), "channel 9, which is not open")

    def test_unasked_reply(self) -> None:
        """A reply to nothing ends the session."""
        self.peer.channel()
        error = self.broken(1, commands.Queue.PurgeOk(1))
        self.assertRegex(str(error), "Queue.PurgeOk answers nothing")

    def test_unasked_close_ok(self) -> None:
        """A close-ok that answers nothing ends the session."""
        error = self.broken(0, Connection.CloseOk())
        self.assertRegex(str(error), "answers no connection.close")

    def test_unasked_channel_close_ok(self) -> None:
        """A close-ok of a channel that is open ends the session."""
        self.peer.channel()
        error = self.broken(1, Channel.CloseOk())
        self.assertRegex(str(error), "answers no channel.close")

    def test_method_of_login(self) -> None:
        """A method of the login ends a session that is open."""
        error = self.broken(0, Connection.Tune(0, 0, 0))
        self.assertRegex(str(error), "Connection.Tune answers nothing")

    def test_content_errors(self) -> None:
        """A content out of turn, or longer than announced, ends the session."""
        from pamqp.body import ContentBody
        from pamqp.header import ContentHeader

        deliver = Basic.Deliver("tag", 1, False, "", "key")
        header = ContentHeader(0, 3, Basic.Properties())
        for frames, text in (
            ([header], "came without a method"),
            ([ContentBody(b"abc")], "came without a method"),
            ([deliver, ContentBody(b"abc")], "body without a header"),
            ([deliver, header, header], "second header"),
            ([deliver, header, ContentBody(b"abcd")], "longer than its header says"),
            ([deliver, header, Basic.QosOk()], "in the midst of a content"),
        ):
            self.setUp()
            self.peer.channel()
            self.assertRegex(str(self.broken(1, *frames)), text)
            self.tearDown()

    def test_frame_for_everyone(self) -> None:
        """A content for channel 0 ends the session."""
        from pamqp.body import ContentBody

        error = self.broken(0, ContentBody(b"abc"))
        self.assertRegex(str(error), "type 3 for the whole connection")

    def test_heartbeat_is_fine(self) -> None:
        """A heartbeat is accepted at any time."""
        self.peer.send(0, Heartbeat())
        self.assertFalse(self.peer.wire.aborted)

    def test_unreadable_return(self) -> None:
        """A message that comes back unreadable ends the session."""
        self.peer.channel()
        returned = Basic.Return(312, "NO_ROUTE", "", "key")
        from pamqp.frame import marshal

        header = (
            b"\x02\x00\x01\x00\x00\x00\x13\x00\x3c\x00\x00"
            + b"\x00" * 8
            + b"\x20\x00\x00\x00\x00\x01\x01\xce"
        )
        self.peer.session.dataReceived(marshal(returned, 1) + header)
        (reason,) = self.peer.journal.all("session_lost")
        self.assertIsInstance(reason, ProtocolError)


class ChannelNumberTests(SessionCase):
    """Numbers of channels."""

    def test_limit(self) -> None:
        """A channel beyond the limit is refused before anything is sent."""
        self.peer.lose()
        self.peer = Peer(Parameters(channel_max=2))
        self.peer.log_in(heartbeat=0)
        for _ in range(2):
            self.peer.channel()
        error = self.failureResultOf(
            self.peer.session.open_channel(ChannelWatcher(self.peer.journal))
        )
        error.trap(ResourceError)
        self.assertEqual(self.peer.taken(), [])

    def test_reuse(self) -> None:
        """A number is free when both sides have closed the channel."""
        channel = self.peer.channel()
        channel.close()
        self.assertEqual(self.peer.channel().number, 2)
        self.peer.send(1, Channel.CloseOk())
        self.assertEqual(self.peer.channel().number, 1)

    def test_crossing(self) -> None:
        """
        When closes of a channel cross, its number is free after the broker's close-ok;
        everything outstanding fires at the broker's close.
        """
        channel = self.peer.channel()
        purged = Probe(channel.queue_purge(QUEUE))
        closing = Probe(channel.close())
        self.peer.taken()
        self.peer.send(1, Channel.Close(404, "NOT_FOUND - no queue 'q'", 50, 30))
        self.assertEqual(self.peer.names(), ["Channel.CloseOk"])
        self.assertIsInstance(purged.outcome, NotFound)
        self.assertIsNone(closing.outcome)
        self.assertEqual(self.peer.channel().number, 2)
        self.peer.deliver(1, 1)
        self.peer.send(1, Channel.CloseOk())
        self.assertEqual(self.peer.channel().number, 1)
        self.assertEqual(self.told(), [])

    def test_open_fails(self) -> None:
        """
        Opening a channel that is refused fails, and its owner is told nothing more.
        """
        opening = Probe(
            self.peer.session.open_channel(ChannelWatcher(self.peer.journal))
        )
        self.peer.send(1, Channel.Close(503, "COMMAND_INVALID", 20, 10))
        self.assertIsInstance(opening.outcome, CommandInvalid)
        self.assertEqual(self.told(), [])

    def test_flow(self) -> None:
        """channel.flow is answered."""
        self.peer.channel()
        self.peer.send(1, Channel.Flow(False))
        ((_, flow),) = self.peer.taken()
        self.assertEqual((flow.name, flow.active), ("Channel.FlowOk", False))

    def test_closed_is_closed(self) -> None:
        """A channel that the broker closed takes nothing more."""
        channel = self.peer.channel()
        self.peer.send(1, Channel.Close(404, "NOT_FOUND", 60, 40))
        self.assertEqual(self.peer.names(), ["Channel.CloseOk"])
        self.failureResultOf(channel.queue_purge(QUEUE)).trap(ChannelClosed)
        self.assertEqual(self.peer.taken(), [])


class HeartbeatTests(SynchronousTestCase):
    """Heartbeats."""

    def setUp(self) -> None:
        self.peer = Peer(Parameters(heartbeat=60))
        self.peer.log_in(heartbeat=40)

    def sent(self) -> list[int]:
        """Return the types of the frames that were sent."""
        return [kind for kind, _, _ in self.peer.frames()]

    def advance(self, seconds: int) -> None:
        """Let so many seconds pass, one by one."""
        self.peer.clock.pump([1] * seconds)

    def test_sent(self) -> None:
        """A heartbeat is sent when half the interval passed without a write."""
        self.advance(19)
        self.assertEqual(self.sent(), [])
        self.advance(1)
        self.assertEqual(self.sent(), [8])
        self.peer.send(0, Heartbeat())
        self.advance(20)
        self.assertEqual(self.sent(), [8])

    def test_writes_count(self) -> None:
        """Any write serves as a heartbeat."""
        for _ in range(10):
            self.advance(9)
            self.peer.session.write(b"")
            self.peer.send(0, Heartbeat())
        self.assertEqual(self.sent(), [])

    def test_dead(self) -> None:
        """A peer from which no byte came for two intervals is dead, typed."""
        channel = self.peer.channel()
        purged = Probe(channel.queue_purge(QUEUE))
        self.advance(80)
        self.assertFalse(purged.fired)
        self.advance(10)
        self.assertIsInstance(purged.outcome, SessionLost)
        self.assertRegex(str(purged.outcome), "two heartbeats")
        self.assertTrue(self.peer.wire.aborted)
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_any_byte_counts(self) -> None:
        """Any byte shows that the peer is alive."""
        self.advance(75)
        self.peer.session.dataReceived(b"\x08")
        self.advance(75)
        self.assertFalse(self.peer.wire.aborted)
        self.peer.lose()

    def test_none(self) -> None:
        """Without an interval there is no timer."""
        peer = Peer(Parameters(heartbeat=0))
        peer.log_in(heartbeat=0)
        self.assertEqual(peer.clock.getDelayedCalls(), [])

    def stall(self, seconds: float) -> None:
        """Block the reactor for so many seconds after its last call was due."""
        self.peer.clock.advance(10)
        self.sent()
        self.peer.clock.rightNow += 10 + seconds

    def reason(self) -> str:
        """Return why the session was lost."""
        (reason,) = self.peer.journal.all("session_lost")
        return str(reason)

    def test_lost_for_a_stall(self) -> None:
        """
        The error of a loss says for how long the reactor was blocked before, if a
        heartbeat to the broker is overdue, whether the loss is seen before or after its
        timers run again.
        """
        note = (
            "; before that the reactor had not run for 95 s, longer than the "
            "heartbeat of 40 s: something in this program blocked it, or the "
            "machine slept"
        )
        for later in ([], [0], [0, 39]):
            self.setUp()
            self.stall(95)
            self.peer.clock.pump(later)
            self.peer.lose()
            self.assertTrue(self.reason().endswith(note), self.reason())

    def test_silent_after_a_stall(self) -> None:
        """
        A peer that is silent after a stall is dead after two intervals all the same.
        """
        self.stall(95)
        self.peer.clock.advance(0)
        self.advance(60)
        self.assertFalse(self.peer.wire.aborted)
        self.advance(20)
        self.assertTrue(self.peer.wire.aborted)
        self.assertNotIn("reactor", self.reason())

    def test_lost_for_other_reasons(self) -> None:
        """The error says nothing of a stall that was short, or is long past."""
        for seconds, later in ((40, []), (40, [0, 5]), (95, [0, 41]), (0, [])):
            self.setUp()
            self.stall(seconds)
            self.peer.clock.pump(later)
            self.peer.lose()
            self.assertNotIn("reactor", self.reason())

    def test_lost_without_heartbeats(self) -> None:
        """Without heartbeats the error of a loss says nothing of a stall."""
        self.peer = Peer(Parameters(heartbeat=0))
        self.peer.log_in(heartbeat=0)
        self.stall(1000)
        self.peer.lose()
        self.assertNotIn("reactor", self.reason())

    def test_sent_after_a_stall(self) -> None:
        """An overdue heartbeat is sent at once."""
        self.stall(95)
        self.peer.clock.advance(0)
        self.assertEqual(self.sent(), [8])

    def test_stopped_by_sending(self) -> None:
        """Sending a heartbeat may end the connection, and then ends the timer too."""
        calls: list[str] = []

        def send() -> None:
            calls.append("sent")
            watch.stop()

        watch = Watch(self.peer.clock, send, lambda: None, lambda: False)
        watch.start(4)
        self.advance(20)
        self.assertEqual(calls, ["sent"])
