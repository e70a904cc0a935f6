"""
The contract on a real RabbitMQ, over STOMP.
"""

from __future__ import annotations

from . import contract, stomp_harness


class StompRabbitMQ(stomp_harness.StompOnRabbitMQ):
    """Connects to the RabbitMQ of this run."""


globals().update(contract.cases(StompRabbitMQ, __name__))
