"""
The conformance suite on the memory broker.
"""

from __future__ import annotations

from tests.conformance import failure_policies
from tests.conformance import suite as conformance_suite
from tests.contract.capabilities import MEMORY
from txkombu.transport.memory import forget_brokers


class Memory:
    """Connects to a memory broker by its name."""

    abilities = MEMORY
    url = "memory://conformance"

    def setUp(self) -> None:
        forget_brokers()
        super().setUp()  # type: ignore[misc]  # a method of the case


_CASES = (*conformance_suite.CASES, failure_policies.FailurePolicies)

globals().update(conformance_suite.cases(Memory, __name__, _CASES))
