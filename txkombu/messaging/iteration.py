"""Take messages one by one: what C{async for message in consumer} runs on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

from ..exceptions import ChannelClosed
from ..message import Message
from .dispatcher import Dispatcher

_FEW: Final = 16
"""How many taken messages are kept before all of them are looked at."""


class MessageIterator:
    """
    Take one message after the other, and end when no more can come.

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


class MessageTaker:
    """
    Take messages out of a dispatcher that has no handler, and hand back what is not
    settled.

    @param dispatcher: where the messages wait.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._messages: deque[Message] = deque()
        self._many = _FEW

    def take(self) -> Deferred[Message]:
        """Return a Deferred that fires with the next message."""
        return self._dispatcher.take_message().addCallback(self._taken)

    def take_now(self) -> Message | None:
        """Return the next message, if one is here already."""
        message = self._dispatcher.take_now()
        return None if message is None else self._taken(message)

    def _taken(self, message: Message) -> Message:
        if message.acks_at_begin:
            message.begin()
        if not message.no_ack:
            self._drop_settled()
            self._messages.append(message)
        return message

    def _drop_settled(self) -> None:
        """
        Forget messages that are settled: the oldest at once, others when there are
        twice as many as were left the last time.
        """
        messages = self._messages
        while messages and messages[0].acknowledged:
            messages.popleft()
        if len(messages) >= self._many:
            left = [each for each in messages if not each.acknowledged]
            self._messages = deque(left)
            self._many = 2 * len(left) + _FEW

    def hand_back(self) -> None:
        """Requeue the messages that were taken and are not settled."""
        messages, self._messages = self._messages, deque()
        for message in messages:
            if not message.acknowledged:
                message.nack()
