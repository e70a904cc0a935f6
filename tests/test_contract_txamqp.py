"""
The contract on a real RabbitMQ, with txAMQP's client.
"""

from __future__ import annotations

from txkombu.interfaces import IBrokerTransport
from txkombu.transport.amqp.adapters.txamqp import TxAMQPTransport
from txkombu.url import Parameters, parse_url

from . import contract
from .abilities import TXAMQP as ABILITIES
from .brokers import rabbitmq
from .txamqp_peer import TXAMQP


class TxAMQP:
    """Connects to the RabbitMQ of this run."""

    abilities = ABILITIES
    transport: IBrokerTransport
    parameters: Parameters

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.transport = TxAMQPTransport()
        self.parameters = parse_url(TXAMQP.through(rabbitmq().url))
        self.clock = reactor


globals().update(contract.cases(TxAMQP, __name__))
