"""What a client holds after many reconnects to RabbitMQ."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.conformance.suite import program
from tests.soak.reconnects import reconnect
from tests.soak.targets import on_rabbitmq
from tests.support.rabbitmq import rabbitmq


class ReconnectTests(TestCase):
    """
    A consumer and a producer in a process of their own.  C{./run test-brokers} has
    1,000 reconnects, and C{./run soak} has them over each transport.
    """

    timeout = 300

    @program
    async def test_amqp(self) -> None:
        """After 300 reconnects a client holds no more than after 100."""
        target = on_rabbitmq(rabbitmq(), "amqp")
        growth = await reconnect(reactor, target, 100, 300)
        self.assertEqual(growth.faults(), [], str(growth))
