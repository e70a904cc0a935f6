"""
Attempts to open sockets to STOMP brokers.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.contract.harness import Probe
from tests.support.stomp_peer import Owner, Wire, frame
from txkombu.exceptions import (
    AuthenticationFailed,
    OperationTimeout,
)
from txkombu.transport.stomp.connector import Connector
from txkombu.url import Parameters

SECRET = "s3cr3t"


@implementer(IStreamClientEndpoint)
class Endpoint:
    """An endpoint that connects when it is told to."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.attempts = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        self.attempts += 1
        self._factory = factory
        self.deferred: Deferred[Any] = Deferred()
        return self.deferred

    def succeed(self) -> Any:
        """The connection is there; the socket on it."""
        socket = self._factory.buildProtocol(None)
        socket.makeConnection(self.wire)
        self.deferred.callback(socket)
        return socket

    def __repr__(self) -> str:
        return "<somewhere>"


class AttemptTests(SynchronousTestCase):
    """One attempt to open a socket."""

    def open(self, **changed: Any) -> Probe:
        """Begin an attempt."""
        self.clock = Clock()
        self.endpoint: Any = Endpoint()
        parameters = Parameters("stomp", password=SECRET, heartbeat=0)
        self.connector = Connector(
            attrs.evolve(parameters, **changed), self.endpoint, self.clock
        )
        return Probe(self.connector.open(Owner()))

    def test_open(self) -> None:
        """The socket is handed over once it is logged in."""
        opening = self.open()
        socket = self.endpoint.succeed()
        self.assertFalse(opening.fired)
        socket.dataReceived(frame("CONNECTED", version="1.2"))
        self.assertIs(opening.outcome, socket)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_place(self) -> None:
        """Errors name what was connected to."""
        opening = self.open()
        self.assertEqual(self.connector.place, "<somewhere>")
        self.endpoint.succeed().dataReceived(frame("CONNECTED", version="1.1"))
        self.assertRegex(str(opening.outcome), "^<somewhere> speaks STOMP '1.1'")
        plain = Connector(Parameters("stomp", "h"), None, self.clock)
        self.assertEqual(plain.place, "h:61613")

    def test_late(self) -> None:
        """The login is bounded by the connection's timeout."""
        opening = self.open(connect_timeout=3.0)
        self.endpoint.succeed()
        self.clock.advance(3)
        self.assertIsInstance(opening.outcome, OperationTimeout)
        self.assertIn("(login)", str(opening.outcome))
        self.assertTrue(self.endpoint.wire.aborted)

    def test_cancelled(self) -> None:
        """Cancelling drops it."""
        opening = self.open()
        self.endpoint.succeed()
        opening.deferred.cancel()
        self.assertIsInstance(opening.outcome, CancelledError)
        self.assertTrue(self.endpoint.wire.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused_before(self) -> None:
        """What can never log in is refused before anything is connected."""
        for changed, reason in (
            ({"password": f"{SECRET}\0"}, "the password has a zero byte"),
            ({"userid": "\udcff"}, "the userid cannot be written as UTF-8"),
            ({"auth_mechanism": "EXTERNAL"}, "by user and password, not by EXTERNAL"),
        ):
            opening = self.open(**changed)
            self.assertIsInstance(opening.outcome, AuthenticationFailed)
            self.assertIn(reason, str(opening.outcome))
            self.assertNotIn(SECRET, str(opening.outcome))
            self.assertEqual(self.endpoint.attempts, 0)
