"""The messages of one session channel that await settlement."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, succeed

from .._util.tags import TagsUpTo
from ..interfaces import ISessionChannel, Settlement

if TYPE_CHECKING:
    from ..message import Message
from .decoded_memory import DecodedMemory

_STALE: Final = Settlement.STALE

_MANY = 100
"""How many more tags are kept than messages are unsettled, or twice as many."""


class _TagsByConsumer:
    """
    The delivery tags of each consumer, as of the last time that one was lost.

    When one is lost the others often follow, so each message is looked at once.
    """

    __slots__ = ("_count", "_last", "_tags")

    def __init__(self) -> None:
        self._tags: dict[str, list[int]] = {}
        self._count = self._last = 0

    def take(self, consumer_tag: str, unsettled: dict[int, Message]) -> list[int]:
        """
        Return the tags of a consumer, and forget them; some may be settled.

        @param unsettled: the messages by their tags, in order.
        """
        if self._count > 2 * len(unsettled) + _MANY:  # most are settled
            self._tags.clear()
            self._count = self._last = 0
        fresh = list(takewhile(lambda tag: tag > self._last, reversed(unsettled)))
        for tag in reversed(fresh):
            self._tags.setdefault(unsettled[tag].consumer_tag, []).append(tag)
            self._last = tag
        taken = self._tags.pop(consumer_tag, [])
        self._count += len(fresh) - len(taken)
        return taken


class UnackedMessages:
    """
    Settle messages on the session channel that delivered them, and keep the others.

    When the session channel is gone, settling a message does nothing and is stale.

    @param channel: the session channel.
    @param memory: counts what the messages hold decoded.
    @ivar memory: the same.
    @ivar unsettled: the messages by their delivery tags, in order.
    @ivar gone: whether the session channel is gone.
    """

    __slots__ = (
        "_by_consumer",
        "_channel",
        "_up_to",
        "gone",
        "memory",
        "unsettled",
    )

    def __init__(self, channel: ISessionChannel, memory: DecodedMemory) -> None:
        self._channel = channel
        self.memory = memory
        self.gone = False
        self.unsettled: dict[int, Message] = {}
        self._up_to = TagsUpTo()
        self._by_consumer = _TagsByConsumer()

    def ack(self, tag: int, multiple: bool) -> Deferred[Settlement]:
        """Acknowledge a message."""
        if multiple:
            self._forget_up_to(tag, "acknowledged")
        else:
            self._settled(tag)
        if self._channel.ack(tag, multiple) is _STALE:
            return succeed(_STALE)
        return self._channel.when_flushed()

    def release(self, tag: int) -> None:
        """Acknowledge a message, without telling when this was written."""
        self._settled(tag)
        if not self.gone:
            self._channel.ack(tag, False)

    def nack(self, tag: int, multiple: bool, requeue: bool) -> Deferred[Settlement]:
        """Hand a message back as not attempted."""
        if multiple:
            self._forget_up_to(tag, "requeued" if requeue else "rejected")
        else:
            self._settled(tag)
        return self._told(self._channel.nack(tag, multiple, requeue))

    def reject(self, tag: int, requeue: bool) -> Deferred[Settlement]:
        """Reject a message as failed."""
        self._settled(tag)
        return self._told(self._channel.reject(tag, requeue))

    def _settled(self, tag: int) -> None:
        message = self.unsettled.pop(tag, None)
        if message is not None and self.memory.held:
            message.let_go()

    def die(self) -> None:
        """Forget all messages: the session channel is gone, and the broker has them."""
        self.gone = True
        left = list(self.unsettled.values())
        self.unsettled.clear()
        for message in left:
            message.let_go()

    def lose(self, consumer_tag: str) -> None:
        """Note that a consumer has lost a connection of its own, with its messages."""
        self._lose(self._by_consumer.take(consumer_tag, self.unsettled))

    def lose_all(self) -> None:
        """Note that the broker has all messages again, though the channel lives."""
        self._lose(list(self.unsettled))

    def _lose(self, tags: Iterable[int]) -> None:
        found = (self.unsettled.pop(tag, None) for tag in tags)
        lost = [message for message in found if message is not None]
        dead = UnackedMessages(self._channel, self.memory)
        dead.gone = True
        for message in lost:
            message.move_to(dead)
        # Now: when there is room, a handler must not begin with one of them.
        for message in lost:
            message.let_go()

    def _told(self, settlement: Settlement) -> Deferred[Settlement]:
        if settlement is _STALE:
            return succeed(settlement)
        return self._channel.when_flushed()

    def _forget_up_to(self, tag: int, state: str) -> None:
        tags = self._up_to.find(tag, self.unsettled)
        settled = [self.unsettled.pop(each) for each in tags]
        for message in settled:
            if message.delivery_tag != tag:
                message.settled_by_other(state)
        # Now: when there is room, a handler must not begin with one of them.
        for message in settled:
            message.let_go()
