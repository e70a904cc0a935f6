"""What services tell of themselves."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txkombu import BrokerConnection, Consumer, Message, Producer, Queue
from txkombu.core.channel import Channel
from txkombu.core.lifecycle import State
from txkombu.exceptions import SessionLost
from txkombu.policy import retry
from txkombu.service import ConsumerService, PublisherService, consumer
from txkombu.service.health import ConsumerHealth, ServiceHealth
from txkombu.testing import BrokerTestCase

QUEUE = Queue("work")
START = 1_700_000_000.0


class Worker(Consumer):
    """Keeps a message until the test ends it, and fails with text."""

    queues = QUEUE
    prefetch_count = 2
    on_failure = retry(delay=60)
    waiting: Deferred[None]

    def receive(self, body: object, message: Message) -> object:
        """Wait for the test's word."""
        if isinstance(body, str):
            raise ValueError(body)
        self.waiting = Deferred()
        return self.waiting.addCallback(lambda _: message.ack())


class HealthTests(BrokerTestCase):
    """``ConsumerService.health``."""

    def setUp(self) -> None:
        super().setUp()
        self.clock.advance(START)
        self.workers: list[Worker] = []
        self.publisher = PublisherService(self.connect(name="the publisher"))
        self.service = ConsumerService(
            self.connect(name="the consumers"), self.worker, publisher=self.publisher
        )
        self.addCleanup(self.end)

    def worker(self, channel: Channel) -> Worker:
        self.workers.append(Worker(channel))
        return self.workers[-1]

    def end(self) -> None:
        self.service.stopService()
        self.flush()

    def start(self) -> ServiceHealth:
        self.service.startService()
        self.flush()
        return self.service.health

    def publish(self, body: object) -> None:
        producer = Producer(self.connection, routing_key="work")
        self.result_of(producer.publish(body))
        self.flush()

    @property
    def consumer(self) -> ConsumerHealth:
        (only,) = self.service.health.consumers
        return only

    def test_before_the_start(self) -> None:
        """It runs not, and says so; nothing is connected for that."""
        health = self.service.health
        self.assertEqual(health.reasons, ["the service is not running"])
        self.assertTrue(health.live)
        self.assertEqual(health.consumers, ())
        self.assertIs(health.connection.state, State.IDLE)
        self.assertEqual(health.connection.name, "the consumers")
        self.assertFalse(self.connection.connected)

    def test_all_is_well(self) -> None:
        """It consumes, both connections are up, and there is no reason against it."""
        health = self.start()
        self.assertEqual(health.reasons, [])
        self.assertTrue(health.consuming)
        self.assertTrue(health.connection.connected)
        assert health.publisher is not None
        self.assertTrue(health.publisher.connection.connected)
        self.assertEqual(health.publisher.connection.name, "the publisher")
        self.assertEqual(health.publisher.unconfirmed, 0)
        self.assertEqual(
            self.consumer,
            ConsumerHealth("Worker", ("work",), True, 0, 0, False, None, None),
        )

    def test_messages(self) -> None:
        """It tells the messages that are handled, wait for a retry, and came last."""
        self.start()
        self.advance(10)
        self.publish(1)
        self.assertEqual(self.consumer.running, 1)
        self.assertEqual(self.consumer.last_delivery, START + 10)
        self.advance(10)
        self.publish("wrong")
        self.assertEqual(self.consumer.retrying, 1)
        self.assertFalse(self.consumer.stuck)
        self.assertEqual(self.consumer.last_delivery, START + 20)
        self.workers[0].waiting.callback(None)
        self.publish("wrong too")
        self.assertTrue(self.consumer.stuck)
        self.assertEqual(self.service.health.reasons, [])
        self.flushed_errors()

    def flushed_errors(self) -> None:
        self.flushLoggedErrors(ValueError)

    def test_loss(self) -> None:
        """It tells which consumer does not consume, and why, and counts reconnects."""
        self.start()
        self.service.connection.drop()
        health = self.service.health
        (reason,) = health.reasons
        self.assertIn("consumer Worker does not consume: ", reason)
        self.assertIsInstance(health.last_error, SessionLost)
        self.advance(10)
        health = self.service.health
        self.assertEqual(health.reasons, [])
        self.assertEqual(health.connection.reconnects, 1)

    def test_publisher_lost(self) -> None:
        """A publisher that is not connected is a reason."""
        self.start()
        self.publisher.connection.drop()
        (reason,) = self.service.health.reasons
        self.assertIn("the publisher is not connected: SessionLost: ", reason)
        self.advance(10)
        self.assertEqual(self.service.health.reasons, [])

    def test_halted(self) -> None:
        """What halted it is the only reason, and it is not live."""
        self.start()
        self.service.halt(ValueError("two\nlines"))
        self.flush()
        health = self.service.health
        self.assertFalse(health.live)
        self.assertEqual(
            health.reasons, ["the service has halted: ValueError: two lines"]
        )
        self.flushed_errors()

    def test_names(self) -> None:
        """Consumers have different names, those of their classes or functions."""

        @consumer(QUEUE)
        def handle(body: object, message: Message) -> None:
            """Do nothing."""

        service = ConsumerService(self.connect(), [Worker, handle, Worker, handle])
        service.startService()
        self.flush()
        names = [each.name for each in service.health.consumers]
        inner = "HealthTests.test_names.<locals>.handle"
        self.assertEqual(names, ["Worker", inner, "Worker-2", f"{inner}-2"])
        service.stopService()
        self.flush()

    def test_after_another_start(self) -> None:
        """Values are those of the connections in use."""
        self.start()
        self.end()
        health = self.start()
        self.assertEqual(health.reasons, [])
        self.assertEqual(len(health.consumers), 1)

    def test_password(self) -> None:
        """The broker is told without password."""
        connection = BrokerConnection("amqp://ann:secret@host//", reactor=self.clock)
        service = ConsumerService(connection, Worker)
        self.assertIn("ann", service.health.connection.broker)
        self.assertNotIn("secret", repr(service.health))
