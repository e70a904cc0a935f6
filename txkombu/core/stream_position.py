"""
Where a consumer of a stream is, so that it resumes there.

A stream keeps its messages, and a consumer says at which offset it begins.  After a
loss it begins behind the last message that was handled.  Messages behind that which
were handled out of order, or are being handled, are not handed out again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from time import time

from twisted.internet.defer import Deferred

from .._util.awaitables import call_logged
from .._util.tags import TagsUpTo
from ..entity import Queue
from ..exceptions import DecodeError
from ..interfaces import Delivery, Settlement
from ..message import Message, Settler

_OFFSET = "x-stream-offset"


def is_stream(queue: Queue, arguments: Mapping[str, object]) -> bool:
    """Return whether a consumer of a queue with these arguments reads a stream."""
    return queue.arguments.get("x-queue-type") == "stream" or _OFFSET in arguments


class StreamPosition:
    """
    Count the messages of a stream that were handled.

    @param on_offset: called with the next offset each time that it has grown.
    """

    def __init__(self, on_offset: Callable[[int], object] | None = None) -> None:
        self._on_offset = on_offset
        self._next: int | None = None
        self._begun_at: int | None = None
        self._order: dict[int, bool] = {}
        self._ahead: set[int] = set()
        self._returned: set[int] = set()

    def arguments(self, given: Mapping[str, object]) -> dict[str, object]:
        """Return the arguments to consume with, to go on where this is."""
        arguments = dict(given)
        if self._next is not None:
            arguments[_OFFSET] = self._next
        elif self._begun_at is not None and given.get(_OFFSET, "next") == "next":
            # Nothing came yet, so what was published since then is new.
            arguments[_OFFSET] = datetime.fromtimestamp(self._begun_at, timezone.utc)
        return arguments

    def begin(self) -> None:
        """Note that the consumer runs."""
        if self._begun_at is None:
            self._begun_at = int(time())

    def lost(self) -> None:
        """Note that the messages in hand come again, and those handled behind them."""
        self._ahead |= {offset for offset, done in self._order.items() if done}
        self._order.clear()
        self._returned.clear()

    def takes(self, offset: int) -> bool:
        """Return whether a message that is delivered is to be handled."""
        if self._next is None:
            self._next = offset
        if offset in self._returned:
            self._returned.discard(offset)
            return True
        if offset < self._next or offset in self._order:
            return False
        is_handled = offset in self._ahead
        self._ahead.discard(offset)
        self._order[offset] = is_handled
        if is_handled:
            self._advance()
        return not is_handled

    def handled(self, offset: int) -> None:
        """Note that a message was settled, perhaps after the loss of its channel."""
        if offset in self._order:
            self._order[offset] = True
            self._advance()
        elif self._next is not None and offset >= self._next:
            self._ahead.add(offset)

    def returned(self, offset: int) -> None:
        """Note that a message was handed back: the next consumer handles it."""
        if self._order.get(offset) is False:
            self._returned.add(offset)

    def _advance(self) -> None:
        """Move behind the messages that were handled without a gap."""
        before = self._next
        while self._order:
            offset, done = next(iter(self._order.items()))
            if not done:
                break
            del self._order[offset]
            self._next = offset + 1
        if self._on_offset is not None and self._next != before:
            assert self._next is not None
            call_logged("on_offset", self._on_offset, self._next)


def _offset_of(delivery: Delivery) -> int | None:
    """Return where a message is in its stream, if its headers say so."""
    try:
        headers = delivery.properties.get("headers")
    except DecodeError:  # whoever handles it meets that, too
        return None
    offset = headers.get(_OFFSET) if isinstance(headers, Mapping) else None
    return offset if isinstance(offset, int) else None


class StreamSettler:
    """
    Settle the messages of a stream, and note that they were handled.

    @param unacked: settles them.
    @param position: what they are noted in.
    """

    def __init__(self, unacked: Settler, position: StreamPosition) -> None:
        self._unacked = unacked
        self._position = position
        self._offsets: dict[int, int] = {}
        self._up_to = TagsUpTo()
        self.unsettled: dict[int, Message] = unacked.unsettled
        self.memory = unacked.memory

    @property
    def gone(self) -> bool:
        """Whether the session channel is gone."""
        return self._unacked.gone

    def follow(self, message: Message, unacked: Settler) -> StreamSettler:
        """Return what notes a message that another settles from now on."""
        moved = StreamSettler(unacked, self._position)
        tag = message.delivery_tag
        offset = self._offsets.pop(tag, None)
        if offset is not None:
            moved._offsets[tag] = offset
        return moved

    def take(self, delivery: Delivery) -> bool:
        """Return whether a delivery is to be handled; settle one that was handled."""
        offset = _offset_of(delivery)
        if offset is None:
            return True
        if not self._position.takes(offset):
            self._unacked.release(delivery.tag)
            return False
        self._offsets[delivery.tag] = offset
        return True

    def ack(self, tag: int, multiple: bool) -> Deferred[Settlement]:
        """Acknowledge a message."""
        self._note(tag, multiple)
        return self._unacked.ack(tag, multiple)

    def release(self, tag: int) -> None:
        """Acknowledge a message, without telling when this was written."""
        self._note(tag, False)
        self._unacked.release(tag)

    def nack(self, tag: int, multiple: bool, requeue: bool) -> Deferred[Settlement]:
        """Hand a message back: to the next consumer, as a stream does not requeue."""
        self._note(tag, multiple, requeue)
        return self._unacked.nack(tag, multiple, requeue)

    def reject(self, tag: int, requeue: bool) -> Deferred[Settlement]:
        """Reject a message."""
        self._note(tag, False, requeue)
        return self._unacked.reject(tag, requeue)

    def _note(self, tag: int, multiple: bool, requeue: bool = False) -> None:
        tags = self._up_to.find(tag, self._offsets) if multiple else [tag]
        for each in tags:
            offset = self._offsets.pop(each, None)
            if offset is None:
                continue
            if not requeue:
                self._position.handled(offset)
            elif not self._unacked.gone:
                self._position.returned(offset)
