"""
Connecting to RabbitMQ and ActiveMQ over STOMP.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.support.activemq import STRANGER, activemq
from tests.support.fault_proxy import FaultProxy
from tests.support.rabbitmq import HOST, free_ports, rabbitmq
from tests.support.stomp_peer import Owner
from txkombu.exceptions import (
    AccessRefused,
    AuthenticationFailed,
    BrokerError,
    ConnectError,
    ConsumerCancelled,
    KombuError,
    NotFound,
    SessionLost,
)
from txkombu.transport.stomp.connections import Connector
from txkombu.transport.stomp.protocol import StompProtocol
from txkombu.transport.stomp.wire.frames import encode_frame
from txkombu.transport.stomp.wire.parser import Frame
from txkombu.url import Parameters, TLSOptions, parse_url

SECRET = "s3cr3t"
ODD = ("x:\\\n\r name", "\r\n:\\c é")
"""A header that needs all escapes."""


class LiveOwner(Owner):
    """
    Waits for the end of a socket.

    @ivar lost: fires with the reason.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lost: Deferred[Exception] = Deferred()

    def socket_lost(self, reason: Exception) -> None:
        self.lost.callback(reason)


class Live(TestCase):
    """A broker."""

    timeout = 120

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.broker = self.start()
        self.parameters = parse_url(self.broker.stomp_url)
        self.owner = LiveOwner()

    def start(self) -> Any:
        """The broker."""
        raise NotImplementedError

    async def open(self, parameters: Parameters | None = None) -> StompProtocol:
        """Open a socket."""
        connector = Connector(parameters or self.parameters, None, self.reactor)
        socket = await connector.open(self.owner)
        self.addCleanup(socket.close)
        return socket

    async def refused(self, **changed: Any) -> KombuError:
        """What opening one fails with."""
        parameters = attrs.evolve(self.parameters, **changed)
        opening = Connector(parameters, None, self.reactor).open(self.owner)
        error = await self.assertFailure(opening, KombuError)
        assert isinstance(error, KombuError)
        self.assertNotIn(SECRET, str(error))
        return error

    async def ask(
        self, socket: StompProtocol, command: str, body: bytes = b"", /, **headers: str
    ) -> None:
        """Write a frame, and wait for its receipt."""
        number, done = socket.receipt()
        given = [(name.replace("_", "-"), value) for name, value in headers.items()]
        socket.write(encode_frame(command, [*given, ("receipt", number)], body))
        await done

    async def until(self, done: Callable[[], object], what: str) -> None:
        """Wait until something has happened, for some seconds at most."""
        limit = time.monotonic() + 20
        while not done():
            self.assertLess(time.monotonic(), limit, what)
            await deferLater(self.reactor, 0.01)


