"""
The contract on a real RabbitMQ, over pika.
"""

from __future__ import annotations

from tests.contract import suite as contract_suite
from tests.contract.capabilities import PIKA
from tests.support.rabbitmq import rabbitmq
from txkombu.interfaces import IBrokerTransport
from txkombu.transport.amqp.adapters.pika import PikaTransport
from txkombu.url import Parameters, parse_url


class Pika:
    """Connects to the RabbitMQ of this run."""

    abilities = PIKA
    transport: IBrokerTransport
    parameters: Parameters

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.transport = PikaTransport()
        self.parameters = parse_url(rabbitmq().url.replace("amqp", "pika", 1))
        self.clock = reactor


globals().update(contract_suite.cases(Pika, __name__))
