"""
Closing real sockets, plain and encrypted, to a STOMP broker that does not read.
"""

from __future__ import annotations

from typing import Any

from tests.contract.harness import (
    DEFAULT,
    ChannelWatcher,
    Journal,
    SessionWatcher,
    publish,
)
from tests.support.stomp_peer import frame, receipt
from tests.transport import closing
from txkombu.interfaces import ISession
from txkombu.transport.stomp import StompTransport
from txkombu.transport.stomp.wire.stompest_core import StompParser


class _Server(closing.Server):
    """A broker's end that logs in, and gives the receipts that are asked for."""

    name = "RabbitMQ/3.10.8"

    def connectionMade(self) -> None:
        super().connectionMade()
        self._parser = StompParser("1.2")

    def dataReceived(self, data: bytes) -> None:
        self._parser.add(data)
        while self._parser.canRead():
            asked: Any = self._parser.get()
            if asked:
                self.answer(asked.command, dict(asked.headers))

    def answer(self, command: str, headers: dict[str, str]) -> None:
        """Answer a frame."""
        assert self.transport is not None
        self.factory.heard.append(command)
        if command == "STOMP":
            greeting = {"version": "1.2", "heart_beat": "0,0", "server": self.name}
            self.transport.write(frame("CONNECTED", **greeting))
        elif "receipt" in headers:
            self.transport.write(receipt(headers["receipt"]))


class _ActiveMQServer(_Server):
    """One that calls itself ActiveMQ."""

    name = "ActiveMQ/5.17.2"


class ClosingTests(closing.PausedCase):
    """Closing, on TCP."""

    server = _Server
    scheme = "stomp"

    async def connect(self) -> ISession:
        """Open a session."""
        return await StompTransport().connect(
            self.parameters, None, self.reactor, SessionWatcher(self.journal)
        )

    async def test_in_order(self) -> None:
        """The broker is told on each socket, after what was published before."""
        session = await self.connect()
        channel = await session.open_channel(ChannelWatcher(Journal()))
        for _ in range(20):
            publish(channel, DEFAULT, "q", b"x" * 65536, confirm=False)
        sockets = len(self.servers.servers)
        await session.close()
        await self.gone()
        wanted = ["SEND"] * 20 + ["DISCONNECT"] * sockets
        self.assertEqual(self.servers.heard[-len(wanted) :], wanted)


class EncryptedClosingTests(closing.Encrypted, ClosingTests):
    """Closing, on TLS."""

    scheme = "stomp+ssl"


class ActiveMQClosingTests(ClosingTests):
    """Closing, on TCP, to ActiveMQ."""

    server = _ActiveMQServer
