"""
The contract on the memory broker.
"""

from __future__ import annotations

from tests.contract import suite as contract_suite
from tests.contract.capabilities import MEMORY
from txkombu.interfaces import IBrokerTransport
from txkombu.transport.memory import MemoryBroker
from txkombu.url import Parameters, parse_url


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


globals().update(contract_suite.cases(Memory, __name__))
