"""
A chat of several servers: what somebody says at one of them, everybody reads, at each.

Run C{python chat.py amqp://guest:guest@localhost// tcp:8007}, and further servers with
other ports.  Then C{telnet localhost 8007}; the first line is your name.

A server reads no faster than the broker takes the lines over.  While the broker is
slow, blocked or unreachable it does not read, and TCP makes the clients wait.  A client
that does not read misses lines, and so do those of a server that is without broker.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IAddress, IConsumer, IPushProducer
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from txkombu import (
    BrokerConnection,
    Channel,
    Consumer,
    Exchange,
    Message,
    Producer,
    Queue,
)
from txkombu.service import ConsumerService, PublisherService

CHAT = Exchange("chat", type="fanout")


@implementer(IPushProducer)
class Reader:
    """
    Knows whether a client reads what it is sent.

    @ivar reads: whether it does.
    """

    def __init__(self) -> None:
        self.reads = True

    def pauseProducing(self) -> None:
        """Called when too much waits in the socket."""
        self.reads = False

    def resumeProducing(self) -> None:
        """Called when the socket is empty again."""
        self.reads = True

    def stopProducing(self) -> None:
        """Called when the connection is gone."""
        self.reads = False


class Chatter(LineReceiver):
    """One client."""

    delimiter = b"\n"

    def __init__(self, room: Room) -> None:
        self.room = room
        self.name = ""
        self.reader = Reader()

    def connectionMade(self) -> None:
        """Enter the room, and let the producer pause this client."""
        IConsumer(self.transport).registerProducer(self.reader, True)
        self.room.chatters.add(self)
        self.room.producer.registerProducer(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Leave the room."""
        self.room.chatters.discard(self)
        self.room.producer.unregisterProducer(self)

    def lineReceived(self, line: bytes) -> None:
        """Take the first line as the name, and say the others."""
        text = line.decode("utf-8", "replace").rstrip("\r")
        if not self.name:
            self.name = text
            return
        saying = self.room.producer.publish(f"{self.name}: {text}")
        saying.addErrback(lambda failure: self.tell(f"* not said: {failure.value}"))

    def tell(self, text: str) -> None:
        """Send a line, unless the client does not read."""
        if self.reader.reads:
            self.sendLine(text.encode("utf-8"))


class Room(Factory):
    """
    The clients of one server.

    @ivar chatters: the clients.
    """

    noisy = False

    def __init__(self, producer: Producer) -> None:
        """@param producer: publishes what clients say, and is shared by all."""
        self.producer = producer
        self.chatters: set[Chatter] = set()

    def buildProtocol(self, addr: IAddress | None) -> Chatter:
        """Make the protocol for one client."""
        return Chatter(self)

    def hear(self, channel: Channel | BrokerConnection) -> Consumer:
        """Make the consumer of what is said, by a queue of this server alone."""
        queue = Queue("", CHAT, exclusive=True)
        return Consumer(channel, queue, no_ack=True, callbacks=[self.said])

    def said(self, text: Any, message: Message) -> None:
        """Tell everybody here."""
        for chatter in list(self.chatters):
            chatter.tell(str(text))


async def main(reactor: Any, broker: str, endpoint: str) -> None:
    """Serve until the program is interrupted."""
    publisher = PublisherService(broker, reactor=reactor)
    room = Room(publisher.producer(CHAT))
    ConsumerService(broker, room.hear, reactor).setServiceParent(publisher)
    server = serverFromString(reactor, endpoint)
    StreamServerEndpointService(server, room).setServiceParent(publisher)
    reactor.addSystemEventTrigger("before", "shutdown", publisher.stopService)
    publisher.startService()
    print(f"Chatting on {endpoint}", flush=True)
    try:
        await publisher.when_stopped()
    finally:
        await publisher.stopService()


if __name__ == "__main__":
    react(main, sys.argv[1:])
