"""STOMP 1.2: RabbitMQ and ActiveMQ Classic."""

from __future__ import annotations

from .session import StompTransport

__all__ = ["StompTransport"]
