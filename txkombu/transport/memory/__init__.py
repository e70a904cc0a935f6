"""The reference broker, in this process."""

from __future__ import annotations

from .broker import MemoryBroker
from .pump import NeverQuiet
from .routing import Binding, RouteFunction

__all__ = [
    "Binding",
    "MemoryBroker",
    "NeverQuiet",
    "RouteFunction",
    "broker_named",
    "forget_brokers",
]

_named: dict[str, MemoryBroker] = {}


def broker_named(name: str) -> MemoryBroker:
    """
    Return the broker that C{memory://name} means: one for each name and process.

    @param name: C{""} for C{memory://}.
    """
    if name not in _named:
        _named[name] = MemoryBroker(name=name)
    return _named[name]


def forget_brokers() -> None:
    """Forget all named brokers, so that no test sees another's queues."""
    _named.clear()
