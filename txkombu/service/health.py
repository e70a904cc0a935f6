"""What a service tells of itself: values of one moment, for probes and for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime

from ..connection import BrokerConnection
from ..core.lifecycle import State
from ..entity import Queue
from ..message import Message
from ..messaging.consumer import Consumer
from ..messaging.dispatcher import Handler


@attrs.frozen
class ConnectionHealth:
    """
    A connection of a service.

    @ivar name: how the broker lists it, or None.
    @ivar broker: the URL in use, or tried last, without password.
    @ivar state: its state.
    @ivar connected: whether there is a session, with everything declared again.
    @ivar blocked_reason: why the broker takes no messages now, or C{""}.
    @ivar reconnects: how often a lost session was replaced by another since the start.
    @ivar last_error: the last loss or failed attempt; None while all is well.
    """

    name: str | None
    broker: str
    state: State
    connected: bool
    blocked_reason: str
    reconnects: int
    last_error: Exception | None

    @classmethod
    def of(cls, connection: BrokerConnection) -> ConnectionHealth:
        """
        Tell of a connection.

        @param connection: the connection.
        """
        name = connection.info()["name"]
        return cls(
            None if name is None else str(name),
            connection.current_uri(),
            connection.state,
            connection.connected,
            connection.blocked_reason,
            connection.core.reconnects,
            connection.last_error,
        )


@attrs.frozen
class ConsumerHealth:
    """
    A consumer of a service.

    @ivar name: its class or function; unlike those of the other consumers.
    @ivar queues: the names of its queues.
    @ivar consuming: whether it receives from all of them.
    @ivar running: how many messages are being handled.
    @ivar retrying: how many failed messages are held until they are tried again.
    @ivar stuck: whether it gets no message, as all that it may hold wait for a retry.
    @ivar last_delivery: when its handler last began with a message, in seconds since
        1970; None before, and of the time before health was first asked for.
    @ivar last_error: why it does not consume; None if it does.
    """

    name: str
    queues: tuple[str, ...]
    consuming: bool
    running: int
    retrying: int
    stuck: bool
    last_delivery: float | None
    last_error: Exception | None


@attrs.frozen
class PublisherHealth:
    """
    A publisher of a service.

    @ivar connection: its connection.
    @ivar unconfirmed: how many published messages have no verdict yet.
    """

    connection: ConnectionHealth
    unconfirmed: int


@attrs.frozen
class ServiceHealth:
    """
    A service, its consumers, and its publisher.

    @ivar running: whether it was started, and not stopped since.
    @ivar halted: the error that halted it, or None.
    @ivar connection: the connection of its consumers.
    @ivar consuming: whether every consumer receives from all its queues.
    @ivar consumers: its consumers; none before the start.
    @ivar publisher: what its handlers publish with, or None.
    @ivar last_error: why the service does not work, or why it halted; else None.
    """

    running: bool
    halted: Exception | None
    connection: ConnectionHealth
    consuming: bool
    consumers: tuple[ConsumerHealth, ...]
    publisher: PublisherHealth | None
    last_error: Exception | None

    @property
    def live(self) -> bool:
        """Whether it was not halted by an error that trying again does not mend."""
        return self.halted is None

    @property
    def reasons(self) -> list[str]:
        """
        Why it does not do its work now; empty if it does.

        A consumer that is stuck does its work: what its handler needs is away, and
        another process would not fare better.
        """
        if self.halted is not None:
            return [f"the service has halted: {_in_words(self.halted)}"]
        if not self.running:
            return ["the service is not running"]
        reasons = [
            f"consumer {each.name} does not consume{_because(each.last_error)}"
            for each in self.consumers
            if not each.consuming
        ]
        if not (self.consuming or reasons):
            reasons.append(f"the service does not consume{_because(self.last_error)}")
        if self.publisher is not None and not self.publisher.connection.connected:
            error = self.publisher.connection.last_error
            reasons.append(f"the publisher is not connected{_because(error)}")
        return reasons


def _because(error: Exception | None) -> str:
    return "" if error is None else f": {_in_words(error)}"


def _in_words(error: Exception) -> str:
    """Return an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


class ServiceObserver(Protocol):
    """What sees how a service works, from its next start on."""

    def watch_connection(self, purpose: str, connection: BrokerConnection) -> None:
        """
        Observe a new connection.

        @param purpose: C{consumers} or C{publisher}.
        @param connection: the connection, on which nothing was called yet.
        """

    def watch_consumer(self, name: str, consumer: Consumer) -> None:
        """
        Observe a new consumer.

        @param name: its name; see L{ConsumerHealth}.
        @param consumer: the consumer, which was not started yet.
        """


class LastDelivery:
    """
    Notes when a consumer last began with a message; put around its handler.

    @ivar time: when, in seconds since 1970; None if it did not begin with one.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._now = clock.seconds
        self.time: float | None = None

    def put_around(self, handle: Handler) -> Handler:
        """Return what handles a message, and notes the time before."""

        def noting(message: Message) -> object:
            self.time = self._now()
            return handle(message)

        return noting


def queues_of(consumer: Consumer) -> tuple[str, ...]:
    """Return the names of the queues of a consumer."""
    queues = consumer.queues
    listed = [queues] if isinstance(queues, Queue) else queues
    return tuple(queue.name for queue in listed)


def names_of(consumers: Iterable[Consumer]) -> list[str]:
    """Name each consumer by its class or function, with a number from the second on."""
    names: list[str] = []
    for each in consumers:
        name = first = getattr(each, "handler_name", type(each).__name__)
        count = 1
        while name in names:
            count += 1
            name = f"{first}-{count}"
        names.append(name)
    return names
