"""
Closing real sockets, plain and encrypted, to a peer that does not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pamqp.frame import marshal
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from tests.contract.harness import (
    DEFAULT,
    ChannelWatcher,
    Journal,
    Probe,
    SessionWatcher,
    publish,
)
from tests.support.amqp_peer import START, Connection, reply_to
from tests.support.broker_process import HOST
from tests.support.certificates import Authority
from tests.transport.amqp.test_transport import ServerTLS
from txkombu.interfaces import ISession, ISessionChannel
from txkombu.transport import protocol as ending
from txkombu.transport.amqp.native import AmqpTransport
from txkombu.transport.amqp.wire.methods import decode_method
from txkombu.transport.amqp.wire.parser import AmqpFrameParser
from txkombu.url import Parameters, TLSOptions


class _Server(Protocol):
    """A broker's end that logs in, and answers what has an answer."""

    factory: Any

    def connectionMade(self) -> None:
        self.factory.servers.append(self)
        self._parser: AmqpFrameParser | None = None

    def send(self, number: int, method: Any) -> None:
        """Send a method."""
        assert self.transport is not None
        self.transport.write(marshal(method, number))

    def dataReceived(self, data: bytes) -> None:
        if self._parser is None:
            self._parser = AmqpFrameParser()
            self.send(0, START)
            return
        for kind, number, payload in self._parser.feed(data):
            if kind == 1:
                self.answer(number, decode_method(payload))

    def answer(self, number: int, asked: Any) -> None:
        """Answer a method, if it has an answer."""
        self.factory.heard.append(asked.name)
        if isinstance(asked, Connection.StartOk):
            self.send(0, Connection.Tune(0, 131072, 0))
        elif isinstance(asked, Connection.Open):
            self.send(0, Connection.OpenOk())
        else:
            answer = reply_to(asked)
            if answer is not None:
                self.send(number, answer)

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.servers.remove(self)


class _Servers(Factory):
    protocol = _Server
    noisy = False

    def __init__(self) -> None:
        self.servers: list[_Server] = []
        self.heard: list[str] = []


class ClosingTests(TestCase):
    """Closing, on TCP."""

    timeout = 120

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.patch(ending, "CLOSE_SECONDS", 0.3)
        self.servers = _Servers()
        self.journal = Journal()
        port: Any = self.reactor.listenTCP(0, self.factory(), interface=HOST)
        self.addCleanup(port.stopListening)
        self.parameters = self.to(port.getHost().port)

    def factory(self) -> Any:
        """Return what makes the servers."""
        return self.servers

    def to(self, port: int) -> Parameters:
        """Return how to connect to that port."""
        return Parameters(hostname=HOST, port=port, heartbeat=0)

    async def connect(self) -> ISession:
        """Open a session."""
        return await AmqpTransport().connect(
            self.parameters, None, self.reactor, SessionWatcher(self.journal)
        )

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
        for each in self.servers.servers:
            each.transport.pauseProducing()  # type: ignore[union-attr]  # what it is here has it
        while not self.journal.all("write_paused"):
            for _ in range(50):
                publish(channel, DEFAULT, "q", b"x" * 65536, confirm=False)
            await deferLater(self.reactor, 0)
        return channel

    async def test_in_order(self) -> None:
        """The broker is told, after everything that was published before."""
        session = await self.connect()
        channel = await session.open_channel(ChannelWatcher(Journal()))
        for _ in range(20):
            publish(channel, DEFAULT, "q", b"x" * 65536, confirm=False)
        await session.close()
        await self.gone()
        heard = self.servers.heard
        self.assertEqual(heard[-21:], ["Basic.Publish"] * 20 + ["Connection.Close"])

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


class EncryptedClosingTests(ClosingTests):
    """Closing, on TLS."""

    def factory(self) -> Any:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.authority = Authority(folder)
        options = ServerTLS(self.authority.sign("localhost"), None)
        encrypted = TLSMemoryBIOFactory(options, False, self.servers)
        encrypted.noisy = False
        return encrypted

    def to(self, port: int) -> Parameters:
        tls = TLSOptions(cacertfile=self.authority.cacertfile, server_name="localhost")
        return Parameters("amqps", hostname=HOST, port=port, heartbeat=0, tls=tls)
