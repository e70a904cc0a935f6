"""The bindings that a connection made, found by what they connect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import NamedTuple

from twisted.internet.defer import Deferred

from ..entity import Exchange, Queue
from ..interfaces import ISessionChannel
from .queue_names import check_named

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
            check_named(destination)
            return channel.queue_bind(destination, source, key, arguments)
        return channel.exchange_bind(destination, source, key, arguments)

    def unbind(self, channel: ISessionChannel) -> Deferred[None]:
        """Remove the binding on a session channel."""
        destination, source, key, arguments = self
        if isinstance(destination, Queue):
            check_named(destination)
            return channel.queue_unbind(destination, source, key, arguments)
        return channel.exchange_unbind(destination, source, key, arguments)


class _Places:
    """Where some bindings lead from and to, by their numbers."""

    def __init__(self) -> None:
        self._to: dict[Key, dict[int, None]] = {}
        self._from: dict[Key, dict[int, None]] = {}

    def add(self, number: int, bound: RecordedBinding) -> None:
        """Add a binding, unless it is here."""
        self._to.setdefault(key_of(bound.destination), {})[number] = None
        self._from.setdefault(key_of(bound.source), {})[number] = None

    def discard(self, number: int, bound: RecordedBinding) -> bool:
        """Remove a binding; return whether it was here."""
        to, source = key_of(bound.destination), key_of(bound.source)
        if number not in self._to.get(to, ()):
            return False
        _remove_from(self._to, to, number)
        _remove_from(self._from, source, number)
        return True

    def leading_to(self, entity: Key) -> list[int]:
        """Return the bindings that lead to an exchange or queue."""
        return list(self._to.get(entity, ()))

    def lead_from(self, entity: Key) -> bool:
        """Return whether any binding leads from an exchange."""
        return entity in self._from

    def leading_from(self, entity: Key) -> list[int]:
        """Return the bindings that lead from an exchange."""
        return list(self._from.get(entity, ()))

    def about(self, entities: Iterable[Key]) -> list[int]:
        """Return the bindings that lead from or to some exchanges and queues."""
        found: dict[int, None] = {}
        for entity in entities:
            found.update(self._to.get(entity, {}))
            found.update(self._from.get(entity, {}))
        return list(found)


def _remove_from(index: dict[Key, dict[int, None]], key: Key, number: int) -> None:
    del index[key][number]
    if not index[key]:
        del index[key]


class BindingRecord:
    """
    The bindings in the order they were made, by key, destination and source.

    A binding has I{lapsed} when it may be gone at the broker, until it is noted again.
    """

    def __init__(self) -> None:
        self._count = count()
        self._bindings: dict[int, RecordedBinding] = {}
        self._numbers: dict[Key, int] = {}
        self._all, self._firm, self._gone = _Places(), _Places(), _Places()
        self._lapsed: dict[int, None] = {}

    def __iter__(self) -> Iterator[RecordedBinding]:
        return iter(self._bindings.values())

    def add(self, bound: RecordedBinding) -> None:
        """Record a binding, in the place of an equal one."""
        number = self._numbers.get(bound.key())
        if number is None:
            number = next(self._count)
        self._bindings[number] = bound
        self._numbers[bound.key()] = number
        self._all.add(number, bound)
        self.note(bound.key())

    def remove(self, key: Key) -> RecordedBinding | None:
        """Forget a binding, and return it, if there is one of this key."""
        number = self._numbers.pop(key, None)
        if number is None:
            return None
        bound = self._bindings.pop(number)
        self._lapsed.pop(number, None)
        for places in (self._all, self._firm, self._gone):
            places.discard(number, bound)
        return bound

    def rename_queue(self, old: str, new: str) -> None:
        """Rename a queue in its bindings; each has its own copy of the queue."""
        for number in self._all.leading_to(queue_key(old)):
            bound = self._bindings[number]
            del self._numbers[bound.key()]
            known = (self._all, self._firm, self._gone)
            places = [each for each in known if each.discard(number, bound)]
            if isinstance(bound.destination, Queue):
                bound.destination.rename(new)
            self._numbers[bound.key()] = number
            for each in places:
                each.add(number, bound)

    def _of(self, numbers: Iterable[int]) -> list[RecordedBinding]:
        return [self._bindings[number] for number in numbers]

    def to_queue(self, queue: str) -> list[RecordedBinding]:
        """Return the bindings of a queue."""
        return self._of(self._all.leading_to(queue_key(queue)))

    def has_source(self, exchange: str) -> bool:
        """Return whether anything is bound to an exchange."""
        return self._all.lead_from(exchange_key(exchange))

    def keys_about(self, *entities: Key) -> list[Key]:
        """Return the keys of the bindings from and to some exchanges and queues."""
        return [bound.key() for bound in self._of(self._all.about(entities))]

    # --- what may be gone ---------------------------------------------------

    def note(self, key: Key) -> None:
        """Note that the broker has a binding, if it is recorded."""
        number = self._numbers.get(key)
        if number is not None:
            self._rise(number)

    def _rise(self, number: int) -> None:
        self._lapsed.pop(number, None)
        self._gone.discard(number, self._bindings[number])
        self._firm.add(number, self._bindings[number])

    def lapse(self, key: Key) -> None:
        """Note that a binding may be gone, if it is recorded."""
        number = self._numbers.get(key)
        if number is not None:
            self._lapsed[number] = None
            self._firm.discard(number, self._bindings[number])
            self._gone.add(number, self._bindings[number])

    def refuse(self, key: Key) -> None:
        """Note that a lapsed binding is to be made again, so it may lapse again."""
        number = self._numbers.get(key)
        if number is not None:
            self._firm.add(number, self._bindings[number])

    def forget_lapses(self) -> None:
        """Note that it is not known which bindings the broker has."""
        for number in list(self._lapsed):
            self._rise(number)

    def firm_from(self, exchange: str) -> list[RecordedBinding]:
        """Return what is bound to an exchange and has not lapsed."""
        return self._of(self._firm.leading_from(exchange_key(exchange)))

    def firm_keys_about(self, *entities: Key) -> list[Key]:
        """Return those of L{keys_about} that have not lapsed."""
        return [bound.key() for bound in self._of(self._firm.about(entities))]

    def lapsed_about(self, exchange: str) -> list[RecordedBinding]:
        """Return the bindings from and to an exchange that have lapsed."""
        return self._of(self._gone.about([exchange_key(exchange)]))
