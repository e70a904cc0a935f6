"""
Attempts to open sockets to STOMP brokers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import (
    IHostnameResolver,
    IReactorPluggableNameResolver,
    IStreamClientEndpoint,
)
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.contract.harness import Probe
from tests.support.certificates import Authority
from tests.support.stomp_peer import Owner, Wire, frame
from txkombu.exceptions import (
    AuthenticationFailed,
    ConnectError,
    OperationTimeout,
)
from txkombu.transport.stomp.connections import Connector
from txkombu.transport.stomp.protocol import StompProtocol
from txkombu.url import Parameters, TLSOptions, parse_url

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


class TLSTests(SynchronousTestCase):
    """The certificates of the connections of one session."""

    def setUp(self) -> None:
        self.endpoint: Any = Endpoint()
        self.clock = Clock()

    def connector(self, **tls: Any) -> Connector:
        """Make one, for a session."""
        parameters = Parameters(
            "stomp+ssl", "broker.example.com", heartbeat=0, tls=TLSOptions(**tls)
        )
        return Connector(parameters, self.endpoint, self.clock)

    def test_read_once(self) -> None:
        """
        Files are read for the first connection of a session, and after one that failed.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        file = Path(Authority(folder).cacertfile)
        connector = self.connector(cacertfile=str(file))
        Probe(connector.open(Owner()))
        file.write_bytes(b"changed")
        second = Probe(connector.open(Owner()))
        self.assertEqual(self.endpoint.attempts, 2)
        second.deferred.cancel()
        for again in (connector, self.connector(cacertfile=str(file))):
            opening = Probe(again.open(Owner()))
            self.assertIsInstance(opening.outcome, ConnectError)
            self.assertIn(f"{file} does not hold", str(opening.outcome))
        self.assertEqual(self.endpoint.attempts, 2)

    def test_warned_once(self) -> None:
        """What is not checked is logged once for each session."""
        with capturedLogs() as events:
            connector = self.connector(verify=False)
            for _ in range(3):
                Probe(connector.open(Owner()))
            self.assertEqual(len(events), 1)
            self.connector(verify=False).open(Owner())
        self.assertEqual(len(events), 2)


class AtOnceTests(SynchronousTestCase):
    """Endpoints that connect before they return."""

    def open(
        self, parameters: Parameters, deferred: Deferred[Any], answer: bytes = b""
    ) -> Probe:
        """Open a connection by one that returns this Deferred, after an answer."""
        self.clock = Clock()
        self.endpoint: Any = AtOnce(deferred, answer)
        return Probe(Connector(parameters, self.endpoint, self.clock).open(Owner()))

    def test_login_that_cannot_be_written(self) -> None:
        """A login that fails at once fails the attempt, and leaves no timer."""
        for deferred in (succeed(None), Deferred(), fail(ConnectError("late"))):
            opening = self.open(parse_url("stomp://h/a%00b"), deferred)
            self.assertIsInstance(opening.outcome, ConnectError)
            self.assertNotIn("late", str(opening.outcome))
            self.assertTrue(self.endpoint.wire.aborted)
            self.assertTrue(deferred.called)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused(self) -> None:
        """So does a broker that refuses it at once."""
        said = frame("ERROR", message="no")
        deferred: Deferred[Any] = Deferred()
        opening = self.open(Parameters("stomp", heartbeat=0), deferred, said)
        self.assertIsInstance(opening.outcome, ConnectError)
        self.assertTrue(deferred.called)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_logged_in(self) -> None:
        """A login that succeeds at once is an attempt that has succeeded."""
        deferred: Deferred[Any] = Deferred()
        said = frame("CONNECTED", version="1.2")
        opening = self.open(Parameters("stomp", heartbeat=0), deferred, said)
        self.assertIs(opening.outcome, self.endpoint.socket)
        self.assertFalse(deferred.called)
        self.assertFalse(self.endpoint.wire.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])


@implementer(IStreamClientEndpoint)
class AtOnce:
    """An endpoint that connects before it returns a Deferred."""

    def __init__(self, deferred: Deferred[Any], answer: bytes) -> None:
        """@param answer: what the broker says at once."""
        self.wire = Wire()
        self._deferred = deferred
        self._answer = answer

    def connect(self, factory: Any) -> Deferred[Any]:
        self.socket = factory.buildProtocol(None)
        self.socket.makeConnection(self.wire)
        if self._answer:
            self.socket.dataReceived(self._answer)
        return self._deferred


