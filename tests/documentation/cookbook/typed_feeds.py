"""The program of mypy.rst, which mypy checks with the other tests."""

from __future__ import annotations

from typing import Any, TypedDict

from twisted.internet.defer import Deferred

from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue
from txkombu.exceptions import KombuError
from txkombu.service import PublisherService, consumer

feeds = Exchange("feeds", type="direct")


class Feed(TypedDict):
    """What a message about a feed looks like."""

    url: str


@consumer(Queue("imports", feeds, "import"), prefetch_count=20)
async def import_feed(
    feed: Feed, message: Message, *, publisher: PublisherService
) -> None:
    """Handle one message as a function."""
    await publisher.publish({"seen": feed["url"]}, "seen", declare=[Queue("seen")])


class FeedConsumer(Consumer):
    """Handle messages in a class."""

    queues = Queue("imports", feeds, "import")

    async def receive(self, body: Any, message: Message) -> None:
        """Handle one message."""
        feed: Feed = body
        print(feed["url"], message.redelivered)
        await message.ack()


def announce(producer: Producer, feed: Feed) -> Deferred[None]:
    """Publish a feed; the Deferred is the verdict of the broker."""
    return producer.publish(feed, "import", declare=[Queue("imports", feeds, "import")])


async def try_to_announce(connection: BrokerConnection, feed: Feed) -> bool:
    """Say whether the broker has it."""
    try:
        await announce(Producer(connection, feeds), feed)
    except KombuError as error:
        print(error.outcome)
        return False
    return True
