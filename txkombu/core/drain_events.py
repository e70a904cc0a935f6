"""Wait for one message, as C{drain_events} does."""

from __future__ import annotations

from functools import partial
from weakref import WeakKeyDictionary, WeakSet

from twisted.internet.defer import Deferred

from .._util.waiters import Waiters
from .interfaces import DrainedConsumer


class DrainEvents:
    """The consumers of one connection, and the calls of C{drain_events} that wait."""

    def __init__(self) -> None:
        self._consumers: WeakKeyDictionary[object, WeakSet[DrainedConsumer]] = (
            WeakKeyDictionary()
        )
        self._untouched: WeakSet[DrainedConsumer] = WeakSet()
        self._handled: Waiters[None] = Waiters()

    def add_consumer(self, channel: object, consumer: DrainedConsumer) -> None:
        """
        Take one more consumer.

        @param channel: the core of the channel that it works on.
        """
        self._consumers.setdefault(channel, WeakSet()).add(consumer)
        self._untouched.add(consumer)

    def _all(self) -> list[DrainedConsumer]:
        return [each for known in list(self._consumers.values()) for each in known]

    def _on(self, channel: object) -> list[DrainedConsumer]:
        return list(self._consumers.get(channel, ()))

    def message_handled(self) -> None:
        """Note that the callbacks of one message have finished."""
        if self._handled.waiting:
            self._handled.fire(None)

    def wait(self) -> Deferred[None]:
        """
        Start the consumers that can handle messages and on which nothing was
        called yet.

        @return: fires when the callbacks of one message have finished, from now
            on; fails with what starting a consumer failed with.
        """
        handled = self._handled.wait()
        # A new one, since to look through a set takes time for what was removed, too.
        untouched, self._untouched = self._untouched, WeakSet()
        for consumer in list(untouched):
            starting = consumer.start_if_untouched()
            if starting is not None:
                self._untouched.add(consumer)
                starting.addErrback(partial(self._handled.fail_one, handled))
        return handled

    def channel_closing(self, channel: object) -> None:
        """Have the consumers of a channel begin with no further message."""
        for consumer in self._on(channel):
            consumer.stop_handling()

    def channel_cancelled(self, channel: object) -> None:
        """Have the consumers of a channel hand back what waits."""
        for consumer in self._on(channel):
            consumer.hand_back()

    def channel_closed(self, channel: object) -> None:
        """Tell the consumers of a channel that it was closed."""
        for consumer in self._on(channel):
            consumer.channel_closed()

    def close(self, error: Exception) -> None:
        """Fail what waits for a message."""
        self._handled.fail(error)

    def unfinished_work(self) -> list[str]:
        """Say which handlers are at work, and what waits for a message."""
        return [
            *(what for each in self._all() for what in each.unfinished_work()),
            *["drain_events still waits"] * len(self._handled.waiting),
        ]
