"""
How tests are selected for a transport.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.contract import suite as contract_suite
from tests.contract.capabilities import (
    AMQP,
    MEMORY,
    PIKA,
    TABLE,
    TXAMQP,
    Abilities,
    fitting,
    needs,
)
from tests.contract.unsupported import REFUSED, lacking
from txkombu.interfaces import Capability


class Group:
    """Two tests, and another attribute."""

    other = 1

    def test_get(self) -> None:
        """Run by every transport."""

    @needs(Capability.GET, Capability.CONFIRM)
    def test_needing(self) -> None:
        """Run by some transports."""


class Needing:
    """A group that only some transports run."""

    @needs(Capability.GET)
    def test_get(self) -> None:
        """Gets something."""


FULL = Abilities("full", "full")
HOLED = Abilities("holed", "holed", {Capability.GET: "a hole"})


class FittingTests(SynchronousTestCase):
    """Tests that a transport cannot run are left out."""

    def test_all(self) -> None:
        """A transport that can do everything runs all tests, unchanged."""
        self.assertEqual(fitting([Group, Needing], FULL), [Group, Needing])

    def test_some(self) -> None:
        """A transport that lacks something that a test needs does not run the test."""
        (left,) = fitting([Group, Needing], HOLED)
        self.assertEqual(left.__name__, "Group")
        self.assertTrue(hasattr(left, "test_get") and hasattr(left, "other"))
        self.assertFalse(hasattr(left, "test_needing"))
        self.assertTrue(hasattr(Group, "test_needing"))

    def test_capabilities(self) -> None:
        """A session can do everything except what its transport lacks."""
        self.assertEqual(FULL.capabilities, frozenset(Capability))
        self.assertEqual(frozenset(Capability) - HOLED.capabilities, {Capability.GET})

    def test_lacking(self) -> None:
        """For what a transport lacks there is a test that shows it."""
        self.assertEqual(lacking(FULL), [])
        (group,) = lacking(HOLED)
        tests = [name for name in vars(group) if name.startswith("test_")]
        self.assertEqual(tests, ["test_get"])


class TableTests(SynchronousTestCase):
    """The table of what transports can do."""

    def test_amqp(self) -> None:
        """
        AMQP transports, and the memory broker, lack nothing, so they run all tests.
        """
        for abilities in (MEMORY, AMQP, TXAMQP, PIKA):
            self.assertEqual(abilities.lacks, {})
            self.assertEqual(
                fitting(contract_suite.GROUPS, abilities), [*contract_suite.GROUPS]
            )

    def test_shown(self) -> None:
        """Every operation that a transport lacks can be shown to be refused."""
        no_operations = {Capability.QUEUE_COUNTS, Capability.DIRECT_REPLY_TO}
        shown = {*REFUSED, *no_operations}
        for abilities in TABLE:
            lacked = {each for each in abilities.lacks if isinstance(each, Capability)}
            self.assertLessEqual(lacked, shown, abilities.title)

    def test_reasons(self) -> None:
        """Everything that a transport lacks has a reason."""
        for abilities in TABLE:
            for ability, why in abilities.lacks.items():
                self.assertGreater(len(why), 10, ability)
