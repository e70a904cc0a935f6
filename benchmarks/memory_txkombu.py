"""
One round of publish with confirm, consume and ack on txkombu's memory transport.

The arguments are those of L{benchmarks.memory_kombu}.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import react
from twisted.python.failure import Failure

from benchmarks.bodies import TURN, body, turns
from benchmarks.report import Stopwatch
from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue


@inlineCallbacks
def measure(_: object, count: int, depth: int) -> Generator[Deferred[Any], Any, None]:
    """Send C{count} messages through the queue, and print the time that it took."""
    exchange = Exchange("bench", type="direct")
    queue = Queue("bench", exchange, "key")
    connection = BrokerConnection("memory://bench", reactor=reactor)
    channel = yield connection.channel()
    turn: Deferred[None] = Deferred()
    received = expected = 0

    def handle(payload: dict[str, object], message: Message) -> None:
        nonlocal received
        assert payload["action"] == "import_feed"
        message.ack()
        received += 1
        if received == expected:
            turn.callback(None)

    def failed(failure: Failure) -> None:
        turn.errback(failure)

    consumer = Consumer(channel, queue, callbacks=[handle])
    yield consumer.consume()
    producer = Producer(channel, exchange, routing_key="key")
    for is_first, numbers in turns(count, depth):
        if is_first:
            watch = Stopwatch()
        turn = Deferred()
        expected += len(numbers)
        is_deep = len(numbers) > TURN
        if is_deep:
            yield consumer.cancel()
        for number in numbers:
            publishing = producer.publish(body(number)).addErrback(failed)
            if is_deep and number % TURN == TURN - 1:
                yield publishing
        if is_deep:
            yield consumer.consume()
        yield turn
    watch.report(count)
    yield connection.close()


if __name__ == "__main__":
    react(measure, list(map(int, sys.argv[1:])))