class Shared:
    """
    What holds with every broker.

    @cvar server: how its name begins.
    @cvar refusal: how a wrong password is told.
    @cvar beat: the shortest interval it agrees to, in seconds.
    """

    server: ClassVar[str]
    refusal: ClassVar[str]
    beat: ClassVar[float]

    async def test_login(self: Any) -> None:
        """A socket opens, says what the broker is, and closes in order."""
        socket = await self.open()
        self.assertTrue(socket.server.startswith(self.server), socket.server)
        await socket.close()
        self.assertFalse(socket.alive)
        self.assertEqual(self.owner.names, [])

    async def test_wrong_password(self: Any) -> None:
        """A wrong password is an error of its own that does not show it."""
        error = await self.refused(password=SECRET)
        self.assertIsInstance(error, AuthenticationFailed)
        self.assertIsInstance(error.__cause__, AccessRefused)
        self.assertIn(f"{HOST}:{self.broker.stomp_port}", str(error))
        self.assertIn(self.refusal, str(error))

    async def test_odd_credentials(self: Any) -> None:
        """Credentials of any characters arrive as they are."""
        error = await self.refused(userid="a\\b:é", password=f"{SECRET}\\n:\n")
        self.assertIsInstance(error, AuthenticationFailed)
        self.assertIn("a\\b:é", str(error.__cause__))

    async def test_nobody_listens(self: Any) -> None:
        """Where nobody listens the error names the place."""
        (port,) = free_ports(1)
        error = await self.refused(port=port)
        self.assertIs(type(error), ConnectError)
        self.assertIn(f"{HOST}:{port}", str(error))

    async def test_receipts(self: Any) -> None:
        """Many frames in flight are all answered."""
        socket = await self.open()
        answers: list[Any] = []
        for _ in range(500):
            number = socket.expect(answers.append)
            headers = [("destination", "/queue/wire.many"), ("receipt", number)]
            socket.write(encode_frame("SEND", headers, b"x" * 200))
        await self.until(lambda: len(answers) == 500, "receipts")
        self.assertEqual(set(answers), {None})

    async def test_messages(self: Any) -> None:
        """Any header and any body arrives as it was sent, also a large one."""
        socket = await self.open()
        found: list[Frame] = []
        socket.subscribe("s", found.append, lambda _: None)
        bodies = [b"", b"\0a\n\n\0", bytes(range(256)) * 20_000]
        destination = "/queue/wire.messages"
        await self.ask(socket, "SUBSCRIBE", id="s", ack="auto", destination=destination)
        for body in bodies:
            head = encode_frame(
                "SEND", [("destination", destination), ODD, ("é", "")], body
            )[: -len(body) - 1]
            socket.write_message(head, body)
        await self.until(lambda: len(found) == 3, "messages")
        self.assertEqual([each.body for each in found], bodies)
        for each in found:
            self.assertEqual(each.headers[ODD[0]], ODD[1])
            self.assertEqual(each.headers["é"], "")

    async def test_heartbeats(self: Any) -> None:
        """An idle connection lives on."""
        parameters = attrs.evolve(self.parameters, heartbeat=self.beat)
        socket = await self.open(parameters)
        await deferLater(self.reactor, 4 * self.beat)
        self.assertTrue(socket.alive)

    async def test_frozen(self: Any) -> None:
        """A broker that falls silent is noticed by its heart-beats."""
        proxy = FaultProxy(self.reactor, self.broker.stomp_port)
        self.addCleanup(proxy.stop)
        parameters = attrs.evolve(self.parameters, heartbeat=self.beat, port=proxy.port)
        socket = await self.open(parameters)
        _, waiting = socket.receipt()
        proxy.to_client.frozen = proxy.to_broker.frozen = True
        reason = await self.owner.lost
        self.assertIsInstance(reason, SessionLost)
        self.assertIsInstance(
            await self.assertFailure(waiting, SessionLost), SessionLost
        )

    async def test_cut(self: Any) -> None:
        """A connection that is cut is lost, typed."""
        proxy = FaultProxy(self.reactor, self.broker.stomp_port)
        self.addCleanup(proxy.stop)
        await self.open(attrs.evolve(self.parameters, port=proxy.port))
        proxy.cut()
        self.assertIsInstance(await self.owner.lost, SessionLost)

    async def test_sockets_at_once(self: Any) -> None:
        """One connector opens several sockets, each with its own login."""
        connector = Connector(self.parameters, None, self.reactor)
        connections = await gatherResults([connector.open(Owner()) for _ in range(3)])
        await gatherResults([each.close() for each in connections])


