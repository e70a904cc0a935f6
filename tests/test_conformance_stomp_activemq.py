"""
The conformance suite on a real ActiveMQ, over STOMP.
"""

from __future__ import annotations

from . import conformance, stomp_harness


class StompActiveMQ(stomp_harness.ConformingOnActiveMQ):
    """Connects to the ActiveMQ of this run."""


globals().update(conformance.cases(StompActiveMQ, __name__))
