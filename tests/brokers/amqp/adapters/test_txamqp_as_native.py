"""
The tests of the native transport on RabbitMQ, on txAMQP's client.
"""

from __future__ import annotations

from tests.brokers.amqp.adapters.native_cases import CASES
from tests.support.adapters import borrowed
from tests.support.txamqp_peer import TXAMQP

globals().update(borrowed(TXAMQP, __name__, CASES))
