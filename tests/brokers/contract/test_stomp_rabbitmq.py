"""
The contract on a real RabbitMQ, over STOMP.
"""

from __future__ import annotations

from tests.brokers.stomp import harness
from tests.contract import suite as contract_suite


class StompRabbitMQ(harness.StompOnRabbitMQ):
    """Connects to the RabbitMQ of this run."""


globals().update(contract_suite.cases(StompRabbitMQ, __name__))
