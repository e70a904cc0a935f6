"""
The contract on a real RabbitMQ, with txAMQP's client.
"""

from __future__ import annotations

from tests.contract import suite as contract_suite
from tests.contract.capabilities import TXAMQP as ABILITIES
from tests.support.rabbitmq import rabbitmq
from tests.support.txamqp_peer import TXAMQP
from txkombu.interfaces import IBrokerTransport
from txkombu.transport.amqp.adapters.txamqp import TxAMQPTransport
from txkombu.url import Parameters, parse_url


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


globals().update(contract_suite.cases(TxAMQP, __name__))
