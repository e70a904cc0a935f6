"""What the parts of the memory broker ask of those that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ...exceptions import BrokerError
from ...interfaces import Properties
from .message import BrokerMessage


class Destination(Protocol):
    """Where a binding leads: a queue or an exchange."""

    name: str
    incoming: dict[Any, None]


class QueueHost(Protocol):
    """The virtual host of a queue."""

    name: str
    deadlines: Any
    exchanges: dict[str, Any]

    def now(self) -> float:
        """Return the time in seconds."""

    def route(
        self, exchange: Any, keys: Sequence[str], properties: Properties
    ) -> Sequence[Any]:
        """Return the queues that an exchange sends a message to."""

    def drop_queue(self, queue: Any) -> int: ...


class Source(Protocol):
    """
    The queue of a consumer.

    C{run} is to be called after a consumer was put in line again, or removed.
    """

    name: str
    meaning: Any
    waiting: Any

    def add_consumer(self, consumer: Any) -> None: ...

    def remove_consumer(self, consumer: Any) -> None: ...

    def line_up(self, consumer: Any) -> None:
        """Put a consumer in line again, as it may have room."""

    def run(self) -> None:
        """Hand out what waits as long as a consumer has room."""

    def requeue(self, messages: Any) -> None: ...

    def reject(self, message: BrokerMessage) -> None: ...


class ConsumerHost(Protocol):
    """The channel of a consumer."""

    limit: int
    held: int
    starved: Any

    def send(self, consumer: Any, message: BrokerMessage) -> None:
        """Hand a message out to a consumer."""

    def arrived(self, handout: Any) -> bool:
        """Note that the owner sees a message; return whether it still wants it."""

    def nack(self, tag: int, multiple: bool, requeue: bool) -> object: ...

    def consumer_ended(self, consumer: Any, reason: str) -> None:
        """Forget a consumer that the broker has ended, and tell its owner."""

    def cancel_from_broker(self, tag: str, reason: str) -> None:
        """Have the broker end a consumer by itself."""


class BrokerHost(Protocol):
    """The broker of a session."""

    name: str
    pump: Any

    def joined(self, session: Any) -> None: ...

    def left(self, session: Any) -> None: ...


class SessionHost(Protocol):
    """The session of a channel, or of a wire."""

    broker: BrokerHost
    vhost: Any
    userid: str

    def forget(self, channel: Any) -> None:
        """Note that a channel is over."""

    def release(self) -> None:
        """Have the broker done with it."""

    def refused(self, error: BrokerError, refused: Any) -> None:
        """Tell the owner that the broker has closed the session."""

    def drain(self) -> None:
        """Let the client see all that is on its way."""

    def cut(self) -> None:
        """Let the client see nothing more."""

    def connectionLost(self, reason: Any = ...) -> None: ...
