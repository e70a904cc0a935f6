"""Producer.maybe_declare, on the memory broker under a Clock."""

from __future__ import annotations

from typing import Any

from txkombu import Exchange, Producer, Queue
from txkombu.exceptions import PreconditionFailed, SessionLost
from txkombu.testing import BrokerTestCase

FEED = Exchange("feed", "direct")


class MaybeDeclareTests(BrokerTestCase):
    """What is declared, and what is known to be there."""

    def setUp(self) -> None:
        """Make a producer, and a connection of somebody else."""
        super().setUp()
        self.producer = Producer(self.connection)
        self.other = self.connect()

    def declare(self, entity: Any, **options: Any) -> bool:
        """Return what C{maybe_declare} fires with."""
        return self.result_of(self.producer.maybe_declare(entity, **options))

    def test_once(self) -> None:
        """A queue is declared with its exchange and binding, and then known."""
        queue = Queue("feed", FEED, "importer")
        self.assertEqual([self.declare(queue) for _ in range(3)], [True, False, False])
        self.result_of(self.producer.publish(1, "importer", exchange="feed"))
        self.assertEqual(self.broker.waiting_in("feed"), 1)

    def test_exchange(self) -> None:
        """So is an exchange, whatever exchange the producer has."""
        self.assertTrue(self.declare(FEED))
        self.assertFalse(self.declare(FEED))
        self.result_of(FEED(self.other).declare(passive=True))

    def test_server_named(self) -> None:
        """A queue that the broker names has its name then."""
        queue = Queue("", exclusive=True)
        self.assertTrue(self.declare(queue))
        self.assertIn("amq.gen", queue.name)

    def test_may_be_gone(self) -> None:
        """What the broker may have deleted by itself is declared each time."""
        queue = Queue("brief", auto_delete=True)
        self.assertEqual([self.declare(queue) for _ in range(2)], [True, True])

    def test_after_a_loss(self) -> None:
        """What was restored after a loss is known."""
        queue = Queue("feed")
        self.declare(queue)
        self.broker.drop()
        waiting = self.producer.maybe_declare(queue)
        self.advance(2)
        self.assertIs(self.successResultOf(waiting), False)

    def test_refused(self) -> None:
        """It fails with the broker's refusal, also with C{retry}."""
        self.result_of(Queue("feed")(self.other).declare())
        for retry in (False, True):
            with self.assertRaises(PreconditionFailed):
                self.declare(Queue("feed", durable=False), retry=retry)

    def test_lost_meanwhile(self) -> None:
        """A loss fails it; with C{retry} it is repeated in the next session."""
        queue = Queue("feed")
        self.result_of(self.connection.connect())
        self.result_of(self.producer.channel.queue_declare(Queue("opened")))
        told: list[float] = []
        once = self.producer.maybe_declare(queue)
        again = self.producer.maybe_declare(
            queue,
            retry=True,
            interval_start=3,
            errback=lambda _, wait: told.append(wait),
        )
        self.broker.drop()
        self.advance(5)
        self.failureResultOf(once, SessionLost)
        self.assertIs(self.successResultOf(again), True)
        self.assertEqual(told, [1])
        self.assertEqual(self.broker.waiting_in("feed"), 0)

    def test_wrong_arguments(self) -> None:
        """What is neither, and an unknown part of a policy, raise TypeError at once."""
        for wrong in ("feed", None, 3):
            with self.assertRaisesRegex(TypeError, "exchanges and queues"):
                self.producer.maybe_declare(wrong)  # type: ignore[arg-type]  # on purpose
        with self.assertRaisesRegex(TypeError, "retries"):
            self.producer.maybe_declare(Queue("feed"), retry=True, retries=3)


class UndeclarableTests(BrokerTestCase):
    """An exchange with an argument that cannot be sent."""

    def test_each_time(self) -> None:
        """Each publish fails at once, and nothing waits behind it."""
        channel = self.result_of(self.connection.channel())
        self.result_of(Queue("jobs")(channel).declare())
        exchange = Exchange("undeclarable", arguments={"k": object()})
        bad, good = Producer(channel, exchange, routing_key="k"), Producer(channel)
        for _ in range(3):
            first, second = bad.publish("a"), bad.publish("b")
            other = good.publish("c", "jobs")
            self.flush()
            for each in (first, second):
                reason = self.failureResultOf(each, TypeError)
                self.assertIn("a object cannot be sent in a table", str(reason.value))
            self.successResultOf(other)
            failing = exchange(channel).declare()
            self.failureResultOf(failing, TypeError)
        self.assertEqual(self.broker.waiting_in("jobs"), 3)
