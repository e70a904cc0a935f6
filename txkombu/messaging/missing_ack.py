"""Warn when a consumer gets no more messages because its handlers settle none."""

from __future__ import annotations

from twisted.logger import Logger

from ..message import Message
from .left_messages import LeftMessages
from .queue_subscriptions import QueueSubscriptions


class MissingAckWarning:
    """
    Log one warning when all messages that the prefetch count allows are unsettled,
    and their handlers have returned.

    @param consumer: what the warning names.
    @param subscriptions: the broker consumers of the consumer.
    """

    _log = Logger()

    def __init__(self, consumer: object, subscriptions: QueueSubscriptions) -> None:
        self._consumer = consumer
        self._subscriptions = subscriptions
        self._left = LeftMessages()
        self._given = False

    def check(self, message: Message, load: int) -> None:
        """
        Look after a handler has left its message unsettled.

        @param message: the message.
        @param load: how many messages are handled, or wait for that.
        """
        if self._given:
            return
        self._left.add(message)
        limit = self._subscriptions.prefetch_count * self._subscriptions.tag_count
        if not limit or load > 1 or len(self._left) < limit:
            return
        self._left.look_at_all()
        held = len(self._left)
        if held >= limit:
            self._given = True
            self._log.warn(
                "{consumer!r}: {held} messages are unsettled though their handlers "
                "have returned; nothing more comes; is an ack() missing?",
                consumer=self._consumer,
                held=held,
            )
            self._left.take_all()
