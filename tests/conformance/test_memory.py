"""
The conformance suite on the memory broker.
"""

from __future__ import annotations

from tests.conformance import suite as conformance_suite
from tests.contract.capabilities import MEMORY
from txkombu.transport.memory import forget_brokers


class Memory:
    """Connects to a memory broker that others know by its name, too."""

    abilities = MEMORY
    url = "memory://conformance"

    def setUp(self) -> None:
        forget_brokers()
        super().setUp()  # type: ignore[misc]  # the case's


globals().update(conformance_suite.cases(Memory, __name__))
