"""
The messages that one session channel handed out and that await settlement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed

from ..interfaces import ISessionChannel, Settlement

if TYPE_CHECKING:
    from ..message import Message


class UnackedMessages:
    """
    Settles messages on the channel they came by, and knows which are left.

    It dies with its session channel: afterwards settling is stale.

    @ivar unsettled: the messages by their delivery tags, in order.
    @ivar gone: whether its session channel is.
    """

    __slots__ = ("_channel", "gone", "unsettled")

    def __init__(self, channel: ISessionChannel) -> None:
        self._channel = channel
        self.gone = False
        self.unsettled: dict[int, Message] = {}

    def ack(self, tag: int, multiple: bool) -> Deferred[Settlement]:
        """Settle as handled."""
        if multiple:
            self._forget_up_to(tag, "acknowledged")
        else:
            self.unsettled.pop(tag, None)
        return self._told(self._channel.ack(tag, multiple))

    def release(self, tag: int) -> None:
        """Settle as handled, for somebody who does not wait for it."""
        self.unsettled.pop(tag, None)
        if not self.gone:
            self._channel.ack(tag, False)

    def nack(self, tag: int, multiple: bool, requeue: bool) -> Deferred[Settlement]:
        """Settle as not attempted."""
        if multiple:
            self._forget_up_to(tag, "requeued" if requeue else "rejected")
        else:
            self.unsettled.pop(tag, None)
        return self._told(self._channel.nack(tag, multiple, requeue))

    def reject(self, tag: int, requeue: bool) -> Deferred[Settlement]:
        """Settle as failed."""
        self.unsettled.pop(tag, None)
        return self._told(self._channel.reject(tag, requeue))

    def die(self) -> None:
        """Its session channel is gone, and the broker has the messages again."""
        self.gone = True
        self.unsettled.clear()

    def lose(self, consumer_tag: str) -> None:
        """A consumer's own connection is gone, and the broker has its messages."""
        dead = UnackedMessages(self._channel)
        dead.gone = True
        for message in list(self.unsettled.values()):
            if message.consumer_tag == consumer_tag:
                del self.unsettled[message.delivery_tag]
                message.move_to(dead)

    def forget(self) -> list[Message]:
        """Give up all unsettled messages, since the broker has them again."""
        left = list(self.unsettled.values())
        self.unsettled.clear()
        return left

    def _told(self, settlement: Settlement) -> Deferred[Settlement]:
        if settlement is Settlement.STALE:
            return succeed(settlement)
        return self._channel.when_flushed()

    def _forget_up_to(self, tag: int, state: str) -> None:
        for earlier in [each for each in self.unsettled if each <= tag]:
            message = self.unsettled.pop(earlier)
            if earlier != tag:
                message.settled_by_other(state)
