"""
What the parts of the memory broker ask of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ...exceptions import BrokerError
from ...interfaces import Properties
from .message import BrokerMessage


class Stream(Protocol):
    """What the pump empties."""

    def dispatch(self) -> None:
        """Fire what is there."""


class Destination(Protocol):
    """Where a binding leads: a queue or an exchange."""

    name: str


class Due(Protocol):
    """What has a deadline."""

    check_at: float | None
    deleted: bool

    def check(self) -> None:
        """Its deadline is here."""


class QueueHost(Protocol):
    """The virtual host of a queue."""

    name: str
    deadlines: Any
    exchanges: dict[str, Any]

    def now(self) -> float:
        """Seconds."""

    def route(self, exchange: Any, key: str, properties: Properties) -> Sequence[Any]:
        """The queues that an exchange sends a message to."""

    def drop_queue(self, queue: Any) -> int:
        """Delete a queue."""


class Source(Protocol):
    """The queue of a consumer."""

    name: str
    meaning: Any
    waiting: Any

    def unpark(self, consumer: Any) -> None:
        """A consumer may have room again."""

    def run(self) -> None:
        """Hand out what waits as long as someone has room."""

    def add_consumer(self, consumer: Any) -> None: ...

    def remove_consumer(self, consumer: Any) -> None: ...

    def requeue(self, messages: Any) -> None: ...

    def reject(self, message: BrokerMessage) -> None: ...


class ConsumerHost(Protocol):
    """The channel of a consumer."""

    limit: int
    held: int
    seen: int
    consumers: dict[str, Any]

    def send(self, consumer: Any, message: BrokerMessage) -> None:
        """A queue hands a message out."""

    def wants(self, handout: Any) -> bool:
        """Whether what is on its way is still for its consumer."""

    def nack(self, tag: int, multiple: bool, requeue: bool) -> object:
        """Give a message back."""

    def tell_cancelled(self, consumer: Any, reason: str) -> None:
        """Tell a consumer's owner that the broker has ended it."""

    def cancel_from_broker(self, tag: str, reason: str) -> None:
        """Have the broker end a consumer by itself."""


class BrokerHost(Protocol):
    """The broker of a session."""

    name: str
    pump: Any

    def joined(self, session: Any) -> None:
        """A session begins."""

    def left(self, session: Any) -> None:
        """A session is over."""


class SessionHost(Protocol):
    """The session of a channel, or of a transport."""

    broker: BrokerHost
    vhost: Any
    userid: str
    channels: dict[Any, None]

    def release(self) -> None:
        """The broker is done with it."""

    def refused(self, error: BrokerError, refused: Any) -> None:
        """The owner learns that the broker has closed it."""

    def drain(self) -> None:
        """Let the client see all that is on its way."""

    def cut(self) -> None:
        """Let the client see nothing more."""

    def connectionLost(self, reason: Any = ...) -> None:
        """It is over."""
