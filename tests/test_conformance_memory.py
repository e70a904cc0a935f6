"""
The conformance suite on the memory broker.
"""

from __future__ import annotations

from txkombu.transport.memory import forget_brokers

from . import conformance
from .abilities import MEMORY


class Memory:
    """Connects to a memory broker that others know by its name, too."""

    abilities = MEMORY
    url = "memory://conformance"

    def setUp(self) -> None:
        forget_brokers()
        super().setUp()  # type: ignore[misc]  # the case's


globals().update(conformance.cases(Memory, __name__))
