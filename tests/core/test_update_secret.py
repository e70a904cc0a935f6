"""
A new password for a live connection.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.support.fakes import FakeSession, FakeTransport
from txkombu import BrokerConnection
from txkombu.core.lifecycle import State
from txkombu.exceptions import AuthenticationFailed, ConnectionClosed, NotSupported
from txkombu.interfaces import IRenewableSession
from txkombu.testing import BrokerTestCase


@implementer(IRenewableSession)
class RenewableSession(FakeSession):
    """A session that can be told a new secret."""

    def update_secret(self, secret: str, reason: str) -> Deferred[None]:
        return self.begin("update_secret", secret, reason)


class UpdateSecretTests(SynchronousTestCase):
    """BrokerConnection.update_secret."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = FakeTransport()
        self.connection = BrokerConnection(
            ["memory://one", "memory://two"],
            password="old",
            transport=self.transport,
            reactor=self.clock,
        )

    def up(self) -> RenewableSession:
        """Let the last attempt succeed."""
        session = RenewableSession()
        self.transport.attempts[-1].succeed(session)
        return session

    def passwords(self) -> list[str]:
        """Return the passwords of all attempts."""
        return [each.parameters.password for each in self.transport.attempts]

    def test_told(self) -> None:
        """The broker is told; the Deferred fires when it has accepted the secret."""
        connecting = self.connection.connect()
        session = self.up()
        self.successResultOf(connecting)
        updating = self.connection.update_secret("new", "the old one expires")
        [told] = session.called("update_secret")
        self.assertEqual(told.arguments, ("new", "the old one expires"))
        self.assertNoResult(updating)
        told.succeed()
        self.successResultOf(updating)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_next_login(self) -> None:
        """The next login uses the new secret, at any alternate."""
        self.connection.connect()
        self.up()
        self.connection.update_secret("new").addErrback(lambda failure: None)
        self.connection.drop()
        self.clock.advance(1)
        self.transport.attempts[-1].fail(OSError("one is down"))
        self.assertEqual(self.passwords(), ["old", "new", "new"])
        alternates = self.connection.clone().core.settings.alternates
        self.assertEqual(alternates[1].password, "new")
        closing = self.connection.close()
        self.successResultOf(closing)

    def test_no_session(self) -> None:
        """Without a session nothing is sent, and nothing connects."""
        self.successResultOf(self.connection.update_secret("new"))
        self.assertIs(self.connection.state, State.IDLE)
        connecting = self.connection.connect()
        self.assertEqual(self.passwords(), ["new"])
        self.up()
        self.successResultOf(connecting)
        self.connection.drop()
        self.successResultOf(self.connection.update_secret("newer"))
        self.clock.advance(1)
        self.assertEqual(self.passwords(), ["new", "newer"])

    def test_refused_login(self) -> None:
        """While the broker refuses the old secret, the new one is tried at once."""
        self.connection.connect()
        self.up()
        self.connection.drop()
        self.clock.advance(1)
        for _ in range(2):
            self.transport.attempts[-1].fail(AuthenticationFailed("expired"))
        self.clock.advance(1)
        self.assertEqual(self.passwords(), ["old", "old", "old"])
        self.successResultOf(self.connection.update_secret("new"))
        self.clock.advance(0)
        self.assertEqual(self.passwords()[3:], ["new"])
        self.up()
        self.assertTrue(self.connection.connected)

    def test_broker_is_down(self) -> None:
        """A broker that is down is not tried sooner."""
        self.connection.connect()
        self.up()
        self.connection.drop()
        self.successResultOf(self.connection.update_secret("new"))
        self.clock.advance(0)
        self.assertEqual(self.passwords(), ["old"])
        self.successResultOf(self.connection.close())

    def test_login_under_way(self) -> None:
        """
        A login that is under way with the old secret is told the new one afterwards.
        """
        self.connection.connect()
        updating = self.connection.update_secret("new")
        self.assertNoResult(updating)
        session = self.up()
        self.assertEqual(len(session.called("update_secret")), 1)
        session.called("update_secret")[0].succeed()
        self.successResultOf(updating)

    def test_closed(self) -> None:
        """A closed connection does not log in."""
        self.successResultOf(self.connection.close())
        self.failureResultOf(self.connection.update_secret("new"), ConnectionClosed)

    def test_not_shown(self) -> None:
        """The secret is not shown anywhere, whatever it is."""
        wrong: Any = b"s3cret"
        error = self.assertRaises(TypeError, self.connection.update_secret, wrong)
        self.assertNotIn("s3cret", str(error))
        self.connection.update_secret("s3cret")
        self.assertNotIn("s3cret", repr(self.connection))
        self.assertNotIn("s3cret", str(self.connection.info()))
        self.assertIn("s3cret", self.connection.as_uri(include_password=True))

    def test_reason(self) -> None:
        """A reason that no broker can be told is refused at once."""
        self.assertRaises(ValueError, self.connection.update_secret, "new", "x" * 256)
        self.assertIn("old", self.connection.as_uri(include_password=True))


class OtherTransportTests(BrokerTestCase):
    """A transport whose live sessions cannot be told."""

    def test_memory(self) -> None:
        """The error says so, and that the next login uses the secret."""
        self.result_of(self.connection.connect())
        updating = self.connection.update_secret("new")
        error = self.failureResultOf(updating, NotSupported).value
        self.assertEqual(
            str(error),
            "update_secret is not supported by the memory transport: the next "
            "session logs in with it",
        )
