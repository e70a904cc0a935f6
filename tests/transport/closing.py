"""
What the tests of closing real sockets, of each transport, have in common.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from tests.contract.harness import DEFAULT, ChannelWatcher, Journal, Probe, publish
from tests.support.broker_process import HOST
from tests.support.certificates import Authority
from tests.transport.amqp.test_transport import ServerTLS
from txkombu.interfaces import ISession, ISessionChannel
from txkombu.transport import protocol as ending
from txkombu.url import Parameters, TLSOptions


class Server(Protocol):
    """A broker's end of a socket; a subclass answers."""

    factory: Any

    def connectionMade(self) -> None:
        self.factory.servers.append(self)

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.servers.remove(self)


class Servers(Factory):
    """
    Makes the broker's ends.

    @ivar servers: those of the open sockets.
    @ivar heard: what all were told, in order.
    """

    noisy = False

    def __init__(self, protocol: type[Server]) -> None:
        self.protocol = protocol
        self.servers: list[Server] = []
        self.heard: list[str] = []


class SocketCase(TestCase):
    """
    A broker that listens on TCP, and can stop to read.

    @cvar server: the class of its ends.
    @cvar scheme: of its URL.
    """

    timeout = 120
    server: type[Server]
    scheme: str

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.patch(ending, "CLOSE_SECONDS", 0.3)
        self.servers = Servers(self.server)
        self.journal = Journal()
        port: Any = self.reactor.listenTCP(0, self.listen(), interface=HOST)
        self.addCleanup(port.stopListening)
        self.parameters = self.to(port.getHost().port)

    def listen(self) -> Any:
        """Return the factory that listens."""
        return self.servers

    def to(self, port: int) -> Parameters:
        """Return how to connect to that port."""
        return Parameters(self.scheme, hostname=HOST, port=port, heartbeat=0)

    async def connect(self) -> ISession:
        """Open a session."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Have the peer read nothing."""
        for each in self.servers.servers:
            each.transport.pauseProducing()  # type: ignore[union-attr]  # what it is here has it

    async def gone(self) -> None:
        """Wait until the peer sees that its sockets are closed."""
        while self.servers.servers:
            for each in self.servers.servers:
                assert each.transport is not None
                each.transport.resumeProducing()  # type: ignore[attr-defined]  # what it is here has it
            await deferLater(self.reactor, 0.01)

    async def stuffed(self, session: ISession) -> ISessionChannel:
        """Have the peer read nothing, and publish until the socket is full."""
        channel = await session.open_channel(ChannelWatcher(Journal()))
        self.freeze()
        while not self.journal.all("write_paused"):
            for _ in range(50):
                publish(channel, DEFAULT, "q", b"x" * 65536, confirm=False)
            await deferLater(self.reactor, 0)
        return channel


class PausedCase(SocketCase):
    """Closing, to a peer that does not read: the paused producer holds nothing up."""

    async def test_producer_paused(self) -> None:
        """A close ends though the peer reads nothing."""
        session = await self.connect()
        await self.stuffed(session)
        await session.close()
        await self.gone()
        self.assertEqual(self.journal.all("session_lost"), [])

    async def test_aborted(self) -> None:
        """Aborting does not wait for anything."""
        session = await self.connect()
        await self.stuffed(session)
        closing = Probe(session.close())
        session.abort()
        self.assertTrue(closing.fired)
        await self.gone()

    async def test_broken_while_full(self) -> None:
        """
        A session ends in time with a peer that breaks the protocol and reads nothing.
        """
        session = await self.connect()
        await self.stuffed(session)
        for each in self.servers.servers:
            each.transport.write(b"garbage")  # type: ignore[union-attr]  # what it is here has it
        await self.journal.first("session_lost")
        await session.close()
        await self.gone()


class Encrypted(SocketCase):
    """The same on TLS."""

    def listen(self) -> Any:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.authority = Authority(folder)
        options = ServerTLS(self.authority.sign("localhost"), None)
        encrypted = TLSMemoryBIOFactory(options, False, self.servers)
        encrypted.noisy = False
        return encrypted

    def to(self, port: int) -> Parameters:
        tls = TLSOptions(cacertfile=self.authority.cacertfile, server_name="localhost")
        return Parameters(self.scheme, hostname=HOST, port=port, heartbeat=0, tls=tls)
