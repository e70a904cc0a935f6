"""
The table of scenarios, on the memory broker and on RabbitMQ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.brokers import rabbitmq
from tests.record_scenarios import connector
from tests.scenarios import Row, all_rows, expected
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


class _Slower:
    """A clock on which everything takes longer."""

    def __init__(self, clock: Any, factor: int) -> None:
        self._clock = clock
        self._factor = factor

    def callLater(self, delay: float, *call: Any, **named: Any) -> IDelayedCall:
        """Call something that much later."""
        delayed: IDelayedCall = self._clock.callLater(
            delay * self._factor, *call, **named
        )
        return delayed


async def run_on_rabbitmq(row: Row, factor: int) -> list[str]:
    """Run a row, with pauses so many times as long as it has them."""
    from twisted.internet import reactor

    clock: Any = _Slower(reactor, factor)
    connect = connector(rabbitmq().url, cast("IReactorTime", reactor))
    transcript: list[str] = await Scenario(row, clock, connect).run()
    return transcript


async def _check_on_rabbitmq(case: TestCase, row: Row) -> None:
    """
    Nothing tells when RabbitMQ has done what it does not answer: when it was too
    busy for the pauses of a row it is asked again, more slowly.
    """
    wanted = expected()[row.title]
    for factor in (1, 1, 5):
        if await run_on_rabbitmq(row, factor) == wanted:
            return
    case.assertEqual(await run_on_rabbitmq(row, 20), wanted)


def _test_on_rabbitmq(row: Row) -> Callable[[TestCase], Deferred[None]]:
    def test(self: TestCase) -> Deferred[None]:
        return Deferred.fromCoroutine(_check_on_rabbitmq(self, row))

    test.__doc__ = f"{row.title}."
    return test


def _method(row: Row, number: int) -> str:
    words = "".join(each if each.isalnum() else " " for each in row.title.lower())
    return f"test_{row.group}_{number:03}_{'_'.join(words.split())}"


class MemoryScenarioTests(SynchronousTestCase):
    """The memory broker does what was recorded from RabbitMQ."""


class RabbitMQScenarioTests(TestCase):
    """RabbitMQ still does what was recorded from it."""

    timeout = 300.0


for _number, _row in enumerate(all_rows(), 1):
    setattr(MemoryScenarioTests, _method(_row, _number), _test_on_memory(_row))
    setattr(RabbitMQScenarioTests, _method(_row, _number), _test_on_rabbitmq(_row))


class TableTests(SynchronousTestCase):
    """The table itself."""

    def test_size(self) -> None:
        """It has at least the sixty rows that were asked for."""
        self.assertGreaterEqual(len(all_rows()), 60)

    def test_recorded(self) -> None:
        """Each row has a recorded outcome, and each outcome has a row."""
        self.assertEqual({row.title for row in all_rows()}, set(expected()))
