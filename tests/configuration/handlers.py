"""Handlers that the tests' configuration files name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from txkombu import Consumer, Exchange, Message, Queue
from txkombu.core.channel import Channel
from txkombu.service import consumer


class Feeds(Consumer):
    """Acknowledges what it gets."""

    queues = Queue("feeds")

    def receive(self, body: object, message: Message) -> object:
        """Acknowledge it."""
        return message.ack()


class Yielding(Consumer):
    """Would handle nothing."""

    queues = Queue("feeds")

    def receive(self, body: object, message: Message) -> Iterator[None]:
        """Do nothing."""
        yield None


class Idle(Consumer):
    """Can handle nothing."""

    queues = Queue("idle")


class WithoutQueues(Consumer):
    """Names no queues."""

    receive = Feeds.receive


def make_feeds(channel: Channel) -> Consumer:
    """Make a consumer."""
    return Feeds(channel, Queue("made"), prefetch_count=7)


def make_published(channel: Channel, publisher: Any) -> Consumer:
    """Make a consumer that publishes."""
    return Feeds(channel)


def make_nothing(channel: Channel) -> Any:
    """Raise an error."""
    raise RuntimeError("no consumer today")


@consumer(Queue("marked"), prefetch_count=3)
def marked(body: object, message: Message) -> None:
    """Do nothing."""


@consumer(Queue("media", Exchange("media", "fanout")))
def of_media(body: object, message: Message) -> None:
    """Do nothing."""


@consumer(Queue("other", Exchange("amq.topic", "topic", durable=False)))
def of_predeclared(body: object, message: Message) -> None:
    """Do nothing."""


def plain(body: object, message: Message) -> None:
    """Do nothing."""


def publishing(body: object, message: Message, publisher: Any) -> Any:
    """Publish it again."""
    return publisher.publish(body, routing_key="results")


def on_failure(message: Message, failure: object) -> object:
    """Reject the message."""
    return message.reject()


def middleware(handle: Any, body: object, message: Message) -> Any:
    """Do nothing more."""
    return handle(body, message)


def yielding(handle: Any, body: object, message: Message) -> Iterator[Any]:
    """Be no middleware."""
    yield handle(body, message)


def yielding_policy(message: Message, failure: object) -> Iterator[Any]:
    """Be no policy."""
    yield message.reject()


def of_three(a: object, b: object, c: object) -> None:
    """Be no handler."""


NUMBER = 3
