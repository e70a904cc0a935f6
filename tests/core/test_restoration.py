"""
Restoring declarations, and trying refused ones again.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.core.test_topology import MEDIA, StrictSession
from txkombu import Queue
from txkombu.core.restoration import Restoration
from txkombu.core.topology import Topology
from txkombu.exceptions import AccessRefused, SessionLost


class RestorationTests(SynchronousTestCase):
    """A topology with a queue that the broker refuses."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.topology = Topology(lambda old, new: None)
        self.queue = Queue("video")
        self.topology.exchange_declared(MEDIA)
        self.topology.queue_declared(self.queue, False)
        self.restoration = Restoration(self.topology, self.clock, lambda: 30.0)
        self.restoration._backoff._jitter = lambda: 0.0
        self.session = StrictSession()

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
        self.session.lost = True
        self.clock.advance(1)
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
