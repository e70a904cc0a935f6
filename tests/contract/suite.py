"""
The contract between channels and transports, as tests.

They run on every broker, by L{cases}.  L{tests.contract.capabilities} lists what a
transport cannot do on a broker; these tests are left out, and others show that the
transport refuses it.
"""

from __future__ import annotations

from tests.contract.cancelling import CancelTests
from tests.contract.capabilities import Abilities, fitting
from tests.contract.consuming import ConsumeTests
from tests.contract.harness import Harness
from tests.contract.loss import CloseTests, DeathTests
from tests.contract.publishing import PublishTests, VerdictTests
from tests.contract.settling import GetTests, SettleTests
from tests.contract.topology import ExchangeTests, InterfaceTests, QueueTests
from tests.contract.unsupported import lacking

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
    Make the test cases of one broker, to be added to a module's names.

    @param broker: a class that sets C{transport}, C{parameters} and C{clock}, and may
        override members of L{Harness}.
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
