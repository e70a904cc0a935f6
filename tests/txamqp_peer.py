"""
txAMQP's client, for the tests.
"""

from __future__ import annotations

from txkombu.transport.amqp.adapters.txamqp import TxAMQPTransport

from .adapted import Adapter

TXAMQP = Adapter("txamqp", TxAMQPTransport)