@implementer(IHostnameResolver)
class Rotating:
    """Knows several addresses by one name, and begins with another each time."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        resolutionReceiver.resolutionBegan(self)
        for each in self.addresses:
            kind = IPv6Address if ":" in each else IPv4Address
            resolutionReceiver.addressResolved(kind("TCP", each, portNumber))
        resolutionReceiver.resolutionComplete()
        self.addresses.append(self.addresses.pop(0))
        return self


@implementer(IReactorPluggableNameResolver)
class Network(MemoryReactorClock):
    """A reactor that looks names up so."""

    def __init__(self, *addresses: str) -> None:
        super().__init__()
        self.nameResolver = Rotating(*addresses)

    def installNameResolver(self, resolver: Any) -> Any:
        """It keeps its own."""
        return self.nameResolver


class OneBrokerTests(SynchronousTestCase):
    """All sockets of one session are at one broker."""

    PEERS = ("10.0.0.2", "10.0.0.3")

    def connector(self, *addresses: str) -> Connector:
        """Make one for a host of several addresses."""
        self.network = Network(*addresses)
        parameters = Parameters("stomp", "broker.example.com", heartbeat=0)
        return Connector(parameters, None, self.network)

    def open(self, connector: Connector, **headers: str) -> Probe:
        """Open a socket, and let the first attempt succeed."""
        opening = Probe(connector.open(Owner()))
        host, port, factory, *_ = self.network.tcpClients[-1]
        kind = IPv6Address if ":" in host else IPv4Address
        wire = Wire()
        wire.peerAddr = kind("TCP", host, port)
        socket: Any = factory.buildProtocol(None)
        socket.makeConnection(wire)
        socket.dataReceived(frame("CONNECTED", **{"version": "1.2", **headers}))
        return opening

    def hosts(self) -> list[str]:
        """What was connected to."""
        return [each[0] for each in self.network.tcpClients]

    def test_several_addresses(self) -> None:
        """After the first, sockets go to its address, whatever a look-up says."""
        for peers in (self.PEERS, ("fe80::2", "fe80::3"), ("10.0.0.2", "fe80::3")):
            connector = self.connector(*peers)
            for _ in range(4):
                self.assertIsInstance(self.open(connector).outcome, StompProtocol)
            self.assertEqual(self.hosts(), [peers[0]] * 4)

    def test_next_session(self) -> None:
        """The next session may be at another address."""
        connector = self.connector(*self.PEERS)
        self.open(connector)
        again = Connector(connector._parameters, None, self.network)
        self.open(again)
        self.open(again)
        self.assertEqual(self.hosts(), ["10.0.0.2", "10.0.0.3", "10.0.0.3"])

    def test_refused_at_first(self) -> None:
        """A first attempt that fails binds nobody to its address."""
        connector = self.connector(*self.PEERS)
        opening = self.open(connector, version="1.1")
        self.assertIsInstance(opening.outcome, ConnectError)
        self.open(connector)
        self.assertEqual(self.hosts(), ["10.0.0.2", "10.0.0.3"])

    def test_errors(self) -> None:
        """An error at that address names the host, and where it is."""
        connector = self.connector(*self.PEERS)
        self.open(connector)
        opening = Probe(connector.open(Owner()))
        self.network.advance(10)
        self.assertIn("broker.example.com:61613 (10.0.0.2)", str(opening.outcome))

    def test_endpoint(self) -> None:
        """An endpoint that was given is used as it is."""
        endpoint: Any = Endpoint()
        connector = Connector(Parameters("stomp", heartbeat=0), endpoint, Clock())
        for attempts in (1, 2):
            opening = Probe(connector.open(Owner()))
            endpoint.wire = Wire()
            endpoint.succeed().dataReceived(frame("CONNECTED", version="1.2"))
            self.assertIsInstance(opening.outcome, StompProtocol)
            self.assertEqual(endpoint.attempts, attempts)

    def test_another_broker(self) -> None:
        """
        A socket that came to another broker all the same is refused, if that can be
        told.
        """
        first = {"server": "ActiveMQ/5.17.2", "session": "ID:one-1-2-3:1"}
        for headers, said in (
            ({"server": "RabbitMQ/3.10.8", "session": "session-x"}, "'RabbitMQ/3.1"),
            (
                {**first, "server": "ActiveMQ/5.18.0"},
                "'ActiveMQ/5.18.0' 'ID:one-1-2-3'",
            ),
            (
                {**first, "session": "ID:two-1-2-3:1"},
                "'ActiveMQ/5.17.2' 'ID:two-1-2-3'",
            ),
            ({"session": "ID:one-1-2-3:2"}, "'ID:one-1-2-3'"),
            ({}, "which has no name"),
        ):
            connector = self.connector("10.0.0.2")
            self.open(connector, **first)
            opening = self.open(connector, **headers)
            self.assertIsInstance(opening.outcome, ConnectError)
            self.assertIn(
                f"broker.example.com:61613 leads to another broker, {said}",
                str(opening.outcome),
            )
            self.assertEqual(self.network.getDelayedCalls(), [])
            same = self.open(connector, **{**first, "session": "ID:one-1-2-3:9"})
            self.assertIsInstance(same.outcome, StompProtocol)
