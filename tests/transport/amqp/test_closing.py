"""
Closing real sockets, plain and encrypted, to a peer that does not read.
"""

from __future__ import annotations

from typing import Any

from pamqp.frame import marshal

from tests.contract.harness import (
    DEFAULT,
    ChannelWatcher,
    Journal,
    SessionWatcher,
    publish,
)
from tests.support.amqp_peer import START, Connection, reply_to
from tests.transport import closing
from txkombu.interfaces import ISession
from txkombu.transport.amqp.native import AmqpTransport
from txkombu.transport.amqp.wire.methods import decode_method
from txkombu.transport.amqp.wire.parser import AmqpFrameParser


class _Server(closing.Server):
    """A broker's end that logs in, and answers what has an answer."""

    def connectionMade(self) -> None:
        super().connectionMade()
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


class ClosingTests(closing.PausedCase):
    """Closing, on TCP."""

    server = _Server
    scheme = "amqp"

    async def connect(self) -> ISession:
        """Open a session."""
        return await AmqpTransport().connect(
            self.parameters, None, self.reactor, SessionWatcher(self.journal)
        )

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


class EncryptedClosingTests(closing.Encrypted, ClosingTests):
    """Closing, on TLS."""

    scheme = "amqps"
