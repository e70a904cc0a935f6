"""
Taking messages one by one: what C{async for message in consumer} runs on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail

from .._util.waiters import SharedClose
from ..exceptions import ChannelClosed
from ..message import Message
from .dispatcher import Dispatcher

if TYPE_CHECKING:
    from ..core.channel import Channel


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


class IteratedMessages:
    """The messages that were taken one by one and are not settled."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    def remember(self, message: Message) -> None:
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


class IterableConsumer(ABC):
    """The part of L{txkombu.Consumer} for those that have no handlers."""

    channel: Channel
    _dispatcher: Dispatcher
    _end: SharedClose

    def __init__(self) -> None:
        self._taken = IteratedMessages()

    @property
    @abstractmethod
    def can_handle(self) -> bool:
        """Whether it knows what to do with a message."""

    def take(self) -> Deferred[Message]:
        """
        @return: fires with the next message, for a consumer without handlers;
            fails with ChannelClosed once it is closed, or its channel.
        """
        if self._end.begun:
            return fail(consumer_closed())
        if self.channel.closed:
            return fail(no_channel())
        return self._dispatcher.take_message().addCallback(self._handed_out)

    def take_now(self) -> Message | None:
        """As L{take}, but only one that is here already."""
        message = self._dispatcher.take_now()
        return None if message is None else self._handed_out(message)

    def _handed_out(self, message: Message) -> Message:
        if message.acks_at_begin:
            message.begin()
        self._taken.remember(message)
        return message

    def __aiter__(self) -> MessageIterator:
        if self.can_handle:
            raise TypeError(
                f"{self!r} hands its messages to callbacks; "
                "iterate over a consumer that has none"
            )
        return MessageIterator(self.take)


def consumer_closed() -> ChannelClosed:
    """For what is called after C{close}."""
    return ChannelClosed("the consumer was closed; make a new one")


def no_channel() -> ChannelClosed:
    """For who waits for a message that none comes by any more."""
    return ChannelClosed("the channel of the consumer was closed")
