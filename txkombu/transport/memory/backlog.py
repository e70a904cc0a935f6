"""The messages of a queue that wait for a consumer or a get, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush, merge
from operator import attrgetter

from .message import BrokerMessage

_position = attrgetter("position")


class Backlog:
    """
    Waiting messages in the order of their positions.

    Those that were put back are in a heap, since their positions are anywhere.

    @ivar size: the bytes of their bodies.
    """

    __slots__ = ("_ready", "_returned", "size")

    def __init__(self) -> None:
        self._ready: deque[BrokerMessage] = deque()
        self._returned: list[tuple[int, BrokerMessage]] = []
        self.size = 0

    def push(self, message: BrokerMessage) -> None:
        """Add a message, whose position is the highest."""
        self._ready.append(message)
        self.size += len(message.body)

    def peek(self) -> BrokerMessage | None:
        """Return the first message, if there is any."""
        if self._is_next_returned():
            return self._returned[0][1]
        return self._ready[0] if self._ready else None

    def _is_next_returned(self) -> bool:
        """Return whether the first message is one that was put back."""
        returned, ready = self._returned, self._ready
        return bool(returned) and (not ready or returned[0][0] < ready[0].position)

    def pop(self) -> BrokerMessage:
        """Take the first message."""
        if self._returned and self._is_next_returned():
            message = heappop(self._returned)[1]
        else:
            message = self._ready.popleft()
        self.size -= len(message.body)
        return message

    def put_back(self, messages: Iterable[BrokerMessage]) -> None:
        """Insert messages at the places they had."""
        for message in messages:
            heappush(self._returned, (message.position, message))
            self.size += len(message.body)

    def clear(self) -> list[BrokerMessage]:
        """Take all messages."""
        return [self.pop() for _ in range(len(self))]

    def __len__(self) -> int:
        return len(self._ready) + len(self._returned)

    def __iter__(self) -> Iterator[BrokerMessage]:
        returned = (message for _, message in sorted(self._returned))
        return merge(self._ready, returned, key=_position)


class PriorityBacklog(Backlog):
    """
    Waiting messages by priority, the highest first, then by position.

    @ivar maximum: the highest priority there is; higher ones count as this one.
    """

    __slots__ = ("_heap", "maximum")

    def __init__(self, maximum: int) -> None:
        super().__init__()
        self.maximum = maximum
        self._heap: list[tuple[int, int, BrokerMessage]] = []

    def push(self, message: BrokerMessage) -> None:
        priority = min(max(message.priority, 0), self.maximum)
        heappush(self._heap, (-priority, message.position, message))
        self.size += len(message.body)

    def peek(self) -> BrokerMessage | None:
        return self._heap[0][2] if self._heap else None

    def pop(self) -> BrokerMessage:
        _, _, message = heappop(self._heap)
        self.size -= len(message.body)
        return message

    def put_back(self, messages: Iterable[BrokerMessage]) -> None:
        for message in messages:
            self.push(message)

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[BrokerMessage]:
        return (message for _, _, message in sorted(self._heap))
