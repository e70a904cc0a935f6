"""
Corners of a session and its channels on AMQP 0-9-1 that no broker shows when asked.
"""

from __future__ import annotations

from typing import Any

from pamqp import commands
from twisted.internet.interfaces import ITCPTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from tests.contract.harness import Inbox, Probe, consume, publish
from tests.support.amqp_peer import Basic, Channel, Connection, Peer
from txkombu._util.state_machine import IllegalStep
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import AccessRefused, ChannelClosed, ProtocolError, SessionLost
from txkombu.transport.amqp.channel_numbers import ChannelNumbers
from txkombu.transport.amqp.channel_state import Event, State

QUEUE = Queue("q")


class Case(SynchronousTestCase):
    """A session with a channel."""

    def setUp(self) -> None:
        self.peer = Peer()
        self.peer.log_in(heartbeat=0)
        self.channel: Any = self.peer.channel()

    def tearDown(self) -> None:
        """Nothing may be left to do."""
        if not self.peer.session._gone:
            self.peer.lose()
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def started(self, tag: str = "tag", inbox: Inbox | None = None) -> None:
        """Start a consumer, and have the broker say that it runs."""
        Probe(consume(self.channel, QUEUE, tag, inbox))
        if "Basic.Qos" in self.peer.names():
            self.peer.send(1, Basic.QosOk())
        self.peer.send(1, Basic.ConsumeOk(tag))


class StateTests(Case):
    """The state of a channel."""

    def test_illegal(self) -> None:
        """A step that the table does not have is an error, and is not taken."""
        with self.assertRaisesRegex(IllegalStep, "that is open cannot have its close"):
            self.channel._step(Event.CLOSE_OK)
        self.assertIs(self.channel._state, State.OPEN)

    def test_over_is_final(self) -> None:
        """From the end no event leads anywhere."""
        Probe(self.channel.close())
        self.peer.send(1, Channel.CloseOk())
        self.assertIs(self.channel._state, State.OVER)
        for event in Event:
            with self.assertRaises(IllegalStep):
                self.channel._step(event)

    def test_lost_while_refusing(self) -> None:
        """A session that is dropped while a refusal is answered ends its channel."""
        outstanding = Probe(self.channel.queue_purge(QUEUE))
        written = self.peer.wire.write

        def write(data: bytes) -> None:
            written(data)
            self.peer.session.abort()

        self.patch(self.peer.wire, "write", write)
        self.peer.send(1, Channel.Close(404, "NOT_FOUND", 50, 30))
        self.assertIs(self.channel._state, State.OVER)
        self.assertIsInstance(outstanding.outcome, SessionLost)
        self.assertEqual(self.peer.journal.entries, [])


class SessionTests(Case):
    """The session."""

    def test_no_delay(self) -> None:
        """On TCP small frames are not held back."""
        peer = Peer()
        wire: Any = peer.wire
        told: list[bool] = []
        wire.setTcpNoDelay = told.append
        alsoProvides(wire, ITCPTransport)
        peer.connect()
        self.assertEqual(told, [True])
        peer.lose()

    def test_abort_tells_nobody(self) -> None:
        """Aborting does not tell the owner of a loss."""
        self.peer.session.abort()
        self.assertEqual(self.peer.journal.entries, [])

    def test_long_reason(self) -> None:
        """The reason that is told the broker is cut to the length of a name."""

        def feed(data: bytes) -> None:
            raise ProtocolError("\u00fc" * 200)

        self.patch(self.peer.session, "_feed", feed)
        self.peer.session.dataReceived(b"x")
        ((_, close),) = self.peer.taken()
        self.assertEqual(close.reply_text, "\u00fc" * 127)

    def test_dropped_while_writing(self) -> None:
        """
        A transport that calls back while connection.close is written, so that the
        session is dropped, leaves nothing to wait for.
        """
        for act in (
            lambda peer: peer.send(0, Connection.Close(320, "CONNECTION_FORCED", 0, 0)),
            lambda peer: peer.session.dataReceived(b"garbage"),
            lambda peer: Probe(peer.session.close()),
        ):
            peer = Peer()
            peer.log_in(heartbeat=0)

            def write(data: bytes, peer: Peer = peer) -> None:
                peer.session.abort()

            self.patch(peer.wire, "write", write)
            act(peer)
            self.assertTrue(peer.session._gone)
            self.assertEqual(peer.clock.getDelayedCalls(), [])

    def test_lowest_number(self) -> None:
        """The lowest free number is used first."""
        numbers = ChannelNumbers(9)
        for expected in (1, 2, 3, 4):
            self.assertEqual(numbers.allocate(), expected)
        for free in (4, 3, 1):
            numbers.give_back(free)
        self.assertEqual([numbers.allocate() for _ in range(4)], [1, 3, 4, 5])


