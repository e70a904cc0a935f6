"""
Telling RabbitMQ of a new password or token.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.contract.harness import Journal, SessionWatcher
from tests.support.rabbitmq import HOST, rabbitmq
from txkombu import BrokerConnection
from txkombu._util import backoff
from txkombu.policy import ReconnectPolicy
from txkombu.transport.amqp.native import AmqpTransport, NativeSession
from txkombu.url import parse_url

SCHEMES = ("amqp", "txamqp", "pika")


class SessionTests(TestCase):
    """One session, told of a new secret."""

    timeout = 120

    async def test_update(self) -> None:
        """The broker takes a new secret, and the session goes on."""
        clock: Any = reactor
        session = await AmqpTransport().connect(
            parse_url(rabbitmq().url), None, clock, SessionWatcher(Journal())
        )
        self.addCleanup(session.close)
        assert isinstance(session, NativeSession)
        await session.update_secret("guest", "expires")
        await session.update_secret("guest", "expires again")


class ConnectionTests(TestCase):
    """A connection whose user gets another password."""

    timeout = 120

    def setUp(self) -> None:
        self.patch(backoff, "DEFAULT", ReconnectPolicy(first=0.1))
        self.broker = rabbitmq()
        self.user = f"user-{uuid4().hex[:8]}"

    async def test_changed(self) -> None:
        """
        A connection that is given the new password in time survives the change, on each
        transport.
        """
        await deferToThread(self.broker.add_user, self.user, "old")
        self.addCleanup(deferToThread, self.broker.delete_user, self.user)
        await deferToThread(self.broker.permit, self.user)
        connections = [self.connection(scheme) for scheme in SCHEMES]
        await gatherResults([each.connect() for each in connections])
        await deferToThread(self.broker.change_password, self.user, "new")
        for connection in connections:
            await connection.update_secret("new", "changed")
            connection.drop()
        await gatherResults([each.connect() for each in connections])

    def connection(self, scheme: str) -> BrokerConnection:
        """Make a connection of that user."""
        url = f"{scheme}://{self.user}:old@{HOST}:{self.broker.amqp_port}"
        clock: Any = reactor
        connection = BrokerConnection(url, reactor=clock)
        self.addCleanup(connection.close)
        return connection
