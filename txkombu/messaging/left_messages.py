"""Messages that a program was given and has not settled yet, as far as is known."""

from __future__ import annotations

from collections import deque
from typing import Final

from ..message import Message

_FEW: Final = 16
"""How many messages are kept before all of them are looked at."""


class LeftMessages:
    """
    Keep messages until they are settled, or their session channel is lost.

    A settled message is forgotten at once if it is the oldest, else when there are
    twice as many as were left the last time that all were looked at.
    """

    __slots__ = ("_many", "_messages")

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._many = _FEW

    def __len__(self) -> int:
        """Return how many are left, or more."""
        return len(self._messages)

    def add(self, message: Message) -> None:
        """Keep one more message."""
        messages = self._messages
        while messages and is_over(messages[0]):
            messages.popleft()
        messages.append(message)
        if len(messages) > self._many:
            self.look_at_all()

    def look_at_all(self) -> None:
        """Forget all messages that are settled."""
        left = [each for each in self._messages if not is_over(each)]
        self._messages = deque(left)
        self._many = 2 * len(left) + _FEW

    def take_all(self) -> list[Message]:
        """Return the messages that are left, and forget them."""
        self.look_at_all()
        left = list(self._messages)
        self._messages.clear()
        return left


def is_over(message: Message) -> bool:
    """Return whether nothing is left to do: it was settled, or the broker has it."""
    return message.acknowledged or message.is_back
