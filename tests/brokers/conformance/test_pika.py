"""
The conformance suite on a real RabbitMQ, over pika.
"""

from __future__ import annotations

from tests.conformance import suite as conformance_suite
from tests.contract.capabilities import PIKA
from tests.support.rabbitmq import rabbitmq


class Pika:
    """Connects to the RabbitMQ of this run."""

    abilities = PIKA
    url: str

    def setUp(self) -> None:
        self.url = rabbitmq().url.replace("amqp", "pika", 1)
        super().setUp()  # type: ignore[misc]  # the case's


globals().update(conformance_suite.cases(Pika, __name__))
