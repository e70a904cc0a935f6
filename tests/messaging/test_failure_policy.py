"""
The waits between attempts, and the failure policies.
"""

from __future__ import annotations

from gc import collect
from typing import Any
from weakref import ref

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fakes import FakeChannel, FakeTransport
from tests.support.jumpy_reactor import JumpyReactor
from txkombu import BrokerConnection, Channel, Queue
from txkombu._util import steady_clock
from txkombu._util.backoff import DEFAULT, Backoff
from txkombu._util.failure_record import FailureRecord
from txkombu.core.decoded_memory import DecodedMemory
from txkombu.core.unacked import UnackedMessages
from txkombu.exceptions import DecodeError
from txkombu.interfaces import Delivery
from txkombu.message import Message
from txkombu.messaging.failure_handling import FailureHandling
from txkombu.policy import (
    ReconnectPolicy,
    Reject,
    RetryPolicy,
    drop,
    park,
    reject,
    requeue_once,
    retry,
)


class BackoffTests(SynchronousTestCase):
    """Growing waits."""

    def test_grows(self) -> None:
        """Waits double from one second to thirty, and stay there."""
        backoff = Backoff(jitter=lambda: 0.0)
        self.assertEqual([backoff.delay() for _ in range(7)], [1, 2, 4, 8, 16, 30, 30])

    def test_eager(self) -> None:
        """An eager backoff does not wait the first time."""
        backoff = Backoff(eager=True, jitter=lambda: 0.0)
        self.assertEqual([backoff.delay() for _ in range(4)], [0, 1, 2, 4])

    def test_reset(self) -> None:
        """A reset makes the waits start again."""
        for eager, first in ((False, 1), (True, 0)):
            backoff = Backoff(eager, lambda: 0.0)
            for _ in range(4):
                backoff.delay()
            backoff.reset()
            self.assertEqual(backoff.delay(), first)

    def test_jitter(self) -> None:
        """Up to a quarter is subtracted, and the next wait is not affected by that."""
        numbers = iter([1.0, 0.5, 0.0])
        backoff = Backoff(jitter=lambda: next(numbers))
        self.assertEqual([backoff.delay() for _ in range(3)], [0.75, 1.75, 4])

    def test_random(self) -> None:
        """By default the jitter is random, within those bounds."""
        delays = {Backoff().delay() for _ in range(100)}
        self.assertGreater(len(delays), 1)
        self.assertTrue(all(0.75 <= each <= 1 for each in delays))

    def test_note_life(self) -> None:
        """Only something that lasted five seconds makes the waits start again."""
        clock = Clock()
        backoff = Backoff(jitter=lambda: 0.0)
        backoff.delay()
        clock.advance(DEFAULT.stable_after - 0.1)
        backoff.reset_if_stable(clock, 0)
        self.assertEqual(backoff.delay(), 2)
        clock.advance(0.1)
        backoff.reset_if_stable(clock, 0)
        self.assertEqual(backoff.delay(), 1)

    def test_policy(self) -> None:
        """A policy sets all the values."""
        policy = ReconnectPolicy(first=0.5, max=4, factor=3, jitter=1, stable_after=60)
        numbers = iter([0.0, 0.0, 0.0, 0.5, 1.0])
        backoff = Backoff(jitter=lambda: next(numbers), policy=policy)
        self.assertEqual([backoff.delay() for _ in range(5)], [0.5, 1.5, 4, 2, 0])
        clock = Clock()
        clock.advance(59)
        backoff.reset_if_stable(clock, 0)
        self.assertEqual(backoff._next, 4)
        clock.advance(1)
        backoff.reset_if_stable(clock, 0)
        self.assertEqual(backoff._next, 0.5)

    def test_wrong_policy(self) -> None:
        """An invalid field is named in the error."""
        nan, endless = float("nan"), float("inf")
        wrong: list[tuple[str, Any, type[Exception]]] = [
            ("first", "1", TypeError),
            ("first", None, TypeError),
            ("first", 0, ValueError),
            ("first", -1, ValueError),
            ("first", endless, ValueError),
            ("first", 31, ValueError),
            ("max", 0.5, ValueError),
            ("max", endless, ValueError),
            ("factor", 0.5, ValueError),
            ("factor", nan, ValueError),
            ("factor", endless, ValueError),
            ("factor", True, TypeError),
            ("jitter", -0.1, ValueError),
            ("jitter", 1.1, ValueError),
            ("jitter", nan, ValueError),
            ("jitter", "all", TypeError),
            ("stable_after", -1, ValueError),
            ("stable_after", [], TypeError),
        ]
        for name, value, kind in wrong:
            with self.assertRaisesRegex(kind, name):
                ReconnectPolicy(**{name: value})

    def test_frozen_policy(self) -> None:
        """A policy is a value: equal to one with the same fields, and immutable."""
        self.assertEqual(ReconnectPolicy(), ReconnectPolicy(1, 30, 2, 0.25, 5))
        policy: Any = ReconnectPolicy()
        with self.assertRaises(AttributeError):
            policy.first = 2
        with self.assertRaises(AttributeError):
            policy.firts = 2


