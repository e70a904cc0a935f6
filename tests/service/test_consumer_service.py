"""ConsumerService: consumers that run as a Twisted service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue
from txkombu._util.timeouts import CLOSE_TIMEOUT
from txkombu.core.channel import Channel
from txkombu.core.lifecycle import State
from txkombu.exceptions import (
    AccessRefused,
    AuthenticationFailed,
    ChannelClosed,
    ConnectError,
    ConnectionClosed,
    ConsumerCancelled,
    InvalidURL,
    PreconditionFailed,
    SessionLost,
    TransportNotAvailable,
)
from txkombu.policy import Halt, default, halt, retry
from txkombu.service import ConsumerService, PublisherService
from txkombu.service.broker_service import SHUTDOWN_TIMEOUT
from txkombu.testing import BrokerTestCase

WORK = Queue("work", Exchange("work", type="direct"), "work")


class Worker(Consumer):
    """Handles two messages at a time, each until the test ends it."""

    queues = WORK
    prefetch_count = 4
    concurrency = 2

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel)
        self.begun: list[object] = []
        self._ends: list[Deferred[None]] = []

    async def receive(self, body: object, message: Message) -> None:
        """Wait for the test's word."""
        self.begun.append(body)
        end: Deferred[None] = Deferred()
        self._ends.append(end)
        await end
        message.ack()

    def finish(self) -> None:
        """Let the handlers at work end."""
        ends, self._ends = self._ends, []
        for end in ends:
            end.callback(None)


class Other(Worker):
    """Reads another queue."""

    queues = Queue("other", Exchange("other"), "other")


def iter_nothing() -> Iterator[None]:
    """Be a generator."""
    yield


def texts(events: Sequence[LogEvent], level: object) -> list[str]:
    """What was logged at this level."""
    return [
        str(formatEvent(event)) for event in events if event.get("log_level") is level
    ]


class ServiceCase(BrokerTestCase):
    """Has a service with one worker, not started."""

    def setUp(self) -> None:
        super().setUp()
        self.workers: list[Worker] = []
        self.service = self.make()
        self.addCleanup(self.end)

    def make(self, *factories: Callable[[Channel], Consumer]) -> ConsumerService:
        return ConsumerService(self.connect(), factories or self.worker)

    def worker(self, channel: Channel) -> Worker:
        self.workers.append(Worker(channel))
        return self.workers[-1]

    def end(self) -> None:
        for worker in self.workers:
            worker.finish()
        self.service.stopService()
        self.flush()

    def start(self) -> None:
        self.service.startService()
        self.flush()

    def turn(self) -> None:
        """Let the first thing happen that is due now, and no more."""
        now = self.clock.seconds()
        for first in self.clock.calls[:1]:
            if first.getTime() <= now:
                self.clock.calls.remove(first)
                first.called = 1
                first.func(*first.args, **first.kw)

    def publish(self, *bodies: object) -> None:
        producer = Producer(self.connection, WORK.exchange, "work")
        for body in bodies:
            self.result_of(producer.publish(body, declare=[WORK]))
        self.result_of(producer.close())

    def stop(self) -> list[None]:
        """Begin to stop; the list has an item when it has stopped."""
        stopped: list[None] = []
        self.service.stopService().addCallback(stopped.append)
        self.flush()
        return stopped


