"""
A consumer of replies that cannot be started.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fakes import Call, FakeChannel, FakeSession, FakeTransport
from txkombu import BrokerConnection, Queue
from txkombu.exceptions import (
    ChannelClosed,
    ConnectionClosed,
    NotSentInTime,
    OperationTimeout,
    OutcomeUnknownInTime,
    ResourceLocked,
    SessionLost,
)
from txkombu.interfaces import QueueDeclareOk
from txkombu.policy import ReconnectPolicy
from txkombu.rpc import RPCClient

LONGEST = 20
"""Seconds of the longest wait between attempts."""
OPERATION = 1
"""Seconds that the broker has for an answer."""


class StartingTests(SynchronousTestCase):
    """
    Attempts are paced, and the calls that they fail say why.

    @ivar answer: called with each request to consume, with its session and channel.
    @ivar asked: when each of these came.
    """

    def setUp(self) -> None:
        self.clock, self.transport = Clock(), FakeTransport()
        self.connection = BrokerConnection(
            transport=self.transport,
            reactor=self.clock,
            operation_timeout=OPERATION,
            reconnect=ReconnectPolicy(1, LONGEST, jitter=0),
        )
        self.client = RPCClient(self.connection, reply_queue=Queue("answers"))
        self.sessions: list[FakeSession] = []
        self.asked: dict[Call, float] = {}
        self.answer: Callable[[FakeSession, FakeChannel, Call], object] = (
            self.not_at_all
        )

    def not_at_all(
        self, session: FakeSession, channel: FakeChannel, call: Call
    ) -> None:
        """Do not answer."""

    def lose(self, session: FakeSession, channel: FakeChannel, call: Call) -> None:
        """Lose the session."""
        lost = SessionLost("the broker went")
        session.lost = True
        self.transport.attempts[-1].listener.session_lost(lost)
        channel.die(lost)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and answer what is asked."""
        for _ in range(round(seconds * 10)):
            for attempt in self.transport.attempts[len(self.sessions) :]:
                self.sessions.append(FakeSession(prompt=False))
                attempt.succeed(self.sessions[-1])
            for session in self.sessions:
                for channel in session.channels:
                    for call in channel.outstanding():
                        self.see_to(session, channel, call)
            self.clock.advance(0.1)

    def see_to(self, session: FakeSession, channel: FakeChannel, call: Call) -> None:
        """Answer a request."""
        if call.name == "queue_declare":
            call.succeed(QueueDeclareOk(call.arguments[0].name, 0, 0))
        elif call.name == "basic_consume" and call not in self.asked:
            self.asked[call] = self.clock.seconds()
            self.answer(session, channel, call)
        elif call.name in ("basic_publish", "basic_cancel", "close"):
            call.succeed()

    def begin(self, timeout: float) -> Deferred[Any]:
        """Begin a call."""
        return self.client.call("jobs", "x", timeout=timeout)

    def close(self) -> None:
        """Close the connection; no timer is left."""
        self.connection.close()
        self.pass_time(2 * OPERATION)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_answer(self) -> None:
        """Without an answer of the broker it is tried after growing waits."""
        calling = self.begin(200)
        self.pass_time(199)
        self.assertNoResult(calling)
        waits = [after - at for at, after in pairwise(self.asked.values())]
        self.assertEqual(
            [round(wait) - OPERATION for wait in waits],
            [0, 1, 2, 4, 8, 16, *[LONGEST] * (len(waits) - 6)],
        )
        self.assertGreater(len(waits), 10)
        self.pass_time(2)
        error = self.failureResultOf(calling, NotSentInTime).value
        self.assertIsInstance(error.__cause__, OperationTimeout)
        self.assertIn("it was not sent; last error: consuming from queue", str(error))
        self.assertTrue(error.is_safe_to_repeat)
        self.close()

    def test_lost_each_time(self) -> None:
        """So it is if the session is lost each time that it is tried."""
        self.answer = self.lose
        calling = self.begin(100)
        self.pass_time(101)
        self.assertLess(len(self.asked), 12)
        error = self.failureResultOf(calling, NotSentInTime).value
        self.assertIsInstance(error.__cause__, SessionLost)
        self.close()

    def test_logged(self) -> None:
        """Each attempt that fails is logged, with the time of the next."""
        self.begin(30).addErrback(lambda _: None)
        with capturedLogs() as events:
            self.pass_time(4)
        lines = [formatEvent(each) for each in events]
        [line] = [each for each in lines if each.endswith("next attempt in 1.0 s")]
        self.assertIn("consumer of replies cannot be started: consuming from", line)
        self.close()

    def test_starts_at_last(self) -> None:
        """When it starts, the calls that wait are published, and have their replies."""
        first, second = self.begin(5), self.begin(60)
        self.pass_time(10)
        self.failureResultOf(first, NotSentInTime)
        self.answer = lambda session, channel, call: call.succeed()
        self.pass_time(10)
        [channel] = self.sessions[0].channels
        self.assertEqual(len(channel.called("basic_publish")), 1)
        self.assertNoResult(second)
        self.close()
        self.failureResultOf(second)

    def test_nobody_waits(self) -> None:
        """It is not tried any more when no call waits, but by the next call."""
        calling = self.begin(5)
        self.pass_time(30)
        self.failureResultOf(calling, NotSentInTime)
        count = len(self.asked)
        self.pass_time(100)
        self.assertEqual(len(self.asked), count)
        self.begin(5).addErrback(lambda _: None)
        self.pass_time(0.1)
        self.assertEqual(len(self.asked), count + 1)
        self.close()

    def test_closed_meanwhile(self) -> None:
        """The end of the client between two attempts is the end of the calls."""
        calling = self.begin(60)
        self.pass_time(6)
        self.client.close()
        self.failureResultOf(calling, ChannelClosed)
        self.close()

    def test_connection_closed_meanwhile(self) -> None:
        """So is the end of the connection."""
        calling = self.begin(60)
        self.pass_time(6)
        self.close()
        self.failureResultOf(calling, ConnectionClosed)

    def test_refused_later(self) -> None:
        """
        A call that gets no reply since the consumer did not come back after a loss says
        so.
        """
        self.answer = lambda session, channel, call: call.succeed()
        self.begin(100).addErrback(lambda _: None)
        self.pass_time(1)
        locked = ResourceLocked("another consumer has it")
        self.answer = lambda session, channel, call: channel.die(locked)
        [channel] = self.sessions[0].channels
        self.lose(self.sessions[0], channel, Call(""))
        self.pass_time(10)
        calling = self.begin(5)
        self.pass_time(6)
        error = self.failureResultOf(calling, OutcomeUnknownInTime).value
        self.assertIs(error.__cause__, locked)
        self.assertIn("last error: 405 another consumer has it", str(error))
        self.close()
