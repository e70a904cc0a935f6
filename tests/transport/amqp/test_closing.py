"""
Closing real sockets, plain and encrypted, to a peer that does not read.
"""

from __future__ import annotations

from typing import Any

from pamqp.frame import marshal
from twisted.internet.defer import gatherResults

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
from tests.transport import closing
from txkombu import BrokerConnection, Producer
from txkombu.exceptions import NotSentInTime, OutcomeUnknownInTime
from txkombu.interfaces import ISession
from txkombu.transport import protocol
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

    async def test_full(self) -> None:
        """The socket reports that it is full once 256 KiB wait for it, not before."""
        session = await self.connect()
        channel = await session.open_channel(ChannelWatcher(Journal()))
        body = b"x" * 4000
        for _ in range(60):
            publish(channel, DEFAULT, "q", body, confirm=False)
        self.assertEqual(self.journal.all("write_paused"), [])
        for _ in range(20):
            publish(channel, DEFAULT, "q", body, confirm=False)
        self.assertEqual(len(self.journal.all("write_paused")), 1)
        await self.journal.first("write_resumed")
        await session.close()
        await self.gone()


class DeadlineTests(closing.SocketCase):
    """Publishing to a peer that reads nothing."""

    server = _Server
    scheme = "amqp"

    async def test_never_sent(self) -> None:
        """What waits for a full socket at its deadline fails, and is never sent."""
        self.patch(protocol, "CLOSE_SECONDS", 60.0)
        port = self.parameters.port
        connection = BrokerConnection(HOST, port=port, reactor=self.reactor)
        producer = Producer(await connection.channel(), routing_key="q")
        await connection.connect()
        self.freeze()
        body = b"x" * 2**16
        probes = [Probe(producer.publish(body, timeout=0.5)) for _ in range(300)]
        await gatherResults(
            [probe.deferred.addBoth(lambda _: None) for probe in probes]
        )
        outcomes = [type(probe.outcome) for probe in probes]
        sent = outcomes.count(OutcomeUnknownInTime)
        self.assertGreater(outcomes.count(NotSentInTime), 0)
        self.assertEqual(sent + outcomes.count(NotSentInTime), 300)
        ending = connection.close()
        await self.gone()
        await ending
        self.assertEqual(self.servers.heard.count("Basic.Publish"), sent)


class EncryptedClosingTests(closing.Encrypted, ClosingTests):
    """Closing, on TLS."""

    scheme = "amqps"
