"""
The demo on RabbitMQ and ActiveMQ.
"""

from __future__ import annotations

from tests.documentation.demo import DemoCase
from tests.support.activemq import activemq
from tests.support.rabbitmq import rabbitmq

QUEUES = 'rabbit_amqqueue:list(<<"/">>)'


class DemoTests(DemoCase):
    """The demo as two processes."""

    def test_rabbitmq(self) -> None:
        """On a real broker it is two processes, and leaves nothing there."""
        broker = rabbitmq()
        done = self.run_demo(DEMO_BROKER=broker.url)
        lines = self.assert_shows(done, 20)
        self.assertNotIn("guest:guest", done.stdout)
        self.assertIn("The producer is process", done.stdout)
        self.assertRegex(lines[0], "^Feeds go through amqp://guest:\\*\\*@")
        self.assertNotIn("txkombu-demo", broker.evaluate(QUEUES))
        exchanges = broker.evaluate('rabbit_exchange:list(<<"/">>)')
        self.assertIn("amq.topic", exchanges)
        self.assertNotIn("txkombu-demo", exchanges)

    def test_stomp_on_rabbitmq(self) -> None:
        """Over STOMP it is the same."""
        broker = rabbitmq()
        done = self.run_demo(DEMO_BROKER=broker.stomp_url)
        lines = self.assert_shows(done, 20)
        self.assertRegex(lines[0], "^Feeds go through stomp://guest:\\*\\*@")
        self.assertNotIn("txkombu-demo", broker.evaluate(QUEUES))

    def test_stomp_on_activemq(self) -> None:
        """On ActiveMQ, too; it says what it cannot do there."""
        done = self.run_demo(DEMO_BROKER=activemq().stomp_url)
        lines = self.assert_shows(done, 20)
        self.assertRegex(
            lines[0], "^The broker will not delete the queue by itself: .*x-expires"
        )
        self.assertRegex(lines[-2], "^Queue 'txkombu-demo-.*' stays at the broker: ")
