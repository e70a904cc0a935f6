"""The queues of one consumer, found by name without looking at all."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import count

from ..core.channel import Channel
from ..entity import Exchange, Queue


def checked_queues(queues: object) -> Iterable[Queue]:
    """
    Return queues that were given.

    @raise TypeError: they are no collection.
    """
    if isinstance(queues, str | bytes) or not isinstance(queues, Iterable):
        raise no_queue(queues)
    return queues


def no_queue(found: object) -> TypeError:
    """Return the error for what was given instead of a queue."""
    hint = ""
    if isinstance(found, Exchange):
        hint = (
            "; messages are received from queues: bind one to it, as in "
            f"Queue('name', {found.name!r}, routing_key='key')"
        )
    return TypeError(f"queues must be Queue objects, not {found!r}{hint}")


class ConsumerQueues:
    """
    Queues in the order they were added, told apart by identity.

    @param channel: what they are bound to.
    @param queues: the first ones.
    @ivar in_order: the bound queues.
    """

    def __init__(self, channel: Channel, queues: Iterable[Queue]) -> None:
        self._channel = channel
        self._numbers: dict[int, int] = {}
        self._by_name: dict[str, dict[int, Queue]] = {}
        self._count = count()
        self.in_order: list[Queue] = []
        for queue in queues:
            self.add(queue)

    def __contains__(self, queue: Queue) -> bool:
        return id(queue) in self._numbers

    def add(self, queue: Queue) -> Queue:
        """Add a queue, and return its bound copy."""
        if not isinstance(queue, Queue):
            raise no_queue(queue)
        bound = queue.bind(self._channel)
        self.in_order.append(bound)
        self._numbers[id(bound)] = next(self._count)
        self._note_name(bound)
        return bound

    def drop(self, queue: Queue) -> None:
        """Take a queue out."""
        at = bisect_left(self.in_order, self._number_of(queue), key=self._number_of)
        del self.in_order[at]
        del self._numbers[id(queue)]
        named = self._by_name.get(queue.name, {})
        if named.pop(id(queue), None) is None:  # it had another name when it was noted
            self._note_names()
        elif not named:
            del self._by_name[queue.name]

    def named(self, name: str) -> list[Queue]:
        """Return the queues of a name; the broker may have named some meanwhile."""
        known = self._by_name.get(name, {}).values()
        if not known or any(each.name != name for each in known):
            self._note_names()
        return list(self._by_name.get(name, {}).values())

    def _note_names(self) -> None:
        self._by_name.clear()
        for queue in self.in_order:
            self._note_name(queue)

    def _note_name(self, queue: Queue) -> None:
        self._by_name.setdefault(queue.name, {})[id(queue)] = queue

    def _number_of(self, queue: Queue) -> int:
        return self._numbers[id(queue)]
