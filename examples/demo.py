"""
The demo: feeds go through a broker, and none is lost.

A service hosts the consumer.  A producer asks for twenty feeds, and for C{FEED_URL} if
that is set; one further message has an action that the consumer does not know.  Midway
the demo drops the consumer's connection.

It uses a broker in memory.  With C{DEMO_BROKER=amqp://...} it uses that broker, and the
producer runs in its own process.  It exits with 1 if a feed has not arrived within
C{DEMO_SECONDS}, by default 60.
"""

from __future__ import annotations

import os
import sys
from typing import Any
from uuid import uuid4

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater, react
from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
    globalLogBeginner,
)
from twisted.python.failure import Failure
from zope.interface import provider

from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue
from txkombu.core.channel import Channel
from txkombu.exceptions import KombuError, NotSupported
from txkombu.policy import reject, retry
from txkombu.service import ConsumerService

PAUSE = 0.05
"""Seconds between two feeds."""


# --- the feed example -------------------------------------------------------


class FeedProducer(Producer):
    """Asks for feeds to be imported."""

    exchange = Exchange("feed", type="direct")
    routing_key = "importer"

    def import_feed(self, feed_url: str) -> Deferred[None]:
        """Ask for one feed."""
        return self.publish({"action": "import_feed", "feed_url": feed_url})


class FeedConsumer(Consumer):
    """Imports the feeds that FeedProducer asks for."""

    queues = Queue("feed", FeedProducer.exchange, "importer")

    def receive(self, message_data: Any, message: Message) -> object:
        """Handle one message."""
        if message_data["action"] == "import_feed":
            print(f"Got feed import message for: {message_data['feed_url']}")
            return message.ack()
        raise Exception(f"Unknown action: {message_data['action']}")


# --- the producer's side ----------------------------------------------------


def feeds() -> list[str]:
    """Return the feeds to ask for."""
    asked = ["http://cnn.com/rss/edition.rss"]
    asked += [f"http://example.com/feeds/{number}.rss" for number in range(2, 21)]
    own = os.environ.get("FEED_URL")
    return [*asked, own] if own else asked


async def produce(reactor: Any, broker: str, queue: Queue) -> None:
    """Publish all feeds, and one message with an unknown action."""
    async with BrokerConnection(broker, reactor=reactor) as connection:
        producer = FeedProducer(connection, queue.exchange)
        for number, feed_url in enumerate(feeds()):
            await producer.import_feed(feed_url)
            if number == 4:
                await producer.publish({"action": "paint_feed", "feed_url": feed_url})
            await deferLater(reactor, PAUSE)


