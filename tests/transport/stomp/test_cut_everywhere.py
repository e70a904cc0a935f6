"""
Every operation on STOMP, cut after every frame that is sent and received.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.capabilities import STOMP_ACTIVEMQ, STOMP_RABBITMQ, Abilities
from tests.contract.harness import (
    DEFAULT,
    NEEDED,
    OPERATIONS,
    ChannelWatcher,
    Inbox,
    Journal,
    Probe,
    SessionWatcher,
    consume,
    publish,
)
from tests.support.scripted_stomp_broker import ScriptedBroker
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import (
    ChannelClosed,
    NotSent,
    OutcomeUnknown,
    PublishError,
    ResourceError,
    SessionLost,
)
from txkombu.transport.stomp import StompTransport
from txkombu.url import Parameters

QUEUE, EXCHANGE = Queue("q"), Exchange("e")
BROKERS = {"RabbitMQ/3.10.8": STOMP_RABBITMQ, "ActiveMQ/5.17.2": STOMP_ACTIVEMQ}
_STEP = 0.5
"""Seconds that pass when both sides are silent: ActiveMQ's get waits for them."""
_STEPS = 100
"""So often is as good as for ever."""


class Cut(Exception):
    """The connection was cut where the test wanted it."""


class Conversation:
    """
    A whole life of a session, frame by frame, up to a cut.

    @ivar probes: everything that was begun, by what it is.
    """

    def __init__(self, server: str, abilities: Abilities, cut_after: int) -> None:
        self.clock = Clock()
        self.journal = Journal()
        self.broker = ScriptedBroker(server, self.count)
        self.probes: dict[str, Probe] = {}
        self._abilities = abilities
        self._left = cut_after

    @property
    def session(self) -> Any:
        """The session, once it is logged in."""
        login = self.probes.get("login")
        made = login.outcome if login is not None and login.fired else None
        return None if isinstance(made, Exception) else made

    def count(self) -> None:
        """One more frame passed."""
        if self._left == 0:
            self._left = -1
            raise Cut
        self._left -= 1

    def answer(self) -> None:
        """Let the broker answer, and time pass, until all has fired."""
        for _ in range(_STEPS):
            answered = self.broker.answer()
            self.clock.advance(_STEP)
            if not answered and all(probe.fired for probe in self.probes.values()):
                break

    def begin(self, name: str, deferred: Any) -> Probe:
        """Watch something by that name."""
        probe = self.probes[name] = Probe(deferred)
        return probe

    def run(self) -> None:
        """
        @raise Cut: at the cut.
        """
        transport = StompTransport()
        self.begin(
            "login",
            transport.connect(
                Parameters("stomp", heartbeat=0),
                self.broker,
                self.clock,
                SessionWatcher(self.journal),
            ),
        )
        self.answer()
        opening = self.begin(
            "open", self.session.open_channel(ChannelWatcher(self.journal))
        )
        self.answer()
        self._use(opening.outcome)
        self.begin("close session", self.session.close())
        self.answer()
        self.broker.finish()

    def _use(self, channel: Any) -> None:
        for name, begin in OPERATIONS.items():
            if name not in NEEDED or self._abilities.can(NEEDED[name]):
                self.begin(name, begin(channel, QUEUE, EXCHANGE))
        self.begin("publish", publish(channel, DEFAULT, "q"))
        self.answer()
        self.begin("consume", consume(channel, Queue("q2"), "two", Inbox()))
        self.begin("cancel", channel.basic_cancel("two"))
        inbox = Inbox()
        self.begin("again", consume(channel, Queue("q2"), "two", inbox))
        self.begin("publish 2", publish(channel, DEFAULT, "q"))
        self.answer()
        self.broker.deliver("q2", b"body")
        self.count()
        (delivery,) = inbox.journal.all("delivery")
        channel.ack(delivery.tag, False)
        self.begin("flushed", channel.when_flushed())
        self.clock.advance(0)
        self.answer()
        self.begin("cancel it", channel.basic_cancel("two"))
        self.begin("declare", channel.queue_declare(QUEUE, False))
        self.begin("close", channel.close())
        self.answer()


