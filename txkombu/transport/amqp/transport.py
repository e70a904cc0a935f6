"""
C{amqp://} and C{amqps://}: connecting to a broker that speaks AMQP 0-9-1.
"""

from __future__ import annotations

from ..model.transport import Transport
from .protocol import AmqpSession


class AmqpTransport(Transport):
    """The native transport; see L{IBrokerTransport}."""

    session = AmqpSession
