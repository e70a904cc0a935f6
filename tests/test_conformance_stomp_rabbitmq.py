"""
The conformance suite on a real RabbitMQ, over STOMP.
"""

from __future__ import annotations

from . import conformance, stomp_harness


class StompRabbitMQ(stomp_harness.ConformingOnRabbitMQ):
    """Connects to the RabbitMQ of this run."""


globals().update(conformance.cases(StompRabbitMQ, __name__))
