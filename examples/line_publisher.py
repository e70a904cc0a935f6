"""
A server that publishes each line that it receives.

Run C{python line_publisher.py amqp://guest:guest@localhost// tcp:8007}, and then
C{telnet localhost 8007}.

The server reads lines no faster than the broker takes them over.  While the broker is
slow, blocked or unreachable the server does not read, and TCP makes the clients wait.
It starts without a broker, too.  After a SIGTERM it tells the clients the results of
the lines that it has read, and then ends.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from txkombu import Exchange, Producer, Queue
from txkombu.service import PublisherService

LINES = Queue("lines", Exchange("lines", type="fanout"))


class LinePublisher(LineReceiver):
    """Publishes lines, and tells the client the result of each."""

    delimiter = b"\n"

    def __init__(self, producer: Producer) -> None:
        self.producer = producer

    def connectionMade(self) -> None:
        """Let the producer pause this client while lines cannot be sent."""
        self.producer.registerProducer(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let the producer forget this client."""
        self.producer.unregisterProducer(self)

    def lineReceived(self, line: bytes) -> None:
        """Publish the line; do not wait for the result before the next one."""
        text = line.decode("utf-8", "replace").rstrip("\r")
        publishing = self.producer.publish(text, declare=[LINES])
        publishing.addCallbacks(self.published, self.refused)

    def published(self, _: None) -> None:
        """Tell the client; results may arrive in another order than the lines."""
        self.sendLine(b"published")

    def refused(self, failure: Failure) -> None:
        """Tell the client, which may send the line again."""
        self.sendLine(b"not published: " + failure.getErrorMessage().encode("utf-8"))


class LinePublisherFactory(Factory):
    """Makes protocols that share one producer, and so one channel."""

    noisy = False

    def __init__(self, producer: Producer) -> None:
        self.producer = producer

    def buildProtocol(self, addr: IAddress | None) -> LinePublisher:
        """Make the protocol for one client."""
        return LinePublisher(self.producer)


async def main(reactor: Any, broker: str, endpoint: str) -> None:
    """Serve until the program is interrupted."""
    publisher = PublisherService(broker, reactor=reactor)
    factory = LinePublisherFactory(publisher.producer(LINES.exchange))
    server = serverFromString(reactor, endpoint)
    StreamServerEndpointService(server, factory).setServiceParent(publisher)
    reactor.addSystemEventTrigger("before", "shutdown", publisher.stopService)
    publisher.startService()
    print(f"Publishing the lines that come to {endpoint}", flush=True)
    try:
        await publisher.when_stopped()
    finally:
        await publisher.stopService()


if __name__ == "__main__":
    react(main, sys.argv[1:])
