"""
Services that stop, and what they tell of themselves, over each transport that has
sockets.
"""

from __future__ import annotations

from typing import ClassVar

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import Probe
from tests.service import test_consumer_service
from tests.service.scripted_brokers import AmqpScript, Script, StompScript
from txkombu import BrokerConnection, Producer, Queue
from txkombu.core.channel import Channel
from txkombu.exceptions import ConnectionClosed, NotSent, OutcomeUnknown, SessionLost
from txkombu.service import ConsumerService, PublisherService

SHUTDOWN = 20
"""Seconds that handlers have to finish."""
SILENCE = 20
"""Seconds that a broker has in all that answers nothing."""


class Worker(test_consumer_service.Worker):
    """Handles two messages of a queue at a time, each until the test ends it."""

    queues = Queue("work")

    def fail(self) -> None:
        """Let the handlers at work fail."""
        ends, self._ends = self._ends, []
        for end in ends:
            end.errback(RuntimeError("no database"))


class AmqpTests(SynchronousTestCase):
    """
    Over the AMQP transport of our own; the others do the same.

    @cvar scheme: of the URL.
    @cvar returns_at_once: whether messages go back before the consumer's socket ends.
    """

    scheme: ClassVar[str] = "amqp"
    returns_at_once: ClassVar[bool] = True

    def script(self) -> Script:
        """Return the broker."""
        return AmqpScript()

    def connect(self) -> BrokerConnection:
        """Return a connection to the broker."""
        url = f"{self.scheme}://localhost/?heartbeat=0"
        return BrokerConnection(url, endpoint=self.broker, reactor=self.clock)

    def setUp(self) -> None:
        self.clock = Clock()
        self.broker = self.script()
        self.workers: list[Worker] = []

    def worker(self, channel: Channel) -> Worker:
        """Make a worker."""
        self.workers.append(Worker(channel))
        return self.workers[-1]

    def pass_time(self, seconds: float = 0) -> None:
        """Let time pass, and the broker answer."""
        for step in (0.0, *[0.5] * round(seconds * 2)):
            self.clock.advance(step)
            self.broker.answer()
            self.clock.advance(0)
            self.broker.answer()

    def consuming(self) -> ConsumerService:
        """Return a service that handles two messages, and has two more."""
        service = ConsumerService(self.connect(), self.worker, None, SHUTDOWN)
        service.startService()
        self.pass_time(1)
        assert service.consuming
        self.broker.deliver("a", "b", "c", "d")
        self.pass_time()
        assert self.workers[0].begun == ["a", "b"]
        self.broker.told.clear()
        return service

    def publish(self, connection: BrokerConnection) -> Probe:
        """Publish on a channel of its own."""
        return Probe(Producer(connection).publish("x", "other", timeout=300))

    def assert_gone(self, stopped: Probe) -> None:
        """The service has stopped, and has left no socket and no timer."""
        self.assertEqual(stopped.outcomes, [None])
        self.assertEqual([each for each in self.broker.lines if each.is_open], [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_order(self) -> None:
        """
        The consumer is cancelled, what was not begun with goes back, what was begun
        with ends and is acknowledged, publishes have their verdicts; then channel,
        session and socket are closed.
        """
        service = self.consuming()
        self.broker.holds_confirms = True
        sent = self.publish(service.connection)
        stopped = Probe(service.stopService())
        self.pass_time(SHUTDOWN - 1)
        at_once = ["cancel", "return c", "return d"] if self.returns_at_once else []
        told = self.broker.told
        self.assertEqual([each for each in told if each != "publish"], at_once)
        self.workers[0].finish()
        self.pass_time(4)
        self.assertEqual({"ack a", "ack b"} - set(told), set())
        self.assertNotIn("close the session", told)
        self.assertEqual((stopped.outcomes, sent.outcomes), ([], []))
        self.broker.confirm()
        self.pass_time(1)
        self.assertEqual(sent.outcomes, [None])
        self.assertEqual(self.workers[0].begun, ["a", "b"])
        self.assertNotIn("drop a socket", told)
        closed = told[-told[::-1].index("ack b") :]
        last = [each for each in closed if each.startswith("close")]
        self.assertEqual(last[-1], "close a socket")
        at = last.index("close the session")
        self.assertIn("close a channel", last[:at])
        self.assertNotIn("close a channel", last[at:])
        self.assert_gone(stopped)

    def test_health(self) -> None:
        """
        It tells a connection from consuming, and how many messages are at work and wait
        to be tried again.
        """
        service = self.consuming()
        [worker] = self.workers
        self.assertEqual((worker.running, worker.retrying), (2, 0))
        worker.fail()
        self.assertEqual((worker.running, worker.retrying), (2, 2))
        self.assertEqual(worker.begun, ["a", "b", "c", "d"])
        self.assertFalse(service.stuck)
        worker.fail()
        self.assertEqual((worker.running, worker.retrying), (0, 4))
        self.assertEqual(service.stuck, [worker])
        self.assertTrue(self.flushLoggedErrors(RuntimeError))
        worker.cancel()
        self.pass_time()
        self.assertEqual((service.connected, service.consuming), (True, False))
        self.assertEqual((worker.running, worker.retrying), (0, 0))
        worker.consume()
        self.pass_time(1)
        self.assertTrue(service.consuming)
        self.broker.lose()
        self.assertEqual((service.connected, service.consuming), (False, False))
        self.assertIsInstance(service.last_error, SessionLost)
        self.pass_time(5)
        self.assertEqual((service.connected, service.consuming), (True, True))
        self.assertIsNone(service.last_error)
        stopped = Probe(service.stopService())
        self.pass_time(1)
        self.assert_gone(stopped)

    def test_connection_closed(self) -> None:
        """
        A connection that a program closes is closed in the same order, but does not
        wait for handlers.
        """
        service = self.consuming()
        sent = self.publish(service.connection)
        Probe(service.connection.close())
        self.pass_time(1)
        self.assertEqual(sent.outcomes, [None])
        told = [each for each in self.broker.told if each != "publish"]
        if self.returns_at_once:
            self.assertEqual(told[:3], ["cancel", "return c", "return d"])
        self.assertEqual([each for each in told if each.startswith("ack")], [])
        self.assertNotIn("drop a socket", told)
        self.workers[0].finish()
        self.pass_time(SHUTDOWN)
        self.assert_gone(Probe(service.when_stopped()))
        self.assertEqual(len(self.flushLoggedErrors(ConnectionClosed)), 1)

    def test_handlers_that_do_not_end(self) -> None:
        """Handlers that take too long are left behind; all else is closed in order."""
        service = self.consuming()
        stopped = Probe(service.stopService())
        self.pass_time(SHUTDOWN - 1)
        self.assertFalse(stopped.fired)
        self.pass_time(2)
        told = self.broker.told
        self.assertIn("close the session", told)
        self.assertNotIn("drop a socket", told)
        self.assert_gone(stopped)
        self.workers[0].finish()
        self.pass_time()
        self.assertEqual([each for each in told if each.startswith("ack")], [])

    def test_silent(self) -> None:
        """A broker that answers nothing any more delays it; its sockets are dropped."""
        service = self.consuming()
        self.broker.holds_confirms = True
        sent = self.publish(service.connection)
        self.pass_time()
        self.broker.is_silent = True
        unsent = self.publish(service.connection)
        self.pass_time()
        stopped = Probe(service.stopService())
        self.workers[0].finish()
        self.pass_time(SILENCE)
        self.assertIsInstance(sent.outcome, OutcomeUnknown)
        self.assertIsInstance(unsent.outcome, NotSent)
        self.assertIn("drop a socket", self.broker.told)
        self.assert_gone(stopped)

    def test_falls_silent(self) -> None:
        """So it is if the broker falls silent while handlers end."""
        service = self.consuming()
        stopped = Probe(service.stopService())
        self.pass_time(5)
        self.broker.is_silent = True
        self.pass_time(5)
        self.workers[0].finish()
        self.pass_time(SILENCE)
        self.assert_gone(stopped)

    def test_second_stop(self) -> None:
        """A second stop neither hurries the first nor hangs it."""
        service = self.consuming()
        stopped = [Probe(service.stopService()) for _ in range(2)]
        self.pass_time(1)
        stopped.append(Probe(service.stopService()))
        self.assertEqual([each.outcomes for each in stopped], [[], [], []])
        self.workers[0].finish()
        self.pass_time(1)
        for each in stopped:
            self.assert_gone(each)
        self.assertEqual(self.broker.told.count("close the session"), 1)

    def test_lost_in_between(self) -> None:
        """A connection that breaks meanwhile hangs nothing; nobody consumes again."""
        service = self.consuming()
        stopped = Probe(service.stopService())
        self.pass_time(1)
        self.broker.lose()
        self.pass_time(3)
        self.assertFalse(stopped.fired)
        self.workers[0].finish()
        self.pass_time(1)
        self.assert_gone(stopped)
        self.assertEqual(self.workers[0].begun, ["a", "b"])
        self.assertFalse([each for each in self.broker.told if each.startswith("ack")])

    def test_reconnecting(self) -> None:
        """Between two attempts to connect it stops at once, and in one soon."""
        for refuses in (True, False):
            service = self.consuming()
            self.broker.refuses, self.broker.is_silent = refuses, not refuses
            self.broker.lose()
            self.pass_time(3)
            self.workers.pop().finish()
            stopped = Probe(service.stopService())
            self.pass_time(1)
            self.assert_gone(stopped)
            self.broker.refuses = self.broker.is_silent = False

    def test_publishers(self) -> None:
        """A service of publishers has its verdicts before it closes, or says so."""
        for answers in (True, False):
            service = PublisherService(self.connect(), None, SHUTDOWN)
            service.startService()
            self.pass_time(1)
            self.broker.told.clear()
            self.broker.holds_confirms = True
            sent = Probe(service.producer().publish("x", "other", timeout=300))
            stopped = Probe(service.stopService())
            self.pass_time(SHUTDOWN - 5)
            self.assertNotIn("close the session", self.broker.told)
            self.assertEqual((sent.outcomes, stopped.outcomes), ([], []))
            if answers:
                self.broker.confirm()
            self.pass_time(10)
            kind = type(None) if answers else OutcomeUnknown
            self.assertIs(type(sent.outcome), kind)
            if answers:
                self.assertIn("close the session", self.broker.told)
            self.assert_gone(stopped)


class TxAMQPTests(AmqpTests):
    """Over txAMQP."""

    scheme = "txamqp"


class PikaTests(AmqpTests):
    """Over Pika."""

    scheme = "pika"


class StompTests(AmqpTests):
    """Over STOMP, with RabbitMQ."""

    scheme = "stomp"

    def script(self) -> Script:
        return StompScript("RabbitMQ/3.10.8")


class ActiveMQTests(StompTests):
    """Over STOMP, with ActiveMQ, which has messages back when their socket ends."""

    returns_at_once = False

    def script(self) -> Script:
        return StompScript("ActiveMQ/5.17.2")