class StartTests(ServiceCase):
    """Starting, and staying started."""

    def test_interface(self) -> None:
        """It is an IService that a parent starts and stops."""
        self.assertTrue(verifyObject(IService, self.service))
        parent = MultiService()
        self.service.setServiceParent(parent)
        parent.startService()
        self.flush()
        self.assertTrue(self.service.consuming)
        stopped = parent.stopService()
        self.flush()
        self.successResultOf(stopped)
        self.assertFalse(self.service.connected)

    def test_consumes(self) -> None:
        """Once started it declares the queue, and messages reach the handler."""
        self.service.startService()
        self.assertFalse(self.service.consuming)
        when = self.service.when_started()
        self.assertNoResult(when)
        self.flush()
        self.successResultOf(when)
        self.successResultOf(self.service.when_started())
        self.assertTrue(self.service.connected)
        self.assertTrue(self.service.consuming)
        self.assertIsNone(self.service.last_error)
        self.publish("one")
        self.assertEqual(self.workers[0].begun, ["one"])

    def test_started_twice(self) -> None:
        """A second start changes nothing."""
        self.start()
        self.start()
        self.assertEqual(len(self.workers), 1)

    def test_channels(self) -> None:
        """Each consumer has a channel of its own, on the service's connection."""
        made: list[Consumer] = []

        def other(channel: Channel) -> Consumer:
            made.append(Other(channel))
            return made[0]

        self.service = self.make(self.worker, other)
        self.start()
        self.assertIsNot(self.workers[0].channel, made[0].channel)
        for each in (self.workers[0], made[0]):
            self.assertIs(each.channel.connection, self.service.connection)
            self.assertIsNot(each.channel, self.service.connection.default_channel)

    def test_url(self) -> None:
        """A URL makes a connection of its own, on the reactor that is passed."""
        service = ConsumerService("memory://service", Worker, reactor=self.clock)
        self.assertEqual(service.connection.as_uri(), "memory://service")
        self.assertIs(service.connection.clock, self.clock)

    def test_absent_broker(self) -> None:
        """
        An absent broker is tried again, with a line of the log each time, and
        the error shows until it is there.
        """
        self.broker.refuse(ConnectError("nobody is there"))
        with capturedLogs() as events:
            self.start()
            self.clock.advance(1.1)
            self.flush()
        lines = texts(events, LogLevel.warn)
        self.assertEqual(len(lines), 2)
        self.assertRegex(
            lines[0],
            r"^connecting to memory:// failed: ConnectError: nobody is there; "
            r"next attempt in \d\.\d s$",
        )
        self.assertFalse(self.service.connected)
        self.assertIsInstance(self.service.last_error, ConnectError)
        self.broker.accept()
        self.clock.advance(2.1)
        self.flush()
        self.assertTrue(self.service.consuming)
        self.assertIsNone(self.service.last_error)

    def test_bad_credentials(self) -> None:
        """Refused credentials are critical, and tried again slowly."""
        self.broker.refuse(AuthenticationFailed("ACCESS_REFUSED"))
        with capturedLogs() as events:
            self.start()
            self.clock.advance(29)
        self.assertEqual(len(texts(events, LogLevel.critical)), 1)
        self.broker.accept()
        self.clock.advance(1)
        self.flush()
        self.assertTrue(self.service.consuming)

    def test_refused_queue(self) -> None:
        """
        A queue that exists with other properties is critical: the service is
        connected, not consuming, says why, and tries again slowly.
        """
        other = Queue("work", max_length=3)
        self.result_of(other(self.connection).declare())
        with capturedLogs() as events:
            self.start()
        [line] = texts(events, LogLevel.critical)
        self.assertIn("consuming with <Worker of 'work'> failed", line)
        self.assertIn("406", line)
        self.assertTrue(self.service.connected)
        self.assertFalse(self.service.consuming)
        self.assertIsInstance(self.service.last_error, PreconditionFailed)
        self.assertNoResult(self.service.when_started())
        self.result_of(other(self.connection).delete())
        self.clock.advance(30)
        self.flush()
        self.assertTrue(self.service.consuming)
        self.assertIsNone(self.service.last_error)

    def test_refused_by_rights(self) -> None:
        """Missing rights are critical too, and one consumer stops no other."""

        class Forbidden(Other):
            def declare_nothing(self) -> Deferred[None]:
                """Fail as a broker does that refuses access."""
                refused: Deferred[None] = Deferred()
                refused.errback(AccessRefused("access to queue 'other' refused"))
                return refused

            consume: Any = declare_nothing

        self.service = self.make(Forbidden, self.worker)
        with capturedLogs() as events:
            self.start()
        [line] = texts(events, LogLevel.critical)
        self.assertIn("403 access to queue 'other' refused", line)
        self.assertFalse(self.service.consuming)
        self.publish("one")
        self.assertEqual(self.workers[0].begun, ["one"])

    def test_fault_in_consume(self) -> None:
        """A fault in a consumer's own consume() does not end the attempts."""

        class Faulty(Worker):
            tries = 0

            def check(self) -> Deferred[None]:
                """Fail the first time."""
                Faulty.tries += 1
                if Faulty.tries == 1:
                    raise ZeroDivisionError("a fault")
                return super().consume()

            consume: Any = check

        self.service = self.make(Faulty)
        with capturedLogs() as events:
            self.start()
        [line] = texts(events, LogLevel.critical)
        self.assertIn("ZeroDivisionError: a fault", line)
        self.clock.advance(30)
        self.flush()
        self.assertTrue(self.service.consuming)

    def test_consume_exits(self) -> None:
        """
        A consumer's own consume() that exits, fails with anything or is cancelled
        is tried again; the service does not take it for consuming meanwhile.
        """

        async def coroutine() -> None:
            raise SystemExit(3)

        def exits() -> None:
            raise SystemExit(3)

        faults: list[Callable[[], object]] = [
            exits,
            coroutine,
            lambda: fail(GeneratorExit()),
            lambda: fail(CancelledError()),
            lambda: Failure(KeyboardInterrupt()),
            iter_nothing,
        ]

        class Faulty(Worker):
            def check(self) -> object:
                """Fail in each way."""
                return faults.pop(0)() if faults else super().consume()

            consume: Any = check

        self.service = self.make(Faulty)
        self.start()
        when = self.service.when_started()
        for left in range(len(faults), -1, -1):
            self.assertEqual(len(faults), left)
            self.assertFalse(self.service.consuming)
            self.assertIsNotNone(self.service.last_error)
            self.assertNoResult(when)
            self.clock.advance(30)
            self.flush()
        self.assertTrue(self.service.consuming)
        self.assertIsNone(self.service.last_error)
        self.successResultOf(when)

    def test_coroutine_consume(self) -> None:
        """A consume() that is a coroutine function is awaited."""

        class Careful(Worker):
            async def check(self) -> None:
                """Do it later."""
                await super().consume()

            consume: Any = check

        self.service = self.make(Careful)
        self.start()
        self.assertTrue(self.service.consuming)

    def test_lost_session(self) -> None:
        """After a loss it is not consuming, says why, and consumes again."""
        self.start()
        self.broker.drop()
        self.assertFalse(self.service.connected)
        self.assertFalse(self.service.consuming)
        self.assertIsInstance(self.service.last_error, SessionLost)
        self.clock.advance(1)
        self.flush()
        self.assertTrue(self.service.consuming)
        self.publish("one")
        self.assertEqual(self.workers[0].begun, ["one"])

    def test_lost_while_starting(self) -> None:
        """A session lost before the consumers run does not leave them behind."""
        self.service.startService()
        while not self.service.connected:
            self.turn()
        self.assertFalse(self.service.consuming)
        self.broker.drop()
        self.clock.pump([0.5] * 10)
        self.flush()
        self.assertTrue(self.service.consuming)

    def test_stuck(self) -> None:
        """Consumers are listed while all that they may hold waits for a retry."""
        errors = [OSError("away"), OSError("away")]

        class Retrying(Worker):
            prefetch_count = 2
            on_failure = retry(attempts=3, delay=5, jitter=0)

            async def receive(self, body: object, message: Message) -> None:
                if errors:
                    raise errors.pop()
                await message.ack()

        self.service = self.make(Retrying, Other)
        self.assertEqual(self.service.stuck, [])
        self.start()
        self.publish("one")
        self.assertEqual(self.service.stuck, [])
        self.publish("two", "three")
        [stuck] = self.service.stuck
        self.assertIsInstance(stuck, Retrying)
        self.assertTrue(self.service.consuming)
        self.clock.advance(5)
        self.flush()
        self.assertEqual(self.service.stuck, [])
        self.assertTrue(self.flushLoggedErrors(OSError))


