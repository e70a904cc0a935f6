"""
Connecting to AMQP brokers: attempts, endpoints, TLS.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from OpenSSL import SSL
from pamqp.frame import marshal
from service_identity import VerificationError
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import (
    IOpenSSLServerConnectionCreator,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from tests.contract.harness import Journal, Probe, SessionWatcher
from tests.support.amqp_peer import START, Connection, Wire
from tests.support.broker_process import HOST
from tests.support.certificates import Authority
from txkombu.exceptions import ConnectError, OperationTimeout
from txkombu.transport.amqp.native import AmqpTransport
from txkombu.transport.amqp.wire.frames import PROTOCOL_HEADER
from txkombu.transport.endpoints import endpoint_for, place_of
from txkombu.url import NO_SERVER_NAME, Parameters, TLSOptions, parse_url


@implementer(IStreamClientEndpoint)
class Endpoint:
    """
    An endpoint that connects when it is told to.

    @ivar wire: the transport, once connected.
    """

    def __init__(self, ignores_cancel: bool = False) -> None:
        self.wire = Wire()
        self.session: Any = None
        self._ignores_cancel = ignores_cancel
        self._factory: Any = None

    def connect(self, factory: Any) -> Deferred[Any]:
        self._factory = factory
        self.deferred: Deferred[Any] = Deferred(
            (lambda deferred: deferred.callback(None)) if self._ignores_cancel else None
        )
        return self.deferred

    def succeed(self) -> None:
        """Connect successfully."""
        self.session = self._factory.buildProtocol(None)
        self.session.makeConnection(self.wire)
        if not self.deferred.called:
            self.deferred.callback(self.session)


class AttemptTests(SynchronousTestCase):
    """One attempt to connect."""

    def connect(self, endpoint: Any) -> Probe:
        """Begin an attempt, limited to 10 s."""
        self.clock = Clock()
        self.journal = Journal()
        return Probe(
            AmqpTransport().connect(
                Parameters(), endpoint, self.clock, SessionWatcher(self.journal)
            )
        )

    def tearDown(self) -> None:
        """Nothing may be left to do, and nothing was told."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.journal.entries, [])

    def test_connected(self) -> None:
        """An attempt ends with a session, and leaves no timer of its own."""
        endpoint = Endpoint()
        probe = self.connect(endpoint)
        endpoint.succeed()
        for method in (START, Connection.Tune(0, 0, 0), Connection.OpenOk()):
            endpoint.session.dataReceived(marshal(method, 0))
        self.assertIs(probe.outcome, endpoint.session)
        endpoint.session.abort()

    def test_refused(self) -> None:
        """A connection that is refused is a ConnectError with its cause."""
        refusal = ConnectionRefusedError("111: Connection refused")
        endpoint = Endpoint()
        probe = self.connect(endpoint)
        endpoint.deferred.errback(refusal)
        self.assertIsInstance(probe.outcome, ConnectError)
        self.assertIs(probe.outcome.__cause__, refusal)

    def test_endpoint_raises(self) -> None:
        """An endpoint that raises fails the attempt."""
        for endpoint in (_Raising(), _Failing()):
            probe = self.connect(endpoint)
            self.assertIsInstance(probe.outcome, ConnectError)
            self.assertIsInstance(probe.outcome.__cause__, OSError)

    def test_timeout(self) -> None:
        """TCP and login together take so many seconds at most."""
        for ignores, connected, phase in (
            (False, False, "TCP"),
            (True, False, "TCP"),
            (False, True, "login"),
        ):
            endpoint = Endpoint(ignores)
            probe = self.connect(endpoint)
            self.clock.advance(4)
            if connected:
                endpoint.succeed()
                endpoint.session.dataReceived(marshal(START, 0))
            self.clock.advance(5.9)
            self.assertFalse(probe.fired)
            self.clock.advance(0.1)
            self.assertIsInstance(probe.outcome, OperationTimeout)
            self.assertRegex(str(probe.outcome), rf"within 10 s \({phase}\)")
            self.assertEqual(endpoint.wire.aborted, connected)

    def test_cancelled(self) -> None:
        """A cancelled attempt fails in that turn, and drops its connection."""
        for connected in (False, True):
            endpoint = Endpoint()
            probe = self.connect(endpoint)
            if connected:
                endpoint.succeed()
            probe.deferred.cancel()
            self.assertIsInstance(probe.outcome, CancelledError)
            self.assertEqual(endpoint.wire.aborted, connected)
            self.assertTrue(endpoint.deferred.called)

    def test_connected_too_late(self) -> None:
        """A connection that comes in spite of a cancel is dropped."""
        endpoint = Endpoint(ignores_cancel=True)
        probe = self.connect(endpoint)
        probe.deferred.cancel()
        endpoint.succeed()
        self.assertTrue(endpoint.wire.aborted)
        self.assertEqual(endpoint.wire.value(), b"")
        self.assertEqual(len(probe.outcomes), 1)

    def test_login_fails(self) -> None:
        """A login that fails ends the attempt, and its timer."""
        endpoint = Endpoint()
        probe = self.connect(endpoint)
        endpoint.succeed()
        endpoint.session.dataReceived(b"HTTP/1.1")
        self.assertIsInstance(probe.outcome, ConnectError)
        self.assertTrue(endpoint.wire.aborted)

    def test_login_fails_at_once(self) -> None:
        """So does one that fails while the endpoint connects."""
        for connected in (False, True):
            endpoint = _AtOnce(connected)
            probe = self.connect(endpoint)
            self.assertIsInstance(probe.outcome, ConnectError)
            self.assertIn("HTTP", str(probe.outcome))
            self.assertTrue(endpoint.wire.aborted)
            self.assertTrue(endpoint.deferred.called)


