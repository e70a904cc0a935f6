"""
The contract on the memory broker.
"""

from __future__ import annotations

from txkombu.interfaces import IBrokerTransport
from txkombu.transport.memory import MemoryBroker
from txkombu.url import Parameters, parse_url

from . import contract
from .abilities import MEMORY


class Memory:
    """Makes a broker for each test."""

    abilities = MEMORY
    transport: IBrokerTransport
    parameters: Parameters

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.clock = reactor
        self.transport = MemoryBroker()
        self.parameters = parse_url("memory://")


globals().update(contract.cases(Memory, __name__))
