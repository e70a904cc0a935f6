"""
Every operation on AMQP, cut after every frame that is sent and received.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from pamqp import commands
from pamqp.frame import marshal
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import (
    DEFAULT,
    OPERATIONS,
    ChannelWatcher,
    Inbox,
    Probe,
    consume,
    publish,
)
from tests.support.amqp_peer import START, Basic, Connection, Peer, reply_to
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import NotSent, OutcomeUnknown, PublishError, SessionLost

QUEUE, EXCHANGE = Queue("q"), Exchange("e")


class Cut(Exception):
    """The connection was cut where the test wanted it."""


class Conversation:
    """
    A whole life of a session, frame by frame, up to a cut.

    @ivar probes: everything that was begun, by what it is.
    """

    def __init__(self, cut_after: int) -> None:
        self.peer = Peer()
        self.probes: dict[str, Probe] = {"login": self.peer.login}
        self._left = cut_after
        self._published = 0

    def count(self) -> None:
        """Count one more frame."""
        if self._left == 0:
            raise Cut
        self._left -= 1

    def answer(self) -> None:
        """Let the broker answer everything that was sent, until both are silent."""
        while sent := self.peer.taken():
            for channel, method in sent:
                self.count()
                for reply in self.replies(method):
                    self.peer.session.dataReceived(marshal(reply, channel))
                    self.count()

    def replies(self, method: Any) -> list[Any]:
        """Return the broker's replies to a method."""
        if isinstance(method, Connection.StartOk):
            return [Connection.Tune(2047, 131072, 0)]
        if isinstance(method, Connection.Open):
            return [Connection.OpenOk()]
        if isinstance(method, Basic.Publish):
            self._published += 1
            return [Basic.Ack(self._published)]
        reply = reply_to(method)
        return [] if reply is None else [reply]

    def run(self) -> None:
        """
        @raise Cut: at the cut.
        """
        peer = self.peer
        peer.connect()
        peer.send(0, START)
        self.count()
        self.answer()
        opening = Probe(peer.session.open_channel(ChannelWatcher(peer.journal)))
        self.probes["open"] = opening
        self.answer()
        channel = opening.outcome
        for name, begin in OPERATIONS.items():
            self.probes[name] = Probe(begin(channel, QUEUE, EXCHANGE))
        self.probes["publish"] = Probe(publish(channel, DEFAULT, "q"))
        self.answer()
        self.probes["consume"] = Probe(consume(channel, QUEUE, "two", Inbox()))
        self.probes["cancel"] = Probe(channel.basic_cancel("two"))
        self.probes["again"] = Probe(consume(channel, QUEUE, "two", Inbox()))
        self.probes["publish 2"] = Probe(publish(channel, DEFAULT, "q"))
        self.answer()
        peer.deliver(1, 1, "two")
        self.count()
        channel.ack(1, False)
        self.probes["flushed"] = Probe(channel.when_flushed())
        peer.clock.advance(0)
        self.answer()
        self.probes["purge"] = Probe(channel.queue_purge(QUEUE))
        self.probes["close"] = Probe(channel.close())
        self.answer()
        self.probes["close session"] = Probe(peer.session.close())
        self.answer()
        peer.finish()


class SweepTests(SynchronousTestCase):
    """Wherever the connection is cut, each Deferred fires once, in that turn."""

    def sweep(self, cut: Any) -> int:
        """Cut after each frame in turn, and return how many there are."""
        for frames in count():
            conversation = Conversation(frames)
            try:
                conversation.run()
            except Cut:
                cut(conversation.peer)
                self.check(conversation)
            else:
                break
        self.check(conversation)
        self.assertEqual(conversation.peer.journal.entries, [])
        return frames

    def check(self, conversation: Conversation) -> None:
        """Check that everything has fired once, and that no timer is left."""
        peer = conversation.peer
        if peer.wire.disconnecting:
            peer.finish()
        for name, probe in conversation.probes.items():
            if name != "login":
                self.assertEqual(len(probe.outcomes), 1, name)
            outcome = probe.outcomes[0] if probe.outcomes else None
            if name in ("cancel", "close", "close session"):
                self.assertIsNone(outcome, name)
            elif name.startswith("publish") and isinstance(outcome, Exception):
                self.assertIsInstance(outcome, OutcomeUnknown | NotSent)
            elif isinstance(outcome, Exception) and name not in ("login", "flushed"):
                self.assertIsInstance(outcome, SessionLost, name)
                self.assertNotIsInstance(outcome, PublishError)
        self.assertEqual(peer.clock.getDelayedCalls(), [])
        self.assertEqual(peer.session._channels, {})
        self.assertLessEqual(len(peer.journal.all("session_lost")), 1)

    def test_lost(self) -> None:
        """The connection goes away."""
        self.assertGreater(self.sweep(Peer.lose), 50)

    def test_aborted(self) -> None:
        """This program drops the connection."""
        self.assertGreater(self.sweep(lambda peer: peer.session.abort()), 50)

    def test_broken(self) -> None:
        """The broker breaks the protocol."""
        self.assertGreater(
            self.sweep(lambda peer: peer.session.dataReceived(b"garbage")), 50
        )

    def test_forced(self) -> None:
        """The broker closes the connection."""
        close = Connection.Close(320, "CONNECTION_FORCED", 0, 0)
        self.assertGreater(self.sweep(lambda peer: peer.send(0, close)), 50)

    def test_listeners(self) -> None:
        """
        A loss is told to the session's owner before the channels' owners, and once to
        each.
        """
        conversation = Conversation(10)
        self.assertRaises(Cut, conversation.run)
        conversation.peer.lose()
        told = [name for name, _ in conversation.peer.journal.entries]
        self.assertEqual(told, ["session_lost", "channel_lost"])

    def test_channel_closed(self) -> None:
        """The broker closes the channel: the session lives on."""
        for frames in range(7, 40):
            conversation = Conversation(frames)
            self.assertRaises(Cut, conversation.run)
            peer = conversation.peer
            peer.send(1, commands.Channel.Close(404, "NOT_FOUND", 0, 0))
            for name, probe in conversation.probes.items():
                self.assertEqual(len(probe.outcomes), 1, name)
            peer.channel()
            self.assertEqual(peer.journal.all("session_lost"), [])
            peer.lose()