class RabbitMQTests(Shared, Live):
    """RabbitMQ."""

    server = "RabbitMQ/"
    refusal = "Access refused for user 'guest'"
    beat = 1.0

    def start(self) -> Any:
        return rabbitmq()

    async def test_unknown_virtual_host(self) -> None:
        """A virtual host that does not exist lets nobody in."""
        error = await self.refused(virtual_host="no:where")
        self.assertIsInstance(error, AuthenticationFailed)
        self.assertIn("Virtual host 'no:where' access denied", str(error))

    async def test_other_protocol(self) -> None:
        """A port that speaks AMQP is told as such."""
        error = await self.refused(port=self.broker.amqp_port)
        self.assertIn("does not speak STOMP 1.2", str(error))
        self.assertIn("AMQP", str(error))

    async def test_errors(self) -> None:
        """An error ends the socket, typed, and before the false receipt."""
        for command, headers, kind, text in (
            (
                "SEND",
                {"destination": "/exchange/none/k"},
                NotFound,
                "no exchange 'none'",
            ),
            (
                "SUBSCRIBE",
                {"id": "1", "destination": "/amq/queue/none"},
                NotFound,
                "no queue 'none'",
            ),
            (
                "SEND",
                {"destination": "/what/k"},
                BrokerError,
                "not a valid destination",
            ),
            ("ACK", {"id": "x"}, BrokerError, "Invalid header"),
            ("COMMIT", {"transaction": "x"}, BrokerError, "Bad transaction"),
        ):
            self.owner = LiveOwner()
            socket = await self.open()
            asking: Deferred[Any] = Deferred.fromCoroutine(
                self.ask(socket, command, **headers)
            )
            error = await self.assertFailure(asking, BrokerError)
            self.assertIs(type(error), kind)
            self.assertIn(text, str(error))
            self.assertIs(type(await self.owner.lost), kind)
            await socket.close()

    async def test_error_behind_others(self) -> None:
        """The reason is told although frames behind the one refused failed first."""
        socket = await self.open()
        asking = [
            Deferred.fromCoroutine(self.ask(socket, "SEND", destination=each))
            for each in ("/exchange/none/k", *["/queue/wire.behind"] * 20)
        ]
        self.assertIsInstance(await self.owner.lost, NotFound)
        for each in asking:
            await self.assertFailure(each, NotFound)

    async def test_queue_deleted(self) -> None:
        """A queue deleted under a consumer ends that subscription alone."""
        socket = await self.open()
        ends: Deferred[Exception] = Deferred()
        socket.subscribe("s", lambda _: None, ends.callback)
        await self.ask(socket, "SUBSCRIBE", id="s", destination="/queue/wire.deleted")
        await deferToThread(self.broker.delete_queue, "wire.deleted")
        self.assertIsInstance(await ends, ConsumerCancelled)
        self.assertTrue(socket.alive)


class ActiveMQTests(Shared, Live):
    """ActiveMQ."""

    server = "ActiveMQ/"
    refusal = "User name [guest] or password is invalid"
    beat = 0.5

    def start(self) -> Any:
        return activemq()

    async def test_errors(self) -> None:
        """An error that names a receipt leaves the others alone."""
        socket = await self.open()
        socket.follow(errors_are_fatal=False, length_is_last=False)
        for command, headers, text in (
            ("ACK", {"id": "x"}, "Unexpected ACK"),
            ("COMMIT", {"transaction": "x"}, "Invalid transaction id: x"),
            ("SEND", {}, "SEND received without a Destination"),
        ):
            asking: Deferred[Any] = Deferred.fromCoroutine(
                self.ask(socket, command, **headers)
            )
            error = await self.assertFailure(asking, BrokerError)
            self.assertIs(type(error), BrokerError)
            self.assertIn(text, str(error))
        await self.ask(socket, "SEND", destination="/queue/wire.errors")

    async def test_not_allowed(self) -> None:
        """What a user may not do is refused, typed."""
        parameters = attrs.evolve(self.parameters, userid=STRANGER, password=STRANGER)
        socket = await self.open(parameters)
        socket.follow(errors_are_fatal=False, length_is_last=False)
        asking: Deferred[Any] = Deferred.fromCoroutine(
            self.ask(socket, "SEND", destination="/queue/wire.errors")
        )
        error = await self.assertFailure(asking, AccessRefused)
        self.assertIn("not authorized to write to: queue://wire.errors", str(error))

    async def test_fatal_error(self) -> None:
        """One that names no receipt ends the socket."""
        socket = await self.open()
        socket.follow(errors_are_fatal=False, length_is_last=False)
        socket.write(b"WHAT\n\n\0")
        self.assertIn("Unknown STOMP action: WHAT", str(await self.owner.lost))

    async def test_tls(self) -> None:
        """Sockets are encrypted, and certificates checked."""
        socket = await self.open(parse_url(self.broker.tls_url))
        await self.ask(socket, "SEND", b"x", destination="/queue/wire.tls")
        await socket.close()
        trusting = attrs.evolve(parse_url(self.broker.tls_url), tls=TLSOptions())
        opening = Connector(trusting, None, self.reactor).open(self.owner)
        error = await self.assertFailure(opening, ConnectError)
        self.assertIn("name the one that signed it", str(error))

    async def test_plain_to_tls(self) -> None:
        """A port that is encrypted takes no plain login, and says so."""
        error = await self.refused(port=self.broker.tls_port)
        self.assertIsInstance(error, ConnectError)
