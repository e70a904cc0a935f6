"""
Direct reply-to: replies that go to a channel, without a queue.

A channel that consumes from C{amq.rabbitmq.reply-to} gets a name for itself, which
the broker puts in place of that one in the messages the channel publishes.  What
is published to the default exchange with that name as its key goes to the channel
(RabbitMQ, "Direct Reply-to").
"""

from __future__ import annotations

from collections.abc import Iterable
from secrets import token_urlsafe
from typing import Final

from .arguments import QueueArguments, read_arguments
from .consumer import MemoryConsumer
from .message import BrokerMessage

REPLY_TO: Final = "amq.rabbitmq.reply-to"
_NO_ARGUMENTS: Final[QueueArguments] = read_arguments(REPLY_TO, "", {})


class ReplyQueue:
    """
    What stands for a queue between the default exchange and such a consumer.

    Nothing waits here: what comes is sent at once, or there is no such name.
    """

    meaning = _NO_ARGUMENTS
    waiting: tuple[BrokerMessage, ...] = ()

    def __init__(self, queues: dict[str, ReplyQueue], consumer: MemoryConsumer) -> None:
        """
        @param queues: those of the virtual host, by name, this one included while
            its consumer lives.
        """
        self.name = f"{REPLY_TO}.{token_urlsafe(16)}"
        self._queues = queues
        self._consumer = consumer
        queues[self.name] = self

    def publish(self, message: BrokerMessage) -> bool:
        """Send a reply; it is always taken."""
        self._consumer.channel.send(self._consumer, message)
        return True

    def remove_consumer(self, consumer: MemoryConsumer) -> None:
        """End it: its name is no more."""
        self._queues.pop(self.name, None)

    def add_consumer(self, consumer: MemoryConsumer) -> None:
        """Nothing to do: it has its consumer from the start."""

    def unpark(self, consumer: MemoryConsumer) -> None:
        """Nothing to do: its consumer is in no rotation."""

    def run(self) -> None:
        """Nothing to do: nothing waits."""

    def requeue(self, messages: Iterable[BrokerMessage]) -> None:
        """Nothing to do: replies are not acknowledged."""

    def reject(self, message: BrokerMessage) -> None:
        """Nothing to do: replies are not acknowledged."""