class ClosingTests(Case):
    """A channel that ends."""

    def test_twice(self) -> None:
        """A second close waits for the same reply."""
        closing = [Probe(self.channel.close()) for _ in range(2)]
        self.assertEqual(self.peer.names(), ["Channel.Close"])
        self.peer.send(1, Channel.CloseOk())
        self.assertEqual([each.outcome for each in closing], [None, None])

    def test_dropped_by_a_callback(self) -> None:
        """A callback that drops the connection during a close ends the close."""
        self.started()
        ending = self.channel.basic_cancel("tag")
        ending.addCallback(lambda _: self.peer.session.abort())
        self.peer.taken()
        closing = Probe(self.channel.close())
        self.assertIsNone(closing.outcome)
        self.assertEqual(self.peer.names(), [])

    def test_late_start(self) -> None:
        """A consumer that starts to run while the channel closes is not told to end."""
        Probe(consume(self.channel, QUEUE)).deferred.cancel()
        Probe(self.channel.close())
        self.peer.taken()
        self.peer.send(1, Basic.QosOk(), Basic.ConsumeOk("tag"))
        self.assertEqual(self.peer.names(), [])

    def test_crossing_contents(self) -> None:
        """
        Contents that come after both sides closed the channel at once are ignored.
        """
        getting = Probe(self.channel.basic_get(QUEUE, False))
        Probe(self.channel.close())
        self.peer.send(1, Channel.Close(404, "NOT_FOUND", 0, 0))
        self.assertIsInstance(getting.outcome, ChannelClosed)
        self.peer.taken()
        self.peer.send_content(1, Basic.GetOk(1, False, "", "q", 0), b"got")
        self.peer.send_content(1, Basic.Return(312, "NO_ROUTE", "", "key"), b"back")
        self.peer.send_content(1, Basic.Deliver("tag", 2, False, "", "q"), b"late")
        self.peer.send(1, Channel.CloseOk())
        self.assertEqual(self.peer.names(), [])
        self.assertEqual(self.peer.journal.entries, [])

    def test_refused_publish(self) -> None:
        """The error of a publish that nobody waits for names its exchange."""
        publish(self.channel, Exchange("e"), "key", confirm=False)
        text = "NOT_FOUND - no exchange 'e' in vhost '/'"
        self.peer.send(1, Channel.Close(404, text, 60, 40))
        (error,) = self.peer.journal.all("channel_lost")
        self.assertEqual(getattr(error, "about", None), "e")


class ConsumingTests(Case):
    """Consumers."""

    def test_dropped_before_it_starts(self) -> None:
        """A callback may drop the connection just before a consumer is told."""
        self.started()
        self.peer.deliver(1, 1)
        self.channel.ack(1, False)
        flushed = self.channel.when_flushed()
        flushed.addCallback(lambda _: self.peer.session.abort())
        self.peer.taken()
        starting = Probe(consume(self.channel, QUEUE, "other"))
        self.assertEqual(self.peer.names(), ["Basic.Ack"])
        self.assertIsInstance(starting.outcome, SessionLost)

    def test_dropped_while_told_to_end(self) -> None:
        """A callback may drop the connection while a consumer is told to end."""
        self.started()

        def write(data: bytes) -> None:
            self.peer.session.abort()

        self.patch(self.peer.wire, "write", write)
        self.assertIsNone(Probe(self.channel.basic_cancel("tag")).outcome)

    def test_largest_prefetch(self) -> None:
        """A prefetch count that is too large leaves nothing behind."""
        with self.assertRaisesRegex(ValueError, "0 to 65535, not 65536"):
            consume(self.channel, QUEUE, prefetch_count=2**16)
        Probe(consume(self.channel, QUEUE, prefetch_count=2**16 - 1))
        self.assertEqual(self.peer.names(), ["Basic.Qos", "Basic.Consume"])

    def test_nothing_is_kept_of_tags(self) -> None:
        """Nothing is kept of consumers that are gone, each of which had another tag."""
        for number in range(3):
            tag = f"tag {number}"
            self.started(tag)
            ended = Probe(self.channel.basic_cancel(tag))
            self.peer.send(1, Basic.CancelOk(tag))
            self.assertIsNone(ended.outcome)
        self.assertEqual(self.channel._requests._tagged, {})
        self.assertEqual(self.channel._consumers.receivers, {})
        self.assertEqual(self.channel._consumers._held, {})

    def test_the_refused_one(self) -> None:
        """Of several consumers that start, a refusal fails the one that it names."""
        first = Probe(consume(self.channel, Queue("a"), "one"))
        second = Probe(consume(self.channel, Queue("b"), "two"))
        text = "ACCESS_REFUSED - access to queue 'b' in vhost '/' refused"
        self.peer.send(1, Basic.QosOk(), Channel.Close(403, text, 60, 20))
        self.assertIsInstance(first.outcome, ChannelClosed)
        self.assertIsInstance(second.outcome, AccessRefused)
        self.assertEqual(second.outcome.about, "b")

    def test_many_transient_queues(self) -> None:
        """
        The names of queues that a warning was logged about are kept up to a limit.
        """
        warned = self.peer.session.warned
        warned.update(f"queue {number}" for number in range(1000))
        Probe(self.channel.queue_declare(Queue("one-more", durable=False), False))
        self.peer.send(1, commands.Queue.DeclareOk("one-more", 0, 0))
        self.assertEqual(len(warned), 1000)
