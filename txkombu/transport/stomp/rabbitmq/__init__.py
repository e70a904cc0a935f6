"""RabbitMQ's STOMP plugin."""

from __future__ import annotations

from .dialect import RabbitMQDialect

__all__ = ["RabbitMQDialect"]
