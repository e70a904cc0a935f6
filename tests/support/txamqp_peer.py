"""
A peer for the sessions that run on txAMQP's client.
"""

from __future__ import annotations

from tests.support.adapters import Adapter
from txkombu.transport.amqp.adapters.txamqp import TxAMQPTransport

TXAMQP = Adapter("txamqp", TxAMQPTransport)
