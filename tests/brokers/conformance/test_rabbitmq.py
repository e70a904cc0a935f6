"""
The conformance suite on a real RabbitMQ, over the native transport.
"""

from __future__ import annotations

from tests.conformance import suite as conformance_suite
from tests.contract.capabilities import AMQP
from tests.support.rabbitmq import rabbitmq


class RabbitMQ:
    """Connects to the RabbitMQ of this run."""

    abilities = AMQP
    url: str

    def setUp(self) -> None:
        self.url = rabbitmq().url
        super().setUp()  # type: ignore[misc]  # the case's


globals().update(conformance_suite.cases(RabbitMQ, __name__))
