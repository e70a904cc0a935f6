"""
Consumers that were refused on the channel they shared, and have one each.

On AMQP a refusal ends the channel it happens on, and what the others there hold
goes back to their queues.  Once is the price of sharing; each further attempt is
made on a channel that the refused one has for itself, and where it then stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList, gatherResults

from ..exceptions import KombuError
from ..message import Message
from .interfaces import IsolatedChannel

T = TypeVar("T")


class IsolatedChannels:
    """The channels that the consumers of one channel have for themselves."""

    def __init__(self) -> None:
        self._by_tag: dict[str, IsolatedChannel] = {}
        self._ended: list[IsolatedChannel] = []

    def __iter__(self) -> Iterator[IsolatedChannel]:
        yield from self._by_tag.values()
        yield from self._ended

    def __contains__(self, tag: str) -> bool:
        return tag in self._by_tag

    def add_channel(self, tag: str, channel: IsolatedChannel) -> None:
        """The consumer of this tag has this channel."""
        self._by_tag[tag] = channel
        self.close_settled()

    def cancel(self, tag: str) -> Deferred[None]:
        """
        End a consumer; its channel stays as long as messages of it can be settled.

        @return: as that of C{basic_cancel}.
        """
        channel = self._by_tag.pop(tag)
        self._ended.append(channel)
        return channel.basic_cancel(tag).addCallback(lambda _: self.close_settled())

    def close_settled(self) -> None:
        """Close the channels of those that were ended and hold nothing any more."""
        done = [each for each in self._ended if not each.unsettled_count]
        for channel in done:
            self._ended.remove(channel)
            channel.close()

    @property
    def is_consuming(self) -> bool:
        """Whether all run."""
        return all(each.is_consuming for each in self)

    @property
    def unsettled(self) -> list[Message]:
        """Their messages that await settlement."""
        return [message for each in self for message in each.unsettled]

    def also(
        self, began: Deferred[T], operate: Callable[[IsolatedChannel], Deferred[T]]
    ) -> Deferred[T]:
        """
        Do it on each that is open, too.

        @param began: what was done already.
        @return: fires with the result of that when all is done; fails with the
            first failure.
        """
        others = [operate(each) for each in self if each.is_open]
        if not others:
            return began
        return gatherResults([began, *others], consumeErrors=True).addCallbacks(
            lambda results: results[0], lambda failure: failure.value.subFailure
        )

    def close_because(self, error: KombuError) -> Deferred[Any]:
        """@return: fires when all are closed; never fails."""
        closing = [each.close_because(error) for each in self]
        self._by_tag.clear()
        self._ended.clear()
        return DeferredList(closing)
