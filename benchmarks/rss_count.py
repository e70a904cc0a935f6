"""
Consume and count what L{benchmarks.rss_publish} publishes.

The arguments are port, queue and number of messages.  The program ends when all have
arrived, and prints a line of JSON: how many different ones arrived, and how many
arrived twice.
"""

from __future__ import annotations

import json
import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from benchmarks.rss_publish import NUMBER
from txkombu import BrokerConnection, Consumer, Message, Queue


class Tally:
    """
    Counts the messages that arrived.

    @ivar done: fires when all have arrived.
    """

    def __init__(self, messages: int) -> None:
        self._seen = bytearray(messages)
        self._messages = messages
        self.different = self.again = 0
        self.done: Deferred[None] = Deferred()

    def handle(self, payload: object, message: Message) -> None:
        """Count a message, and ack it."""
        number = int.from_bytes(message.body[:NUMBER], "big")
        message.ack()
        if self._seen[number]:
            self.again += 1
            return
        self._seen[number] = 1
        self.different += 1
        if self.different == self._messages:
            self.done.callback(None)


async def main(reactor: object) -> None:
    """Consume until all messages have arrived."""
    port, queue, count = sys.argv[1:]
    tally = Tally(int(count))
    connection = BrokerConnection(f"amqp://127.0.0.1:{port}")
    await Consumer(
        await connection.channel(),
        Queue(queue),
        auto_declare=False,
        callbacks=[tally.handle],
        prefetch_count=1000,
    ).consume()
    await tally.done
    await connection.close()
    print(json.dumps({"different": tally.different, "again": tally.again}))


if __name__ == "__main__":
    react(main)
