"""A shorter run of C{./run soak} on RabbitMQ."""

from __future__ import annotations

from random import SystemRandom

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.conformance.suite import program
from tests.soak.client import RECONNECT
from tests.soak.figures import Plan
from tests.soak.scenario import Run
from tests.soak.targets import on_rabbitmq
from tests.support.rabbitmq import fragile_rabbitmq


class SoakTests(TestCase):
    """A publisher and a consumer whose connections and broker fail all the time."""

    timeout = 300

    @program
    async def test_amqp(self) -> None:
        """
        Nothing is lost and nothing doubled unflagged while connections are cut at
        random and the broker is killed, and consuming goes on soon after each fault.
        """
        plan = Plan(messages=10_000, cuts=5, kills=1)
        seed = SystemRandom().randrange(2**32)
        run = Run(reactor, on_rabbitmq(fragile_rabbitmq(), "amqp"), plan, seed)
        figures = await run.run()
        self.assertEqual(figures.faults(plan, RECONNECT.max), [], str(figures))
