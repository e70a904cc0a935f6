"""The messages of a queue that wait for a consumer or a get, in order."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from .message import BrokerMessage, Envelope


class Backlog:
    """
    Waiting messages in their order.

    Those that were put back are before all others, as they were handed out before them.
    They are in a heap by their places, since they come back in any order.

    Of messages with one envelope that follow each other only the first is kept whole,
    and of the others the body.  That is small, and nothing to the garbage collector,
    whose work would grow with the number of messages.

    @ivar count: how many they are; to read it costs less than C{len}.
    @ivar size: the bytes of their bodies.
    """

    __slots__ = ("_envelope", "_last", "_ready", "_returned", "count", "size")

    def __init__(self) -> None:
        self._ready: deque[BrokerMessage | bytes] = deque()
        self._envelope: Envelope | None = None  # of the bodies in front
        self._last: Envelope | None = None  # of bodies that may follow
        self._returned: list[tuple[int, BrokerMessage]] = []
        self.count = self.size = 0

    def push(self, message: BrokerMessage) -> None:
        """Add a message that was never handed out."""
        body, envelope = message.body, message.envelope
        if envelope is self._last and message.expires is None and type(body) is bytes:
            self._ready.append(body)
        else:
            self._ready.append(message)
            self._last = envelope if message.expires is None else None
        self.count += 1
        self.size += len(message.body)

    def peek(self) -> BrokerMessage | None:
        """Return the first message, if there is any."""
        if self._returned:
            return self._returned[0][1]
        if not self._ready:
            return None
        message = self._ready[0] = self._whole(self._ready[0])
        return message

    def _whole(self, item: BrokerMessage | bytes) -> BrokerMessage:
        """Return the whole of a message, which follows the last that was whole."""
        if isinstance(item, BrokerMessage):
            self._envelope = item.envelope
            return item
        assert self._envelope is not None
        return BrokerMessage(item, self._envelope)

    def pop(self) -> BrokerMessage:
        """Take the first message."""
        if self._returned:
            message = heappop(self._returned)[1]
        else:
            message = self._whole(self._ready.popleft())
        self.count -= 1
        self.size -= len(message.body)
        return message

    def put_back(self, messages: Iterable[BrokerMessage]) -> None:
        """Insert messages that were handed out at the places they had."""
        for message in messages:
            heappush(self._returned, (message.place, message))
            self.count += 1
            self.size += len(message.body)

    def clear(self) -> list[BrokerMessage]:
        """Take all messages."""
        return [self.pop() for _ in range(len(self))]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[BrokerMessage]:
        for _, message in sorted(self._returned):
            yield message
        envelope = self._envelope
        for item in self._ready:
            if isinstance(item, BrokerMessage):
                envelope = item.envelope
                yield item
            elif envelope is not None:
                yield BrokerMessage(item, envelope)


class PriorityBacklog(Backlog):
    """
    Waiting messages by priority, the highest first, then in their order.

    @ivar maximum: the highest priority there is; higher ones count as this one.
    """

    __slots__ = ("_levels", "_priorities", "maximum")

    def __init__(self, maximum: int) -> None:
        super().__init__()
        self.maximum = maximum
        self._levels: dict[int, Backlog] = {}
        self._priorities: list[int] = []

    def _level_of(self, message: BrokerMessage) -> Backlog:
        """Return the messages of a message's priority, as one more comes to them."""
        self.count += 1
        self.size += len(message.body)
        priority = min(max(message.envelope.priority, 0), self.maximum)
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = Backlog()
            insort(self._priorities, priority)
        return level

    def push(self, message: BrokerMessage) -> None:
        self._level_of(message).push(message)

    def peek(self) -> BrokerMessage | None:
        return self._levels[self._priorities[-1]].peek() if self._priorities else None

    def pop(self) -> BrokerMessage:
        level = self._levels[self._priorities[-1]]
        message = level.pop()
        if not level:
            del self._levels[self._priorities.pop()]
        self.count -= 1
        self.size -= len(message.body)
        return message

    def put_back(self, messages: Iterable[BrokerMessage]) -> None:
        for message in messages:
            self._level_of(message).put_back([message])

    def __iter__(self) -> Iterator[BrokerMessage]:
        for priority in reversed(self._priorities):
            yield from self._levels[priority]
