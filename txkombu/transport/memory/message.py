"""
A message as a queue holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from ..._util.validation import check_short_string
from ...interfaces import Properties

Table = dict[str, object]

_NAMES: Final = frozenset(
    (
        "app_id",
        "cluster_id",
        "content_encoding",
        "content_type",
        "correlation_id",
        "delivery_mode",
        "expiration",
        "headers",
        "message_id",
        "priority",
        "reply_to",
        "timestamp",
        "type",
        "user_id",
    )
)
_SIMPLE: Final = (str, bytes, bool, int, float, Decimal, datetime)


class BrokerMessage:
    """
    One message in one queue; each queue it is routed to has its own.

    @ivar body: its bytes.
    @ivar properties: the broker's own copy; shared by the queues, never changed.
    @ivar exchange: the exchange it was published to.
    @ivar routing_key: the key it was published with.
    @ivar copies: the further keys of its C{CC} and C{BCC} headers.
    @ivar ttl: its own time to live in milliseconds, or None.
    @ivar position: its place in its queue; the broker's to set.
    @ivar expires: when it expires, in the clock's seconds, or None.
    @ivar redelivered: whether it has been handed out before.
    @ivar returns: how often it came back from being handed out.
    """

    __slots__ = (
        "body",
        "copies",
        "exchange",
        "expires",
        "position",
        "properties",
        "redelivered",
        "returns",
        "routing_key",
        "ttl",
    )

    def __init__(
        self,
        body: bytes,
        properties: Table,
        exchange: str,
        routing_key: str,
        ttl: int | None = None,
        copies: tuple[str, ...] = (),
    ) -> None:
        self.body = body
        self.properties = properties
        self.exchange = exchange
        self.routing_key = routing_key
        self.ttl = ttl
        self.copies = copies
        self.position = 0
        self.expires: float | None = None
        self.redelivered = False
        self.returns = 0

    def twin(self) -> BrokerMessage:
        """The same message for one more queue."""
        return BrokerMessage(
            self.body,
            self.properties,
            self.exchange,
            self.routing_key,
            self.ttl,
            self.copies,
        )

    @property
    def priority(self) -> int:
        """Its priority, 0 if it has none."""
        value = self.properties.get("priority")
        return value if isinstance(value, int) else 0

    @property
    def headers(self) -> Mapping[str, object]:
        """Its headers, which may be none."""
        return headers_of(self.properties)

    def read(self) -> Properties:
        """A copy of the properties that the receiver may keep and change."""
        properties = self.properties.copy()
        headers = properties.get("headers")
        if headers:
            properties["headers"] = copied(headers)
        return properties

    def read_counted(self) -> Properties:
        """The same with the count that quorum queues add."""
        properties = snapshot(self.properties)
        headers = dict(headers_of(properties))
        properties["headers"] = {**headers, "x-delivery-count": self.returns}
        return properties


def headers_of(properties: Mapping[str, object]) -> Mapping[str, object]:
    """The headers among properties; empty if there are none."""
    headers = properties.get("headers")
    return headers if isinstance(headers, Mapping) else {}


def snapshot(properties: Properties) -> Table:
    """
    Copy properties as deep as they go, as a wire would.
    """
    copy = dict(properties)
    headers = copy.get("headers")
    if headers:
        copy["headers"] = copied(headers)
    return copy


def check_properties(properties: Properties) -> None:
    """@raise TypeError: one of them is none of AMQP's."""
    if not _NAMES.issuperset(properties):
        unknown = ", ".join(sorted(properties.keys() - _NAMES))
        raise TypeError(f"messages have no property {unknown}")


def copied(value: object) -> object:
    """
    Copy a value of a table; tuples become lists.

    @raise TypeError: a table cannot hold such a value.
    @raise ValueError: an int has more than 64 bits, a key more than 255 bytes.
    """
    if isinstance(value, Mapping):
        return {_key(key): copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [copied(each) for each in value]
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} does not fit into 64 bits")
    if value is None or isinstance(value, _SIMPLE):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be sent in a table: {value!r}")


def _key(key: object) -> str:
    return check_short_string("key of a table", key)
