"""
Exchange, Queue and binding: declarations, as values.

Making one does no I/O.  Calling an exchange or queue with a channel returns a copy
bound to that channel; the original stays unbound.  Two are equal if all their
declared fields are equal; the channel does not count.
"""

from __future__ import annotations

from .base import Entity
from .exchange import Exchange, as_exchange, binding
from .queue import Queue

__all__ = ["Entity", "Exchange", "Queue", "as_exchange", "binding"]
