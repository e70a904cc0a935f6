"""
The contract on a real ActiveMQ, over STOMP.
"""

from __future__ import annotations

from tests.brokers.stomp import harness
from tests.contract import suite as contract_suite


class StompActiveMQ(harness.StompOnActiveMQ):
    """Connects to the ActiveMQ of this run."""


globals().update(contract_suite.cases(StompActiveMQ, __name__))