class HealthTests(ServiceCase):
    """What it tells of itself, whatever ended a consumer."""

    def setUp(self) -> None:
        super().setUp()
        self.service = self.make(self.worker, Other)
        self.start()
        self.assertTrue(self.service.consuming)
        [self.hosted] = self.workers

    def assert_halts(self, kind: type[Exception], text: str) -> None:
        """It has stopped by itself, and says why."""
        stopped = self.service.when_stopped()
        self.flush()
        self.successResultOf(stopped)
        self.assertFalse(self.service.running)
        self.assertFalse(self.service.consuming)
        self.assertIsInstance(self.service.halted, kind)
        self.assertIs(self.service.last_error, self.service.halted)
        self.assertIn(text, str(self.service.halted))
        self.assertEqual(len(self.flushLoggedErrors(kind)), 1)

    def assert_not_consuming(self, kind: type[Exception], text: str) -> None:
        """It runs, and says why it is not consuming."""
        self.assertTrue(self.service.running)
        self.assertFalse(self.service.consuming)
        error = self.service.last_error
        self.assertIsInstance(error, kind)
        self.assertIn(text, str(error))

    def test_consumer_closed(self) -> None:
        """A consumer that the program closes halts the service."""
        self.hosted.close()
        self.assertFalse(self.service.consuming)
        self.assert_halts(
            ChannelClosed, "<Worker of 'work'> was closed by this program"
        )

    def test_channel_closed(self) -> None:
        """So does a channel that it closes."""
        self.hosted.channel.close()
        self.assertFalse(self.service.consuming)
        self.assert_halts(ChannelClosed, "the channel was closed by this program")

    def test_connection_closed(self) -> None:
        """So does the connection, also while it is coming back."""
        self.service.connection.close()
        self.assertFalse(self.service.consuming)
        self.assert_halts(ConnectionClosed, "the connection was closed by this program")
        self.start()
        self.assertTrue(self.service.consuming)
        self.broker.refuse()
        self.broker.drop()
        self.service.connection.close()
        self.assert_halts(ConnectionClosed, "the connection was closed by this program")

    def test_connection_closed_while_connecting(self) -> None:
        """So does one that is closed before it was up, or before the start."""
        self.result_of(self.service.stopService())
        self.broker.refuse()
        for started in (True, False):
            connection = self.connect()
            self.service = ConsumerService(connection, self.worker)
            if started:
                self.service.startService()
                connection.close()
            else:
                connection.close()
                self.service.startService()
            self.assert_halts(
                ConnectionClosed, "the connection was closed by this program"
            )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closed_by_its_handler(self) -> None:
        """A handler may close its consumer: what it holds is settled, then it halts."""

        class Once(Worker):
            async def receive(self, body: object, message: Message) -> None:
                """Be done after this one."""
                await self.close()
                message.ack()

        self.result_of(self.service.stopService())
        self.service = self.make(Once)
        self.start()
        self.publish("one", "two")
        self.assert_halts(ChannelClosed, "<Once of 'work'> was closed by this program")
        self.assertEqual(self.broker.waiting_in("work"), 1)

    def test_cancelled(self) -> None:
        """A consumer that is paused is not consuming, until it goes on."""
        self.hosted.cancel()
        self.flush()
        self.assert_not_consuming(ChannelClosed, "<Worker of 'work'> does not consume")
        self.result_of(self.hosted.consume())
        self.assertTrue(self.service.consuming)
        self.assertIsNone(self.service.last_error)

    def test_no_queue_left(self) -> None:
        """Neither is one whose last queue was dropped, or that has one more."""
        self.result_of(self.hosted.cancel_by_queue("work"))
        self.assert_not_consuming(ChannelClosed, "does not consume")
        self.hosted.add_queue(Queue("more"))
        self.assert_not_consuming(ChannelClosed, "does not consume")
        self.result_of(self.hosted.consume())
        self.assertTrue(self.service.consuming)

    def test_ended_by_the_broker(self) -> None:
        """A consumer that the broker ended is tried again, and says why."""
        self.broker.cancel_consumers("work")
        self.flush()
        self.assert_not_consuming(ConsumerCancelled, "the test does so")
        self.clock.advance(1)
        self.flush()
        self.assertTrue(self.service.consuming)
        self.assertIsNone(self.service.last_error)

    def test_lost_channel(self) -> None:
        """A channel that the broker closes comes back."""
        refused = Queue("nowhere")(self.hosted.channel).queue_declare(passive=True)
        self.flush()
        self.failureResultOf(refused)
        self.clock.advance(1)
        self.flush()
        self.assertTrue(self.service.consuming)

    def test_stopping(self) -> None:
        """To stop is no reason to halt."""
        self.result_of(self.service.stopService())
        self.assertIsNone(self.service.halted)
        self.assertIsNone(self.service.last_error)


