"""
What the protocols of all transports with a socket have in common.
"""

from __future__ import annotations

from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.support.amqp_peer import Peer
from txkombu._util.state_machine import IllegalStep
from txkombu.exceptions import SessionLost
from txkombu.transport.protocol import Event, State


class StateTests(SynchronousTestCase):
    """The state of a connection."""

    def setUp(self) -> None:
        self.peer = Peer()

    def test_login_twice(self) -> None:
        """A connection that is open cannot log in: that is a fault in txkombu."""
        self.peer.log_in()
        with self.assertRaisesRegex(
            IllegalStep, "a connection that is open cannot log in"
        ):
            self.peer.session._step(Event.LOGGED_IN)
        self.assertIs(self.peer.session._state, State.OPEN)

    def test_over_is_final(self) -> None:
        """From the end no event leads anywhere, and no second end is told."""
        self.peer.log_in()
        self.peer.lose()
        for event in Event:
            with self.assertRaises(IllegalStep):
                self.peer.session._step(event)
        self.peer.lose()
        self.peer.session.abort()
        (reason,) = self.peer.journal.all("session_lost")
        self.assertIsInstance(reason, SessionLost)

    def test_producer(self) -> None:
        """It is a push producer, and says nothing to its owner before the login."""
        session = self.peer.session
        verifyObject(IPushProducer, session)
        self.peer.connect()
        session.pauseProducing()
        session.resumeProducing()
        session.stopProducing()
        self.assertEqual(self.peer.journal.entries, [])

    def test_full(self) -> None:
        """The owner hears once that the socket is full, and once that it has room."""
        self.peer.log_in()
        session, journal = self.peer.session, self.peer.journal
        for _ in range(3):
            session.pauseProducing()
        for _ in range(2):
            session.resumeProducing()
        session.pauseProducing()
        told = [name for name, _ in journal.entries if name.startswith("write_")]
        self.assertEqual(told, ["write_paused", "write_resumed", "write_paused"])

    def test_owner_that_raises(self) -> None:
        """What the owner raises is logged, and changes nothing here."""
        self.peer.log_in()
        session = self.peer.session
        self.patch(session._owner, "write_paused", lambda: 1 / 0)
        session.pauseProducing()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        session.resumeProducing()
        self.assertEqual(len(self.peer.journal.all("write_resumed")), 1)
