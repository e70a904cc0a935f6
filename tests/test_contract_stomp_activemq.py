"""
The contract on a real ActiveMQ, over STOMP.
"""

from __future__ import annotations

from . import contract, stomp_harness


class StompActiveMQ(stomp_harness.StompOnActiveMQ):
    """Connects to the ActiveMQ of this run."""


globals().update(contract.cases(StompActiveMQ, __name__))
