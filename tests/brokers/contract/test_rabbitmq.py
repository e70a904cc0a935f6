"""
The contract on a real RabbitMQ, over the native transport.
"""

from __future__ import annotations

from tests.contract import suite as contract_suite
from tests.contract.capabilities import AMQP
from tests.support.rabbitmq import rabbitmq
from txkombu.interfaces import IBrokerTransport
from txkombu.transport.amqp.native import AmqpTransport
from txkombu.url import Parameters, parse_url


class RabbitMQ:
    """Connects to the RabbitMQ of this run."""

    abilities = AMQP
    transport: IBrokerTransport
    parameters: Parameters

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.transport = AmqpTransport()
        self.parameters = parse_url(rabbitmq().url)
        self.clock = reactor


globals().update(contract_suite.cases(RabbitMQ, __name__))
