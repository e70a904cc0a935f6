"""Messages in order, found by their broker consumers without looking at all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from ..message import Message

T = TypeVar("T")


class MessagesByConsumer(Generic[T]):
    """Messages in the order they were added, each with something about it."""

    __slots__ = ("_by_tag", "_messages")

    def __init__(self) -> None:
        # Ordered, since the first of a dict from which many were removed is far away.
        self._messages: OrderedDict[Message, T] = OrderedDict()
        self._by_tag: dict[str, dict[Message, None]] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    def first(self) -> Message:
        """Return the first message; there must be one."""
        return next(iter(self._messages))

    def values(self) -> Iterable[T]:
        """Return what was added with the messages."""
        return self._messages.values()

    def add(self, message: Message, value: T) -> None:
        """Add a message behind all others, with something about it."""
        self._messages[message] = value
        self._by_tag.setdefault(message.consumer_tag, {})[message] = None

    def pop_first(self) -> Message:
        """Take the first message; there must be one."""
        message, _ = self._messages.popitem(last=False)
        self._forget(message)
        return message

    def pop(self, message: Message) -> T | None:
        """Take a message, if it is here, and return what was added with it."""
        if message not in self._messages:
            return None
        self._forget(message)
        return self._messages.pop(message)

    def _forget(self, message: Message) -> None:
        tag = message.consumer_tag
        of_tag = self._by_tag[tag]
        del of_tag[message]
        if not of_tag:
            del self._by_tag[tag]

    def of_consumers(self, tags: Iterable[str]) -> list[Message]:
        """Return the messages of some broker consumers, in order for each."""
        return [message for tag in tags for message in self._by_tag.get(tag, ())]

    def clear(self) -> list[Message]:
        """Take all messages."""
        messages = list(self._messages)
        self._messages.clear()
        self._by_tag.clear()
        return messages
