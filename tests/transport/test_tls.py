"""
TLS on every transport: whose certificates are accepted, and what errors say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogLevel, capturedLogs
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support.broker_process import HOST
from tests.support.certificates import (
    DNS_NAME,
    EMAIL,
    IP_ADDRESS,
    URI,
    Authority,
    alternative_names,
)
from tests.transport.amqp.test_transport import ServerTLS
from txkombu import BrokerConnection
from txkombu.exceptions import ConnectError
from txkombu.transport.tls import tls_for
from txkombu.url import NO_SERVER_NAME, TLSOptions

SECRET = "s3cr3t"
SCHEMES = ("amqps", "txamqps", "pikas", "stomp+ssl")
NO_NAMES = {
    "none at all": b"",
    "an address of e-mail": alternative_names((EMAIL, b"admin@localhost")),
    "a wildcard alone": alternative_names((DNS_NAME, b"*")),
    "a wildcard for a domain": alternative_names((DNS_NAME, b"*.localhost")),
    "an address as a name": alternative_names((DNS_NAME, HOST.encode())),
    "two wildcards": alternative_names((DNS_NAME, b"*.*.localhost")),
    "a wildcard inside": alternative_names((DNS_NAME, b"a.*.localhost")),
    "wildcards in a word": alternative_names((DNS_NAME, b"l*cal*ost.x.y")),
    "a wildcard in a word": alternative_names((DNS_NAME, b"l*t.x.y")),
    "an empty name": alternative_names((DNS_NAME, b"")),
    "empty parts": alternative_names((DNS_NAME, b"*..localhost")),
    "a zero byte": alternative_names((DNS_NAME, b"localhost\0.evil.example")),
    "no ASCII": alternative_names((DNS_NAME, "löcalhost".encode())),
    "no UTF-8": alternative_names((DNS_NAME, b"localhost\xff")),
    "a malformed one beside it": alternative_names(
        (DNS_NAME, b"localhost"), (DNS_NAME, b"*")
    ),
    "a URI that is none": alternative_names((URI, b"a:b:localhost")),
    "half an address": alternative_names((IP_ADDRESS, b"\x7f\0")),
}
"""Certificates of an authority we trust that are for no host, as subjectAltName."""


class _Listener(Protocol):
    """Notes what it hears."""

    factory: Any

    def dataReceived(self, data: bytes) -> None:
        self.factory.heard.append(data)
        assert self.transport is not None
        self.transport.loseConnection()


class _Listeners(Factory):
    protocol = _Listener
    noisy = False

    def __init__(self) -> None:
        self.heard: list[bytes] = []


class _OldServer(ServerTLS):
    """A server that speaks no TLS but 1.1 and older."""

    def __init__(self, certfile: str, cacertfile: str | None) -> None:
        super().__init__(certfile, cacertfile)
        self._context.set_cipher_list(b"ALL:@SECLEVEL=0")
        self._context.set_min_proto_version(SSL.TLS1_VERSION)
        self._context.set_max_proto_version(SSL.TLS1_1_VERSION)


class _TLS12Server(ServerTLS):
    """A server that speaks TLS 1.2."""

    def __init__(self, certfile: str, cacertfile: str | None) -> None:
        super().__init__(certfile, cacertfile)
        self._context.set_max_proto_version(SSL.TLS1_2_VERSION)


class TLSCase(TestCase):
    """Connects to a server whose authority is our own."""

    timeout = 120

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        folder = Path(self.mktemp())
        folder.mkdir()
        self.authority = Authority(folder)
        self.listeners = _Listeners()

    def listen(
        self, certfile: str, clients: bool = False, kind: type[ServerTLS] = ServerTLS
    ) -> int:
        """Listen, and return the port."""
        options = kind(certfile, self.authority.cacertfile if clients else None)
        factory = TLSMemoryBIOFactory(options, False, self.listeners)
        factory.noisy = False
        port = self.reactor.listenTCP(0, factory, interface=HOST)
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def attempt(
        self, url: str, endpoint: TCP4ClientEndpoint | None = None, **tls: Any
    ) -> str:
        """Connect, and return the error's text."""
        options = TLSOptions(**{"cacertfile": self.authority.cacertfile, **tls})
        connection = BrokerConnection(
            url,
            "worker",
            SECRET,
            tls=options,
            endpoint=endpoint,
            connect_timeout=20,
            reactor=self.reactor,
        )
        self.addCleanup(connection.close)
        failed: Any = await self.assertFailure(connection.connect(), ConnectError)
        self.cause = failed.__cause__
        return str(failed)

    def was_greeted(self) -> bool:
        """Whether the server heard anything since it was last asked."""
        heard, self.listeners.heard = self.listeners.heard, []
        return bool(heard)


