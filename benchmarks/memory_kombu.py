"""
One round of publish, consume and ack on Kombu's memory transport.

The arguments are how many messages there are, and how many of them wait in the queue
before they are consumed.
"""

from __future__ import annotations

import sys

from kombu import Connection, Consumer, Exchange, Producer, Queue

from benchmarks.bodies import TURN, body, turns
from benchmarks.report import Stopwatch


def measure(count: int, depth: int) -> None:
    """Send C{count} messages through the queue, and print the time that it took."""
    exchange = Exchange("bench", type="direct")
    queue = Queue("bench", exchange, "key")
    connection = Connection("memory://")
    channel = connection.channel()
    received = 0

    def handle(payload: dict[str, object], message: object) -> None:
        nonlocal received
        assert payload["action"] == "import_feed"
        message.ack()  # type: ignore[attr-defined]  # Kombu says Message or None
        received += 1

    consumer = Consumer(channel, [queue], callbacks=[handle])
    consumer.qos(prefetch_count=TURN)
    consumer.consume()
    producer = Producer(channel, exchange, routing_key="key")
    expected = 0
    for is_first, numbers in turns(count, depth):
        if is_first:
            watch = Stopwatch()
        for number in numbers:
            producer.publish(body(number))
        expected += len(numbers)
        while received < expected:
            connection.drain_events(timeout=1)
    watch.report(count)
    connection.release()


if __name__ == "__main__":
    measure(*map(int, sys.argv[1:]))
