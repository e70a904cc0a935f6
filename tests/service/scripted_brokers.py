"""
Brokers that answer by fixed rules, and note what a client tells them as it stops.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pamqp import body, header
from pamqp.frame import marshal
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
)
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.support.amqp_peer import START, Basic, Channel, Connection, reply_to
from tests.support.stomp_peer import Wire, frame, receipt
from txkombu.transport.amqp.wire.frames import METHOD, PROTOCOL_HEADER
from txkombu.transport.amqp.wire.methods import decode_method
from txkombu.transport.amqp.wire.parser import AmqpFrameParser
from txkombu.transport.stomp.wire.stompest_core import StompParser


class Line:
    """The broker's end of one socket."""

    def __init__(self, script: Script, protocol: Any) -> None:
        self.script = script
        self._protocol = protocol
        self._wire = Wire()
        self._over = False
        protocol.makeConnection(self._wire)

    @property
    def is_open(self) -> bool:
        """Whether the client has the socket open."""
        return not self._over

    def answer(self) -> bool:
        """Take what was written since the last call; return whether it was anything."""
        data = self._wire.value()
        self._wire.clear()
        if data:
            self.take(data)
        return bool(data)

    def take(self, data: bytes) -> None:
        """Take what the client wrote."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """Send bytes to the client, unless the broker is silent."""
        if not (self._over or self._wire.aborted or self.script.is_silent):
            self._protocol.dataReceived(data)

    def lose(self) -> None:
        """Lose the connection, once."""
        self._go(ConnectionLost())

    def hang_up(self) -> None:
        """Close the socket if the client wants that."""
        if self._over:
            return
        if self._wire.aborted:
            self.script.told.append("drop a socket")
            self._go(ConnectionLost())
        elif self._wire.disconnecting:
            self.script.told.append("close a socket")
            self._go(ConnectionDone())

    def _go(self, reason: Exception) -> None:
        if not self._over:
            self._over = True
            self._protocol.connectionLost(Failure(reason))


@implementer(IStreamClientEndpoint)
class Script:
    """
    Accepts connections, and answers what comes on them.

    @cvar line: makes the broker's end of a connection.
    @ivar lines: all connections, in order.
    @ivar told: what the broker was told about messages and ends, in order, in words.
    @ivar is_silent: whether it answers nothing.
    @ivar holds_confirms: whether it keeps the verdicts on publishes back.
    @ivar refuses: whether it accepts no connection.
    """

    line: ClassVar[type[Line]]

    def __init__(self) -> None:
        self.told: list[str] = []
        self.lines: list[Any] = []
        self.is_silent = self.holds_confirms = self.refuses = False

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        if self.refuses:
            return fail(ConnectionRefusedError())
        protocol = protocolFactory.buildProtocol(None)  # type: ignore[arg-type]  # the factory ignores the address
        assert protocol is not None
        self.lines.append(self.line(self, protocol))
        return succeed(protocol)

    def answer(self) -> None:
        """Answer all that was said, and close what the client wants closed."""
        while sum(each.answer() for each in list(self.lines)):
            pass
        for each in list(self.lines):
            each.hang_up()

    def lose(self) -> None:
        """Lose all connections."""
        for each in list(self.lines):
            each.lose()

    def deliver(self, *bodies: str) -> None:
        """Deliver messages to the consumer that was started last."""
        line = [each for each in self.lines if each.consumer][-1]
        for each in bodies:
            line.deliver(each)

    def confirm(self) -> None:
        """Give the verdicts that were kept back."""
        self.holds_confirms = False
        for each in list(self.lines):
            each.confirm()


class AmqpLine(Line):
    """One that speaks AMQP."""

    def __init__(self, script: Script, protocol: Any) -> None:
        self.consumer: tuple[int, str] | None = None
        self._parser: AmqpFrameParser | None = None
        self._delivered: dict[int, str] = {}
        self._tag = 0
        self._published: dict[int, int] = {}
        self._unconfirmed: list[tuple[int, int]] = []
        super().__init__(script, protocol)

    def reply(self, number: int, *methods: Any) -> None:
        """Send methods."""
        self.send(b"".join(marshal(each, number) for each in methods))

    def take(self, data: bytes) -> None:
        if self._parser is None:
            assert data == PROTOCOL_HEADER
            self._parser = AmqpFrameParser()
            self.reply(0, START)
            return
        for kind, number, payload in self._parser.feed(data):
            if kind == METHOD:
                self._asked(number, decode_method(payload))

    def _asked(self, number: int, asked: Any) -> None:
        told = self.script.told
        if isinstance(asked, Connection.StartOk):
            self.reply(0, Connection.Tune(2047, 131072, 0))
        elif isinstance(asked, Connection.Open):
            self.reply(0, Connection.OpenOk())
        elif isinstance(asked, Basic.Ack | Basic.Nack | Basic.Reject):
            self._settle(asked)
        elif isinstance(asked, Basic.Publish):
            told.append("publish")
            self._published[number] = tag = self._published.get(number, 0) + 1
            self._unconfirmed.append((number, tag))
            if not self.script.holds_confirms:
                self.confirm()
        else:
            if isinstance(asked, Basic.Consume):
                self.consumer = number, asked.consumer_tag
            elif isinstance(asked, Basic.Cancel):
                told.append("cancel")
            elif isinstance(asked, Channel.Close):
                told.append("close a channel")
            elif isinstance(asked, Connection.Close):
                told.append("close the session")
            answer = reply_to(asked)
            if answer is not None:
                self.reply(number, answer)

    def _settle(self, asked: Any) -> None:
        last = asked.delivery_tag
        multiple = getattr(asked, "multiple", False)
        tags = [
            tag for tag in self._delivered if tag == last or (multiple and tag < last)
        ]
        is_back = not isinstance(asked, Basic.Ack)
        assert not is_back or asked.requeue
        for tag in tags:
            body = self._delivered.pop(tag)
            self.script.told.append(f"{'return' if is_back else 'ack'} {body}")

    def confirm(self) -> None:
        """Confirm what was published."""
        waiting, self._unconfirmed = self._unconfirmed, []
        for number, tag in waiting:
            self.reply(number, Basic.Ack(tag))

    def deliver(self, text: str) -> None:
        """Deliver a message."""
        assert self.consumer is not None
        number, tag = self.consumer
        self._tag += 1
        self._delivered[self._tag] = text
        properties = Basic.Properties(content_type="text/plain")
        self.reply(
            number,
            Basic.Deliver(tag, self._tag, False, "", "work"),
            header.ContentHeader(0, len(text), properties),
            body.ContentBody(text.encode()),
        )


class AmqpScript(Script):
    """An AMQP broker."""

    line = AmqpLine


class StompLine(Line):
    """One that speaks STOMP."""

    script: StompScript

    def __init__(self, script: Script, protocol: Any) -> None:
        self.consumer: str | None = None
        self._parser = StompParser("1.2")
        self._unconfirmed: list[str] = []
        super().__init__(script, protocol)

    def take(self, data: bytes) -> None:
        self._parser.add(data)
        while self._parser.canRead():
            asked: Any = self._parser.get()
            if asked:
                self._asked(asked.command, dict(asked.headers))

    def _asked(self, command: str, headers: dict[str, str]) -> None:
        told = self.script.told
        number = headers.get("receipt")
        if command == "STOMP":
            server = self.script.server
            greeting = {"version": "1.2", "heart_beat": "0,0", "server": server}
            self.send(frame("CONNECTED", **greeting))
        elif command == "SUBSCRIBE":
            self.consumer = headers["id"]
        elif command == "UNSUBSCRIBE":
            told.append("cancel")
        elif command in ("ACK", "NACK"):
            # ActiveMQ has a message back by a copy, and an ack in one transaction.
            is_back = command == "NACK" or "transaction" in headers
            told.append(f"{'return' if is_back else 'ack'} {headers['id']}")
        elif command == "SEND" and "transaction" not in headers:
            told.append("publish")
            if number and self.script.holds_confirms:
                self._unconfirmed.append(number)
                return
        elif command == "DISCONNECT":
            # The first connection is the session's own.
            is_own = self is self.script.lines[0]
            told.append("close the session" if is_own else "close a channel")
        if number:
            self.send(receipt(number))

    def confirm(self) -> None:
        """Confirm what was published."""
        waiting, self._unconfirmed = self._unconfirmed, []
        for number in waiting:
            self.send(receipt(number))

    def deliver(self, text: str) -> None:
        """Deliver a message."""
        assert self.consumer is not None
        headers = {
            "subscription": self.consumer,
            "message_id": text,
            "ack": text,
            "destination": "/queue/work",
            "content_type": "text/plain",
        }
        self.send(frame("MESSAGE", text.encode(), **headers))


class StompScript(Script):
    """
    A STOMP broker.

    @ivar server: how it calls itself.
    """

    line = StompLine

    def __init__(self, server: str) -> None:
        super().__init__()
        self.server = server
