"""The bindings that a connection made, found by what they connect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import NamedTuple

from twisted.internet.defer import Deferred

from ..entity import Exchange, Queue
from ..interfaces import ISessionChannel

Key = tuple[object, ...]
"""Identifies one declaration."""


def key_of(entity: Exchange | Queue) -> Key:
    """Return what identifies the declaration of an exchange or queue."""
    if isinstance(entity, Exchange):
        return exchange_key(entity.name)
    return queue_key(entity.name)


def exchange_key(name: str) -> Key:
    """Return what identifies the declaration of an exchange."""
    return ("exchange", name)


def queue_key(name: str) -> Key:
    """Return what identifies the declaration of a queue."""
    return ("queue", name)


class RecordedBinding(NamedTuple):
    """A binding of a queue or an exchange to an exchange."""

    destination: Queue | Exchange
    source: Exchange
    routing_key: str
    arguments: Mapping[str, object]

    def key(self) -> Key:
        """Return what identifies the binding, whatever objects it was made with."""
        return (
            type(self.destination).__name__,
            self.destination.name,
            self.source.name,
            self.routing_key,
            repr(sorted(self.arguments.items())),
        )

    def bind(self, channel: ISessionChannel) -> Deferred[None]:
        """Make the binding on a session channel."""
        destination, source, key, arguments = self
        if isinstance(destination, Queue):
            return channel.queue_bind(destination, source, key, arguments)
        return channel.exchange_bind(destination, source, key, arguments)

    def unbind(self, channel: ISessionChannel) -> Deferred[None]:
        """Remove the binding on a session channel."""
        destination, source, key, arguments = self
        if isinstance(destination, Queue):
            return channel.queue_unbind(destination, source, key, arguments)
        return channel.exchange_unbind(destination, source, key, arguments)


class BindingRecord:
    """The bindings in the order they were made, by key, destination and source."""

    def __init__(self) -> None:
        self._count = count()
        self._bindings: dict[int, RecordedBinding] = {}
        self._numbers: dict[Key, int] = {}
        self._to: dict[Key, dict[int, None]] = {}
        self._from: dict[Key, dict[int, None]] = {}

    def __len__(self) -> int:
        return len(self._bindings)

    def __iter__(self) -> Iterator[RecordedBinding]:
        return iter(self._bindings.values())

    def __contains__(self, key: object) -> bool:
        return key in self._numbers

    def get(self, key: Key) -> RecordedBinding | None:
        """Return the binding of a key, if there is one."""
        number = self._numbers.get(key)
        return None if number is None else self._bindings[number]

    def add(self, bound: RecordedBinding) -> None:
        """Record a binding, in the place of an equal one."""
        number = self._numbers.get(bound.key())
        if number is None:
            number = next(self._count)
        self._bindings[number] = bound
        self._enter(number, bound)

    def _enter(self, number: int, bound: RecordedBinding) -> None:
        self._numbers[bound.key()] = number
        self._to.setdefault(key_of(bound.destination), {})[number] = None
        self._from.setdefault(key_of(bound.source), {})[number] = None

    def remove(self, key: Key) -> RecordedBinding | None:
        """Forget a binding, and return it, if there is one of this key."""
        number = self._numbers.pop(key, None)
        if number is None:
            return None
        bound = self._bindings.pop(number)
        _remove_from(self._to, key_of(bound.destination), number)
        _remove_from(self._from, key_of(bound.source), number)
        return bound

    def rename_queue(self, old: str, new: str) -> None:
        """Rename a queue in its bindings; each has its own copy of the queue."""
        for number in self._to.pop(queue_key(old), {}):
            bound = self._bindings[number]
            del self._numbers[bound.key()]
            if isinstance(bound.destination, Queue):
                bound.destination.rename(new)
            self._enter(number, bound)

    def to_queue(self, queue: str) -> list[RecordedBinding]:
        """Return the bindings of a queue."""
        numbers = self._to.get(queue_key(queue), {})
        return [self._bindings[number] for number in numbers]

    def from_exchange(self, exchange: str) -> list[RecordedBinding]:
        """Return what is bound to an exchange."""
        numbers = self._from.get(exchange_key(exchange), {})
        return [self._bindings[number] for number in numbers]

    def has_source(self, exchange: str) -> bool:
        """Return whether anything is bound to an exchange."""
        return exchange_key(exchange) in self._from

    def keys_about(self, *entities: Key) -> list[Key]:
        """Return the keys of the bindings from and to some exchanges and queues."""
        found: dict[int, None] = {}
        for entity in entities:
            found.update(self._to.get(entity, {}))
            found.update(self._from.get(entity, {}))
        return [self._bindings[number].key() for number in found]


def _remove_from(index: dict[Key, dict[int, None]], key: Key, number: int) -> None:
    del index[key][number]
    if not index[key]:
        del index[key]
