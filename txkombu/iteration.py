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
