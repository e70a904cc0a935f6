"""txkombu doctor, where there is no broker; the rest is tested with RabbitMQ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support.certificates import Authority
from tests.support.commands import Ran, begin
from tests.transport.amqp.test_transport import ServerTLS
from txkombu.cli.findings import CheckFailed, Findings
from txkombu.cli.network_checks import check_name, check_tls
from txkombu.url import parse_url


class Resolver(Clock):
    """Looks up names: a reactor's C{nameResolver}."""

    def __init__(self, *addresses: Any, answers: bool = True) -> None:
        super().__init__()
        self.nameResolver = self
        self._addresses = addresses
        self._answers = answers

    def resolveHostName(self, receiver: Any, host: str, port: int) -> None:
        """Tell the addresses, unless it does not answer."""
        receiver.resolutionBegan(self)
        for each in self._addresses:
            receiver.addressResolved(each)
        if self._answers:
            receiver.resolutionComplete()


class NameTests(SynchronousTestCase):
    """Looking up the host."""

    def check(self, url: str, resolver: Resolver) -> Deferred[bytes]:
        """Check the host of a URL; fires with what was found."""
        findings = Findings()
        checking = Deferred.fromCoroutine(
            check_name(parse_url(url), resolver, findings)
        )
        return checking.addCallback(lambda _: findings.take_lines())

    def test_found(self) -> None:
        """All addresses are shown."""
        addresses = (
            IPv6Address("TCP", "::1", 5672),
            IPv4Address("TCP", "127.0.0.1", 5672),
        )
        found = self.check("amqp://localhost", Resolver(*addresses))
        self.assertEqual(
            self.successResultOf(found), b"ok       DNS: localhost is ::1, 127.0.0.1\n"
        )

    def test_not_found(self) -> None:
        """A host without address fails, and so does a resolver that is silent."""
        failure = self.failureResultOf(self.check("amqp://nowhere", Resolver()))
        failure.trap(CheckFailed)
        self.assertIn("nowhere has no address: ", failure.getErrorMessage())
        silent = Resolver(answers=False)
        checking = self.check("amqp://nowhere", silent)
        silent.advance(11)
        failure = self.failureResultOf(checking)
        failure.trap(CheckFailed)
        self.assertIn("does the name server answer?", failure.getErrorMessage())


class ServerCase(TestCase):
    """Has servers in this process that are no brokers."""

    async def listen(self, certificate: str = "") -> int:
        """
        Start a server that takes connections and says nothing; gives its port.

        @param certificate: a file of a certificate and its key, for TLS.
        """
        from twisted.internet import reactor

        factory: Any = Factory.forProtocol(Protocol)
        if certificate:
            tls = ServerTLS(certificate, None)
            factory = TLSMemoryBIOFactory(tls, False, factory)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(factory)
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def diagnose(self, url: str, code: int) -> Ran:
        """Run the doctor, which has to end with that exit code."""
        ran = begin(f"doctor '{url}'", None)
        self.assertEqual(await ran.code, code, ran.out)
        return ran


class DoctorTests(ServerCase):
    """The whole command."""

    async def test_memory(self) -> None:
        """A broker in memory needs no check."""
        ran = await self.diagnose("memory://x", 0)
        line = (
            b"ok       broker: memory://x is in the process: there is nothing to check"
        )
        self.assertEqual(ran.out, line + b"\n")

    async def test_refused(self) -> None:
        """A port where nothing listens fails, and nothing is checked after that."""
        ran = await self.diagnose("amqp://guest:s3cret@127.0.0.1:1", 1)
        name, tcp = ran.out.decode().splitlines()
        self.assertEqual(name, "ok       DNS: 127.0.0.1 is an address")
        self.assertTrue(tcp.startswith("failed   TCP: nothing listens at 127.0.0.1:1"))
        self.assertTrue(tcp.endswith("The usual one of amqp is 5672"))
        self.assertEqual(ran.err, "1 check failed\n")

    async def test_silent(self) -> None:
        """A server of another protocol fails at the login."""
        port = await self.listen()
        url = f"amqp://guest:s3cret@127.0.0.1:{port}?connection_timeout=2000"
        *_, tcp, login = (await self.diagnose(url, 1)).out.decode().splitlines()
        self.assertTrue(tcp.startswith("ok       TCP: "))
        self.assertTrue(login.startswith("failed   login: connecting to 127.0.0.1:"))
        self.assertTrue(login.endswith("is that the port of amqp?"))

    async def test_several(self) -> None:
        """Each of several brokers is checked, without showing the password."""
        url = "amqp://guest:s3cret@127.0.0.1:1;amqp://guest:s3cret@127.0.0.1:2"
        ran = await self.diagnose(url, 1)
        lines = ran.out.decode().splitlines()
        self.assertEqual(lines[0], "amqp://guest:**@127.0.0.1:1//")
        self.assertEqual(lines[3], "amqp://guest:**@127.0.0.1:2//")
        self.assertEqual(ran.err, "2 checks failed\n")
        self.assertNotIn(b"s3cret", ran.out)


