"""Which dialect a broker speaks, and what dialects have in common."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.contract.harness import Journal, Probe, SessionWatcher
from tests.support.stomp_fakes import StompTestCase, ToyDialect
from tests.support.stomp_peer import Wire, frame
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import BrokerError, ConnectError, NotSupported
from txkombu.interfaces import IBrokerTransport
from txkombu.transport.stomp import StompTransport
from txkombu.transport.stomp.activemq import ActiveMQDialect
from txkombu.transport.stomp.dialect import Dialect
from txkombu.transport.stomp.rabbitmq import RabbitMQDialect
from txkombu.transport.stomp.session import dialect_of
from txkombu.url import parse_url

URL = "stomp://me:secret@somewhere"


class DetectionTests(SynchronousTestCase):
    """What a broker calls itself."""

    def detect(self, server: str, option: str | None = None) -> Dialect:
        """Which dialect that is."""
        options = {} if option is None else {"dialect": option}
        parameters = attrs.evolve(parse_url(URL), options=options)
        return dialect_of(server, parameters, "somewhere:61613")

    def test_known(self) -> None:
        """Brokers that are known are told apart by what they call themselves."""
        for server, kind, version in (
            ("RabbitMQ/3.10.8", RabbitMQDialect, "3.10.8"),
            ("ActiveMQ/5.17.2", ActiveMQDialect, "5.17.2"),
            ("RabbitMQ", RabbitMQDialect, ""),
        ):
            dialect = self.detect(server)
            self.assertIs(type(dialect), kind)
            self.assertEqual((dialect.version, dialect.userid), (version, "me"))

    def test_unknown(self) -> None:
        """
        Others are refused: Artemis, too, though it begins alike; so are those that
        hide.  The error says what to set.
        """
        for server in ("ActiveMQ-Artemis/2.30.0 ActiveMQ Artemis", "apache-apollo/1.7"):
            with self.assertRaisesRegex(ConnectError, server.split()[0]) as caught:
                self.detect(server)
        with self.assertRaisesRegex(ConnectError, "does not say what it is"):
            self.detect("")
        self.assertIn("?dialect=rabbitmq or ?dialect=activemq", str(caught.exception))

    def test_option(self) -> None:
        """Who says it is believed, but for what the broker contradicts."""
        self.assertIsInstance(self.detect("", "rabbitmq"), RabbitMQDialect)
        self.assertIsInstance(self.detect("Fork/4", "activemq"), ActiveMQDialect)
        self.assertIsInstance(self.detect("RabbitMQ/4", "rabbitmq"), RabbitMQDialect)
        for server, option in (("RabbitMQ/4", "activemq"), ("ActiveMQ/5", "rabbitmq")):
            with self.assertRaisesRegex(ConnectError, f"{server}.*leave .dialect= out"):
                self.detect(server, option)


@implementer(IStreamClientEndpoint)
class Endpoint:
    """
    Leads to the test.

    @ivar wires: the connections that were made, in order.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self.wires: list[Wire] = []

    def connect(self, protocolFactory: Any) -> Deferred[IProtocol]:
        protocol = protocolFactory.buildProtocol(None)
        wire = Wire()
        self.wires.append(wire)
        protocol.makeConnection(wire)
        told = {"version": "1.2", "heart_beat": "0,0", "server": self._server}
        protocol.dataReceived(frame("CONNECTED", **told))
        return succeed(protocol)


class TransportTests(SynchronousTestCase):
    """Connecting."""

    def connect(self, server: str, url: str = URL) -> tuple[Probe, Wire]:
        """Connect to a broker that calls itself so."""
        endpoint, journal = Endpoint(server), Journal()
        connecting = StompTransport().connect(
            parse_url(url), endpoint, Clock(), SessionWatcher(journal)
        )
        self.assertEqual(journal.entries, [])
        return Probe(connecting), endpoint.wires[0]

    def test_known(self) -> None:
        """A session says what broker it has."""
        probe, wire = self.connect("RabbitMQ/3.10.8")
        session = probe.outcome
        self.assertEqual((session.product, session.version), ("RabbitMQ", "3.10.8"))
        self.assertEqual(session.capabilities, RabbitMQDialect.capabilities)
        session.abort()
        self.assertTrue(wire.disconnected)

    def test_hidden(self) -> None:
        """An option of the URL says what a broker hides."""
        probe, _ = self.connect("", URL + "?dialect=activemq")
        self.assertEqual(probe.outcome.product, "ActiveMQ")
        probe.outcome.abort()

    def test_unknown(self) -> None:
        """A broker that is not known is left, and its error shows no password."""
        probe, wire = self.connect("ActiveMQ-Artemis/2.30.0 ActiveMQ Artemis")
        self.assertIsInstance(probe.outcome, ConnectError)
        self.assertNotIn("secret", str(probe.outcome))
        self.assertTrue(wire.disconnected)

    def test_provides(self) -> None:
        """The transport provides what it says."""
        verifyObject(IBrokerTransport, StompTransport())


class BaseTests(StompTestCase):
    """What holds for a dialect that says nothing else."""

    def test_not_supported(self) -> None:
        """An error names what was asked for, the scheme, the broker, and a way."""
        error = ToyDialect().unsupported("it", "do without")
        self.assertIsInstance(error, NotSupported)
        self.assertEqual((error.operation, error.transport), ("it", "stomp"))
        self.assertEqual(
            str(error),
            "it is not supported by the stomp transport: not with Toy; do without",
        )

    def test_defaults(self) -> None:
        """Nothing is added, guessed or warned of."""
        toy, feed, queue = ToyDialect(), Exchange("feed"), Queue("q")
        self.assertEqual(Dialect.publish_headers(toy, feed, "key"), b"")
        self.assertFalse(Dialect.refuses(toy, BrokerError("no"), "feed"))
        self.assertFalse(Dialect.may_refuse(toy, BrokerError("no")))
        self.assertEqual(Dialect.warning_of(toy, queue), "")
        self.assertIsNone(Dialect.stop_frames(toy, "s1"))
        self.assertIsNone(toy.exchange_named("feed"))

    def test_delete(self) -> None:
        """Deleting queues is something a dialect has to know of."""
        deleting = Dialect.delete_queue(
            self.dialect, Queue("q"), self.session.connections
        )
        with self.assertRaises(NotSupported):
            deleting.send(None)
