"""What takes too long for each run of the suite, on Debian's RabbitMQ."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.brokers.recovery import test_stopping as stopping
from tests.conformance.suite import program
from tests.soak.reconnects import reconnect
from tests.soak.targets import on_rabbitmq
from tests.support.rabbitmq import rabbitmq


class ReconnectTests(TestCase):
    """A consumer and a producer in a process of their own."""

    timeout = 300

    @program
    async def test_amqp(self) -> None:
        """After 1,000 reconnects a client holds no more than after 200."""
        target = on_rabbitmq(rabbitmq(), "amqp")
        growth = await reconnect(reactor, target, 200, 1000)
        self.assertEqual(growth.faults(), [], str(growth))


class AllStoppingTests(stopping.StoppingTests):
    """Both kinds of programs over each transport, in all states."""

    connecting = stopping.SCHEMES, stopping.SCHEMES
    away = stopping.SCHEMES, stopping.SCHEMES
