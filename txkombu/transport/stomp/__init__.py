"""
STOMP 1.2: RabbitMQ and ActiveMQ Classic.
"""

from __future__ import annotations

from .transport import StompTransport

__all__ = ["StompTransport"]
