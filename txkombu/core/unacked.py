"""The messages of one session channel that await settlement."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, succeed

from ..interfaces import ISessionChannel, Settlement

if TYPE_CHECKING:
    from ..message import Message
from .decoded_memory import DecodedMemory

_STALE: Final = Settlement.STALE


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

    __slots__ = ("_channel", "gone", "memory", "unsettled")

    def __init__(self, channel: ISessionChannel, memory: DecodedMemory) -> None:
        self._channel = channel
        self.memory = memory
        self.gone = False
        self.unsettled: dict[int, Message] = {}

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
        self.forget()

    def lose(self, consumer_tag: str) -> None:
        """Note that a consumer has lost a connection of its own, with its messages."""
        dead = UnackedMessages(self._channel, self.memory)
        dead.die()
        for message in list(self.unsettled.values()):
            if message.consumer_tag == consumer_tag:
                self._settled(message.delivery_tag)
                message.move_to(dead)

    def forget(self) -> list[Message]:
        """Forget all messages, since the broker has them again, and return them."""
        left = list(self.unsettled.values())
        self.unsettled.clear()
        for message in left:
            message.let_go()
        return left

    def _told(self, settlement: Settlement) -> Deferred[Settlement]:
        if settlement is _STALE:
            return succeed(settlement)
        return self._channel.when_flushed()

    def _forget_up_to(self, tag: int, state: str) -> None:
        for earlier in list(takewhile(lambda each: each <= tag, self.unsettled)):
            message = self.unsettled.pop(earlier)
            message.let_go()
            if earlier != tag:
                message.settled_by_other(state)
