"""
The conformance suite on a real ActiveMQ, over STOMP.
"""

from __future__ import annotations

from tests.brokers.stomp import harness
from tests.conformance import suite as conformance_suite


class StompActiveMQ(harness.ConformingOnActiveMQ):
    """Connects to the ActiveMQ of this run."""


globals().update(conformance_suite.cases(StompActiveMQ, __name__))
