"""
STOMP over TLS, on both brokers; their certificates are signed by an authority of
our own.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTime

from tests.brokers import tls_cases
from tests.brokers.stomp.harness import ConformingOnActiveMQ, ConformingOnRabbitMQ
from tests.conformance import suite as conformance_suite
from tests.conformance.suite import program
from tests.support.activemq import activemq
from tests.support.rabbitmq import rabbitmq
from txkombu import BrokerConnection, Consumer, Producer
from txkombu.exceptions import AuthenticationFailed
from txkombu.url import parse_url
from txkombu.url.parameters import Parameters, TLSOptions

BODY = 5 * 1024 * 1024


class OnRabbitMQ(ConformingOnRabbitMQ):
    """Connects to the RabbitMQ of this run, encrypted."""

    def address(self) -> str:
        return rabbitmq().stomp_tls_url


class OnActiveMQ(ConformingOnActiveMQ):
    """Connects to the ActiveMQ of this run, encrypted."""

    def address(self) -> str:
        return activemq().tls_url


_WANTED = (conformance_suite.Content, conformance_suite.Recovery)

globals().update(conformance_suite.cases(OnRabbitMQ, __name__, _WANTED))
globals().update(conformance_suite.cases(OnActiveMQ, __name__, _WANTED))


async def large_bodies(case: conformance_suite.Conformance) -> None:
    """Large bodies arrive whole, both ways at once."""
    queue = case.queue()
    bodies = [bytes([n]) * (BODY + n) for n in range(4)]
    consumer = Consumer(case.connection, queue, callbacks=[case.take], prefetch_count=1)
    await consumer.consume()
    await Producer(case.connection).publish_all(bodies, routing_key=queue.name)
    await case.when_got(len(bodies))
    case.assertTrue(case.got == bodies)


class RabbitMQLargeTests(OnRabbitMQ):
    """Much at once."""

    @program
    async def test_large_bodies(self) -> None:
        """Large bodies arrive whole, both ways at once, from RabbitMQ."""
        await large_bodies(self)


class ActiveMQLargeTests(OnActiveMQ):
    """Much at once."""

    @program
    async def test_large_bodies(self) -> None:
        """Large bodies arrive whole, both ways at once, from ActiveMQ."""
        await large_bodies(self)


class RabbitMQTrustTests(tls_cases.Trust):
    """Who trusts whom."""

    def url(self) -> str:
        """Where the broker is."""
        return rabbitmq().stomp_tls_url

    def connection(
        self, host: str = "localhost", password: str = "guest", **tls: Any
    ) -> BrokerConnection:
        """Make a connection that trusts its authority, unless told otherwise."""
        right = parse_url(self.url())
        options = attrs.evolve(right.tls or TLSOptions(), **tls)
        return self.to(
            attrs.evolve(right, hostname=host, password=password, tls=options)
        )

    def to(self, parameters: Parameters) -> BrokerConnection:
        """Make a connection that is closed at the end."""
        connection = BrokerConnection(
            parameters.as_uri(include_password=True), reactor=IReactorTime(reactor)
        )
        self.addCleanup(connection.close)
        return connection

    async def test_plain_to_tls(self) -> None:
        """No TLS where the broker speaks nothing else is an error."""
        right = parse_url(self.url())
        plain = attrs.evolve(right, transport="stomp", tls=None)
        await self.refused(self.to(plain))

    async def test_wrong_password(self) -> None:
        """Under TLS a refused login is still one."""
        error = await self.refused(self.connection(password="wrong"))
        self.assertIsInstance(error, AuthenticationFailed)


class ActiveMQTrustTests(RabbitMQTrustTests):
    """So it is with ActiveMQ."""

    def url(self) -> str:
        return activemq().tls_url
