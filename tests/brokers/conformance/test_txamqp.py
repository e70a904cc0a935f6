"""
The conformance suite on a real RabbitMQ, with txAMQP's client.
"""

from __future__ import annotations

from tests.conformance import suite as conformance_suite
from tests.contract.capabilities import TXAMQP as ABILITIES
from tests.support.rabbitmq import rabbitmq
from tests.support.txamqp_peer import TXAMQP


class TxAMQP:
    """Connects to the RabbitMQ of this run."""

    abilities = ABILITIES
    url: str

    def setUp(self) -> None:
        self.url = TXAMQP.through(rabbitmq().url)
        super().setUp()  # type: ignore[misc]  # the case's


globals().update(conformance_suite.cases(TxAMQP, __name__))
