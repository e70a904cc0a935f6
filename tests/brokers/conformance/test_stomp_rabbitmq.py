"""
The conformance suite on a real RabbitMQ, over STOMP.
"""

from __future__ import annotations

from tests.brokers.stomp import harness
from tests.conformance import suite as conformance_suite


class StompRabbitMQ(harness.ConformingOnRabbitMQ):
    """Connects to the RabbitMQ of this run."""


globals().update(conformance_suite.cases(StompRabbitMQ, __name__))
