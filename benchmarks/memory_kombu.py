"""
One round of publish, consume and ack on Kombu's memory transport.
"""

from __future__ import annotations

import sys

from kombu import Connection, Consumer, Exchange, Producer, Queue

from benchmarks.bodies import TURN, WARM_UP, body
from benchmarks.report import Stopwatch


def measure(count: int) -> None:
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
    for first in range(-WARM_UP, count, TURN):
        if first == 0:
            watch = Stopwatch()
        for number in range(first, first + TURN):
            producer.publish(body(number))
        while received < first + TURN + WARM_UP:
            connection.drain_events(timeout=1)
    watch.report(count)
    connection.release()


if __name__ == "__main__":
    measure(int(sys.argv[1]))