class Spawned(ProcessProtocol):
    """Waits for the end of the producer's process."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        """Called by the reactor when the process has ended."""
        fine = reason.check(ProcessDone)
        self.ended.callback(None) if fine else self.ended.errback(reason)


def spawn_producer(reactor: Any, name: str) -> Deferred[None]:
    """
    Run L{produce} in another process, which reads the broker's URL from C{DEMO_BROKER}.
    """
    protocol = Spawned()
    command = [sys.executable, os.path.abspath(__file__), "produce", name]
    descriptors = {0: 0, 1: 1, 2: 2}
    process = reactor.spawnProcess(
        protocol, sys.executable, command, env=None, childFDs=descriptors
    )
    print(f"The producer is process {process.pid}")
    return protocol.ended


# --- the consumer's side ----------------------------------------------------


class Tally:
    """
    Counts the messages that arrived.

    @ivar midway: fires when half of the feeds have arrived.
    @ivar done: fires when all have arrived, and the unknown action was rejected.
    """

    def __init__(self, wanted: list[str]) -> None:
        self.wanted = wanted
        self.received: list[str] = []
        self.rejected = 0
        self.midway: Deferred[None] = Deferred()
        self.done: Deferred[None] = Deferred()

    @property
    def missing(self) -> list[str]:
        """The feeds that have not arrived."""
        return [each for each in self.wanted if each not in self.received]

    def imported(self, feed_url: str) -> None:
        """Count a feed."""
        self.received.append(feed_url)
        if len(self.received) * 2 >= len(self.wanted) and not self.midway.called:
            self.midway.callback(None)
        self.check()

    def failed(self, message: Message, failure: Failure) -> None:
        """Reject a message that failed twice, and count it."""
        reject(message, failure)
        self.rejected += 1
        print(f"Rejected a message: {failure.getErrorMessage()}")
        self.check()

    def check(self) -> None:
        """Fire C{done} if all is done."""
        if not self.missing and self.rejected and not self.done.called:
            self.done.callback(None)

    def summary(self) -> str:
        """Return the result in one line."""
        again = len(self.received) - len(set(self.received))
        return (
            f"{len(self.wanted)} feeds asked for, {len(set(self.received))} received, "
            f"{len(self.missing)} lost, {again} received twice, "
            f"{self.rejected} unknown message rejected"
        )


class CountedConsumer(FeedConsumer):
    """The consumer of this example, with a tally."""

    def __init__(self, channel: Channel, queue: Queue, tally: Tally) -> None:
        policy = retry(attempts=2, delay=PAUSE, then=tally.failed)
        super().__init__(channel, queue, on_failure=policy)
        self.tally = tally

    def receive(self, message_data: Any, message: Message) -> object:
        """Handle one message, and count it."""
        result = super().receive(message_data, message)
        self.tally.imported(message_data["feed_url"])
        return result


@provider(ILogObserver)
def tell(event: LogEvent) -> None:
    """Print what the library logs."""
    failure = event.get("log_failure")
    why = f": {failure.getErrorMessage()}" if isinstance(failure, Failure) else ""
    ours = str(event.get("log_namespace")).startswith("txkombu")
    if (ours and event.get("log_level") is not LogLevel.debug) or failure is not None:
        print(f"[{formatEvent(event)}{why}]")


async def demo(reactor: Any, broker: str, queue: Queue) -> int:
    """
    Host the consumer, run the producer, and drop the connection midway.

    @return: the exit code.
    """
    tally = Tally(feeds())
    connection = BrokerConnection(broker, reactor=reactor)
    print(f"Feeds go through {connection.as_uri()}")
    service = ConsumerService(
        connection, lambda channel: CountedConsumer(channel, queue, tally)
    )
    service.startService()
    tally.midway.addCallback(lambda _: reactor.callLater(PAUSE / 2, connection.drop))

    async def run() -> None:
        await service.when_started()
        if connection.transport_name == "memory":
            await produce(reactor, broker, queue)
        else:
            await spawn_producer(reactor, queue.name)
        await tally.done

    seconds = float(os.environ.get("DEMO_SECONDS", "60"))
    try:
        await Deferred.fromCoroutine(run()).addTimeout(seconds, reactor)
    except Exception as error:
        late = isinstance(error, TimeoutError)
        print(
            f"The demo did not end within {seconds:g} s"
            if late
            else f"The demo failed: {error!r}"
        )
        print(*(f"Lost: {feed_url}" for feed_url in tally.missing), sep="\n")
    await service.stopService()
    await remove(reactor, broker, queue)
    print(tally.summary())
    return 0 if tally.done.called and tally.done.result is None else 1


async def remove(reactor: Any, broker: str, queue: Queue) -> None:
    """Delete the queue; the broker then deletes the exchange."""
    try:
        async with BrokerConnection(broker, reactor=reactor) as connection:
            await queue(connection).delete()
    except NotSupported as error:
        print(f"Queue {queue.name!r} stays at the broker: {error}")
    except KombuError:
        pass  # the broker deletes the queue by itself


def own_queue(name: str, expires: float | None = 60) -> Queue:
    """
    Return a queue with a name of its own, so that it does not disturb other users of
    the broker.  If the demo is killed, the broker deletes the queue by itself.
    """
    exchange = Exchange(name, type="direct", auto_delete=True)
    return Queue(name, exchange, "importer", expires=expires)


async def possible_queue(reactor: Any, broker: str, name: str) -> Queue:
    """
    Return such a queue, or one that does not expire if the broker has none that do.
    """
    queue = own_queue(name)
    try:
        async with BrokerConnection(broker, reactor=reactor) as connection:
            await queue(connection).declare()
    except NotSupported as error:
        print(f"The broker will not delete the queue by itself: {error}")
        return own_queue(name, expires=None)
    except KombuError:
        pass  # its users will report the error
    return queue


async def main(reactor: Any, *arguments: str) -> None:
    """Run the demo, or its producer in a process of its own."""
    broker = os.environ.get("DEMO_BROKER") or "memory://demo"
    if arguments[:1] == ("produce",):
        await produce(reactor, broker, own_queue(arguments[1]))
        return
    globalLogBeginner.beginLoggingTo([tell], redirectStandardIO=False)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a TextIOWrapper where it is run
    name = f"txkombu-demo-{uuid4().hex[:8]}"
    local = broker.startswith("memory:")
    if local:
        queue = FeedConsumer.queues
    else:
        queue = await possible_queue(reactor, broker, name)
    raise SystemExit(await demo(reactor, broker, queue))


if __name__ == "__main__":
    react(main, sys.argv[1:])
