"""
One round of publish with confirm, consume and ack on txkombu's memory transport.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import react
from twisted.python.failure import Failure

from benchmarks.bodies import TURN, WARM_UP, body
from benchmarks.report import Stopwatch
from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue


@inlineCallbacks
def measure(_: object, count: int) -> Generator[Deferred[Any], Any, None]:
    """Send C{count} messages through the queue, and print the time that it took."""
    exchange = Exchange("bench", type="direct")
    queue = Queue("bench", exchange, "key")
    connection = BrokerConnection("memory://bench", reactor=reactor)
    channel = yield connection.channel()
    turn: Deferred[None] = Deferred()
    received = 0

    def handle(payload: dict[str, object], message: Message) -> None:
        nonlocal received
        assert payload["action"] == "import_feed"
        message.ack()
        received += 1
        if received % TURN == 0:
            turn.callback(None)

    def failed(failure: Failure) -> None:
        turn.errback(failure)

    consumer = Consumer(channel, queue, callbacks=[handle])
    yield consumer.consume()
    producer = Producer(channel, exchange, routing_key="key")
    for first in range(-WARM_UP, count, TURN):
        if first == 0:
            watch = Stopwatch()
        turn = Deferred()
        for number in range(first, first + TURN):
            producer.publish(body(number)).addErrback(failed)
        yield turn
    watch.report(count)
    yield connection.close()


if __name__ == "__main__":
    react(measure, [int(sys.argv[1])])
