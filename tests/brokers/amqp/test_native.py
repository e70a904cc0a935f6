"""
The native AMQP transport against RabbitMQ, beyond the contract's tests.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.contract.harness import (
    DEFAULT,
    ChannelWatcher,
    Inbox,
    Journal,
    SessionWatcher,
    consume,
    publish,
)
from tests.support.rabbitmq import HOST, free_ports, rabbitmq
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import (
    AccessRefused,
    AuthenticationFailed,
    ConnectError,
    ConnectionForced,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
)
from txkombu.interfaces import ISession
from txkombu.transport.amqp.native import AmqpTransport
from txkombu.url import Parameters, parse_url


class RabbitMQTests(TestCase):
    """RabbitMQ."""

    timeout = 120

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.broker = rabbitmq()
        self.parameters = parse_url(self.broker.url)
        self.journal = Journal()

    async def connect(self, parameters: Parameters) -> ISession:
        """Connect to the broker."""
        session = await AmqpTransport().connect(
            parameters, None, self.reactor, SessionWatcher(self.journal)
        )
        self.addCleanup(session.close)
        return session

    async def refused(self, parameters: Parameters) -> ConnectError:
        """Connect, and return the error."""
        connecting = AmqpTransport().connect(
            parameters, None, self.reactor, SessionWatcher(self.journal)
        )
        error = await self.assertFailure(connecting, ConnectError)
        self.assertEqual(self.journal.entries, [])
        assert isinstance(error, ConnectError)
        return error

    async def test_wrong_password(self) -> None:
        """A wrong password is an error of its own that does not show it."""
        parameters = attrs.evolve(self.parameters, password="wrong-password")
        error = await self.refused(parameters)
        self.assertIsInstance(error, AuthenticationFailed)
        self.assertIsInstance(error.__cause__, AccessRefused)
        self.assertIn(f"{HOST}:{self.broker.amqp_port}", str(error))
        self.assertNotIn("wrong-password", str(error))

    async def test_unknown_virtual_host(self) -> None:
        """A virtual host that does not exist is an error of the same kind."""
        parameters = attrs.evolve(self.parameters, virtual_host="nowhere")
        error = await self.refused(parameters)
        self.assertIsInstance(error, AuthenticationFailed)
        self.assertIsInstance(error.__cause__, NotAllowed)
        self.assertIn("'nowhere'", str(error))

    async def test_nobody_listens(self) -> None:
        """Where nobody listens the error names the place, and has its cause."""
        (port,) = free_ports(1)
        error = await self.refused(attrs.evolve(self.parameters, port=port))
        self.assertIn(f"{HOST}:{port}", str(error))
        self.assertIn("refused", str(error.__cause__))

    async def test_connection_name(self) -> None:
        """The broker lists the connection by our name."""
        name = "app@host:1/of-the-test"
        session = await self.connect(
            attrs.evolve(self.parameters, connection_name=name, heartbeat=17.0)
        )
        begin = "client_properties"
        all_of_them = f"rabbit_networking:connection_info_all([{begin}, timeout])"
        listed = await deferToThread(self.broker.evaluate, all_of_them)
        found = next(each for each in listed.split(begin) if name in each)
        self.assertIn("txkombu", found)
        self.assertIn("{timeout,17}", found)
        self.assertEqual(session.product, "RabbitMQ")

    async def test_channel_max(self) -> None:
        """A lower limit of channels is agreed on."""
        session = await self.connect(attrs.evolve(self.parameters, channel_max=1))
        channel = await session.open_channel(ChannelWatcher(self.journal))
        await channel.close()
        await session.open_channel(ChannelWatcher(self.journal))

    async def test_blocked(self) -> None:
        """
        A broker that is short of memory says so, and says when it has enough again;
        closing ends while it is short.
        """
        session, stuck = (
            await self.connect(self.parameters),
            await self.connect(self.parameters),
        )
        channel = await session.open_channel(ChannelWatcher(self.journal))
        other = await stuck.open_channel(ChannelWatcher(Journal()))
        allow = self.broker.allow_memory
        # However this ends: others use the broker.
        self.addCleanup(deferToThread, allow, 0.4)
        await deferToThread(allow, 0.0001)
        for each in (channel, other):
            publish(each, DEFAULT, "nowhere").addErrback(lambda reason: None)
        await self.journal.first("blocked", 2)
        await stuck.close()
        await deferToThread(allow, 0.4)
        await self.journal.first("unblocked")
        await publish(channel, DEFAULT, "nowhere")

    async def test_closed_by_operator(self) -> None:
        """A connection that an operator closes is lost with a typed error."""
        session = await self.connect(self.parameters)
        channel = await session.open_channel(ChannelWatcher(self.journal))
        queue = Queue("of-the-operator", exclusive=True)
        await channel.queue_declare(queue, False)
        await consume(channel, queue, inbox=Inbox())
        await deferToThread(
            self.broker.evaluate,
            "rabbit_networking:close_connections("
            'rabbit_networking:connections(), <<"of the test">>)',
        )
        (reason,) = await self.journal.first("session_lost")
        self.assertIsInstance(reason, ConnectionForced)
        self.assertIn("of the test", reason.text)
        await session.close()

    async def test_long_name_refused(self) -> None:
        """A refusal whose text is cut off still fails the publishes it is about."""
        session = await self.connect(self.parameters)
        channel = await session.open_channel(ChannelWatcher(self.journal))
        missing = Exchange("x" * 255)
        refused: Deferred[Any] = publish(channel, missing, "key")
        self.assertFailure(refused, NotFound)
        error: NotFound = await refused
        self.assertTrue(error.text.endswith("..."), error.text)

    async def test_topic_refused(self) -> None:
        """
        Of publishes with many keys, only those with the key that the user may not write
        to were refused; what was enqueued before is not among them.
        """
        user, name = f"user-{uuid4().hex}", f"topic-{uuid4().hex}"
        await deferToThread(self.broker.add_user, user, "secret")
        self.addCleanup(deferToThread, self.broker.delete_user, user)
        await deferToThread(self.broker.permit, user)
        await deferToThread(
            self.broker.evaluate,
            f'rabbit_auth_backend_internal:set_topic_permissions(<<"{user}">>, '
            f'<<"/">>, <<"{name}">>, <<"^free">>, <<".*">>, <<"test">>)',
        )
        limited = attrs.evolve(self.parameters, userid=user, password="secret")
        exchange, queue = Exchange(name, "topic"), Queue(name)
        admin = await (await self.connect(self.parameters)).open_channel(
            ChannelWatcher(Journal())
        )
        await admin.exchange_declare(exchange, False)
        await admin.queue_declare(queue, False)
        await admin.queue_bind(queue, exchange, "#", {})
        session = await self.connect(limited)
        for forbidden in ("secret", "k" * 240):
            channel = await session.open_channel(ChannelWatcher(Journal()))
            keys = [f"free.{number}" for number in range(100)]
            keys.insert(50, forbidden)
            sent = [publish(channel, exchange, key) for key in keys]
            results: Any = await DeferredList(sent, consumeErrors=True)
            failed: Any = {
                key: result.value
                for key, (succeeded, result) in zip(keys, results, strict=True)
                if not succeeded
            }
            refused = failed.pop(forbidden)
            self.assertIsInstance(refused, AccessRefused)
            self.assertIn(f"access to topic '{forbidden[:200]}", refused.text)
            for error in failed.values():
                self.assertIsInstance(error, OutcomeUnknown)
            self.assertTrue(
                {f"free.{number}" for number in range(50, 100)} <= {*failed}
            )
            count = await admin.queue_purge(queue)
            self.assertEqual(count, 50)
        await admin.queue_delete(queue, False, False)
        await admin.exchange_delete(exchange, False)

    async def test_cut_within_a_character(self) -> None:
        """A text that is cut off in the midst of a character ends the channel only."""
        for begin in ("", "x"):
            session = await self.connect(self.parameters)
            channel = await session.open_channel(ChannelWatcher(Journal()))
            missing = Exchange(begin + "é" * 120)
            refused: Deferred[Any] = publish(channel, missing, "key")
            self.assertFailure(refused, NotFound)
            await refused
            await session.open_channel(ChannelWatcher(Journal()))
