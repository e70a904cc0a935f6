"""
A message as a queue holds it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...interfaces import Properties
from .tables import Table, copy_properties


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
        return copy_properties(self.properties)

    def read_counted(self, returns: int) -> Properties:
        """The same with the count that quorum queues add."""
        properties = copy_properties(self.properties)
        headers = headers_of(properties)
        properties["headers"] = {**headers, "x-delivery-count": returns}
        return properties


def headers_of(properties: Mapping[str, object]) -> Mapping[str, object]:
    """The headers among properties; empty if there are none."""
    headers = properties.get("headers")
    return headers if isinstance(headers, Mapping) else {}
