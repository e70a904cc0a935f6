"""Take messages one by one: what C{async for message in consumer} runs on."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from ..exceptions import ChannelClosed
from ..message import Message
from .dispatcher import Dispatcher
from .left_messages import LeftMessages


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
        self._left = LeftMessages()

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
            self._left.add(message)
        return message

    def hand_back(self) -> None:
        """Requeue the messages that were taken and are not settled."""
        for message in self._left.take_all():
            message.nack()
