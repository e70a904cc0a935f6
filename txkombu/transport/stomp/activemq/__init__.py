"""STOMP as ActiveMQ Classic speaks it."""

from .dialect import ActiveMQDialect

__all__ = ["ActiveMQDialect"]
