"""
The contract between channels and transports, as tests.

They run on every broker: see L{cases}.  What a broker's transport cannot do is in
L{tests.abilities}; its tests are left out, and others show that it is refused.
"""

from __future__ import annotations

from .abilities import Abilities, fitting
from .contract_cancelling import CancelTests
from .contract_consuming import ConsumeTests
from .contract_death import CloseTests, DeathTests
from .contract_harness import Harness
from .contract_lacking import lacking
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

    @param broker: sets C{transport}, C{parameters} and C{clock} up; may override
        what L{Harness} has.
    @param module: the name of that module.
    """
    abilities: Abilities = getattr(broker, "abilities", Harness.abilities)
    made = {}
    for group in (*fitting(GROUPS, abilities), *lacking(abilities)):
        name = broker.__name__ + group.__name__
        made[name] = type(
            name, (broker, group), {"__doc__": group.__doc__, "__module__": module}
        )
    return made
