"""A broker that has no room for one more connection."""

from __future__ import annotations

from pamqp import commands
from twisted.trial.unittest import SynchronousTestCase

from txkombu.exceptions import AuthenticationFailed
from txkombu.transport.amqp.wire.login import refused
from txkombu.url import parse_url


class LimitTests(SynchronousTestCase):
    """What RabbitMQ closes a connection with before it is open."""

    def kind(self, text: str) -> tuple[bool, str]:
        """Return whether it is an AuthenticationFailed, and its text."""
        method = commands.Connection.Close(530, f"NOT_ALLOWED - {text}", 10, 40)
        error = refused(method, parse_url("amqp://me@host"), "host:5672")
        return isinstance(error, AuthenticationFailed), str(error)

    def test_limits(self) -> None:
        """
        A limit that is reached is no AuthenticationFailed: it passes; the error shows
        it.
        """
        for text in (
            "access to vhost 'v' refused for user 'a': connection limit (2) is reached",
            "connection refused for user 'me': user connection limit (0) is reached",
            "connection refused: node connection limit (10000) is reached",
        ):
            permanent, told = self.kind(text)
            self.assertFalse(permanent)
            self.assertIn(text, told)

    def test_refusals(self) -> None:
        """Every other refusal is one, whatever names it has."""
        for text in (
            "access to vhost 'v' refused for user 'me'",
            "vhost connection limit (1) is reached not found",
        ):
            self.assertTrue(self.kind(text)[0])
