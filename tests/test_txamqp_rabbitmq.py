"""
What programs do with txAMQP's client and RabbitMQ.
"""

from __future__ import annotations

from .adapted_rabbitmq import programs
from .txamqp_peer import TXAMQP

globals().update(programs(TXAMQP, __name__))
