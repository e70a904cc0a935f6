"""
txAMQP's client, for the tests.
"""

from __future__ import annotations

from tests.support.adapters import Adapter
from txkombu.transport.amqp.adapters.txamqp import TxAMQPTransport

TXAMQP = Adapter("txamqp", TxAMQPTransport)
