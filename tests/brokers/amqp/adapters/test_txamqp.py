"""
Programs over txAMQP's client and RabbitMQ.
"""

from __future__ import annotations

from tests.brokers.amqp.adapters.program_cases import programs
from tests.support.txamqp_peer import TXAMQP

globals().update(programs(TXAMQP, __name__))
