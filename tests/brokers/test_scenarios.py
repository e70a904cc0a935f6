"""
RabbitMQ still does what was recorded from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.trial.unittest import TestCase

from tests.scenarios import Row, all_rows, expected, method_name
from tests.scenarios.record import connector
from tests.scenarios.steps import Scenario
from tests.support.rabbitmq import rabbitmq

_LIMIT: Final = re.compile(r"\b(x-(?:expires|message-ttl)=)(\d+)")


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
    """Run a row, with pauses and limits of queues so many times as long."""
    from twisted.internet import reactor

    clock: Any = _Slower(reactor, factor)
    connect = connector(rabbitmq().url, cast("IReactorTime", reactor))
    scenario = Scenario(_slower(row, factor), clock, connect)
    transcript: list[str] = await scenario.run()
    return transcript


def _slower(row: Row, factor: int) -> Row:
    if row.group != "limits":  # others have such arguments only to see them refused
        return row
    steps = (
        _LIMIT.sub(lambda found: f"{found[1]}{int(found[2]) * factor}", step)
        for step in row.steps
    )
    return Row(row.title, row.group, tuple(steps))


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


class RabbitMQScenarioTests(TestCase):
    """RabbitMQ still does what was recorded from it."""

    timeout = 300.0


for _number, _row in enumerate(all_rows(), 1):
    setattr(RabbitMQScenarioTests, method_name(_row, _number), _test_on_rabbitmq(_row))
