"""
Asks for feeds to be imported.

Run C{consumer.py} first, because it declares the queue.  Then run, as often as you
like, C{python producer.py amqp://guest:guest@localhost// URL-OF-A-FEED ...}
"""

from __future__ import annotations

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txkombu import BrokerConnection, Exchange, Producer


class FeedProducer(Producer):
    """Publishes what FeedConsumer understands."""

    exchange = Exchange("feed", type="direct")
    routing_key = "importer"

    def import_feed(self, feed_url: str) -> Deferred[None]:
        """
        Ask for one feed; the Deferred fires when the broker has confirmed the message.
        """
        return self.publish({"action": "import_feed", "feed_url": feed_url})


async def main(reactor: IReactorTime, broker: str, *feed_urls: str) -> None:
    """Publish, wait for the confirms, and close."""
    async with BrokerConnection(broker, reactor=reactor) as connection:
        producer = FeedProducer(connection)
        for feed_url in feed_urls:
            await producer.import_feed(feed_url)
            print(f"Asked for {feed_url}")


if __name__ == "__main__":
    react(main, sys.argv[1:])
