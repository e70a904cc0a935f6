"""
Restoring declarations, and trying refused ones again.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.core.test_topology import MEDIA, StrictSession
from txkombu import Queue
from txkombu.core.recorded_bindings import RecordedBinding
from txkombu.core.restoration import Restoration
from txkombu.core.topology import Topology
from txkombu.exceptions import (
    AccessRefused,
    ConnectionForced,
    NotFound,
    ResourceError,
    SessionLost,
)


class SilentSession(StrictSession):
    """
    A strict session that can stop to answer.

    @ivar silent: whether it answers nothing on the channels that it opens.
    """

    def __init__(self) -> None:
        super().__init__()
        self.silent = False

    def open_channel(self, listener: Any) -> Any:
        opening = super().open_channel(listener)
        if self.silent:
            self.channels[-1].answers.clear()
        return opening


class RestorationTestCase(SynchronousTestCase):
    """Has a topology with a queue that the broker refuses."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.topology = Topology(lambda old, new: None)
        self.queue = Queue("video")
        self.topology.exchange_declared(MEDIA)
        self.topology.queue_declared(self.queue, False)
        self.restoration = Restoration(self.topology, self.clock, lambda: 30.0)
        self.restoration._backoff._jitter = lambda: 0.0
        self.session = SilentSession()

    def refuse(self) -> None:
        """Let the broker refuse the queue."""
        self.session.refusals["queue_declare video"] = AccessRefused("no")

    def restore(self) -> None:
        """Restore, with the refusals of the test."""
        with capturedLogs():
            self.successResultOf(self.restoration.restore(self.session))

    def attempts(self) -> int:
        """Return how often the queue was declared."""
        return self.session.declared.count(("queue_declare", "video", False))


class RestorationTests(RestorationTestCase):
    """Restoring, and trying again what was refused."""

    def test_all_well(self) -> None:
        """If nothing is refused no timer is left."""
        self.restore()
        self.assertTrue(self.topology.knows(self.queue))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_tried_again(self) -> None:
        """
        A refused declaration is tried again, with growing waits, until it succeeds.
        """
        self.refuse()
        self.restore()
        for wait, attempts in ((1.0, 2), (2.0, 3), (4.0, 4)):
            self.clock.advance(wait - 0.1)
            self.assertEqual(self.attempts(), attempts - 1)
            self.clock.advance(0.1)
            self.assertEqual(self.attempts(), attempts)
        self.session.refusals.clear()
        self.clock.advance(8)
        self.assertTrue(self.topology.knows(self.queue))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(
            self.session.declared.count(("exchange_declare", "media", False)), 1
        )

    def test_lost(self) -> None:
        """
        A loss of the session ends the attempts, and nothing counts as present at the
        broker.
        """
        self.refuse()
        self.restore()
        self.restoration.lost()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(self.topology.knows(MEDIA))

    def test_lost_meanwhile(self) -> None:
        """A loss of the session while a declaration is tried again ends that."""
        self.refuse()
        self.restore()
        self.session.refusals.clear()
        self.session.silent = True
        self.clock.advance(1)
        self.restoration.lost()
        self.session.channels[-1].die()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lost_while_restoring(self) -> None:
        """A loss while everything is restored is passed on."""
        self.session.lost = True
        restoring = self.restoration.restore(self.session)
        self.failureResultOf(restoring, SessionLost)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_next_session(self) -> None:
        """A new session begins with short waits again."""
        self.refuse()
        self.restore()
        self.clock.advance(1)
        self.restore()
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(call.getTime() - self.clock.seconds(), 1.0)


class FailedRetryTests(RestorationTestCase):
    """Trying again, without an answer or a connection, while the session lives."""

    def setUp(self) -> None:
        super().setUp()
        self.topology.bound(RecordedBinding(self.queue, MEDIA, "a", {}))
        self.refuse()
        self.session.refusals["queue_bind video"] = NotFound("no queue")
        self.restore()
        self.session.refusals.clear()

    def assert_restored(self, wait: float) -> None:
        """Check that all is tried again after a wait, and succeeds."""
        self.clock.advance(wait - 0.1)
        self.assertNotIn(("queue_bind", "video", "media", "a", {}), self.bound())
        self.clock.advance(0.1)
        self.assertEqual(self.bound(), [("queue_bind", "video", "media", "a", {})])
        self.assertFalse(self.topology.refused)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def bound(self) -> list[tuple[Any, ...]]:
        """Return the bindings that were tried again."""
        return [each for each in self.session.declared[3:] if each[0] == "queue_bind"]

    def test_not_answered(self) -> None:
        """A declaration that is not answered in time is tried again later."""
        self.session.silent = True
        self.clock.advance(1)
        self.assertEqual(self.attempts(), 2)
        with capturedLogs() as logged:
            self.clock.advance(30)
        self.assertEqual(len(logged), 1)
        self.assertIn("restoring was not over within 30 s", formatEvent(logged[0]))
        self.assertEqual(self.session.channels[-1].names()[-1], "close")
        self.session.silent = False
        self.assert_restored(2)

    def test_no_connection(self) -> None:
        """One that had no connection of its own, or lost it, is tried again later."""
        errors = (
            ConnectionForced("it restarts"),
            ResourceError("no more connections"),
            SessionLost("that of the declaration"),
        )
        for number, error in enumerate(errors):
            self.session.refusals["queue_declare video"] = error
            with capturedLogs() as logged:
                self.clock.advance(2**number)
            self.assertEqual(self.attempts(), 2 + number)
            self.assertIn(str(error), formatEvent(logged[-1]))
        self.session.refusals.clear()
        self.assert_restored(8)

    def test_no_channel(self) -> None:
        """If no channel can be opened, all is tried again later."""
        self.session.answers["open_channel"] = ResourceError("no more channels")
        with capturedLogs():
            self.clock.advance(1)
        del self.session.answers["open_channel"]
        self.assert_restored(2)

    def test_next_session(self) -> None:
        """What another session has taken over is not tried again in the last one."""
        self.session.silent = True
        self.clock.advance(1)
        last, self.session = self.session, SilentSession()
        opened = len(last.channels)
        self.refuse()
        self.restore()
        for channel in last.channels:
            channel.die()
        self.session.refusals.clear()
        self.clock.advance(1)
        self.assertTrue(self.topology.knows(self.queue))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(last.channels), opened)
