"""PublisherService: a connection to publish on that runs as a Twisted service."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue
from txkombu._util.timeouts import CLOSE_TIMEOUT
from txkombu.core.channel import Channel
from txkombu.core.lifecycle import State
from txkombu.exceptions import (
    AuthenticationFailed,
    BackpressureError,
    ConnectError,
    ConnectionClosed,
    InvalidURL,
    NotSent,
    NotSentInTime,
    Outcome,
    OutcomeUnknown,
    OutcomeUnknownInTime,
    SessionLost,
    TransportNotAvailable,
)
from txkombu.service import ConsumerService, PublisherService
from txkombu.service.broker_service import SHUTDOWN_TIMEOUT
from txkombu.testing import BrokerTestCase

NEWS = Queue("news", Exchange("news", type="direct"), "all")


def texts(events: Sequence[LogEvent], level: object) -> list[str]:
    """Return what was logged at this level."""
    return [
        str(formatEvent(event)) for event in events if event.get("log_level") is level
    ]


class Slow(Service):
    """
    Takes its time to stop.

    @ivar stops: how often it was told to stop.
    @ivar stopped: fires when the test lets it stop.
    """

    def __init__(self) -> None:
        self.stops = 0
        self.stopped: Deferred[None] = Deferred()

    def stopService(self) -> Deferred[None]:
        """Begin to stop."""
        super().stopService()
        self.stops += 1
        return self.stopped


class ServiceCase(BrokerTestCase):
    """Has a service, not started, and a queue."""

    def setUp(self) -> None:
        super().setUp()
        self.result_of(NEWS(self.connection).declare())
        self.result_of(self.connection.close())
        self.service = PublisherService(self.connect())
        self.addCleanup(self.end)

    def end(self) -> None:
        self.broker.release_confirms()
        self.service.stopService()
        self.flush()

    def start(self) -> None:
        self.service.startService()
        self.flush()

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.flush()

    def publish(self, body: object, **options: object) -> Deferred[None]:
        """Publish to the queue."""
        return self.service.publish(body, "all", exchange=NEWS.exchange, **options)

    def stop(self) -> list[None]:
        """Begin to stop; the list has an item when it has stopped."""
        stopped: list[None] = []
        self.service.stopService().addCallback(stopped.append)
        self.flush()
        return stopped

    @property
    def bodies(self) -> list[object]:
        """What was published."""
        return [each.payload for each in self.broker.published_to("news", "all")]

    def assert_gone(self) -> None:
        """Nothing of the service is left, at the broker or in the reactor."""
        self.assertFalse(self.service.connected)
        self.assertEqual(self.broker.sessions, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class StartTests(ServiceCase):
    """Starting, with and without a broker."""

    def test_interface(self) -> None:
        """It is an IService that a parent starts and stops."""
        self.assertTrue(verifyObject(IService, self.service))
        parent = MultiService()
        self.service.setServiceParent(parent)
        parent.startService()
        self.flush()
        self.assertTrue(self.service.connected)
        stopped = parent.stopService()
        self.flush()
        self.successResultOf(stopped)
        self.assert_gone()

    def test_connects(self) -> None:
        """It connects when it is started, without a publish."""
        self.service.startService()
        when = self.service.when_started()
        self.assertNoResult(when)
        self.flush()
        self.successResultOf(when)
        self.successResultOf(self.service.when_started())
        self.assertTrue(self.service.connected)
        self.assertIsNone(self.service.last_error)
        self.result_of(self.publish("one"))
        self.assertEqual(self.bodies, ["one"])
        self.assertEqual(len(self.broker.sessions), 1)

    def test_started_twice(self) -> None:
        """A second start changes nothing."""
        self.start()
        connection = self.service.connection
        self.start()
        self.assertIs(self.service.connection, connection)
        self.assertEqual(len(self.broker.sessions), 1)

    def test_published_before_the_start(self) -> None:
        """
        What is published before the start does not connect: it waits for the service,
        and is sent first.
        """
        first = self.publish("one")
        self.flush()
        self.pass_time(5)
        self.assertEqual(self.broker.sessions, [])
        self.assertEqual(self.service.unconfirmed, 1)
        self.service.startService()
        second = self.publish("two")
        self.result_of(first)
        self.result_of(second)
        self.assertEqual(self.bodies, ["one", "two"])
        self.assertEqual(self.service.unconfirmed, 0)

    def test_deadline_before_the_start(self) -> None:
        """It waits no longer than its deadline."""
        publishing = self.publish("one", timeout=7)
        self.pass_time(7)
        self.failureResultOf(publishing, NotSentInTime)

    def test_absent_broker(self) -> None:
        """
        An absent broker is tried again with growing waits and a line of the log each
        time; the error shows, and what is published waits.
        """
        self.broker.refuse(ConnectError("nobody is there"))
        with capturedLogs() as events:
            self.start()
            publishing = self.publish("one")
            when = self.service.when_started()
            self.pass_time(1.1)
            self.pass_time(0.1)
        lines = texts(events, LogLevel.warn)
        self.assertEqual(len(lines), 2)
        self.assertRegex(
            lines[0],
            r"^No connection to memory://: nobody is there; next attempt in \d\.\d s$",
        )
        self.assertFalse(self.service.connected)
        self.assertIs(self.service.connection.state, State.WAITING)
        self.assertIsInstance(self.service.last_error, ConnectError)
        self.assertNoResult(publishing)
        self.assertNoResult(when)
        self.broker.accept()
        with capturedLogs() as events:
            self.pass_time(2.1)
        self.assertIn("connected in 3.", "\n".join(texts(events, LogLevel.info)))
        self.successResultOf(publishing)
        self.successResultOf(when)
        self.assertTrue(self.service.connected)
        self.assertIsNone(self.service.last_error)
        self.assertEqual(self.bodies, ["one"])

    def test_deadline_without_broker(self) -> None:
        """What cannot be sent until its deadline is never sent."""
        self.broker.refuse()
        self.start()
        publishing = self.publish("one", timeout=2)
        declaring = self.publish("two", timeout=2, declare=[NEWS])
        self.pass_time(2)
        for each in (publishing, declaring):
            failure = self.failureResultOf(each, NotSentInTime)
            self.assertIs(failure.value.outcome, Outcome.NOT_SENT)
        self.broker.accept()
        self.pass_time(30)
        self.assertTrue(self.service.connected)
        self.assertEqual(self.bodies, [])

    def test_too_much_before(self) -> None:
        """What waits for the broker is bounded as ever."""
        self.broker.refuse()
        self.start()
        waiting = [self.publish(number) for number in range(10_000)]
        self.failureResultOf(self.publish("one more"), BackpressureError)
        for each in waiting:
            each.addErrback(lambda failure: failure.trap(NotSent))
        self.pass_time(30)

    def test_bad_credentials(self) -> None:
        """Refused credentials are tried again slowly; what is published waits."""
        self.broker.refuse(AuthenticationFailed("ACCESS_REFUSED"))
        with capturedLogs() as events:
            self.start()
            publishing = self.publish("one", timeout=60)
            self.pass_time(29)
        self.assertEqual(len(texts(events, LogLevel.warn)), 1)
        self.assertIsInstance(self.service.last_error, AuthenticationFailed)
        self.broker.accept()
        self.pass_time(1)
        self.successResultOf(publishing)

    def test_lost(self) -> None:
        """After a loss it connects by itself, and sends what waited."""
        self.start()
        self.broker.drop()
        self.assertFalse(self.service.connected)
        self.assertIsInstance(self.service.last_error, SessionLost)
        publishing = self.publish("one")
        self.flush()
        self.assertNoResult(publishing)
        self.pass_time(1)
        self.successResultOf(publishing)
        self.assertIsNone(self.service.last_error)

    def test_library_is_missing(self) -> None:
        """
        A transport whose library is not installed halts it: what waits fails with that.
        """
        error = TransportNotAvailable("not available here: no module named 'pika'")
        error.__cause__ = ImportError("no module named 'pika'")
        self.broker.refuse(error)
        publishing = self.publish("one")
        self.service.startService()
        when = self.service.when_started()
        stopped = self.service.when_stopped()
        self.flush()
        self.successResultOf(stopped)
        self.failureResultOf(when, ConnectionClosed)
        self.assertIs(self.failureResultOf(publishing).value, error)
        self.assertFalse(self.service.running)
        self.assertIs(self.service.halted, error)
        self.assertIs(self.service.last_error, error)
        [logged] = self.flushLoggedErrors(TransportNotAvailable)
        self.assertIs(logged.value, error)
        self.assert_gone()

    def test_fails_fast(self) -> None:
        """With wait_for_broker=False, a first attempt that fails halts it."""
        self.service = PublisherService(self.connect(wait_for_broker=False))
        self.broker.refuse()
        publishing = self.publish("one")
        self.start()
        self.failureResultOf(publishing, NotSent)
        self.assertFalse(self.service.running)
        self.assertIsInstance(self.service.halted, ConnectError)
        self.assertEqual(len(self.flushLoggedErrors(ConnectError)), 1)
        self.assert_gone()

    def test_transport_fails(self) -> None:
        """One that cannot be used for another reason is tried again."""
        self.broker.refuse(TransportNotAvailable("not available here: a fault"))
        self.start()
        self.assertTrue(self.service.running)
        self.assertIsInstance(self.service.last_error, TransportNotAvailable)
        self.broker.accept()
        self.pass_time(30)
        self.assertTrue(self.service.connected)
        self.assertIsNone(self.service.last_error)

    def test_connection_closed(self) -> None:
        """A connection that the program closes shows as an error."""
        self.start()
        self.result_of(self.service.connection.close())
        self.assertIn("not by the service", str(self.service.last_error))

    def test_connected_before(self) -> None:
        """A connection that is already up is used as it is."""
        connection = self.connect()
        self.result_of(connection.connect())
        self.service = PublisherService(connection)
        self.start()
        self.assertEqual(len(self.broker.sessions), 1)
        self.result_of(self.publish("one"))


class ProducerTests(ServiceCase):
    """What publishes through it."""

    def test_producer(self) -> None:
        """It makes producers with the arguments of Producer, each on its channel."""
        first = self.service.producer(NEWS.exchange, routing_key="all")
        second = self.service.producer(exchange="news", routing_key="all")
        self.assertIsNot(first.channel, second.channel)
        began = [first.publish("one"), second.publish("two")]
        self.start()
        for each in began:
            self.result_of(each)
        self.assertCountEqual(self.bodies, ["one", "two"])

    def test_subclass(self) -> None:
        """A subclass of Producer takes it as it takes a connection."""

        class NewsProducer(Producer):
            exchange = NEWS.exchange
            routing_key = "all"

        self.start()
        producer = NewsProducer(self.service)
        self.assertIs(producer.channel.connection, self.service.connection)
        self.result_of(producer.publish("one"))
        self.assertEqual(self.bodies, ["one"])

    def test_default_exchange(self) -> None:
        """C{publish} reaches a queue by its name, on one channel for all."""
        self.start()
        for body in ("one", "two"):
            self.result_of(self.service.publish(body, "news"))
        self.assertEqual(self.broker.waiting_in("news"), 2)
        self.assertEqual(len(self.service.connection.core.channels), 1)

    def test_url(self) -> None:
        """A URL makes a connection of its own, on the reactor that is passed."""
        service = PublisherService("memory://publisher", reactor=self.clock)
        self.assertEqual(service.connection.as_uri(), "memory://publisher")
        self.assertIs(service.connection.clock, self.clock)

    def test_wrong_arguments(self) -> None:
        """A wrong URL or timeout is refused."""
        with self.assertRaises(InvalidURL):
            PublisherService("amqq://localhost", reactor=Clock())
        with self.assertRaisesRegex(ValueError, "shutdown_timeout"):
            PublisherService(self.connection, shutdown_timeout=-1)

    def test_no_reactor_yet(self) -> None:
        """To make one needs no reactor."""
        connection = BrokerConnection(transport=self.broker)
        PublisherService(connection)
        self.assertIsNone(connection.core._reconnector)


class StopTests(ServiceCase):
    """Stopping, from whatever state."""

    def test_not_started(self) -> None:
        """One that was never started is stopped at once."""
        self.assertEqual(self.stop(), [None])
        self.successResultOf(self.service.when_stopped())
        self.failureResultOf(self.service.when_started(), ConnectionClosed)

    def test_drains(self) -> None:
        """
        It waits for the verdicts on what was published, and publishes nothing more:
        not through producers that there were, nor through new ones.
        """
        self.start()
        producer = self.service.producer(NEWS.exchange, "all")
        self.broker.hold_confirms()
        began = [self.publish(number) for number in range(3)]
        began.append(producer.publish(3))
        self.flush()
        stopped = self.stop()
        when = self.service.when_stopped()
        late = [
            self.publish("late"),
            producer.publish("late"),
            self.service.producer(NEWS.exchange, "all").publish("late"),
        ]
        for each in late:
            error = self.failureResultOf(each, ConnectionClosed).value
            self.assertIs(error.outcome, Outcome.NOT_SENT)
            self.assertIn("the service is stopping", str(error))
        self.pass_time(SHUTDOWN_TIMEOUT - 1)
        self.assertEqual(stopped, [])
        self.assertTrue(self.service.connected)
        self.assertFalse(self.service.running)
        self.broker.release_confirms()
        self.flush()
        for each in began:
            self.successResultOf(each)
        self.assertEqual(stopped, [None])
        self.successResultOf(when)
        self.assertCountEqual(self.bodies, range(4))
        self.assert_gone()

    def test_second_stop(self) -> None:
        """A second stop waits for the first, and its cancellation changes nothing."""
        self.start()
        self.broker.hold_confirms()
        publishing = self.publish("one")
        self.flush()
        first = self.stop()
        second = self.stop()
        third = self.service.stopService()
        third.cancel()
        self.failureResultOf(third)
        self.assertEqual((first, second), ([], []))
        self.broker.release_confirms()
        self.flush()
        self.successResultOf(publishing)
        self.assertEqual((first, second), ([None], [None]))
        self.assertEqual(self.stop(), [None])

    def test_no_verdict(self) -> None:
        """
        A verdict that does not come within the timeout is given up, with a warning; the
        publish fails, and nothing is left.
        """
        self.start()
        self.broker.hold_confirms()
        publishing = self.publish("one", timeout=300)
        self.flush()
        stopped = self.stop()
        with capturedLogs() as events:
            self.pass_time(SHUTDOWN_TIMEOUT)
            for _ in range(2):
                self.pass_time(CLOSE_TIMEOUT)
        self.assertEqual(stopped, [None])
        failure = self.failureResultOf(publishing, OutcomeUnknown, ConnectionClosed)
        self.assertIs(failure.value.outcome, Outcome.UNKNOWN)
        self.assertIn(
            "1 published messages have no verdict after 30 s",
            texts(events, LogLevel.warn),
        )
        self.assert_gone()

    def test_lost_meanwhile(self) -> None:
        """
        A loss while it stops does not end the wait: what was not sent, or may be sent
        twice, is sent on the next connection.
        """
        self.start()
        self.broker.hold_confirms()
        unsure = self.publish("unsure")
        again = self.publish("again", retry=True)
        self.flush()
        stopped = self.stop()
        self.broker.drop()
        self.broker.release_confirms()
        self.failureResultOf(unsure, OutcomeUnknown)
        self.assertNoResult(again)
        self.assertEqual(stopped, [])
        self.pass_time(1)
        self.successResultOf(again)
        self.assertEqual(stopped, [None])
        self.assert_gone()

    def test_no_broker(self) -> None:
        """Without a broker it waits for it as long, if anything was published."""
        self.broker.refuse()
        self.start()
        publishing = self.publish("one", timeout=300)
        held = self.publish("two", timeout=300, declare=[NEWS])
        stopped = self.stop()
        self.pass_time(SHUTDOWN_TIMEOUT - 0.1)
        self.assertEqual(stopped, [])
        self.pass_time(0.1)
        for each in (publishing, held):
            self.failureResultOf(each, NotSent)
        self.assertEqual(stopped, [None])
        self.assert_gone()

    def test_nothing_published(self) -> None:
        """It stops at once if nothing was, whatever state the connection is in."""
        for refused in (False, True):
            self.service = PublisherService(self.connect())
            if refused:
                self.broker.refuse()
            self.start()
            self.assertEqual(self.stop(), [None])
            self.assert_gone()

    def test_broker_comes_back(self) -> None:
        """What waited is sent if the broker comes while the service stops."""
        self.broker.refuse()
        self.start()
        publishing = self.publish("one")
        stopped = self.stop()
        self.broker.accept()
        self.pass_time(2)
        self.successResultOf(publishing)
        self.assertEqual(stopped, [None])
        self.assertEqual(self.bodies, ["one"])

    def test_deadline_meanwhile(self) -> None:
        """It does not wait for what has failed at its own deadline."""
        self.start()
        self.broker.hold_confirms()
        publishing = self.publish("one", timeout=3)
        self.flush()
        stopped = self.stop()
        self.pass_time(3)
        self.failureResultOf(publishing, OutcomeUnknownInTime)
        self.broker.release_confirms()
        self.flush()
        self.assertEqual(stopped, [None])

    def test_blocked(self) -> None:
        """A broker in alarm is waited for as long."""
        self.start()
        self.broker.block()
        publishing = self.publish("one")
        self.flush()
        stopped = self.stop()
        self.pass_time(20)
        self.assertEqual(stopped, [])
        self.broker.unblock()
        self.flush()
        self.successResultOf(publishing)
        self.assertEqual(stopped, [None])

    def test_started_again(self) -> None:
        """After a stop it can be started again; old producers are closed."""
        old = self.service.producer(NEWS.exchange, "all")
        self.start()
        self.result_of(self.publish("one"))
        self.assertEqual(self.stop(), [None])
        self.failureResultOf(self.publish("between"), ConnectionClosed)
        self.start()
        self.assertTrue(self.service.connected)
        self.failureResultOf(old.publish("two"), ConnectionClosed)
        self.result_of(self.publish("three"))
        self.assertEqual(self.bodies, ["one", "three"])

    def test_when_started_fails(self) -> None:
        """A stop fails those that wait for the start."""
        self.broker.refuse()
        self.start()
        when = self.service.when_started()
        self.stop()
        self.failureResultOf(when, ConnectionClosed)

    def test_halt(self) -> None:
        """A program may halt the service; starting it again forgets why."""
        self.start()
        self.result_of(self.service.halt(RuntimeError("the disk is full")))
        self.assertFalse(self.service.running)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(str(self.service.last_error), "the disk is full")
        self.start()
        self.assertIsNone(self.service.halted)


class Relay(Consumer):
    """
    Publishes what it receives, when the test says so, and acknowledges it then.

    @ivar ready: fires when it may publish.
    @ivar results: the results of the publishes.
    """

    queues = Queue("in")

    def __init__(self, channel: Channel, publisher: PublisherService) -> None:
        super().__init__(channel)
        self.publisher = publisher
        self.ready: Deferred[None] = Deferred()
        self.results: list[object] = []

    async def receive(self, body: object, message: Message) -> None:
        """Handle one message."""
        await self.ready
        try:
            await self.publisher.publish(body, "news")
        except ConnectionClosed:
            self.results.append(Failure())
            raise
        self.results.append(None)
        await message.ack()


class NeverStartedTests(ServiceCase):
    """Stopping a service that was never started."""

    def test_closes(self) -> None:
        """What waits fails, what is published later fails; it can be started then."""
        waiting = self.publish(1)
        self.assertEqual(self.stop(), [None])
        self.failureResultOf(waiting, NotSent, ConnectionClosed)
        self.failureResultOf(self.publish(2), ConnectionClosed)
        self.assert_gone()
        self.start()
        self.result_of(self.publish(3))
        self.assertEqual(self.bodies, [3])


class ChildrenTests(ServiceCase):
    """Services that publish through it, as its children."""

    def test_handlers_finish(self) -> None:
        """
        The handlers of a ConsumerService that is its child publish until they have
        finished, and their publishes are confirmed before it ends.
        """
        relays: list[Relay] = []

        def relay(channel: Channel) -> Relay:
            relays.append(Relay(channel, self.service))
            return relays[-1]

        consumers = ConsumerService(self.connect(), relay)
        consumers.setServiceParent(self.service)
        self.start()
        self.assertTrue(consumers.consuming)
        self.result_of(self.service.publish("one", "in"))
        stopped = self.stop()
        self.pass_time(10)
        self.assertEqual(stopped, [])
        self.assertFalse(consumers.running)
        self.broker.hold_confirms()
        relays[0].ready.callback(None)
        self.flush()
        self.pass_time(1)
        self.broker.release_confirms()
        self.flush()
        self.assertEqual(relays[0].results, [None])
        self.assertEqual(stopped, [None])
        self.assertEqual(self.broker.waiting_in("in"), 0)
        self.assertEqual(self.broker.waiting_in("news"), 1)
        self.assert_gone()

    def test_child_that_does_not_stop(self) -> None:
        """
        A child has as long as the timeout; what was published last has a few seconds
        still.
        """
        child = Slow()
        child.setServiceParent(self.service)
        self.start()
        self.assertTrue(child.running)
        stopped = self.stop()
        self.pass_time(SHUTDOWN_TIMEOUT - 1)
        self.broker.hold_confirms()
        publishing = self.publish("one")
        self.flush()
        self.pass_time(1 + CLOSE_TIMEOUT - 0.1)
        self.assertEqual(stopped, [])
        self.failureResultOf(self.publish("late"), ConnectionClosed)
        self.broker.release_confirms()
        self.flush()
        self.successResultOf(publishing)
        self.assertEqual(stopped, [None])
        self.assertEqual(child.stops, 1)

    def test_stopped_once(self) -> None:
        """A second stop does not stop the children again."""
        child = Slow()
        child.setServiceParent(self.service)
        self.start()
        first, second = self.stop(), self.stop()
        self.assertEqual(child.stops, 1)
        child.stopped.callback(None)
        self.flush()
        self.assertEqual((first, second), ([None], [None]))

    def test_child_that_fails(self) -> None:
        """A child whose stop fails hinders nothing, and is logged."""
        child = Slow()
        child.setServiceParent(self.service)
        self.start()
        stopped = self.stop()
        child.stopped.errback(ZeroDivisionError("a fault"))
        self.flush()
        self.assertEqual(stopped, [None])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
