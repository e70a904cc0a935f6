"""Consumers of many queues, which are started together."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txkombu import Channel, Consumer, Exchange, Queue
from txkombu.exceptions import NotFound
from txkombu.testing import BrokerTestCase

NAMES = [f"q{number}" for number in range(30)]


class ManyQueuesTests(BrokerTestCase, SynchronousTestCase):
    """A consumer of many queues."""

    def setUp(self) -> None:
        super().setUp()
        self.channel = Channel(self.connection)
        for name in NAMES:
            self.channel.queue_declare(Queue(name, Exchange("")))
        self.flush()

    def consumer(self, names: list[str]) -> Consumer:
        """Return a consumer that declares nothing."""
        return Consumer(
            self.channel,
            [Queue(each, Exchange("")) for each in names],
            auto_declare=False,
            callbacks=[lambda body, message: message.ack()],
        )

    def consumed(self) -> list[str]:
        """Return which queues have a consumer at the broker."""
        memory = self.broker.memory
        return [name for name in NAMES if memory.queue(name).consumer_count]

    def test_started_at_once(self) -> None:
        """All are started before the broker has answered for the first."""
        self.consumer(NAMES).consume()
        self.assertEqual(self.consumed(), NAMES)
        self.flush()

    def test_other_prefetch_at_once(self) -> None:
        """All are started again together when the prefetch count changes."""
        consumer = self.consumer(NAMES)
        consumer.consume()
        self.flush()
        changing = consumer.qos(prefetch_count=7)
        limits = {
            each.limit
            for name in NAMES
            for each in self.broker.memory.queue(name).consumers[1:]
        }
        self.assertEqual(limits, {7})
        self.flush()
        self.successResultOf(changing)
        self.assertEqual(self.consumed(), NAMES)

    def test_some_refused(self) -> None:
        """Where some are refused, the first refusal is told and the others run."""
        names = ["none", *NAMES[:10], "neither", *NAMES[10:]]
        consumer = self.consumer(names)
        starting = consumer.consume()
        self.flush()
        for _ in range(60):
            self.advance(1)
        error = self.failureResultOf(starting, NotFound).value
        self.assertIn("'none'", str(error))
        self.assertEqual(self.consumed(), NAMES)
        self.assertFalse(consumer.consuming_from("neither"))

    def test_same_name_twice(self) -> None:
        """Two queues of one name have one consumer."""
        consumer = self.consumer([NAMES[0], NAMES[0]])
        consumer.consume()
        self.flush()
        self.assertEqual(self.broker.memory.queue(NAMES[0]).consumer_count, 1)

    def test_restored_at_once(self) -> None:
        """After a loss all are started again, the first of them not before others."""
        consumer = self.consumer(NAMES)
        consumer.consume()
        self.flush()
        self.broker.drop()
        self.advance(60)
        self.assertEqual(self.consumed(), NAMES)
        self.assertTrue(consumer.is_consuming)

    def test_cancel_by_queue(self) -> None:
        """Queues are dropped by their names in any order."""
        consumer = self.consumer(NAMES)
        consumer.consume()
        self.flush()
        for name in (NAMES[3], NAMES[-1], NAMES[0]):
            consumer.cancel_by_queue(name)
        self.flush()
        left = [name for name in NAMES if name not in (NAMES[3], NAMES[-1], NAMES[0])]
        queues = list(consumer.queues)  # type: ignore[arg-type]  # a list by now
        self.assertEqual([each.name for each in queues], left)
        self.assertEqual(self.consumed(), left)
