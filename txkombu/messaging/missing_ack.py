"""Warn when a consumer gets no more messages because its handlers settle none."""

from __future__ import annotations

from twisted.logger import Logger

from ..core.channel import Channel
from .queue_subscriptions import QueueSubscriptions


class MissingAckWarning:
    """
    Log one warning when all messages that the prefetch count allows are unsettled,
    and their handlers have returned.

    @param consumer: what the warning names.
    @param channel: where the messages are counted.
    @param subscriptions: the broker consumers of the consumer.
    """

    _log = Logger()

    def __init__(
        self, consumer: object, channel: Channel, subscriptions: QueueSubscriptions
    ) -> None:
        self._consumer = consumer
        self._channel = channel
        self._subscriptions = subscriptions
        self._given = False

    def check(self, load: int) -> None:
        """
        Look after a handler has left its message unsettled.

        @param load: how many messages are handled, or wait for that.
        """
        limit = self._subscriptions.prefetch_count
        if self._given or not limit or load > 1:
            return
        if self._channel.unsettled_count < limit:
            return
        tags = self._subscriptions.tags
        held = sum(each.consumer_tag in tags for each in self._channel.unsettled)
        if held >= limit * len(tags):
            self._given = True
            self._log.warn(
                "{consumer!r}: {held} messages are unsettled though their handlers "
                "have returned; nothing more comes; is an ack() missing?",
                consumer=self._consumer,
                held=held,
            )
