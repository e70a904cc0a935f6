"""
The contract on a real RabbitMQ, over the native transport.
"""

from __future__ import annotations

from txkombu.interfaces import IBrokerTransport
from txkombu.transport.amqp import AmqpTransport
from txkombu.url import Parameters, parse_url

from . import contract
from .abilities import AMQP
from .brokers import rabbitmq


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


globals().update(contract.cases(RabbitMQ, __name__))