class NameTests(TLSCase):
    """A certificate has to be for the host that is connected to."""

    async def test_no_names(self) -> None:
        """A certificate that is for no host is refused before anything is sent."""
        for what, names in NO_NAMES.items():
            certfile = self.authority.sign("localhost", names=names)
            port = self.listen(certfile)
            for host in ("localhost", HOST):
                said = await self.attempt(f"amqps://{host}:{port}")
                wanted = (
                    f"TLS with {host}:{port} failed: its certificate (is not for|do)"
                )
                self.assertRegex(said, wanted, what)
                self.assertFalse(self.was_greeted(), what)

    async def test_every_transport(self) -> None:
        """Each transport refuses such a certificate, and accepts a right one."""
        wrong = self.listen(self.authority.sign("localhost", names=b""))
        right = self.listen(self.authority.sign("localhost"))
        for scheme in SCHEMES:
            said = await self.attempt(f"{scheme}://localhost:{wrong}")
            self.assertIn("does not name hosts as it should", said)
            self.assertFalse(self.was_greeted())
            said = await self.attempt(f"{scheme}://localhost:{right}")
            self.assertIn("closed the connection before the login", said)
            self.assertTrue(self.was_greeted())

    async def test_address(self) -> None:
        """An address is looked for among the addresses of a certificate."""
        names = alternative_names((IP_ADDRESS, b"\x7f\0\0\1"))
        port = self.listen(self.authority.sign("localhost", names=names))
        await self.attempt(f"amqps://{HOST}:{port}")
        self.assertTrue(self.was_greeted())
        said = await self.attempt(f"amqps://localhost:{port}")
        self.assertIn("not for that host", said)
        self.assertIsInstance(self.cause, VerificationError)
        self.assertFalse(self.was_greeted())

    async def test_names_of_another_kind(self) -> None:
        """What a certificate names beside hosts does not matter."""
        names = alternative_names((DNS_NAME, b"localhost"), (URI, b"urn:uuid:7:8"))
        port = self.listen(self.authority.sign("localhost", names=names))
        await self.attempt(f"amqps://localhost:{port}")
        self.assertTrue(self.was_greeted())

    async def test_wildcard(self) -> None:
        """A wildcard stands for one name on the left."""
        names = alternative_names((DNS_NAME, b"*.mq.example"))
        port = self.listen(self.authority.sign("localhost", names=names))
        for name, accepted in (("a.mq.example", True), ("a.b.mq.example", False)):
            await self.attempt(f"amqps://localhost:{port}", server_name=name)
            self.assertIs(self.was_greeted(), accepted)

    async def test_name_in_another_alphabet(self) -> None:
        """A name that is not ASCII is asked for and checked as it is encoded."""
        port = self.listen(
            self.authority.sign("bröker.example".encode("idna").decode())
        )
        await self.attempt(f"amqps://localhost:{port}", server_name="bröker.example")
        self.assertTrue(self.was_greeted())

    async def test_disabled(self) -> None:
        """Without a check of the name, a warning is logged each time."""
        port = self.listen(self.authority.sign("elsewhere"))
        for _ in range(2):
            with capturedLogs() as logs:
                await self.attempt(
                    f"amqps://localhost:{port}", server_name=NO_SERVER_NAME
                )
            self.assertTrue(self.was_greeted())
            [warning] = [each for each in logs if each["log_level"] is LogLevel.warn]
            self.assertIn("does not check the broker's name", warning["log_format"])


class EndpointTests(TLSCase):
    """C{endpoint=} with a scheme that encrypts."""

    async def test_encrypted(self) -> None:
        """The endpoint is wrapped in TLS, and the host of the URL is checked."""
        for scheme in SCHEMES:
            for host, accepted in (("broker.example", True), ("localhost", False)):
                port = self.listen(self.authority.sign("broker.example"))
                endpoint = TCP4ClientEndpoint(self.reactor, HOST, port)
                said = await self.attempt(f"{scheme}://{host}", endpoint)
                wanted = "before the login" if accepted else "not for that host"
                self.assertIn(wanted, said)
                self.assertIs(self.was_greeted(), accepted)

    async def test_never_plain(self) -> None:
        """A server without TLS hears nothing of the login."""
        for scheme in SCHEMES:
            port = self.reactor.listenTCP(0, self.listeners, interface=HOST)
            self.addCleanup(port.stopListening)
            endpoint = TCP4ClientEndpoint(self.reactor, HOST, port.getHost().port)
            await self.attempt(f"{scheme}://broker.example", endpoint)
            heard = b"".join(self.listeners.heard)
            self.listeners.heard.clear()
            self.assertTrue(heard.startswith(b"\x16\x03"))
            self.assertNotIn(SECRET.encode(), heard)


