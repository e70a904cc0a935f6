"""One of the consumers that a C{ConsumerService} starts, watches and closes."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr

from .._util.awaitables import call_and_wait
from ..connection import BrokerConnection
from ..core.channel import Channel
from ..entity import Exchange, Queue
from ..exceptions import ChannelClosed
from ..messaging.consumer import Consumer
from .handlers import factory_of, without_publisher
from .health import ConsumerHealth, LastDelivery, ServiceObserver, queues_of
from .retry import retry_until_done

ConsumerFactory = Callable[[Channel], Consumer]
"""A L{Consumer} subclass, or a function that makes a consumer on a channel."""

Hostable = Callable[..., object]
"""
What a service hosts: the same, or a handler that is marked with C{@consumer}; each may
have a parameter C{publisher}.
"""


def check_factory(what: str, factory: object) -> ConsumerFactory:
    """
    Return a factory of consumers, if it is one.

    @param what: the name of the factory, for the error.
    @raise TypeError: it is neither a subclass of L{Consumer}, nor a function marked
        with C{@consumer}, nor one that can be called with one argument.
    """
    factory = factory_of(factory)
    if isinstance(factory, type):
        fine = issubclass(factory, Consumer)
    else:
        # Exchanges and queues take a channel too, and return bound copies.
        fine = (
            callable(factory)
            and not isinstance(factory, Exchange | Queue)
            and _takes_one(factory)
        )
    if not fine:
        raise TypeError(
            f"{what} is no consumer: it must be a subclass of txkombu.Consumer, a "
            "function with @consumer(Queue(...)) above it, or a function that takes a "
            "channel and returns a Consumer"
        )
    made: Any = factory
    return made  # type: ignore[no-any-return]  # checked above


def _takes_one(function: Callable[..., object]) -> bool:
    try:
        signature(without_publisher(function)).bind(object())
    except TypeError:
        return False
    except Exception:  # a built-in function without signature
        return True
    return True


class HostedConsumer:
    """
    A consumer on a channel of its own; L{start} tries again until it succeeds.

    @ivar consumer: the consumer that the factory made.
    @ivar name: what it is called in what the service tells of itself.
    @ivar last_error: why the last attempt to start it failed; None before the first
        failure and after a success.
    @raise TypeError: the factory made something else.
    @raise ValueError: the consumer has no queues, or cannot handle messages.
    """

    _log = Logger()

    def __init__(self, connection: BrokerConnection, factory: ConsumerFactory) -> None:
        self._connection = connection
        made: object = factory(Channel(connection))
        if not isinstance(made, Consumer):
            raise TypeError(f"{factory!r} made {made!r}, which is no Consumer")
        if not made.can_handle:
            raise ValueError(
                f"{made!r} cannot handle messages: override receive(), "
                "register a callback or set on_message"
            )
        if not made.queues:
            raise ValueError(f"{made!r} has no queues to receive from: give it some")
        self.consumer = made
        self.name = ""
        self.last_error: Exception | None = None
        self._last_delivery: LastDelivery | None = None

    def start(self, is_wanted: Callable[[], bool]) -> Deferred[None]:
        """
        Start to consume, again after each failure; see L{retry_until_done}.

        @param is_wanted: returns whether to go on after a cancellation.
        """
        what = f"consuming with {safe_repr(self.consumer)}"
        starting = retry_until_done(
            self._connection, what, self.consumer.consume, self._failed, is_wanted
        )
        return starting.addCallback(self._started)

    def _failed(self, error: Exception) -> None:
        self.last_error = error

    def _started(self, _: object) -> None:
        self.last_error = None
        self._log.info("{consumer!r} consumes", consumer=self.consumer)

    @property
    def consuming(self) -> bool:
        """Whether it receives from all its queues."""
        return self.consumer.is_consuming

    @property
    def trouble(self) -> Exception | None:
        """Why it does not consume; None if it does."""
        if self.last_error is not None:
            return self.last_error
        if self.consuming:
            return None
        told = self.consumer.channel.last_error or self._connection.last_error
        return told or ChannelClosed(f"{safe_repr(self.consumer)} does not consume")

    def note_deliveries(self) -> None:
        """Note from now on when its handler begins with a message."""
        if self._last_delivery is None:
            self._last_delivery = LastDelivery(self._connection.clock)
            self.consumer.observe_handling(self._last_delivery.put_around)

    def observe(self, observer: ServiceObserver) -> None:
        """Have something see how it handles messages, and when."""
        self.note_deliveries()
        observer.watch_consumer(self.name, self.consumer)

    def glance(self) -> ConsumerHealth:
        """Tell what it does now."""
        consumer = self.consumer
        last = self._last_delivery
        return ConsumerHealth(
            self.name,
            queues_of(consumer),
            self.consuming,
            consumer.running,
            consumer.retrying,
            consumer.is_stuck,
            None if last is None else last.time,
            self.trouble,
        )

    def call(self, name: str) -> None:
        """Give it a name."""
        self.name = name

    def when_closed(self) -> Deferred[Exception]:
        """
        Wait until the program closes the consumer, its channel or the connection.

        @return: fires with an error that says what was closed.
        """

        def closed(_: object) -> Exception:
            what = f"{safe_repr(self.consumer)} was closed by this program"
            told = self.consumer.halted or self.consumer.channel.last_error
            return told or ChannelClosed(what)

        return self.consumer.when_closed().addCallback(closed)

    def close(self) -> Deferred[None]:
        """
        Close the consumer; messages whose handlers have not begun are requeued.

        @return: fires when no more messages come; never fails.
        """
        closing = call_and_wait(self.consumer.close)
        return closing.addCallbacks(lambda _: None, self._not_closed)

    def _not_closed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return  # whoever waited for it gave up, after a timeout
        self._log.failure(
            "Closing {consumer!r} failed", failure, consumer=self.consumer
        )

    def when_idle(self) -> Deferred[None]:
        """Wait until no handler runs; never fail."""
        return call_and_wait(self.consumer.when_idle).addErrback(self._not_closed)