class StopTests(ServiceCase):
    """Stopping, from whatever state."""

    def assert_gone(self) -> None:
        """Nothing of the service is left, at the broker or in the reactor."""
        self.assertFalse(self.service.connected)
        self.assertFalse(self.service.consuming)
        self.assertEqual(self.broker.sessions, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def close_others(self) -> None:
        """Leave only the service's connection."""
        self.result_of(self.connection.close())

    def test_in_order(self) -> None:
        """
        What no handler has begun with is handed back at once and not begun
        with; those at work end, and are acknowledged.
        """
        self.start()
        self.publish(1, 2, 3, 4, 5)
        self.close_others()
        [worker] = self.workers
        self.assertEqual(worker.begun, [1, 2])
        self.assertEqual(self.broker.waiting_in("work"), 1)
        stopped = self.stop()
        self.assertEqual(stopped, [])
        self.assertEqual(self.broker.waiting_in("work"), 3)
        self.clock.advance(SHUTDOWN_TIMEOUT - 1)
        worker.finish()
        self.flush()
        self.assertEqual(stopped, [None])
        self.assertEqual(worker.begun, [1, 2])
        self.assertEqual(self.broker.waiting_in("work"), 3)
        self.assert_gone()

    def test_handlers_that_do_not_end(self) -> None:
        """
        Handlers still at work after the timeout are left behind, with a
        warning; the broker has their messages again, and what they settle
        later is harmless.
        """
        self.start()
        self.publish(1)
        self.close_others()
        stopped = self.stop()
        with capturedLogs() as events:
            self.clock.advance(SHUTDOWN_TIMEOUT)
            self.flush()
        [line] = texts(events, LogLevel.warn)
        self.assertIn("Handlers of <Worker of 'work'> are still at work", line)
        self.assertEqual(stopped, [None])
        self.assertEqual(self.broker.waiting_in("work"), 1)
        self.assert_gone()
        self.workers[0].finish()
        self.flush()
        self.assertEqual(self.broker.waiting_in("work"), 1)

    def test_shutdown_timeout(self) -> None:
        """The time that handlers are given can be set."""
        self.service = ConsumerService(
            self.connect(), [self.worker], shutdown_timeout=2
        )
        self.start()
        self.publish(1)
        stopped = self.stop()
        self.clock.advance(1.9)
        self.assertEqual(stopped, [])
        self.clock.advance(0.1)
        self.flush()
        self.assertEqual(stopped, [None])

    def test_twice(self) -> None:
        """A second stop waits for the first; a third has nothing to do."""
        self.start()
        self.publish(1)
        first, second = self.stop(), self.stop()
        self.assertEqual((first, second), ([], []))
        self.workers[0].finish()
        self.flush()
        self.assertEqual((first, second, self.stop()), ([None], [None], [None]))

    def test_lost_in_between(self) -> None:
        """A session lost while stopping neither hangs it nor is got back."""
        self.start()
        self.publish(1)
        self.close_others()
        stopped = self.stop()
        self.broker.drop()
        self.flush()
        self.assertEqual(stopped, [])
        self.workers[0].finish()
        self.flush()
        self.assertEqual(stopped, [None])
        self.assertEqual(self.broker.waiting_in("work"), 1)
        self.assert_gone()

    def test_never_started(self) -> None:
        """Stopping what was not started closes its connection; it can be started."""
        self.assertEqual(self.stop(), [None])
        self.successResultOf(self.service.when_stopped())
        self.assertIs(self.service.connection.state, State.CLOSED)
        self.start()
        self.assertTrue(self.service.consuming)

    def test_never_started_but_connected(self) -> None:
        """It has stopped when the connection that it was given is closed."""
        self.result_of(self.service.connection.connect())
        self.service.stopService()
        stopped = self.service.when_stopped()
        self.assertNoResult(stopped)
        self.flush()
        self.successResultOf(stopped)
        self.assert_gone()

    def test_while_connecting(self) -> None:
        """Stopping before there is a session gives the attempt up."""
        self.service.startService()
        started = self.service.when_started()
        stopped = self.service.stopService()
        self.failureResultOf(started, ConnectionClosed)
        self.flush()
        self.successResultOf(stopped)
        self.assert_gone()

    def test_at_every_step(self) -> None:
        """Stopping ends well after any number of turns since the start."""
        steps = 0
        reached = False
        while not reached:
            self.service = self.make()
            self.service.startService()
            for _ in range(steps):
                self.turn()
            reached = self.service.consuming
            self.assertEqual(self.stop(), [None])
            self.assert_gone()
            steps += 1
        self.assertGreater(steps, 2)

    def test_while_waiting(self) -> None:
        """Stopping between two attempts ends the attempts."""
        self.broker.refuse()
        self.start()
        self.assertEqual(self.stop(), [None])
        self.assert_gone()

    def test_while_reconnecting(self) -> None:
        """Stopping while the connection comes back ends that, too."""
        self.start()
        self.broker.refuse()
        self.broker.drop()
        self.clock.advance(5)
        self.assertIsNotNone(self.service.last_error)
        self.assertEqual(self.stop(), [None])
        self.assertIsNone(self.service.last_error)
        self.assert_gone()

    def test_while_refused(self) -> None:
        """Stopping while a consumer is refused ends its attempts."""
        self.result_of(Queue("work", max_length=3)(self.connection).declare())
        self.close_others()
        self.start()
        self.assertEqual(self.stop(), [None])
        self.assert_gone()

    def test_broker_does_not_answer_cancel(self) -> None:
        """A cancel that is not answered holds a service without work up for 5 s."""
        self.start()
        [session] = self.broker.sessions
        answer: Deferred[None] = Deferred()
        for channel in session.channels:
            self.patch(channel, "basic_cancel", lambda tag: answer)
        stopped = self.stop()
        self.clock.advance(CLOSE_TIMEOUT - 1)
        self.assertEqual(stopped, [])
        self.clock.advance(1)
        self.flush()
        self.assertEqual(stopped, [None])
        answer.callback(None)
        self.assert_gone()

    def test_broker_does_not_answer_close(self) -> None:
        """A connection that does not close is aborted."""
        self.start()
        [session] = self.broker.sessions
        closing: Deferred[None] = Deferred()
        abort = session.abort

        def aborted() -> None:
            abort()
            closing.callback(None)

        self.patch(session, "close", lambda: closing)
        self.patch(session, "abort", aborted)
        stopped = self.stop()
        with capturedLogs() as events:
            self.clock.advance(CLOSE_TIMEOUT)
            self.flush()
        [line] = texts(events, LogLevel.warn)
        self.assertIn("did not close within 5 s; aborting it", line)
        self.assertEqual(stopped, [None])
        self.assert_gone()

    def test_nothing_helps(self) -> None:
        """Even a session that ignores an abort does not hang the stop."""
        self.start()
        [session] = self.broker.sessions
        self.patch(session, "close", Deferred)
        self.patch(session, "abort", lambda: None)
        stopped = self.stop()
        self.clock.pump([CLOSE_TIMEOUT, CLOSE_TIMEOUT])
        self.assertEqual(stopped, [None])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        session.original.abort()
        self.broker.sessions.clear()

    def test_close_fails(self) -> None:
        """A consumer whose own close() fails does not hang the stop."""

        class Faulty(Worker):
            def fault(self) -> Deferred[None]:
                """Fail."""
                raise ZeroDivisionError("a fault")

            close: Any = fault

        self.service = self.make(Faulty)
        self.start()
        self.assertEqual(self.stop(), [None])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_gone()

    def test_close_exits(self) -> None:
        """Nor does one whose close() or when_idle() exits; all else is closed."""

        class Faulty(Worker):
            def fault(self) -> Deferred[None]:
                """Exit."""
                raise SystemExit(3)

            close: Any = fault
            when_idle: Any = fault

        self.service = self.make(Faulty, self.worker)
        self.start()
        self.assertEqual(self.stop(), [None])
        self.assertTrue(self.flushLoggedErrors(RuntimeError))
        self.assert_gone()

    def test_when_stopped(self) -> None:
        """when_stopped fires when nothing is left."""
        self.start()
        self.publish(1)
        stopped = self.service.when_stopped()
        self.stop()
        self.assertNoResult(stopped)
        self.workers[0].finish()
        self.flush()
        self.successResultOf(stopped)

    def test_started_again(self) -> None:
        """A service that was stopped can be started again, on a new connection."""
        self.start()
        before = self.service.connection
        self.stop()
        self.failureResultOf(self.service.when_started(), ConnectionClosed)
        self.start()
        self.assertIsNot(self.service.connection, before)
        self.assertTrue(self.service.consuming)
        self.publish("one")
        self.assertEqual(self.workers[1].begun, ["one"])

    def test_started_while_stopping(self) -> None:
        """Starting does not wait for a stop that is under way."""
        self.start()
        self.publish(1)
        stopped = self.stop()
        self.start()
        self.assertTrue(self.service.consuming)
        self.workers[0].finish()
        self.flush()
        self.assertEqual(stopped, [None])
        self.assertTrue(self.service.consuming)
        self.assertNoResult(self.service.when_stopped())

    def test_given_up(self) -> None:
        """Who gives up waiting for the stop ends the waiting only."""
        publisher = PublisherService(self.connect())
        self.service = ConsumerService(
            self.connect(), self.worker, publisher=publisher, shutdown_timeout=5
        )
        self.start()
        self.publish("slow")
        given_up = self.service.stopService()
        stopped = self.service.when_stopped()
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        self.assertNoResult(stopped)
        self.assertTrue(publisher.running)
        self.clock.advance(5)
        self.flush()
        self.successResultOf(stopped)
        self.assertFalse(publisher.running)

    def test_given_up_by_parent(self) -> None:
        """A publisher above it that waits no longer does not keep it from its end."""
        publisher = PublisherService(self.connect(), shutdown_timeout=5)
        self.service = ConsumerService(self.connect(), self.worker, shutdown_timeout=30)
        self.service.setServiceParent(publisher)
        publisher.startService()
        self.flush()
        self.publish("slow")
        stopped = self.service.when_stopped()
        publisher.stopService()
        for _ in range(60):
            self.clock.advance(1)
            self.flush()
        self.successResultOf(stopped)


class HaltTests(ServiceCase):
    """What trying again does not mend."""

    def assert_halts(self, kind: type[Exception], text: str) -> None:
        """The service stops by itself, and says why."""
        self.service.startService()
        stopped = self.service.when_stopped()
        self.flush()
        self.successResultOf(stopped)
        self.assertFalse(self.service.running)
        self.assertIsInstance(self.service.halted, kind)
        self.assertIs(self.service.last_error, self.service.halted)
        self.assertIn(text, str(self.service.halted))
        [logged] = self.flushLoggedErrors(kind)
        self.assertIs(logged.value, self.service.halted)

    def test_factory_fails(self) -> None:
        """A factory that raises halts the service; so does the second of two."""

        def broken(channel: Channel) -> Consumer:
            raise ZeroDivisionError("a fault")

        self.service = self.make(self.worker, broken)
        self.assert_halts(ZeroDivisionError, "a fault")
        self.assertEqual(self.broker.sessions, [])

    def test_factory_exits(self) -> None:
        """A factory that raises SystemExit or its like halts the service, too."""
        for error in (SystemExit(0), KeyboardInterrupt(), GeneratorExit("over")):

            def exits(channel: Channel, error: BaseException = error) -> Consumer:
                raise error

            self.service = self.make(exits, self.worker)
            self.assert_halts(RuntimeError, f"raised {type(error).__name__}")
            assert self.service.halted is not None
            self.assertIs(self.service.halted.__cause__, error)

    def test_consumer_that_cannot_be_shown(self) -> None:
        """A consumer whose repr raises is hosted as any other."""

        class Shy(Worker):
            def __repr__(self) -> str:
                raise SystemExit("nothing to see")

        self.service = self.make(Shy)
        self.start()
        self.assertTrue(self.service.consuming)

    def test_factory_makes_something_else(self) -> None:
        """A factory that gives no Consumer halts the service."""
        self.service = self.make(lambda channel: 42)  # type: ignore[arg-type,return-value]  # wrong on purpose
        self.assert_halts(TypeError, "made 42, which is no Consumer")

    def test_consumer_without_handler(self) -> None:
        """A consumer that could only hoard messages halts the service."""
        self.service = self.make(lambda channel: Consumer(channel, WORK))
        self.assert_halts(ValueError, "<Consumer of 'work'> cannot handle messages")

    def test_fails_fast(self) -> None:
        """With wait_for_broker=False, a first attempt that fails halts the service."""
        connection = self.connect(wait_for_broker=False)
        self.service = ConsumerService(connection, self.worker)
        self.broker.refuse()
        self.assert_halts(ConnectError, "refuse")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fails_fast_once(self) -> None:
        """After the first connection it goes on after each loss, as any other."""
        connection = self.connect(wait_for_broker=False)
        self.service = ConsumerService(connection, self.worker)
        self.start()
        self.broker.refuse()
        self.service.connection.drop()
        self.flush()
        self.assertTrue(self.service.running)
        self.broker.accept()
        self.clock.advance(30)
        self.flush()
        self.assertTrue(self.service.consuming)

    def test_library_is_missing(self) -> None:
        """A transport whose library is not installed halts the service."""
        error = TransportNotAvailable("not available here: no module named 'pika'")
        error.__cause__ = ImportError("no module named 'pika'")
        self.broker.refuse(error)
        self.assert_halts(TransportNotAvailable, "no module named 'pika'")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_transport_fails(self) -> None:
        """One that cannot be used for another reason is tried again."""
        self.broker.refuse(TransportNotAvailable("not available here: a fault"))
        self.start()
        self.assertTrue(self.service.running)
        self.assertIsNone(self.service.halted)

    def test_while_starting(self) -> None:
        """
        A message of its first queue ends a consumer that is about to start the second
        one: nothing is tried again after the service has stopped.
        """
        both = [WORK, Other.queues]
        handled: list[object] = []

        def halts(body: object, message: Message) -> None:
            handled.append(body)
            raise Halt

        def fails(body: object, message: Message) -> None:
            handled.append(body)
            raise ZeroDivisionError("a fault")

        def closes(body: object, message: Message) -> None:
            handled.append(body)
            message.ack()
            consumers[-1].close()

        consumers: list[Consumer] = []
        self.publish("first")
        for callback, policy in (
            (halts, default),
            (fails, halt),
            (closes, default),
        ):

            def make(
                channel: Channel, callback: Any = callback, policy: Any = policy
            ) -> Consumer:
                consumers.append(
                    Consumer(channel, both, callbacks=[callback], on_failure=policy)
                )
                return consumers[-1]

            self.service = self.make(make)
            self.start()
            self.clock.advance(1)
            self.flush()
            self.stop()
            self.assertFalse(self.service.running)
            self.successResultOf(self.service.when_stopped())
            self.assertEqual(len(self.broker.sessions), 1)  # the test's own
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.flushLoggedErrors(Halt, ZeroDivisionError, ChannelClosed)
        self.assertEqual(handled, ["first"] * 3)

    def test_halt(self) -> None:
        """A program may halt the service; starting it again forgets why."""
        self.start()
        halted = self.service.halt(RuntimeError("the disk is full"))
        self.flush()
        self.successResultOf(halted)
        self.assertFalse(self.service.running)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.start()
        self.assertIsNone(self.service.halted)
        self.assertTrue(self.service.consuming)


class ArgumentTests(BrokerTestCase):
    """What the constructor refuses."""

    def test_no_consumers(self) -> None:
        """At least one consumer is needed."""
        with self.assertRaisesRegex(ValueError, "at least one consumer"):
            ConsumerService(self.connection, [])

    def test_no_consumer(self) -> None:
        """What makes no consumers is refused by name."""
        wrong: list[Any] = [Producer, Queue("work"), "Worker", lambda: None, object]
        for each in wrong:
            with self.assertRaisesRegex(TypeError, "is no consumer: it must be"):
                ConsumerService(self.connection, [each])

    def test_url(self) -> None:
        """A URL that cannot be understood is refused."""
        with self.assertRaises(InvalidURL):
            ConsumerService("amqq://localhost", Worker, reactor=Clock())

    def test_timeout(self) -> None:
        """The timeout is a number of seconds."""
        for wrong in (-1, float("nan")):
            with self.assertRaisesRegex(ValueError, "shutdown_timeout"):
                ConsumerService(self.connection, Worker, shutdown_timeout=wrong)

    def test_no_io(self) -> None:
        """Making a service does not connect."""
        connection = BrokerConnection(transport=self.broker, reactor=self.clock)
        ConsumerService(connection, Worker)
        self.flush()
        self.assertEqual(self.broker.sessions, [])
