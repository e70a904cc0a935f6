"""The values that cross the contract; import them from L{txkombu.interfaces}."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple

import attrs
from twisted.internet.defer import CancelledError

Properties = Mapping[str, object]
"""
The properties of a message by their AMQP names: content_type,
content_encoding, headers, delivery_mode, priority, correlation_id, reply_to,
expiration, message_id, timestamp, type, user_id, app_id, cluster_id.  Properties
that are not set are absent.  A transport never changes a mapping it was given.
"""


class Capability(Enum):
    """Something that not every transport can do; the text is for the docs' table."""

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
    DIRECT_REPLY_TO = "direct reply-to"


class Settlement(Enum):
    """The result of an ack, nack or reject."""

    SENT = "sent"
    """It was written to the broker, or will be at the next flush."""
    STALE = "stale"
    """
    Nothing was sent: the channel of the message is closed, or the message went back
    with a recover.  The broker redelivers it.
    """


class NotWritten(CancelledError):
    """A publish was cancelled before its message was written."""


class QueueDeclareOk(NamedTuple):
    """The broker's answer to a declaration (AMQP 0-9-1, queue.declare-ok)."""

    queue: str
    """The queue's name; chosen by the broker if the declared one was empty."""
    message_count: int | None
    """The number of ready messages; C{None} if the broker does not tell."""
    consumer_count: int | None
    """The number of consumers; C{None} if the broker does not tell."""


@attrs.define(eq=False, repr=False)
class Delivery:
    """
    One message that the broker delivered.

    @ivar tag: the argument of C{ack}, C{nack} and C{reject}; unique on its channel.
    @ivar consumer_tag: the tag of its consumer; C{""} for one taken with C{get}.
    @ivar redelivered: whether it may have been delivered before.
    @ivar exchange: the exchange it was published to.
    @ivar routing_key: the routing key it was published with.
    @ivar body: its bytes as received.
    @ivar properties: its properties, decoded on first use.
    """

    tag: int
    consumer_tag: str
    redelivered: bool
    exchange: str
    routing_key: str
    body: bytes
    _properties: Properties | Callable[[], Properties]

    @property
    def properties(self) -> Properties:
        """
        The properties, decoded on first use.

        @raise DecodeError: they cannot be decoded; each use raises it.
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
    """A mandatory message that no queue received (AMQP 0-9-1, basic.return)."""

    reply_code: int
    reply_text: str
    exchange: str
    routing_key: str
    body: bytes
    properties: Properties
