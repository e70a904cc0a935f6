"""
A message as a queue holds it.

Many messages may wait, so each takes little: its body, and what it has in common with
others like it, which they share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count

import attrs

from ...interfaces import Properties
from .tables import Table, copy_properties


@attrs.define(eq=False)
class Envelope:
    """
    What messages may have in common; never changed.

    @ivar properties: the broker's own copy.
    @ivar exchange: the exchange they were published to.
    @ivar routing_key: the key they were published with.
    @ivar ttl: their own time to live in milliseconds, or C{None}.
    @ivar copies: the further keys of their C{CC} and C{BCC} headers.
    """

    properties: Table
    exchange: str
    routing_key: str
    ttl: int | None = None
    copies: tuple[str, ...] = ()

    @property
    def priority(self) -> int:
        """The priority; 0 if there is none."""
        value = self.properties.get("priority")
        return value if isinstance(value, int) else 0

    @property
    def headers(self) -> Mapping[str, object]:
        """The headers; empty if there are none."""
        return headers_of(self.properties)

    def read(self) -> Properties:
        """Return a copy of the properties that the receiver may keep and change."""
        return copy_properties(self.properties)

    def read_counted(self, returns: int) -> Properties:
        """Return the same with the count that quorum queues add."""
        properties = self.read()
        headers = {**headers_of(properties), "x-delivery-count": returns}
        return {**properties, "headers": headers}


_places = count(1)


@attrs.define(eq=False, weakref_slot=False)
class BrokerMessage:
    """
    One message in one queue; each queue it is routed to has its own.

    @ivar body: its bytes.
    @ivar envelope: what it may share with others.
    @ivar place: its place among all that were handed out; 0 before.
    @ivar expires: when it expires, in the clock's seconds, or C{None}.
    @ivar returns: how often it came back from being handed out.
    """

    body: bytes
    envelope: Envelope
    place: int = attrs.field(default=0, init=False)
    expires: float | None = attrs.field(default=None, init=False)
    returns: int = attrs.field(default=0, init=False)

    def begin_to_age(self, now: Callable[[], float], ttl: int | None) -> None:
        """
        Set when it expires, by its own time to live or its queue's: the shorter one.

        @param ttl: the queue's, in milliseconds, or C{None}.
        """
        times = [each for each in (self.envelope.ttl, ttl) if each is not None]
        if times:
            self.expires = now() + min(times) / 1000

    def handed_out(self) -> None:
        """Note its place, if this is the first time."""
        if not self.place:
            self.place = next(_places)

    def came_back(self) -> None:
        """Note that it came back from being handed out."""
        self.returns += 1


def headers_of(properties: Mapping[str, object]) -> Mapping[str, object]:
    """Return the headers among properties; empty if there are none."""
    headers = properties.get("headers")
    return headers if isinstance(headers, Mapping) else {}
