"""
The messages of a queue that wait for someone to take them, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from operator import attrgetter

from .message import BrokerMessage

_position = attrgetter("position")


class Backlog:
    """
    Waiting messages in the order of their positions.

    @ivar size: the bytes of their bodies.
    """

    __slots__ = ("_ready", "size")

    def __init__(self) -> None:
        self._ready: deque[BrokerMessage] = deque()
        self.size = 0

    def push(self, message: BrokerMessage) -> None:
        """Add one whose position is the highest."""
        self._ready.append(message)
        self.size += len(message.body)

    def peek(self) -> BrokerMessage | None:
        """The one whose turn it is, if any."""
        return self._ready[0] if self._ready else None

    def pop(self) -> BrokerMessage:
        """Take the one whose turn it is."""
        message = self._ready.popleft()
        self.size -= len(message.body)
        return message

    def put_back(self, messages: Iterable[BrokerMessage]) -> None:
        """Insert messages at the places they had."""
        returned = sorted(messages, key=_position)
        if not returned:
            return
        self.size += sum(len(each.body) for each in returned)
        ready = self._ready
        last = returned[-1].position
        while ready and ready[0].position < last:
            returned.append(ready.popleft())
        returned.sort(key=_position)
        ready.extendleft(reversed(returned))

    def clear(self) -> list[BrokerMessage]:
        """Take them all."""
        messages = list(self._ready)
        self._ready.clear()
        self.size = 0
        return messages

    def __len__(self) -> int:
        return len(self._ready)

    def __iter__(self) -> Iterator[BrokerMessage]:
        return iter(self._ready)


class PriorityBacklog(Backlog):
    """
    Waiting messages by priority, the highest first, then by position.

    @ivar maximum: the highest priority there is; higher ones are taken for it.
    """

    __slots__ = ("_lanes", "maximum")

    def __init__(self, maximum: int) -> None:
        super().__init__()
        self.maximum = maximum
        self._lanes: dict[int, Backlog] = {}

    def _lane(self, message: BrokerMessage) -> Backlog:
        priority = min(max(message.priority, 0), self.maximum)
        lane = self._lanes.get(priority)
        if lane is None:
            self._lanes[priority] = lane = Backlog()
            self._lanes = dict(sorted(self._lanes.items(), reverse=True))
        return lane

    def push(self, message: BrokerMessage) -> None:
        self._lane(message).push(message)
        self.size += len(message.body)

    def _first(self) -> Backlog | None:
        return next((lane for lane in self._lanes.values() if lane), None)

    def peek(self) -> BrokerMessage | None:
        lane = self._first()
        return lane.peek() if lane else None

    def pop(self) -> BrokerMessage:
        lane = self._first()
        if lane is None:
            raise IndexError("no message waits")
        message = lane.pop()
        self.size -= len(message.body)
        return message

    def put_back(self, messages: Iterable[BrokerMessage]) -> None:
        for message in messages:
            self._lane(message).put_back([message])
            self.size += len(message.body)

    def clear(self) -> list[BrokerMessage]:
        self.size = 0
        return [each for lane in self._lanes.values() for each in lane.clear()]

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __iter__(self) -> Iterator[BrokerMessage]:
        return (each for lane in self._lanes.values() for each in lane)
