"""
The conformance suite on a real RabbitMQ, over the native transport.
"""

from __future__ import annotations

from . import conformance
from .abilities import AMQP
from .brokers import rabbitmq


class RabbitMQ:
    """Connects to the RabbitMQ of this run."""

    abilities = AMQP
    url: str

    def setUp(self) -> None:
        self.url = rabbitmq().url
        super().setUp()  # type: ignore[misc]  # the case's


globals().update(conformance.cases(RabbitMQ, __name__))
