"""
C{amqp://}: the native Twisted transport for AMQP 0-9-1.
"""

from .transport import AmqpTransport

__all__ = ["AmqpTransport"]
