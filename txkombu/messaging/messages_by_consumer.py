"""Messages in order, found by their broker consumers without looking at all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeVar

from ..message import Message

T = TypeVar("T")


class MessagesByConsumer(OrderedDict[Message, T]):
    """
    Messages in the order they were added, each with something about it.

    It is a dict, to be told as empty at no cost.  An ordered one, since the first of a
    plain dict from which many were removed is far away.  It is only changed by the
    methods that are defined here.
    """

    def __init__(self) -> None:
        super().__init__()
        self._by_tag: dict[str, dict[Message, None]] = {}

    def first(self) -> Message:
        """Return the first message; there must be one."""
        return next(iter(self))

    def add(self, message: Message, value: T) -> None:
        """Add a message behind all others, with something about it."""
        self[message] = value
        self._by_tag.setdefault(message.consumer_tag, {})[message] = None

    def take_first(self) -> Message:
        """Take the first message; there must be one."""
        message, _ = self.popitem(last=False)
        self._forget(message)
        return message

    def take(self, message: Message) -> T | None:
        """Take a message, if it is here, and return what was added with it."""
        if message not in self:
            return None
        self._forget(message)
        return self.pop(message)

    def _forget(self, message: Message) -> None:
        tag = message.consumer_tag
        of_tag = self._by_tag[tag]
        del of_tag[message]
        if not of_tag:
            del self._by_tag[tag]

    def of_consumers(self, tags: Iterable[str]) -> list[Message]:
        """Return the messages of some broker consumers, in order for each."""
        return [message for tag in tags for message in self._by_tag.get(tag, ())]

    def take_all(self) -> list[Message]:
        """Take all messages."""
        messages = list(self)
        self.clear()
        self._by_tag.clear()
        return messages
