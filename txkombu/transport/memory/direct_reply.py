"""
Direct reply-to: replies that go to a channel, without a queue.

A channel that consumes from C{amq.rabbitmq.reply-to} gets a name of its own, which the
broker puts in place of that one into the messages that the channel publishes.  What is
published to the default exchange with that name as its key goes to the channel
(RabbitMQ, "Direct Reply-to").
"""

from __future__ import annotations

from collections.abc import Iterable
from secrets import token_urlsafe
from typing import Final

from .arguments import QueueArguments, read_arguments
from .backlog import Backlog
from .consumer import MemoryConsumer, Move
from .message import BrokerMessage

REPLY_TO: Final = "amq.rabbitmq.reply-to"


class ReplyQueue:
    """
    What stands for a queue between the default exchange and the consumer of replies.

    Nothing waits here: a reply is sent at once.
    """

    meaning: QueueArguments = read_arguments(REPLY_TO, "", {})
    waiting = Backlog()

    def __init__(self, queues: dict[str, ReplyQueue]) -> None:
        """
        @param queues: those of the virtual host, by name; this one is among them while
            its consumer lives.
        """
        self.name = f"{REPLY_TO}.{token_urlsafe(16)}"
        self._queues = queues

    @property
    def lives(self) -> bool:
        """Whether replies are taken."""
        return self.name in self._queues

    def publish(self, message: BrokerMessage) -> bool:
        """Send a reply; return that it was taken, as it always is."""
        self._consumer.hold()
        self._consumer.channel.send(self._consumer, message)
        return True

    def add_consumer(self, consumer: MemoryConsumer) -> None:
        """Take replies for the only consumer there will be."""
        self._consumer = consumer
        self._queues[self.name] = self

    def remove_consumer(self, consumer: MemoryConsumer) -> None:
        """Take no more replies."""
        consumer.turn.step(Move.END)
        self._queues.pop(self.name, None)

    def line_up(self, consumer: MemoryConsumer) -> None:
        """Do nothing: its consumer waits in no line."""

    def run(self) -> None:
        """Do nothing: nothing waits."""

    def requeue(self, messages: Iterable[BrokerMessage]) -> None:
        """Do nothing: replies are not acknowledged."""

    def reject(self, message: BrokerMessage) -> None:
        """Do nothing: replies are not acknowledged."""
