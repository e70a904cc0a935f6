"""
The contract between channels and transports, as tests.

They run on every broker: see L{cases}.
"""

from __future__ import annotations

from .contract_cancelling import CancelTests
from .contract_consuming import ConsumeTests
from .contract_death import CloseTests, DeathTests
from .contract_harness import Harness
from .contract_publishing import PublishTests, VerdictTests
from .contract_settling import GetTests, SettleTests
from .contract_topology import ExchangeTests, InterfaceTests, QueueTests

GROUPS: tuple[type[Harness], ...] = (
    InterfaceTests,
    ExchangeTests,
    QueueTests,
    PublishTests,
    VerdictTests,
    ConsumeTests,
    GetTests,
    SettleTests,
    DeathTests,
    CloseTests,
    CancelTests,
)


def cases(broker: type, module: str) -> dict[str, type]:
    """
    Make the test cases of one broker; to be put among a module's names.

    @param broker: sets C{transport}, C{parameters} and C{clock} up.
    @param module: the name of that module.
    """
    made = {}
    for group in GROUPS:
        name = broker.__name__ + group.__name__
        made[name] = type(
            name, (broker, group), {"__doc__": group.__doc__, "__module__": module}
        )
    return made