@implementer(IStreamClientEndpoint)
class _AtOnce(Endpoint):
    """An endpoint that connects at once to what speaks HTTP."""

    def __init__(self, connected: bool) -> None:
        """@param connected: whether it says so at once."""
        super().__init__()
        self._connected = connected

    def connect(self, factory: Any) -> Deferred[Any]:
        deferred = super().connect(factory)
        self.session = factory.buildProtocol(None)
        self.session.makeConnection(self.wire)
        self.session.dataReceived(b"HTTP/1.1")
        if self._connected:
            deferred.callback(self.session)
        return deferred


@implementer(IStreamClientEndpoint)
class _Raising:
    """An endpoint that raises."""

    def connect(self, factory: Any) -> Deferred[Any]:
        raise OSError("of the test")


@implementer(IStreamClientEndpoint)
class _Failing:
    """An endpoint that fails at once."""

    def connect(self, factory: Any) -> Deferred[Any]:
        return fail(OSError("of the test"))


class EndpointTests(SynchronousTestCase):
    """Endpoints from parameters."""

    def test_kinds(self) -> None:
        """The endpoint is a host's, wrapped where the URL asks for TLS."""
        for url, plain in (("amqp://127.0.0.1:99", True), ("amqps://host", False)):
            endpoint = endpoint_for(parse_url(url), MemoryReactorClock())
            self.assertIs(isinstance(endpoint, HostnameEndpoint), plain)

    def test_place(self) -> None:
        """Errors name the host and port, or the endpoint that was given."""
        self.assertEqual(place_of(parse_url("amqp://host"), None), "host:5672")
        self.assertEqual(place_of(parse_url("amqps://[::1]"), None), "[::1]:5671")
        endpoint = HostnameEndpoint(MemoryReactorClock(), "elsewhere", 7)
        self.assertIn("elsewhere", place_of(Parameters(), endpoint))

    def connecting(self, tls: TLSOptions) -> ConnectError:
        """Connect with these options, and return the error, which comes at once."""
        parameters = Parameters("amqps", tls=tls)
        failed = Probe(
            AmqpTransport().connect(
                parameters, None, MemoryReactorClock(), SessionWatcher(Journal())
            )
        )
        self.assertIsInstance(failed.outcome, ConnectError)
        error: ConnectError = failed.outcome
        return error

    def test_files(self) -> None:
        """Files that are missing or hold no certificate are named."""
        folder = Path(self.mktemp())
        folder.mkdir()
        empty = folder / "empty.pem"
        empty.write_bytes(b"")
        for options in (
            TLSOptions(cacertfile=str(folder / "missing.pem")),
            TLSOptions(certfile=str(folder / "missing.pem")),
            TLSOptions(cacertfile=str(empty)),
        ):
            error = self.connecting(options)
            self.assertRegex(str(error), "cannot connect to localhost:5671: .*pem")
        keyless = Authority(folder).cacertfile
        self.connecting(TLSOptions(certfile=keyless))


class _Greeter(Protocol):
    """
    Stands for a broker: notes what it hears, and hangs up on the header.

    @ivar factory: has C{heard} and C{names}.
    """

    factory: Any

    def dataReceived(self, data: bytes) -> None:
        self.factory.heard.append(data)
        transport: Any = self.transport
        certificate = getattr(transport, "getPeerCertificate", lambda: None)()
        if certificate is not None:
            shown = certificate.to_cryptography().subject
            self.factory.names.append(shown.rfc4514_string())
        transport.loseConnection()


class _Greeters(Factory):
    protocol = _Greeter
    noisy = False

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.names: list[str] = []


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """A server's end of TLS."""

    def __init__(self, certfile: str, cacertfile: str | None) -> None:
        self._context = context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(certfile)
        context.use_privatekey_file(certfile)
        if cacertfile is not None:
            context.load_verify_locations(cacertfile)
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)