class Body:
    """A body whose end a test can observe."""


class UndecodableTests(SynchronousTestCase):
    """The log of messages that cannot be decoded."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.limit = FailureRecord(self.clock)

    def log(self, limit: FailureRecord | None, message_id: str = "42") -> list[str]:
        """Reject a message that cannot be decoded; return the logged lines."""
        properties = {"message_id": message_id, "content_type": "application/json"}
        delivery = Delivery(1, "tag", False, "x", "k", b"{", properties)
        message = Message(
            delivery, UnackedMessages(FakeChannel(), DecodedMemory()), Queue("video")
        )
        if limit is not None:
            message.use_failure_record(limit)
        try:
            self.assertIsNone(message.payload)
        except DecodeError:
            failure = Failure()
        with capturedLogs() as events:
            reject(message, failure)
        self.assertTrue(all("log_failure" not in event for event in events))
        self.assertTrue(message.acknowledged)
        return [formatEvent(event) for event in events]

    def test_one_line(self) -> None:
        """One line says which message, why, and what happens to it."""
        [line] = self.log(None)
        for part in ("'42'", "'video'", "cannot be decoded", "dropped", "Expecting"):
            self.assertIn(part, line)
        self.assertNotIn("Traceback", line)
        self.assertNotIn("\n", line)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_what_a_sender_wrote(self) -> None:
        """Names that a sender chose are shortened and escaped."""
        [line] = self.log(None, "\x1b[2J" + "m" * 5000)
        self.assertTrue(line.isprintable())
        self.assertIn("\\x1b[2J" + "m" * 100, line)
        self.assertLess(len(line), 1000)

    def test_repeated(self) -> None:
        """One line is logged in ten seconds; it has the number of those left out."""
        self.assertEqual(len(self.log(self.limit)), 1)
        for _ in range(1000):
            self.assertEqual(self.log(self.limit), [])
        self.clock.advance(9.9)
        self.assertEqual(self.log(self.limit), [])
        self.clock.advance(0.1)
        [line] = self.log(self.limit)
        self.assertIn("and 1001 more", line)
        self.clock.advance(10)
        [line] = self.log(self.limit)
        self.assertNotIn("more", line)


class PolicyTests(SynchronousTestCase):
    """What happens to a message whose handling failed."""

    def setUp(self) -> None:
        self.channel = FakeChannel()
        self.failure = Failure(ZeroDivisionError("by zero"))

    def message(
        self,
        redelivered: bool = False,
        no_ack: bool = False,
        queue: Queue | None = None,
    ) -> Message:
        """Make a message with the id 42."""
        delivery = Delivery(
            1, "tag", redelivered, "", "video", b"", {"message_id": "42"}
        )
        unacked = None if no_ack else UnackedMessages(self.channel, DecodedMemory())
        return Message(delivery, unacked, queue or Queue("video"))

    def logged(self) -> str:
        """Return the only logged line, with its traceback."""
        [failure] = self.flushLoggedErrors(ZeroDivisionError)
        self.assertIs(failure.value, self.failure.value)
        [text] = [formatEvent(event) for event in self.events]
        self.assertIn("'42'", text)
        self.assertIn("'video'", text)
        return text

    def apply(self, policy: object, message: Message) -> str:
        """Apply a policy; return the log."""
        with capturedLogs() as self.events:
            policy(message, self.failure)  # type: ignore[operator]  # wrong on purpose
        return self.logged()

    def test_requeue_once(self) -> None:
        """The default requeues a message the first time."""
        text = self.apply(requeue_once, self.message())
        self.assertEqual(self.channel.settled, [("reject", 1, True)])
        self.assertIn("requeued once", text)

    def test_not_twice(self) -> None:
        """The second time the message is rejected, and the log says that it is lost."""
        text = self.apply(requeue_once, self.message(redelivered=True))
        self.assertEqual(self.channel.settled, [("reject", 1, False)])
        self.assertIn("dropped, no dead letter exchange", text)

    def test_dead_letter_exchange(self) -> None:
        """If the queue has a dead letter exchange the log names it."""
        queue = Queue("video", queue_arguments={"x-dead-letter-exchange": "graveyard"})
        text = self.apply(requeue_once, self.message(redelivered=True, queue=queue))
        self.assertIn("to the dead letter exchange 'graveyard'", text)

    def test_reject(self) -> None:
        """reject rejects at once, whether the message was redelivered or not."""
        self.apply(reject, self.message())
        self.assertEqual(self.channel.settled, [("reject", 1, False)])

    def test_drop(self) -> None:
        """drop acks the message."""
        text = self.apply(drop, self.message())
        self.assertEqual(self.channel.settled, [("ack", 1, False)])
        self.assertIn("it is dropped", text)

    def test_without_ack(self) -> None:
        """The log does not promise to redeliver a no_ack message."""
        for policy in (requeue_once, reject):
            text = self.apply(policy, self.message(no_ack=True))
            self.assertNotIn("requeued", text)
            self.assertIn("dropped, its consumer needs no acks", text)
        self.assertEqual(self.channel.settled, [])

    def test_undecodable_properties(self) -> None:
        """A message whose properties cannot be decoded is settled, too."""

        def broken() -> dict[str, object]:
            raise DecodeError("broken table")

        delivery = Delivery(1, "tag", True, "", "video", b"", broken)
        message = Message(
            delivery, UnackedMessages(self.channel, DecodedMemory()), Queue("video")
        )
        requeue_once(message, self.failure)
        self.assertEqual(self.channel.settled, [("reject", 1, False)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_no_frames(self) -> None:
        """
        The log keeps no frames, of the error or of its causes, and has the whole text.
        """

        def handle(body: Body) -> None:
            try:
                raise KeyError(id(body))
            except KeyError as error:
                raise ZeroDivisionError from error

        body = Body()
        gone = ref(body)
        try:
            handle(body)
        except ZeroDivisionError:
            self.failure = Failure()
        del body
        self.assertIsNotNone(gone())
        [failure] = self.logged_failures()
        collect()
        self.assertIsNone(gone())
        self.assertIn("in handle", failure.getTraceback())

    def logged_failures(self) -> list[Failure]:
        """Apply a policy; return the failures that trial got."""
        reject(self.message(), self.failure)
        failures: list[Failure] = self.flushLoggedErrors(ZeroDivisionError)
        return failures

    def test_unknown_queue(self) -> None:
        """A message whose queue is not known is settled, too."""
        delivery = Delivery(1, "tag", False, "", "video", b"", {})
        requeue_once(
            Message(delivery, UnackedMessages(self.channel, DecodedMemory())),
            self.failure,
        )
        self.assertEqual(self.channel.settled, [("reject", 1, True)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class RetryTests(SynchronousTestCase):
    """How long a message is held before its next attempt."""

    def test_without_end(self) -> None:
        """However often it failed, the delay stays at its maximum."""
        found = Delivery(1, "tag", False, "x", "k", b"", {})
        unacked = UnackedMessages(FakeChannel(), DecodedMemory())
        message = Message(found, unacked, Queue("video"))
        policy = retry(None, max_delay=7)
        host: Any = None
        held: list[Any] = []
        for _ in range(3000):
            message.note_failure()
            with capturedLogs():
                held.append(policy.decide(host, message, Failure(ValueError("x"))))
        seconds = [each.seconds for each in held]
        self.assertEqual(seconds[:4], [1, 2, 4, 7])
        self.assertEqual(set(seconds[3:]), {7})
        self.flushLoggedErrors(ValueError)

    def test_then(self) -> None:
        """What cannot decide afterwards is refused when the policy is made."""
        wrong: tuple[tuple[Any, str], ...] = (
            ("parked", "then must be callable, not 'parked'"),
            (None, "then must be callable, not None"),
            (Reject(), "then must be callable"),
            (park, "then is called with 2 arguments; .* takes others"),
            (retry, r"then must be what retry\(\) returns, not retry itself"),
            (Reject, "then must be a policy, not the class Reject"),
            (RetryPolicy, "then must be a policy, not the class RetryPolicy"),
        )
        for then, text in wrong:
            for make in (retry, RetryPolicy):
                with self.assertRaisesRegex(TypeError, text):
                    make(then=then)

    def test_right_then(self) -> None:
        """A policy, and a function of message and failure, may decide afterwards."""
        for then in (reject, park("parked"), retry(2), lambda message, failure: None):
            self.assertIs(retry(then=then).then, then)


class SetClockTests(SynchronousTestCase):
    """The log of failures when the wall clock is set."""

    def test_repeated(self) -> None:
        """One line in ten seconds is logged, whatever the wall clock says."""
        reactor = JumpyReactor()
        self.patch(steady_clock, "monotonic", reactor.monotonic)
        connection = BrokerConnection(transport=FakeTransport(), reactor=reactor)
        channel = Channel(connection)
        handling = FailureHandling(channel, lambda: retry(None), lambda error: None)
        delivery = Delivery(1, "tag", False, "", "video", b"", {})
        unacked = UnackedMessages(FakeChannel(), DecodedMemory())
        message = Message(delivery, unacked, Queue("video"))

        def logged() -> int:
            handling.decide(message, Failure(ZeroDivisionError()))
            return len(self.flushLoggedErrors(ZeroDivisionError))

        self.assertEqual(logged(), 1)
        reactor.set_clock(3600)
        self.assertEqual(logged(), 0)
        reactor.set_clock(-7200)
        reactor.advance(9.9)
        self.assertEqual(logged(), 0)
        reactor.advance(0.1)
        self.assertEqual(logged(), 1)
