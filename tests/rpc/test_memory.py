"""
Request and reply on the memory broker, with the real reactor.
"""

from __future__ import annotations

from tests.conformance import suite as conformance_suite
from tests.contract.capabilities import MEMORY
from tests.rpc.suite import CALLS
from txkombu.transport.memory import forget_brokers


class Memory:
    """Connects to a memory broker by its name."""

    abilities = MEMORY
    url = "memory://rpc"

    def setUp(self) -> None:
        forget_brokers()
        super().setUp()  # type: ignore[misc]  # a method of the case


globals().update(conformance_suite.cases(Memory, __name__, CALLS))
