"""
The memory broker does what was recorded from RabbitMQ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios import Row, all_rows, expected, method_name
from tests.scenarios.steps import Scenario
from txkombu.transport.memory import MemoryBroker
from txkombu.url import Parameters

_ROUNDS = 10_000
_STEP = 0.002
"""Seconds that pass on the clock while nothing else happens."""


def run_on_memory(row: Row) -> list[str]:
    """Run a row on a broker of its own, as fast as its clock allows."""
    clock = Clock()
    broker = MemoryBroker(clock)
    parameters = Parameters("memory")
    outcome: list[Any] = []
    scenario = Scenario(
        row,
        clock,
        lambda listener: broker.connect(parameters, None, clock, listener),
    )
    scenario.run().addBoth(outcome.append)
    for _ in range(_ROUNDS):
        if outcome:
            break
        clock.advance(0)
        if not outcome:
            clock.advance(_STEP)
    (transcript,) = outcome
    if not isinstance(transcript, list):
        transcript.raiseException()
    assert not clock.getDelayedCalls(), clock.getDelayedCalls()
    return list(transcript)


def _test_on_memory(row: Row) -> Callable[[SynchronousTestCase], None]:
    def test(self: SynchronousTestCase) -> None:
        self.assertEqual(run_on_memory(row), expected()[row.title])

    test.__doc__ = f"{row.title}."
    return test


class MemoryScenarioTests(SynchronousTestCase):
    """The memory broker does what was recorded from RabbitMQ."""


for _number, _row in enumerate(all_rows(), 1):
    setattr(MemoryScenarioTests, method_name(_row, _number), _test_on_memory(_row))


class TableTests(SynchronousTestCase):
    """The table itself."""

    def test_size(self) -> None:
        """The table has at least sixty rows."""
        self.assertGreaterEqual(len(all_rows()), 60)

    def test_recorded(self) -> None:
        """Each row has a recorded outcome, and each outcome has a row."""
        self.assertEqual({row.title for row in all_rows()}, set(expected()))
