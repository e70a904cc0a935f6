"""
Closing a connection with messages in flight, in bounded time.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import Probe
from tests.support.fakes import Call, FakeChannel, FakeSession, FakeTransport
from txkombu import BrokerConnection, Exchange, Producer
from txkombu.core.publish_queue import WINDOW
from txkombu.exceptions import (
    ChannelClosed,
    ConnectError,
    NotSent,
    OutcomeUnknown,
    OutcomeUnknownInTime,
    ResourceError,
    SessionLost,
)

ANSWER = 5
"""
Seconds that a broker has for an answer.
"""


class ClosingTestCase(SynchronousTestCase):
    """Has a connection with a fake transport, and a producer on it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = FakeTransport()
        self.connection = BrokerConnection(
            transport=self.transport, reactor=self.clock, operation_timeout=30
        )
        self.producer = Producer(self.connection, Exchange(""), "q")
        ready = self.producer.when_ready()
        self.session = FakeSession()
        self.transport.attempts[0].succeed(self.session)
        self.successResultOf(ready)
        self.seconds = 0

    @property
    def channel(self) -> FakeChannel:
        """Return the session channel of the producer."""
        return self.session.channels[0]

    def publish(self, count: int = 1) -> list[Probe]:
        """Publish so many messages."""
        return [Probe(self.producer.publish("x", timeout=1000)) for _ in range(count)]

    def sent(self) -> list[Call]:
        """Return the bodies that were written."""
        return self.channel.called("basic_publish")

    def freeze(self) -> None:
        """Answer nothing from now on."""
        del self.session.answers["close"]
        for channel in self.session.channels:
            channel.answers.clear()
        self.patch(self.session, "open_channel", self.open_never)

    def open_never(self, listener: object) -> Deferred[Any]:
        """Do not answer."""
        return self.session.begin("open_channel", listener)

    def close(self) -> Probe:
        """Begin to close."""
        return Probe(self.connection.close())

    def until(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.pump([1] * seconds)

    def end_session(self) -> None:
        """End the session, as a session does after a while."""
        self.channel.die()
        self.session.called("close")[0].succeed()


class SilentTests(ClosingTestCase):
    """A broker that answers nothing."""

    def test_gives_up(self) -> None:
        """
        After 5 s without a verdict, and 5 s without any other answer, the session is
        closed; publishes fail with OutcomeUnknown.
        """
        [publish] = self.publish()
        self.freeze()
        closing = self.close()
        self.until(2 * ANSWER - 1)
        self.assertEqual(self.session.called("close"), [])
        self.until(1)
        self.assertEqual(len(self.session.called("close")), 1)
        self.assertFalse(publish.fired)
        self.end_session()
        self.assertIsInstance(publish.outcome, OutcomeUnknown)
        self.assertEqual(closing.outcomes, [None])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_never_written(self) -> None:
        """Messages that waited for room were not sent, and their publishes say so."""
        publishes = self.publish(WINDOW + 1)
        self.freeze()
        self.close()
        self.until(2 * ANSWER)
        self.assertIsInstance(publishes[-1].outcome, NotSent)
        self.assertFalse(publishes[0].fired)
        self.end_session()
        self.assertIsInstance(publishes[0].outcome, OutcomeUnknown)

    def test_only_the_producer_is_closed(self) -> None:
        """A publish ends at its deadline, also if its producer was closed before."""
        publish = Probe(self.producer.publish("x", timeout=60))
        self.freeze()
        closing = Probe(self.producer.close())
        self.until(2 * ANSWER)
        self.assertEqual(closing.outcomes, [None])
        self.until(59 - 2 * ANSWER)
        self.assertFalse(publish.fired)
        self.until(1)
        self.assertIsInstance(publish.outcome, OutcomeUnknownInTime)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_freezes_meanwhile(self) -> None:
        """A broker that freezes while the close waits for it is noticed, too."""
        self.publish()
        self.close()
        self.until(2 * ANSWER + 1)
        self.freeze()
        self.until(2 * ANSWER)
        self.assertEqual(len(self.session.called("close")), 1)
        self.end_session()

    def test_lost_meanwhile(self) -> None:
        """A session that is lost meanwhile ends the wait at once."""
        [publish] = self.publish()
        closing = self.close()
        self.until(ANSWER + 1)
        self.channel.die()
        self.assertIsInstance(publish.outcome, OutcomeUnknown)
        self.until(ANSWER)
        self.assertEqual(closing.outcomes, [None])


class SlowTests(ClosingTestCase):
    """A broker that answers, but is slow with verdicts."""

    def test_waits(self) -> None:
        """The close waits for verdicts as long as an operation may take."""
        [publish] = self.publish()
        closing = self.close()
        self.until(25)
        self.assertEqual((publish.outcomes, closing.outcomes), ([], []))
        self.sent()[0].succeed()
        self.assertEqual(publish.outcomes, [None])
        self.until(ANSWER)
        self.assertEqual(closing.outcomes, [None])

    def test_asked_seldom(self) -> None:
        """
        The close asks the broker once in 5 s, with a channel that it closes at once.
        """
        self.publish()
        self.close()
        self.until(3 * ANSWER + 1)
        asked = self.session.channels[1:]
        self.assertEqual([each.names() for each in asked], [["close"]] * 3)

    def test_not_for_ever(self) -> None:
        """After the operation timeout the close ends without the verdicts."""
        self.publish()
        self.close()
        self.until(29)
        self.assertEqual(self.channel.called("close"), [])
        self.until(1)
        self.assertEqual(len(self.channel.called("close")), 1)

    def test_refuses_to_open(self) -> None:
        """A refusal to open a channel is an answer, too."""
        self.publish()
        self.close()
        self.session.answers["open_channel"] = ResourceError("no number is left")
        self.until(29)
        self.assertEqual(self.session.called("close"), [])

    def test_prompt(self) -> None:
        """A broker that sends its verdicts in time is asked nothing."""
        self.publish()
        closing = self.close()
        self.sent()[0].succeed()
        self.assertEqual(closing.outcomes, [None])
        self.assertEqual(len(self.session.channels), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class OpeningTests(SynchronousTestCase):
    """Closing while the channel for published messages is being opened."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = FakeTransport()
        self.connection = BrokerConnection(
            transport=self.transport, reactor=self.clock, operation_timeout=30
        )
        self.producer = Producer(self.connection, Exchange(""), "q")
        self.session = FakeSession(prompt=False)

    def published(self) -> Probe:
        """Publish, which begins to connect."""
        return Probe(self.producer.publish("x", timeout=1000))

    def connect(self) -> None:
        """Let the connection open."""
        self.transport.attempts[-1].succeed(self.session)

    def closings(self) -> list[Any]:
        """Return the ways to close."""
        return [self.producer.close, self.producer.channel.close, self.connection.close]

    def test_goes_out(self) -> None:
        """
        Published messages are sent and have their verdicts before the channel closes.
        """
        for number in range(3):
            self.setUp()
            verdict = self.published()
            closing = Probe(self.closings()[number]())
            self.clock.advance(3)
            self.connect()
            [channel] = self.session.channels
            [sent] = channel.called("basic_publish")
            self.assertEqual((verdict.fired, closing.fired), (False, False))
            self.assertEqual(channel.called("close"), [])
            sent.succeed()
            self.assertEqual(verdict.outcomes, [None])
            [closed] = channel.called("close")
            closed.succeed()
            self.assertTrue(closing.fired)

    def test_refused(self) -> None:
        """If the connection is refused, the publish and the close end at once."""
        verdict = self.published()
        closing = Probe(self.producer.channel.close())
        self.transport.attempts[-1].fail(ResourceError("no"))
        self.assertIsInstance(verdict.outcome, NotSent)
        self.assertTrue(closing.fired)

    def test_bounded(self) -> None:
        """The close waits for the channel no longer than an operation may take."""
        verdict = self.published()
        closing = Probe(self.producer.channel.close())
        self.clock.advance(29)
        self.assertFalse(closing.fired)
        self.clock.advance(1)
        self.assertTrue(closing.fired)
        self.assertIsInstance(verdict.outcome, NotSent)

    def test_nothing_published(self) -> None:
        """Without a message the close does not wait."""
        opening = Probe(self.connection.channel())
        closing = Probe(self.producer.channel.close())
        self.assertTrue(closing.fired)
        self.assertFalse(opening.fired)
        self.connection.close()

    def test_waiting_for_the_next_attempt(self) -> None:
        """
        While the connection waits for its next attempt, the publishes fail and the
        close does not wait.
        """
        self.published()
        self.connect()
        self.connection.drop()
        verdict = self.published()
        closing = Probe(self.producer.channel.close())
        self.assertTrue(closing.fired)
        self.assertIsInstance(verdict.outcome, NotSent)
        self.connection.close()

    def test_attempt_fails(self) -> None:
        """
        If the attempt under way fails, or its session is lost before it is usable,
        there is no other: publishes and close end at once, and the log says so.
        """
        lost, refused = SessionLost("cut"), ConnectError("nobody listens")
        for had_session in (False, True):
            for accepted in (False, True):
                self.setUp()
                self.published()
                if had_session:
                    self.connect()
                    self.connection.drop()
                    self.session.channels[0].die()
                    self.clock.advance(1)
                    self.session = FakeSession(prompt=False)
                verdict = self.published()
                with capturedLogs() as events:
                    closing = Probe(self.connection.close())
                    self.assertFalse(closing.fired)
                    if accepted:
                        begin = partial(self.session.begin, "open_channel")
                        self.patch(self.session, "open_channel", begin)
                        self.connect()
                        self.transport.attempts[-1].listener.session_lost(lost)
                        for each in self.session.called("open_channel"):
                            each.fail(lost)
                    else:
                        self.transport.attempts[-1].fail(refused)
                self.assertTrue(closing.fired)
                self.assertTrue(verdict.fired)
                text = "\n".join(map(formatEvent, events))
                self.assertNotIn("next attempt", text)
                self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lost_while_closing(self) -> None:
        """A connection that is lost while it closes is not made again."""
        verdict = self.published()
        self.connect()
        closing = Probe(self.connection.close())
        with capturedLogs() as events:
            self.transport.attempts[-1].listener.session_lost(SessionLost("cut"))
            for channel in self.session.channels:
                channel.die()
            self.clock.advance(ANSWER)
        self.assertIsInstance(verdict.outcome, OutcomeUnknown)
        self.assertTrue(closing.fired)
        [event] = events
        self.assertIn("there is no other attempt", formatEvent(event))
        self.clock.advance(1000)
        self.assertEqual(len(self.transport.attempts), 1)

    def test_later_publishes(self) -> None:
        """A publish after the call to close is refused."""
        self.published()
        self.producer.channel.close()
        late = self.published()
        self.assertIsInstance(late.outcome, ChannelClosed)
        self.connection.close()
