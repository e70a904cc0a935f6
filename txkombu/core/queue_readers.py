"""Which consumers of a connection read a queue, by its name."""

from __future__ import annotations

from collections.abc import Iterable

from ..entity import Queue


class QueueReaders:
    """Find the consumers of a queue, also after the broker has renamed it."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[object, Queue]] = {}
        self._names: dict[object, str] = {}

    def add_reader(self, reader: object, queue: Queue) -> None:
        """
        Note that a consumer reads a queue.

        @param reader: the consumer, which reads no other queue.
        @param queue: is renamed when the broker renames the queue.
        """
        self._names[reader] = queue.name
        self._by_name.setdefault(queue.name, {})[reader] = queue

    def discard(self, reader: object) -> None:
        """Forget a consumer, if it is known."""
        name = self._names.pop(reader, None)
        if name is not None:
            readers = self._by_name[name]
            del readers[reader]
            if not readers:
                del self._by_name[name]

    def has_readers(self, queue: str) -> bool:
        """Return whether a consumer reads the queue of this name."""
        return queue in self._by_name

    def count_of(self, queue: str) -> int:
        """Return how many consumers read the queue of this name."""
        return len(self._by_name.get(queue, ()))

    def queues_named(self, name: str) -> Iterable[Queue]:
        """Return the queues of this name as their consumers know them."""
        return self._by_name.get(name, {}).values()

    def queue_renamed(self, old: str, new: str) -> None:
        """Rename a queue that the broker names."""
        readers = self._by_name.pop(old, {})
        for reader, queue in readers.items():
            queue.rename(new)
            self._names[reader] = new
        if readers:
            self._by_name.setdefault(new, {}).update(readers)
