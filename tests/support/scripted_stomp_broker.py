"""
A STOMP broker that answers each frame by fixed rules, on all sockets of a session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.support.stomp_peer import Wire, frame, message, receipt
from txkombu.transport.stomp.wire.stompest_core import StompParser


class Line:
    """
    The broker's end of one socket.

    @ivar subscriptions: the destinations by id of the subscription.
    """

    def __init__(self, protocol: Any) -> None:
        self.subscriptions: dict[str, str] = {}
        self._protocol = protocol
        self._wire = Wire()
        self._parser = StompParser("1.2")
        self._over = False
        protocol.makeConnection(self._wire)

    @property
    def is_open(self) -> bool:
        """Whether the socket is open, so that frames arrive."""
        wire = self._wire
        return not (self._over or wire.disconnecting or wire.aborted)

    def frames(self) -> list[Any]:
        """Return the frames that were written since the last call."""
        self._parser.add(self._wire.value())
        self._wire.clear()
        found = []
        while self._parser.canRead():
            each = self._parser.get()
            if each:
                found.append(each)
        return found

    def send(self, data: bytes) -> None:
        """Send bytes to the client."""
        if self.is_open:
            self._protocol.dataReceived(data)

    def lose(self, clean: bool = False) -> None:
        """Lose the connection, once."""
        if not self._over:
            self._over = True
            reason = ConnectionDone() if clean else ConnectionLost()
            self._protocol.connectionLost(Failure(reason))

    def hang_up(self) -> None:
        """Close the connection if the client wants that."""
        if not self.is_open:
            self.lose(clean=True)


@implementer(IStreamClientEndpoint)
class ScriptedBroker:
    """
    Accepts all connections, and answers every frame that asks for a receipt.

    @ivar lines: all connections, in order; the first is the session's own.
    @ivar taken: the frames that were answered, in order.
    """

    def __init__(self, server: str, passed: Callable[[], object]) -> None:
        """
        @param server: the value of its C{server} header.
        @param passed: called for each frame, before it is answered and when the answer
            has arrived.
        """
        self.lines: list[Line] = []
        self.taken: list[Any] = []
        self._server = server
        self._passed = passed

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        protocol = protocolFactory.buildProtocol(None)  # type: ignore[arg-type]  # the factory ignores the address
        self.lines.append(Line(protocol))
        assert protocol is not None
        return succeed(protocol)

    def answer(self) -> bool:
        """
        Answer all frames until there are none.

        @return: whether there were any.
        """
        any_came = False
        while came := [(line, each) for line in self.lines for each in line.frames()]:
            any_came = True
            for line, each in came:
                self._passed()
                self._take(line, each)
                self._passed()
            for line in self.lines:
                line.hang_up()
        return any_came

    def _take(self, line: Line, sent: Any) -> None:
        self.taken.append(sent)
        headers = dict(sent.headers)
        if sent.command == "STOMP":
            greeting = {"version": "1.2", "heart_beat": "0,0", "server": self._server}
            line.send(frame("CONNECTED", **greeting))
        elif sent.command == "SUBSCRIBE":
            line.subscriptions[headers["id"]] = headers["destination"]
        elif sent.command == "UNSUBSCRIBE":
            line.subscriptions.pop(headers["id"], None)
        if "receipt" in headers:
            line.send(receipt(headers["receipt"]))

    def deliver(self, ending: str, body: bytes) -> None:
        """
        Send a message to the newest subscription whose destination ends with that text.
        """
        line, subscription = [
            (line, id)
            for line in self.lines
            if line.is_open
            for id, destination in line.subscriptions.items()
            if destination.endswith(ending)
        ][-1]
        line.send(message(subscription, body, ack="1", content_type="text/plain"))

    def finish(self) -> None:
        """Close the connections that the client wants closed."""
        for line in list(self.lines):
            line.hang_up()

    def vanish(self) -> None:
        """Lose all connections, the session's own first."""
        for line in list(self.lines):
            line.lose()