class TLSTests(TestCase):
    """TLS with a server whose authority is our own."""

    timeout = 120

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        folder = Path(self.mktemp())
        folder.mkdir()
        self.authority = Authority(folder)
        self.greeters = _Greeters()

    def listen(self, options: ServerTLS) -> int:
        """Listen, and return the port."""
        factory = TLSMemoryBIOFactory(options, False, self.greeters)
        factory.noisy = False
        port = self.reactor.listenTCP(0, factory, interface=HOST)
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    def server(self, host: str, clients: bool = False) -> ServerTLS:
        """Make a server of that name, which may ask for clients' certificates."""
        cacertfile = self.authority.cacertfile if clients else None
        return ServerTLS(self.authority.sign(host), cacertfile)

    async def attempt(self, port: int, **tls: Any) -> ConnectError:
        """Connect, and return the error."""
        options = TLSOptions(**{"cacertfile": self.authority.cacertfile, **tls})
        parameters = Parameters("amqps", "localhost", port=port, tls=options)
        connecting = AmqpTransport().connect(
            parameters, None, self.reactor, SessionWatcher(Journal())
        )
        error = await self.assertFailure(connecting, ConnectError)
        assert isinstance(error, ConnectError)
        return error

    async def test_trusted(self) -> None:
        """A certificate of a trusted authority, for that host, is accepted."""
        error = await self.attempt(self.listen(self.server("localhost")))
        self.assertRegex(str(error), "closed the connection before the login")
        self.assertEqual(self.greeters.heard, [PROTOCOL_HEADER])

    async def test_untrusted(self) -> None:
        """A certificate of an unknown authority is refused; the error says so."""
        error = await self.attempt(
            self.listen(self.server("localhost")), cacertfile=None
        )
        self.assertIsInstance(error.__cause__, SSL.Error)
        self.assertRegex(str(error), "TLS with localhost.*verify failed.*cacertfile")
        self.assertEqual(self.greeters.heard, [])

    async def test_wrong_host(self) -> None:
        """A certificate for another host is refused; the error says so."""
        error = await self.attempt(self.listen(self.server("elsewhere")))
        self.assertIsInstance(error.__cause__, VerificationError)
        self.assertRegex(str(error), "TLS with localhost.*not for that host")
        self.assertEqual(self.greeters.heard, [])

    async def test_server_name(self) -> None:
        """Another name may be told the server and checked."""
        port = self.listen(self.server("elsewhere"))
        await self.attempt(port, server_name="elsewhere")
        self.assertEqual(self.greeters.heard, [PROTOCOL_HEADER])

    async def test_no_server_name(self) -> None:
        """Without a name only the chain is checked."""
        port = self.listen(self.server("elsewhere"))
        await self.attempt(port, server_name=NO_SERVER_NAME)
        self.assertEqual(self.greeters.heard, [PROTOCOL_HEADER])
        error = await self.attempt(port, server_name=NO_SERVER_NAME, cacertfile=None)
        self.assertRegex(str(error), "certificate verify failed")

    async def test_not_verified(self) -> None:
        """Without a check every certificate is accepted, and a warning says so."""
        port = self.listen(self.server("elsewhere"))
        with capturedLogs() as logs:
            await self.attempt(port, verify=False, cacertfile=None)
        self.assertEqual(self.greeters.heard, [PROTOCOL_HEADER])
        warnings = [each for each in logs if each["log_level"] is LogLevel.warn]
        self.assertEqual(len(warnings), 1)

    async def test_client_certificate(self) -> None:
        """We show our certificate to a server that wants one."""
        port = self.listen(self.server("localhost", clients=True))
        await self.attempt(port, certfile=self.authority.sign("ourselves"))
        self.assertEqual(self.greeters.names, ["CN=ourselves"])
        await self.attempt(port)
        self.assertEqual(len(self.greeters.heard), 1)

    async def test_server_without_tls(self) -> None:
        """A server that speaks no TLS is an error that says so."""
        port = self.reactor.listenTCP(0, _Talkers(), interface=HOST)
        self.addCleanup(port.stopListening)
        error = await self.attempt(port.getHost().port)
        self.assertIsInstance(error.__cause__, SSL.Error)
        self.assertRegex(str(error), "does not speak TLS there")

    async def test_tls_without_us(self) -> None:
        """A server that wants TLS is an error that says so."""
        port = self.listen(self.server("localhost"))
        connecting = AmqpTransport().connect(
            Parameters(port=port), None, self.reactor, SessionWatcher(Journal())
        )
        error = await self.assertFailure(connecting, ConnectError)
        self.assertRegex(str(error), "such as amqps://|closed the connection")


class _Talker(Protocol):
    """Talks at once, and not in TLS."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"220 this is no TLS\r\n")


class _Talkers(Factory):
    protocol = _Talker
    noisy = False
