"""
What the native transport has to pass, txAMQP's client has to pass, too, on RabbitMQ.
"""

from __future__ import annotations

from tests.brokers.amqp.adapters.native_cases import CASES
from tests.support.adapters import borrowed
from tests.support.txamqp_peer import TXAMQP

globals().update(borrowed(TXAMQP, __name__, CASES))
