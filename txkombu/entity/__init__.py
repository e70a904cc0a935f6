"""
Exchange, Queue and binding: declarations, as values.

Making one does no I/O.  Calling one with a channel gives a copy bound to that
channel; the original stays as it was.  Two are equal when all their declared
fields are, whatever they are bound to.
"""

from __future__ import annotations

from .base import Entity
from .exchange import Exchange, as_exchange, binding
from .queue import Queue

__all__ = ["Entity", "Exchange", "Queue", "as_exchange", "binding"]
