"""
The values that cross the contract; import them from L{txkombu.interfaces}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple

Properties = Mapping[str, object]
"""
The properties of a message by their AMQP names: content_type,
content_encoding, headers, delivery_mode, priority, correlation_id, reply_to,
expiration, message_id, timestamp, type, user_id, app_id, cluster_id.  Those
not set are absent.  A transport never changes one it was given.
"""


class Capability(Enum):
    """What a transport may be unable to do; the text is for the docs' table."""

    CUSTOM_EXCHANGE_TYPES = "exchange types beyond direct, fanout and topic"
    HEADERS_EXCHANGE = "headers exchanges"
    EXCHANGE_PASSIVE = "passive exchange declaration"
    EXCHANGE_DELETE = "deleting exchanges"
    EXCHANGE_BIND = "exchange-to-exchange bindings"
    QUEUE_PASSIVE = "passive queue declaration"
    QUEUE_COUNTS = "counting a queue's messages and consumers"
    QUEUE_UNBIND = "removing bindings"
    QUEUE_PURGE = "purging queues"
    QUEUE_DELETE = "deleting queues"
    QUEUE_DELETE_CONDITIONAL = "deleting a queue only if unused or empty"
    QUEUE_ARGUMENTS = "queue arguments"
    EXCLUSIVE_QUEUE = "exclusive and auto-delete queues"
    SERVER_NAMED_QUEUE = "queues named by the broker"
    MANDATORY = "mandatory messages"
    CONFIRM = "confirmed publishing"
    GET = "getting single messages"
    MULTIPLE_ACK = "settling several messages at once"
    CONSUMER_EXCLUSIVE = "exclusive consumers"
    CONSUMER_ARGUMENTS = "consumer arguments"
    CONSUMER_PREFETCH = "prefetch per consumer"
    CHANNEL_PREFETCH = "prefetch shared by a channel"
    RECOVER = "recovering a channel's unsettled messages"


class Settlement(Enum):
    """What became of an ack, nack or reject."""

    SENT = "sent"
    """It was, or at the next flush will be, handed to the broker."""
    STALE = "stale"
    """
    Nothing of that tag awaits settlement: its channel is gone, and the broker
    redelivers the message; or it went back with a recover.  Nothing was sent.
    """


class QueueDeclareOk(NamedTuple):
    """What the broker says of a declared queue (AMQP 0-9-1, queue.declare-ok)."""

    queue: str
    """Its name; made by the broker if the one asked for was empty."""
    message_count: int | None
    """Messages ready to be delivered; C{None} if the broker does not tell."""
    consumer_count: int | None
    """C{None} if the broker does not tell."""


class Delivery:
    """
    One message handed out by the broker.

    @ivar tag: what C{ack}, C{nack} and C{reject} take; unique on its channel.
    @ivar consumer_tag: the consumer it is for; C{""} for a message got.
    @ivar redelivered: whether it may have been handed out before.
    @ivar exchange: the exchange it was published to.
    @ivar routing_key: the routing key it was published with.
    @ivar body: its bytes, as they came.
    """

    __slots__ = (
        "_properties",
        "body",
        "consumer_tag",
        "exchange",
        "redelivered",
        "routing_key",
        "tag",
    )

    def __init__(
        self,
        tag: int,
        consumer_tag: str,
        redelivered: bool,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: Properties | Callable[[], Properties],
    ) -> None:
        self.tag = tag
        self.consumer_tag = consumer_tag
        self.redelivered = redelivered
        self.exchange = exchange
        self.routing_key = routing_key
        self.body = body
        self._properties = properties

    @property
    def properties(self) -> Properties:
        """
        The properties, decoded on first use.

        @raise DecodeError: they cannot be decoded; each use raises it again.
        """
        known = self._properties
        if callable(known):
            known = self._properties = known()
        return known

    def __repr__(self) -> str:
        return (
            f"<Delivery {self.tag} to {self.consumer_tag!r} "
            f"from {self.exchange!r}/{self.routing_key!r}>"
        )


class Returned(NamedTuple):
    """A mandatory message that no queue would have had (AMQP 0-9-1, basic.return)."""

    reply_code: int
    reply_text: str
    exchange: str
    routing_key: str
    body: bytes
    properties: Properties
