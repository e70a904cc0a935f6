"""A binding as a connection records it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from twisted.internet.defer import Deferred

from ..entity import Exchange, Queue
from ..interfaces import ISessionChannel

Key = tuple[object, ...]
"""Identifies one declaration."""


class RecordedBinding(NamedTuple):
    """A binding of a queue or an exchange to an exchange."""

    destination: Queue | Exchange
    source: Exchange
    routing_key: str
    arguments: Mapping[str, object]

    def key(self) -> Key:
        """Return what identifies the binding, whatever objects it was made with."""
        return (
            type(self.destination).__name__,
            self.destination.name,
            self.source.name,
            self.routing_key,
            repr(sorted(self.arguments.items())),
        )

    def bind(self, channel: ISessionChannel) -> Deferred[None]:
        """Make the binding on a session channel."""
        destination, source, key, arguments = self
        if isinstance(destination, Queue):
            return channel.queue_bind(destination, source, key, arguments)
        return channel.exchange_bind(destination, source, key, arguments)

    def unbind(self, channel: ISessionChannel) -> Deferred[None]:
        """Remove the binding on a session channel."""
        destination, source, key, arguments = self
        if isinstance(destination, Queue):
            return channel.queue_unbind(destination, source, key, arguments)
        return channel.exchange_unbind(destination, source, key, arguments)
