"""
Programs and heartbeats over pika and RabbitMQ.
"""

from __future__ import annotations

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from tests.brokers.amqp.adapters.program_cases import programs
from tests.contract.harness import (
    DEFAULT,
    Harness,
    Journal,
    Probe,
    SessionWatcher,
    publish,
)
from tests.support.fault_proxy import FaultProxy
from tests.support.pika_peer import PIKA
from tests.support.rabbitmq import rabbitmq
from txkombu.exceptions import OperationTimeout, SessionLost
from txkombu.transport.amqp.adapters.pika import PikaTransport
from txkombu.url import parse_url

globals().update(programs(PIKA, __name__))


class SessionTests(Harness):
    """Sessions with a real broker."""

    timeout = 120

    def setUp(self) -> None:
        self.broker = rabbitmq()
        self.transport = PikaTransport()
        self.parameters = parse_url(PIKA.through(self.broker.url))
        self.clock = IReactorTime(reactor)

    async def test_silent_peer(self) -> None:
        """An attempt to connect to a silent peer ends in time."""
        proxy = FaultProxy(reactor, self.broker.amqp_port)
        self.addCleanup(proxy.stop)
        proxy.to_client.frozen = True
        parameters = attrs.evolve(self.parameters, port=proxy.port, connect_timeout=0.3)
        connecting = self.transport.connect(
            parameters, None, self.clock, SessionWatcher(Journal())
        )
        await self.assertFailure(connecting, OperationTimeout)

    async def test_frozen(self) -> None:
        """
        A broker that is silent for two heartbeats is given up, with its socket,
        whatever is still to be written.
        """
        proxy = FaultProxy(reactor, self.broker.amqp_port)
        self.addCleanup(proxy.stop)
        self.parameters = attrs.evolve(self.parameters, port=proxy.port, heartbeat=1)
        journal = Journal()
        session = await self.connect(journal)
        channel = await self.channel(session)
        queue = await self.queue(channel, exclusive=True)
        proxy.freeze()
        probe = Probe(publish(channel, DEFAULT, queue.name, bytes(20_000_000)))
        (reason,) = await journal.first("session_lost")
        self.assertIsInstance(reason, SessionLost)
        self.assertTrue(probe.fired)
        proxy.thaw()

    async def test_heartbeats(self) -> None:
        """A session on which nothing happens stays open."""
        self.parameters = attrs.evolve(self.parameters, heartbeat=1)
        journal = Journal()
        channel = await self.channel(await self.connect(journal))
        await self.pause(3.5)
        await self.queue(channel, exclusive=True)
        self.assertEqual(journal.entries, [])

    async def pause(self, seconds: float) -> None:
        """Let time pass."""
        passed: Deferred[None] = Deferred()
        self.clock.callLater(seconds, passed.callback, None)
        await passed
