"""
STOMP 1.2, for RabbitMQ's plugin and for ActiveMQ Classic.
"""

from __future__ import annotations

from .transport import StompTransport

__all__ = ["StompTransport"]
