"""
Credentials that cannot be sent, and secrets that are renewed.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import Journal, Probe, SessionWatcher
from tests.support.amqp_peer import Connection, Peer
from txkombu.exceptions import (
    AuthenticationFailed,
    BrokerError,
    CommandInvalid,
    SessionLost,
)
from txkombu.transport.amqp.native import AmqpTransport
from txkombu.url import Parameters


class CredentialsTests(SynchronousTestCase):
    """Credentials that no broker can be told."""

    def refused(self, **parameters: Any) -> AuthenticationFailed:
        """Try to connect with credentials, and check that nothing is connected to."""
        connecting = Probe(
            AmqpTransport().connect(
                Parameters(**parameters), None, Clock(), SessionWatcher(Journal())
            )
        )
        error = connecting.outcome
        assert isinstance(error, AuthenticationFailed)
        return error

    def test_no_unicode(self) -> None:
        """What is no text is named, and not shown."""
        for name in ("userid", "password", "connection_name"):
            error = self.refused(**{name: "hidden\ud800"})
            self.assertEqual(str(error), f"the {name} cannot be written as UTF-8")
            self.assertIsNone(error.__cause__)
            self.assertTrue(error.__suppress_context__)

    def test_zero_bytes(self) -> None:
        """A zero byte would move the border between user and password."""
        for name in ("userid", "password"):
            error = self.refused(**{name: "hidden\0x"})
            self.assertRegex(str(error), f"the {name} has a zero byte")
            self.assertNotIn("hidden", str(error))


class UpdateSecretTests(SynchronousTestCase):
    """Renewing a secret."""

    def setUp(self) -> None:
        self.peer = Peer()
        self.peer.log_in()

    def update(self) -> Probe:
        """Renew the secret, and check that it is sent."""
        probe = Probe(self.peer.session.update_secret("new", "expires"))
        ((number, sent),) = self.peer.taken()
        self.assertEqual((number, sent.name), (0, "Connection.UpdateSecret"))
        self.assertEqual((sent.new_secret, sent.reason), (b"new", "expires"))
        return probe

    def test_taken(self) -> None:
        """It fires when the broker has taken the secret; earlier ones fire first."""
        first, second = self.update(), self.update()
        self.peer.send(0, Connection.UpdateSecretOk())
        self.assertEqual((first.outcomes, second.outcomes), ([None], []))
        self.peer.send(0, Connection.UpdateSecretOk())
        self.assertEqual(second.outcomes, [None])

    def test_refused(self) -> None:
        """A refusal ends the session, and is what updating fails with."""
        probe, other = self.update(), self.update()
        self.peer.send(0, Connection.Close(530, "NOT_ALLOWED", 10, 70))
        self.assertIsInstance(probe.outcome, BrokerError)
        self.assertEqual(probe.outcome.code, 530)
        self.assertIsInstance(other.outcome, SessionLost)

    def test_lost(self) -> None:
        """A loss, another error, or an earlier end fails it, typed."""
        probe = self.update()
        self.peer.send(0, Connection.Close(503, "COMMAND_INVALID", 0, 0))
        self.assertIsInstance(probe.outcome, SessionLost)
        self.assertIsInstance(probe.outcome.__cause__, CommandInvalid)
        late = Probe(self.peer.session.update_secret("new", "expires"))
        self.assertIsInstance(late.outcome, SessionLost)

    def test_cancelled(self) -> None:
        """A cancelled one keeps its place."""
        first, second = self.update(), self.update()
        first.deferred.cancel()
        self.peer.send(0, Connection.UpdateSecretOk())
        self.assertFalse(second.fired)
        self.peer.send(0, Connection.UpdateSecretOk())
        self.assertEqual(second.outcomes, [None])