Disturb = Callable[[Conversation], object]


class SweepTests(SynchronousTestCase):
    """
    Whatever is cut wherever: each Deferred fires once, in that turn.

    @ivar kinds: what operations may fail with.
    """

    kinds: tuple[type[Exception], ...] = (SessionLost, ChannelClosed)

    def sweep(self, disturb: Disturb, later: Disturb = lambda _: None) -> None:
        """
        Disturb after each frame in turn.

        @param later: what happens before all has to be over.
        """
        for server, abilities in BROKERS.items():
            for frames in count():
                conversation = Conversation(server, abilities, frames)
                try:
                    conversation.run()
                except Cut:
                    disturb(conversation)
                    later(conversation)
                    self.check(conversation)
                else:
                    break
            self.check(conversation)
            self.assertEqual(conversation.journal.entries, [])
            self.assertGreater(frames, 60, server)

    def check(self, conversation: Conversation) -> None:
        """Everything fired once, and nothing is left to do."""
        for name, probe in conversation.probes.items():
            self.assertEqual(len(probe.outcomes), 1, name)
            self.check_outcome(name, probe.outcome)
        conversation.broker.finish()
        self.assertEqual(conversation.clock.getDelayedCalls(), [])
        self.assertLessEqual(len(conversation.journal.all("session_lost")), 1)

    def check_outcome(self, name: str, outcome: object) -> None:
        """What it fired with is of the kind the contract says."""
        if name.startswith(("cancel", "close")):
            self.assertIsNone(outcome, name)
        elif name.startswith("publish") and isinstance(outcome, Exception):
            self.assertIsInstance(outcome, OutcomeUnknown | NotSent)
        elif isinstance(outcome, Exception) and name != "login":
            self.assertIsInstance(outcome, self.kinds, name)
            self.assertNotIsInstance(outcome, PublishError)

    def test_lost(self) -> None:
        """The broker goes away, with all connections."""
        self.sweep(lambda conversation: conversation.broker.vanish())

    def test_main_lost(self) -> None:
        """The session's own connection goes away, and ends the others."""

        def lose(conversation: Conversation) -> None:
            conversation.broker.lines[0].lose()
            conversation.broker.finish()
            self.assertFalse(any(line.is_open for line in conversation.broker.lines))

        self.sweep(lose)

    def test_broken(self) -> None:
        """The broker breaks the protocol on the session's own connection."""
        garbage = b"no frame\n\n\0"
        self.sweep(lambda each: each.broker.lines[0].send(garbage), Conversation.answer)

    def test_aborted(self) -> None:
        """This program drops the session, or gives the attempt to connect up."""

        def abort(conversation: Conversation) -> None:
            if conversation.session is None:
                conversation.probes.pop("login").deferred.cancel()
            else:
                conversation.session.abort()

        self.sweep(abort)

    def test_newest_lost(self) -> None:
        """One connection beside goes away: what was begun ends all the same."""

        def lose(conversation: Conversation) -> None:
            conversation.broker.lines[-1].lose()

        def go_on(conversation: Conversation) -> None:
            conversation.answer()
            if conversation.session is not None:
                conversation.begin("close at last", conversation.session.close())
                conversation.answer()

        self.kinds = (*self.kinds, ResourceError)  # one that could not be opened
        self.sweep(lose, go_on)

    def test_channel_lost(self) -> None:
        """The connection that a channel publishes on goes away: the session lives."""

        def lose(conversation: Conversation) -> None:
            for line in conversation.broker.lines[1:2]:
                line.lose()

        def go_on(conversation: Conversation) -> None:
            conversation.answer()
            session, journal = conversation.session, conversation.journal
            if session is None:
                return
            self.assertEqual(journal.all("session_lost"), [])
            if "close session" not in conversation.probes:
                opening = session.open_channel(ChannelWatcher(journal))
                opened = conversation.begin("open again", opening)
                conversation.answer()
                self.assertNotIsInstance(opened.outcome, Exception)
            conversation.begin("close at last", session.close())
            conversation.answer()

        self.kinds = (*self.kinds, ResourceError)
        self.sweep(lose, go_on)
