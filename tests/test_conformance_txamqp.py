"""
The conformance suite on a real RabbitMQ, with txAMQP's client.
"""

from __future__ import annotations

from . import conformance
from .abilities import TXAMQP as ABILITIES
from .brokers import rabbitmq
from .txamqp_peer import TXAMQP


class TxAMQP:
    """Connects to the RabbitMQ of this run."""

    abilities = ABILITIES
    url: str

    def setUp(self) -> None:
        self.url = TXAMQP.through(rabbitmq().url)
        super().setUp()  # type: ignore[misc]  # the case's


globals().update(conformance.cases(TxAMQP, __name__))