class TLSTests(ServerCase):
    """The handshake, and the certificate."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.authority = Authority(folder)

    async def check(self, options: str = "", **certificate: Any) -> list[str]:
        """Check a server with a certificate of the authority."""
        from twisted.internet import reactor

        host = certificate.pop("host", "localhost")
        file = self.authority.sign(host, **certificate)
        port = await self.listen(file)
        ca = (
            "" if "cacertfile" in options else f"cacertfile={self.authority.cacertfile}"
        )
        parameters = parse_url(f"amqps://localhost:{port}?{ca}&{options}".rstrip("&"))
        assert parameters.tls is not None
        findings = Findings()
        await check_tls(parameters, parameters.tls, reactor, findings)
        return findings.take_lines().decode().splitlines()

    async def test_good(self) -> None:
        """A good certificate is described."""
        tls, expiry = await self.check(days=(-1, 400))
        self.assertRegex(tls, "^ok       TLS: TLSv1.[23], a trusted authority signed ")
        self.assertTrue(tls.endswith(" is for localhost"))
        self.assertRegex(expiry, r"^ok .* until \d{4}-\d\d-\d\d, 39\d days from now$")

    async def test_expires_soon(self) -> None:
        """A certificate that expires soon is a warning."""
        _, expiry = await self.check(days=(-1, 20))
        self.assertRegex(expiry, "^warning  TLS expiry: .* 19 days from now: renew it$")

    async def test_refused(self) -> None:
        """One that expired, is for another host, or of a stranger fails."""
        stranger = Path(self.mktemp())
        stranger.mkdir()
        other = Authority(stranger).cacertfile
        for options, certificate, text in (
            ("", {"days": (-9, -2)}, "has expired"),
            ("", {"host": "elsewhere"}, "is not for that host"),
            (
                f"cacertfile={other}",
                {},
                "is not signed by an authority that is trusted",
            ),
            (
                "cacertfile=nowhere.pem",
                {},
                "No such file or directory: 'nowhere.pem': correct the file that ",
            ),
            (f"cacertfile={__file__}", {}, "correct the file that the URL names as "),
        ):
            try:
                await self.check(options, **certificate)
            except CheckFailed as error:
                self.assertIn(text, str(error))
            else:
                self.fail(f"it was taken, though it {text}")

    async def test_unchecked(self) -> None:
        """What is not checked is a warning."""
        tls, _ = await self.check("verify=verify_none", host="elsewhere")
        self.assertRegex(tls, "^warning  TLS: .* anyone can pose as the broker")
        tls, _ = await self.check("server_name_indication=disable", host="elsewhere")
        self.assertRegex(tls, "^warning  TLS: .* the name is not checked")

    async def test_no_tls(self) -> None:
        """A port without TLS is told."""
        port = await self.listen()
        url = f"amqps://localhost:{port}?connection_timeout=2000"
        *_, tls = (await self.diagnose(url, 1)).out.decode().splitlines()
        self.assertTrue(tls.startswith("failed   TLS: "), tls)
        self.assertTrue(tls.endswith(": is that a port with TLS?"), tls)