class UnnamedTests(SynchronousTestCase):
    """An endpoint without a name to check."""

    def connection(self, **arguments: Any) -> BrokerConnection:
        """Make a connection by an endpoint."""
        endpoint = TCP4ClientEndpoint(None, HOST, 1)
        return BrokerConnection(endpoint=endpoint, **arguments)

    def test_refused(self) -> None:
        """A connection without a name to check is refused at once."""
        for arguments in (
            {"transport": "amqps"},
            {"hostname": "amqps://worker:pw@/vhost"},
            {"hostname": "stomp+ssl://:61614", "tls": TLSOptions(cacertfile="/ca")},
            {"hostname": "amqps://h;amqps://"},
            {"hostname": ":5671", "transport": "pikas"},
        ):
            error = self.assertRaises(ValueError, self.connection, **arguments)
            self.assertRegex(str(error), "cannot check the certificate.*server_name")

    def test_named(self) -> None:
        """A connection is accepted if it has a name, or if no name is to be checked."""
        for arguments in (
            {"transport": "amqps", "hostname": "h"},
            {"hostname": "amqps://h"},
            {"transport": "amqps", "tls": TLSOptions(server_name="h")},
            {"transport": "amqps", "tls": TLSOptions(verify=False)},
            {"hostname": "amqps://?server_name_indication=h"},
            {"transport": "amqp"},
            {},
        ):
            self.connection(**arguments)


class ErrorTests(TLSCase):
    """Errors name what is wrong."""

    async def said(self, *server: Any, **tls: Any) -> str:
        """Connect to a server, and return the error's text; see C{listen}."""
        return await self.attempt(f"amqps://localhost:{self.listen(*server)}", **tls)

    async def test_times(self) -> None:
        """The error says that a certificate has expired, or is not valid yet."""
        for days, wanted in (
            ((-9, -1), "the broker's certificate has expired"),
            ((1, 9), "the broker's certificate is not valid yet: compare the clocks"),
        ):
            said = await self.said(self.authority.sign("localhost", days=days))
            self.assertTrue(said.endswith(f"certificate verify failed: {wanted}"), said)
            self.assertIsInstance(self.cause, SSL.Error)
            self.assertFalse(self.was_greeted())

    async def test_not_trusted(self) -> None:
        """The error says that an authority is not trusted, whatever its name."""
        certfile = self.authority.sign("localhost")
        folder = Path(self.mktemp())
        folder.mkdir()
        for cacertfile in (None, Authority(folder).cacertfile):
            said = await self.said(certfile, cacertfile=cacertfile)
            self.assertIn("is not signed by an authority that is trusted", said)
            self.assertFalse(self.was_greeted())

    async def test_old_version(self) -> None:
        """The error says that a server speaks only old versions of TLS."""
        certfile = self.authority.sign("localhost")
        said = await self.said(certfile, False, _OldServer)
        self.assertIn("it speaks no version of TLS that is allowed here", said)

    async def test_certificate_wanted(self) -> None:
        """The error says that a server wants a client certificate."""
        certfile = self.authority.sign("localhost")
        for kind in (ServerTLS, _TLS12Server):
            said = await self.said(certfile, True, kind)
            self.assertRegex(said, "wants a client certificate: give certfile")

    async def test_ours_is_not_accepted(self) -> None:
        """The error says that a server does not accept our certificate, and why."""
        certfile = self.authority.sign("localhost")
        ours = self.authority.sign("ours", days=(-9, -1))
        said = await self.said(certfile, True, certfile=ours)
        self.assertIn("it finds that our certificate has expired", said)


class KeyTests(TLSCase):
    """Our own key and certificate."""

    async def test_wrong_key(self) -> None:
        """A key that does not belong to its certificate is an error, at once."""
        ours, theirs = (self.authority.sign(each) for each in ("ours", "theirs"))
        said = await self.attempt("amqps://localhost", certfile=ours, keyfile=theirs)
        wanted = f"the key in {theirs} does not belong to the certificate in {ours}"
        self.assertIn(wanted, said)

    async def test_passphrase(self) -> None:
        """A key with a passphrase is read with that."""
        port = self.listen(self.authority.sign("localhost"), clients=True)
        ours = self.authority.sign("ours", password=SECRET)
        await self.attempt(f"amqps://localhost:{port}", certfile=ours, password=SECRET)
        self.assertTrue(self.was_greeted())

    def test_wrong_passphrase(self) -> None:
        """
        A passphrase that is missing, wrong or unneeded is an error, which does not show
        it.
        """
        locked = self.authority.sign("locked", password=SECRET)
        plain = self.authority.sign("plain")
        for certfile, password in (
            (locked, None),
            (locked, f"not {SECRET}"),
            (plain, SECRET),
        ):
            options = TLSOptions(certfile=certfile, password=password)
            error = self.assertRaises(ValueError, tls_for, options, "localhost")
            self.assertIn(certfile, str(error))
            self.assertNotIn(SECRET, f"{error!r} {error.__cause__!r}")
            self.assertRegex(str(error).lower(), "password")

    def test_impossible_name(self) -> None:
        """A name that no certificate can be for is an error before connecting."""
        for name in ("a b", "*", "a/b"):
            options = TLSOptions(server_name=name)
            error = self.assertRaises(ValueError, tls_for, options, "localhost")
            self.assertIn("no certificate can be for", str(error))
