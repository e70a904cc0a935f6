"""
RabbitMQ over TLS, its certificate signed by an authority of our own.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IReactorTime

from tests.brokers import tls_cases
from tests.conformance import suite as conformance_suite
from tests.conformance.suite import program
from tests.support.broker_process import HOST
from tests.support.rabbitmq import RabbitMQ, rabbitmq
from txkombu import BrokerConnection, Consumer, Producer
from txkombu.exceptions import AccessRefused, AuthenticationFailed
from txkombu.url.parameters import TLSOptions

BODY = 5 * 1024 * 1024


class TLS:
    """Connects to the RabbitMQ of this run, encrypted."""

    url: str

    def setUp(self) -> None:
        self.url = rabbitmq().tls_url
        super().setUp()  # type: ignore[misc]  # the case's


globals().update(conformance_suite.cases(TLS, __name__))


class LargeTests(TLS, conformance_suite.Conformance):
    """Large bodies."""

    @program
    async def test_large_bodies(self) -> None:
        """Large bodies arrive whole, both ways at once."""
        queue = self.queue()
        bodies = [bytes([n]) * (BODY + n) for n in range(4)]
        consumer = Consumer(
            self.connection, queue, callbacks=[self.take], prefetch_count=1
        )
        await consumer.consume()
        await Producer(self.connection).publish_all(bodies, routing_key=queue.name)
        await self.when_got(len(bodies))
        self.assertEqual([len(each) for each in self.got], [len(b) for b in bodies])
        self.assertTrue(self.got == bodies)


class TrustTests(tls_cases.Trust):
    """Certificates on both sides."""

    def setUp(self) -> None:
        self.broker: RabbitMQ = rabbitmq()
        self.clock = IReactorTime(reactor)

    def connection(self, host: str = "localhost", **tls: Any) -> BrokerConnection:
        """Make a connection with the right authority, unless told otherwise."""
        options = TLSOptions(**{"cacertfile": self.broker.authority.cacertfile, **tls})
        connection = BrokerConnection(
            host,
            port=self.broker.tls_port,
            transport="amqps",
            tls=options,
            reactor=self.clock,
        )
        self.addCleanup(connection.close)
        return connection

    async def test_plain_port(self) -> None:
        """TLS on a port without TLS is an error that says so."""
        port = self.broker.amqp_port
        url = f"amqps://localhost:{port}"
        connection = BrokerConnection(url, reactor=self.clock)
        self.addCleanup(connection.close)
        error = await self.refused(connection)
        self.assertRegex(str(error), "does not speak TLS there")

    async def test_wrong_password(self) -> None:
        """A refused login is an AuthenticationFailed under TLS as well."""
        connection = BrokerConnection(
            self.broker.tls_url, password="wrong", reactor=self.clock
        )
        self.addCleanup(connection.close)
        error = await self.refused(connection)
        self.assertIsInstance(error, AuthenticationFailed)
        self.assertIsInstance(error.__cause__, AccessRefused)

    async def test_client_certificate(self) -> None:
        """With a client certificate we log in without a password."""
        certfile = self.broker.authority.sign("guest")
        url = f"{self.broker.tls_url}&certfile={certfile}&auth_mechanism=external"
        connection = BrokerConnection(
            url, userid="nobody", password="wrong", reactor=self.clock
        )
        self.addCleanup(connection.close)
        await connection.connect()

    async def test_key_with_passphrase(self) -> None:
        """A key with a passphrase serves as well."""
        certfile = self.broker.authority.sign("guest", password="pw", file="locked.pem")
        url = f"{self.broker.tls_url}&certfile={certfile}&password=pw"
        connection = BrokerConnection(
            f"{url}&auth_mechanism=external", userid="nobody", reactor=self.clock
        )
        self.addCleanup(connection.close)
        await connection.connect()

    async def test_endpoint(self) -> None:
        """An endpoint connects; TLS checks the name of the URL."""
        endpoint = TCP4ClientEndpoint(reactor, HOST, self.broker.tls_port)
        tls = TLSOptions(cacertfile=self.broker.authority.cacertfile)
        for host, accepted in (("localhost", True), ("broker.example", False)):
            connection = BrokerConnection(
                f"amqps://{host}", tls=tls, endpoint=endpoint, reactor=self.clock
            )
            self.addCleanup(connection.close)
            if accepted:
                await connection.connect()
            else:
                error = await self.refused(connection)
                self.assertRegex(str(error), "not for that host")

    async def test_no_client_certificate(self) -> None:
        """Without a certificate that way of logging in is refused, typed."""
        url = f"{self.broker.tls_url}&auth_mechanism=external"
        connection = BrokerConnection(url, reactor=self.clock)
        self.addCleanup(connection.close)
        await self.refused(connection)

    async def test_client_of_a_stranger(self) -> None:
        """A client certificate that the broker does not trust is an error."""
        certfile = self.stranger.sign("guest")
        error = await self.refused(self.connection(certfile=certfile))
        self.assertRegex(str(error), "alert|closed the connection")
