"""
The conformance suite on a real RabbitMQ, over pika.
"""

from __future__ import annotations

from . import conformance
from .abilities import PIKA
from .brokers import rabbitmq


class Pika:
    """Connects to the RabbitMQ of this run."""

    abilities = PIKA
    url: str

    def setUp(self) -> None:
        self.url = rabbitmq().url.replace("amqp", "pika", 1)
        super().setUp()  # type: ignore[misc]  # the case's


globals().update(conformance.cases(Pika, __name__))
