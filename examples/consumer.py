"""
A consumer that imports feeds.

Run it with C{python consumer.py amqp://guest:guest@localhost//}.  Or run it in this
folder as a service, which needs only the class::

    twistd -n kombu --broker amqp://guest:guest@localhost// \\
        --consumer consumer:FeedConsumer
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txkombu import BrokerConnection, Consumer, Exchange, Message, Queue


class FeedConsumer(Consumer):
    """Imports the feeds that FeedProducer asks for."""

    queues = Queue("feed", Exchange("feed", type="direct"), "importer")

    def receive(self, message_data: Any, message: Message) -> object:
        """
        Handle one message; if this raises, the message is tried again later, and the
        next one follows.
        """
        if message_data["action"] == "import_feed":
            print(f"Got feed import message for: {message_data['feed_url']}")
            return message.ack()
        raise Exception(f"Unknown action: {message_data['action']}")


async def main(reactor: IReactorTime, broker: str) -> None:
    """Consume until the program is interrupted."""
    connection = BrokerConnection(broker, reactor=reactor)
    async with connection, FeedConsumer(connection):
        print("Waiting for feeds; end with Ctrl-C.")
        await Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
