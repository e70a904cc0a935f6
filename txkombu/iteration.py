"""
What C{async for message in consumer} runs on.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from .exceptions import ChannelClosed
from .message import Message


class MessageIterator:
    """
    Takes one message after the other, and ends when no more can come.

    @param take: as L{txkombu.Consumer.take}.
    """

    def __init__(self, take: Callable[[], Deferred[Message]]) -> None:
        self._take = take

    def __aiter__(self) -> MessageIterator:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self._take()
        except ChannelClosed:
            raise StopAsyncIteration from None


class Taken:
    """The messages that were taken one by one and are not settled."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    def add(self, message: Message) -> None:
        """Remember one more, unless nobody has to settle it."""
        if not message.no_ack:
            self._messages = [each for each in self._messages if not each.acknowledged]
            self._messages.append(message)

    def hand_back(self) -> None:
        """Nack all, with requeue: whoever took them is done."""
        messages, self._messages = self._messages, []
        for message in messages:
            if not message.acknowledged:
                message.nack()
