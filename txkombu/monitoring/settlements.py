"""How the messages that a handler began with are settled, seen from beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

from .._util.tags import TagsUpTo
from ..interfaces import Settlement
from ..message import Memory, Message, Settler

Settled = Callable[[str, str], None]
"""
Called with the queue of a message and how it was settled: C{acknowledged}, C{rejected},
C{requeued}; or C{stale}, if its session channel was gone, so that the broker delivers
it again.
"""

_MANY: Final = 100
"""How many more messages may be noted than are unsettled, or twice as many."""


class Settlements:
    """
    Sees how the messages of one consumer are settled.

    @param settled: called with each.
    """

    def __init__(self, settled: Settled) -> None:
        self._settled = settled
        self._settlers: dict[int, ObservedSettler] = {}

    def watch(self, message: Message) -> None:
        """
        See how a message is settled.

        @param message: the message, whose handler begins with it for the first time.
        """

        def put_before(settler: Settler) -> Settler:
            observed = self._settlers.get(id(settler)) or self._observed(settler)
            observed.note(message)
            return observed

        message.observe_settlement(put_before)

    def _observed(self, settler: Settler) -> ObservedSettler:
        kept = self._settlers.items()
        self._settlers = {key: each for key, each in kept if not each.gone}
        made = self._settlers[id(settler)] = ObservedSettler(self._settled, settler)
        return made


class ObservedSettler:
    """
    Settles messages as another does, and tells how.

    @param settled: called with each that was noted here.
    @param settler: the other.
    @ivar unsettled: those of the other.
    """

    def __init__(self, settled: Settled, settler: Settler) -> None:
        self._settled = settled
        self._settler = settler
        self.unsettled = settler.unsettled
        self._queues: dict[int, str] = {}
        self._up_to = TagsUpTo()
        self._last = 0
        self._in_order = True

    def note(self, message: Message) -> None:
        """Tell of a message when it is settled."""
        if len(self._queues) > 2 * len(self.unsettled) + _MANY:
            # What the program has recovered, or an own connection of a consumer lost.
            left = self._queues.items()
            self._queues = {tag: each for tag, each in left if tag in self.unsettled}
        tag = message.delivery_tag
        self._queues[tag] = message.queue_name
        if tag < self._last:  # its handler began after those of later messages
            self._in_order = False
        self._last = max(self._last, tag)

    def follow(self, message: Message, settler: Settler) -> ObservedSettler:
        """Return what tells of a message that another settles from now on."""
        follow = getattr(self._settler, "follow", None)
        settler = settler if follow is None else follow(message, settler)
        moved = ObservedSettler(self._settled, settler)
        if self._queues.pop(message.delivery_tag, None) is not None:
            moved.note(message)
        return moved

    @property
    def gone(self) -> bool:
        """See L{Settler}."""
        return self._settler.gone

    @property
    def memory(self) -> Memory:
        """See L{Settler}."""
        return self._settler.memory

    def ack(self, tag: int, multiple: bool) -> Deferred[Settlement]:
        """See L{Settler}."""
        self._tell(tag, multiple, "acknowledged")
        return self._settler.ack(tag, multiple)

    def release(self, tag: int) -> None:
        """See L{Settler}."""
        self._tell(tag, False, "acknowledged")
        self._settler.release(tag)

    def nack(self, tag: int, multiple: bool, requeue: bool) -> Deferred[Settlement]:
        """See L{Settler}."""
        self._tell(tag, multiple, "requeued" if requeue else "rejected")
        return self._settler.nack(tag, multiple, requeue)

    def reject(self, tag: int, requeue: bool) -> Deferred[Settlement]:
        """See L{Settler}."""
        self._tell(tag, False, "requeued" if requeue else "rejected")
        return self._settler.reject(tag, requeue)

    def _tell(self, tag: int, multiple: bool, outcome: str) -> None:
        if self.gone:
            outcome = "stale"
        for each in self._noted_up_to(tag) if multiple else [tag]:
            queue = self._queues.pop(each, None)
            if queue is not None:
                self._settled(queue, outcome)

    def _noted_up_to(self, tag: int) -> list[int]:
        if not self._in_order:
            self._queues = dict(sorted(self._queues.items()))
            self._up_to = TagsUpTo()
            self._in_order = True
        return self._up_to.find(tag, self._queues)
