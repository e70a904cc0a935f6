"""Brokers' URLs that lead to the port of another protocol."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support.broker_process import HOST
from tests.transport.amqp.test_transport import Endpoint
from txkombu import BrokerConnection, Producer
from txkombu.exceptions import ConnectError, NotSent, OperationTimeout

ANSWERS = {
    b"HTTP/1.1 400 Bad Request\r\n\r\n": "HTTP",
    b"<!DOCTYPE HTML>\n<html>": "HTTP",
    b"ERROR\nmessage:Bad command\n\n\0": "STOMP",
    b"AMQP\0\0\x09\x01": "AMQP",
    b"AMQP\x03\1\0\0": "AMQP",
}
"""What may come back for a login in another protocol, and what that speaks."""

FOREIGN = {"amqp": ("HTTP", "STOMP"), "stomp": ("HTTP", "AMQP")}
HANGS_UP = b""
"""Stands for no answer."""


class _Server(Protocol):
    """Gives the same answer to whatever comes."""

    factory: Any

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        if self.factory.answer == HANGS_UP:
            self.transport.loseConnection()
        else:
            self.transport.write(self.factory.answer)


class WrongPortTests(TestCase):
    """Errors, those of publishes too, name the protocol that is spoken there."""

    timeout = 60

    def connection(self, scheme: str, answer: bytes, **more: Any) -> BrokerConnection:
        """Make a connection to a server that gives this answer."""
        from twisted.internet import reactor

        clock: Any = reactor
        factory: Any = Factory.forProtocol(_Server)
        factory.noisy, factory.answer = False, answer
        port = clock.listenTCP(0, factory, interface=HOST)
        self.addCleanup(port.stopListening)
        url = f"{scheme}://{HOST}:{port.getHost().port}"
        connection = BrokerConnection(url, reactor=clock, **more)
        self.addCleanup(connection.close)
        return connection

    async def test_answers(self) -> None:
        """An answer in another protocol makes the error name that protocol."""
        for scheme in ("amqp", "txamqp", "pika", "stomp"):
            for answer, spoken in ANSWERS.items():
                if spoken not in FOREIGN.get(scheme, FOREIGN["amqp"]):
                    continue
                connection = self.connection(scheme, answer)
                wanted = f", which is {spoken}: that is the port of another protocol"
                failed: Any = connection.connect()
                error = await self.assertFailure(failed, ConnectError)
                self.assertIn(wanted, str(error))
                publishing: Any = Producer(connection).publish("x", routing_key="q")
                error = await self.assertFailure(publishing, NotSent)
                self.assertIn(wanted, str(error))

    async def test_hangs_up(self) -> None:
        """
        A connection that is closed without an answer makes it name the likely ones.
        """
        for scheme in ("amqp", "txamqp", "pika", "stomp"):
            failed: Any = self.connection(scheme, HANGS_UP).connect()
            error = await self.assertFailure(failed, ConnectError)
            self.assertRegex(str(error), "closed.*may be the port of another protocol")


class SilentPortTests(SynchronousTestCase):
    """A port at which nothing answers."""

    def test_no_answer(self) -> None:
        """Errors, those of publishes too, name what may be spoken there."""
        for scheme in ("amqp", "txamqp", "pika", "stomp"):
            clock, endpoint = Clock(), Endpoint()
            connection = BrokerConnection(
                f"{scheme}://host", endpoint=endpoint, reactor=clock
            )
            others = " or ".join(FOREIGN.get(scheme, FOREIGN["amqp"]))
            wanted = f"where nothing answers, as at a port of {others}, was not over"
            for begin, kind in (
                (connection.connect, OperationTimeout),
                (partial(Producer(connection).publish, "x", "q"), NotSent),
            ):
                failed: Any = begin()
                endpoint.succeed()
                clock.advance(10)
                error = self.failureResultOf(failed, kind).value
                self.assertIn(wanted, str(error))
            connection.close()
