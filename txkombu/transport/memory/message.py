"""A message as a queue holds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count

import attrs

from ...interfaces import Properties
from .tables import Table, copy_properties


@attrs.define(eq=False)
class BrokerMessage:
    """
    One message in one queue; each queue it is routed to has its own.

    @ivar body: its bytes.
    @ivar properties: the broker's own copy; shared by the queues, never changed.
    @ivar exchange: the exchange it was published to.
    @ivar routing_key: the key it was published with.
    @ivar ttl: its own time to live in milliseconds, or C{None}.
    @ivar copies: the further keys of its C{CC} and C{BCC} headers.
    @ivar position: its place in its queue; a message made later is behind it.
    @ivar expires: when it expires, in the clock's seconds, or C{None}.
    @ivar redelivered: whether it has been handed out before.
    @ivar returns: how often it came back from being handed out.
    """

    body: bytes
    properties: Table
    exchange: str
    routing_key: str
    ttl: int | None = None
    copies: tuple[str, ...] = ()
    position: int = attrs.field(factory=count(1).__next__, init=False)
    expires: float | None = attrs.field(default=None, init=False)
    redelivered: bool = attrs.field(default=False, init=False)
    returns: int = attrs.field(default=0, init=False)

    def twin(self) -> BrokerMessage:
        """Return the same message for one more queue."""
        return BrokerMessage(
            self.body,
            self.properties,
            self.exchange,
            self.routing_key,
            self.ttl,
            self.copies,
        )

    def begin_to_age(self, now: Callable[[], float], ttl: int | None) -> None:
        """
        Set when it expires, by its own time to live or its queue's: the shorter one.

        @param ttl: the queue's, in milliseconds, or C{None}.
        """
        times = [each for each in (self.ttl, ttl) if each is not None]
        if times:
            self.expires = now() + min(times) / 1000

    def came_back(self) -> None:
        """Note that it came back from being handed out."""
        self.redelivered = True
        self.returns += 1

    @property
    def priority(self) -> int:
        """Its priority; 0 if it has none."""
        value = self.properties.get("priority")
        return value if isinstance(value, int) else 0

    @property
    def headers(self) -> Mapping[str, object]:
        """Its headers; empty if there are none."""
        return headers_of(self.properties)

    def read(self) -> Properties:
        """Return a copy of the properties that the receiver may keep and change."""
        return copy_properties(self.properties)

    def read_counted(self, returns: int) -> Properties:
        """Return the same with the count that quorum queues add."""
        properties = self.read()
        headers = {**headers_of(properties), "x-delivery-count": returns}
        return {**properties, "headers": headers}


def headers_of(properties: Mapping[str, object]) -> Mapping[str, object]:
    """Return the headers among properties; empty if there are none."""
    headers = properties.get("headers")
    return headers if isinstance(headers, Mapping) else {}
