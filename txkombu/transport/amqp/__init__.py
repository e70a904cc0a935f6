"""
C{amqp://}: the native Twisted transport for AMQP 0-9-1.
"""

from .native import AmqpTransport

__all__ = ["AmqpTransport"]
