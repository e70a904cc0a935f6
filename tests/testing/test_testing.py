"""
The helpers for users' own tests.
"""

from __future__ import annotations

import unittest
from concurrent.futures import Future
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txkombu import Consumer, Exchange, Message, Producer, Queue
from txkombu.exceptions import ConnectError, OutcomeUnknown
from txkombu.interfaces import (
    IBrokerTransport,
    ISession,
    ISessionChannel,
    ISessionListener,
)
from txkombu.testing import BrokerTestCase, RecordingBroker

EXCHANGE = Exchange("feed", type="direct")
QUEUE = Queue("feed", EXCHANGE, "importer")


def outcome_of(body: Any) -> unittest.TestResult:
    """Run a test case whose one test is C{body}; return its result."""

    class Case(BrokerTestCase):
        def test_body(self) -> Any:
            return body(self)

    result = unittest.TestResult()
    Case("test_body").run(result)
    return result


class LeftUndoneTests(SynchronousTestCase):
    """A test fails for what it leaves undone, and says what that is."""

    def assertFailsWith(self, body: Any, text: str) -> None:
        """The test fails, and only because of what it left undone."""
        result = outcome_of(body)
        self.assertEqual((len(result.failures), result.errors), (1, []))
        self.assertIn(text, result.failures[0][1])

    def test_nothing_left(self) -> None:
        """A test that leaves nothing passes."""

        def body(case: BrokerTestCase) -> None:
            producer = Producer(case.connection, EXCHANGE)
            case.result_of(producer.publish(1))

        self.assertTrue(outcome_of(body).wasSuccessful())

    def test_unsettled_message(self) -> None:
        """A message that the handler forgot to ack fails the test."""

        def body(case: BrokerTestCase) -> None:
            consumer = Consumer(case.connection, QUEUE, on_message=lambda message: None)
            case.result_of(consumer.consume())
            producer = Producer(case.connection, EXCHANGE, "importer")
            case.result_of(producer.publish(1))

        self.assertFailsWith(body, "<Message 1 from 'feed', unsettled> was not settled")

    def test_generator(self) -> None:
        """A test that is a generator fails, instead of passing unrun."""

        def body(case: BrokerTestCase) -> Any:
            yield case.connection.connect()

        async def async_body(case: BrokerTestCase) -> Any:
            yield await case.connection.connect()

        self.assertFailsWith(body, "inlineCallbacks")
        self.assertFailsWith(async_body, "async generator")

    def test_returned_failure(self) -> None:
        """A test that returns a Failure, or a thread's that failed, has not passed."""
        future: Future[None] = Future()
        future.set_exception(ZeroDivisionError("in the thread"))

        def body(returned: object, case: BrokerTestCase) -> object:
            return returned

        for returned in (Failure(ZeroDivisionError("returned")), future):
            found = outcome_of(partial(body, returned))
            self.assertEqual(len(found.errors), 1)
            self.assertIn("ZeroDivisionError", str(found.errors))

    def test_coroutine(self) -> None:
        """A coroutine function is run, and its failure counts."""
        ran: list[str] = []

        async def body(case: BrokerTestCase) -> None:
            await case.connection.connect()
            ran.append("to the end")

        async def failing(case: BrokerTestCase) -> None:
            await case.connection.connect()
            case.fail("for a reason")

        async def waiting(case: BrokerTestCase) -> None:
            await Deferred()

        self.assertTrue(outcome_of(body).wasSuccessful())
        self.assertEqual(ran, ["to the end"])
        self.assertFailsWith(failing, "for a reason")
        self.assertFailsWith(waiting, "call self.advance(seconds)")

    def test_advance(self) -> None:
        """Time passes in steps of a second, and what one step begins, the next ends."""
        times: list[float] = []

        def body(case: BrokerTestCase) -> None:
            def tick() -> None:
                times.append(case.clock.seconds())
                case.clock.callLater(1, tick)

            case.clock.callLater(1, tick)
            consumer = Consumer(case.connection, QUEUE, callbacks=[handle])
            case.result_of(consumer.consume())
            case.connection.drop()
            case.advance(2.5)
            case.assertTrue(consumer.is_consuming)
            case.assertEqual(case.clock.seconds(), 2.5)
            case.assertRaises(ValueError, case.advance, -1)

        def handle(payload: Any, message: Message) -> None:
            message.ack()

        found = outcome_of(body)
        self.assertEqual((found.errors, found.failures), ([], []))
        self.assertEqual(times, [1, 2])

    def test_handler_at_work(self) -> None:
        """A handler whose Deferred never fires fails the test."""

        def body(case: BrokerTestCase) -> None:
            def handle(payload: Any, message: Message) -> Deferred[None]:
                message.ack()
                return Deferred()

            consumer = Consumer(case.connection, QUEUE, callbacks=[handle])
            case.result_of(consumer.consume())
            producer = Producer(case.connection, EXCHANGE, "importer")
            case.result_of(producer.publish(1))

        self.assertFailsWith(body, "still handles 1 messages")

    def test_publish_without_verdict(self) -> None:
        """A publish without a verdict fails the test."""

        def body(case: BrokerTestCase) -> None:
            case.broker.hold_confirms()
            producer = Producer(case.connection, EXCHANGE, "importer")
            producer.publish(1).addErrback(lambda failure: None)

        self.assertFailsWith(body, "1 publishes without a verdict")

    def test_publish_that_waits(self) -> None:
        """A publish that was never sent fails the test."""

        def body(case: BrokerTestCase) -> None:
            producer = Producer(case.connection, EXCHANGE, "importer")
            case.result_of(producer.publish(1))
            case.broker.block()
            producer.publish(2).addErrback(lambda failure: None)

        self.assertFailsWith(body, "a message waits to be published")

    def test_operation_that_waits(self) -> None:
        """An operation that waits for a session fails the test."""

        def body(case: BrokerTestCase) -> None:
            case.result_of(case.connection.connect())
            case.broker.drop()
            QUEUE(case.connection).declare().addErrback(lambda failure: None)

        self.assertFailsWith(body, "an operation waits for the connection")

    def test_who_waits_for_a_message(self) -> None:
        """Code that waits for a message, by whatever means, fails the test."""

        def take(case: BrokerTestCase) -> None:
            consumer = Consumer(case.connection, QUEUE)
            case.result_of(consumer.consume())
            consumer.take().addErrback(lambda failure: None)

        def drain(case: BrokerTestCase) -> None:
            case.connection.drain_events().addErrback(lambda failure: None)

        self.assertFailsWith(take, "<Consumer of 'feed'> still waits for 1 messages")
        self.assertFailsWith(drain, "drain_events still waits")


class BrokerTests(BrokerTestCase):
    def test_provides_the_contract(self) -> None:
        """The sessions and channels in between have every method of the contract."""
        verifyObject(IBrokerTransport, self.broker)
        channel = self.result_of(self.connection.channel())
        [session] = self.broker.sessions
        verifyObject(ISession, session)
        verifyObject(ISessionListener, session)
        verifyObject(ISessionChannel, self.result_of(channel.core.opener.when_open()))

    def test_published(self) -> None:
        """The broker shows what was published and where, decoded and decompressed."""
        producer = Producer(self.connection, EXCHANGE, "importer")
        self.result_of(producer.publish({"a": 1}, headers={"h": "v"}))
        self.result_of(producer.publish([2], "other", compression="bzip2"))
        self.result_of(producer.publish({3}, serializer="pickle"))
        self.assertEqual(
            [each.payload for each in self.published], [{"a": 1}, [2], {3}]
        )
        self.assertEqual(self.published[0].headers, {"h": "v"})
        [other] = self.broker.published_to("feed", "other")
        self.assertEqual(other.payload, [2])
        self.assertEqual(self.broker.published_to("elsewhere"), [])

    def test_published_is_kept(self) -> None:
        """Headers are shown as they were published; a refused message is not shown."""
        producer = Producer(self.connection, EXCHANGE, "importer")
        values = [1]
        self.result_of(producer.publish(1, headers={"list": values}))
        values.append(2)
        refused = producer.publish(2, headers={"load": float("nan")})
        self.assertIn("'load'", str(self.failureResultOf(refused, ValueError).value))
        self.assertEqual([each.payload for each in self.published], [1])
        self.assertEqual(self.published[0].headers, {"list": [1]})

    def test_refuse_and_accept(self) -> None:
        """Connections can be refused, with a given error."""
        self.broker.refuse(ConnectError("not today"))
        with self.assertRaisesRegex(ConnectError, "not today"):
            self.result_of(self.connection.connect())
        self.broker.accept()
        self.result_of(self.connection.connect())

    def test_held_confirms(self) -> None:
        """Verdicts can be kept back; a loss then leaves their outcome unknown."""
        producer = Producer(self.connection, EXCHANGE)
        self.result_of(producer.publish(0))
        self.broker.hold_confirms()
        first = producer.publish(1)
        self.flush()
        self.assertNoResult(first)
        self.broker.release_confirms()
        self.successResultOf(first)
        self.broker.hold_confirms()
        second = producer.publish(2)
        self.flush()
        self.broker.drop()
        self.failureResultOf(second, OutcomeUnknown)
        self.broker.release_confirms()

    def test_dropped_by_who_got_a_verdict(self) -> None:
        """The callback of a verdict that was kept back may drop the session."""
        producer = Producer(self.connection, EXCHANGE)
        self.result_of(producer.publish(0))
        self.broker.hold_confirms()
        first, second = producer.publish(1), producer.publish(2)
        first.addCallback(lambda _: self.broker.drop())
        self.flush()
        self.broker.release_confirms()
        self.successResultOf(first)
        self.failureResultOf(second, OutcomeUnknown)

    def test_cancelled_by_who_lost_a_verdict(self) -> None:
        """The callback of a lost verdict may cancel another publish."""
        producer = Producer(self.connection, EXCHANGE)
        self.result_of(producer.publish(0))
        self.broker.hold_confirms()
        first, second = producer.publish(1), producer.publish(2)
        first.addErrback(lambda _: second.cancel())
        self.flush()
        self.broker.drop()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.broker.release_confirms()

    def test_cancel_consumers(self) -> None:
        """The consumers of one queue end, after the messages on their way to them."""
        ended: list[str] = []
        got: list[Any] = []

        def note(tag: str, error: Exception) -> None:
            self.assertIn("the test does so", str(error))
            ended.append(f"{len(got)} before")

        def take(payload: Any, message: Message) -> None:
            got.append(payload)
            message.ack()

        for queue in (QUEUE, Queue("other")):
            consumer = Consumer(
                self.connection, queue, callbacks=[take], on_cancel=note
            )
            self.result_of(consumer.consume())
        producer = Producer(self.connection, EXCHANGE, "importer")
        self.result_of(producer.publish(0))
        producer.publish(1)
        self.broker.cancel_consumers("feed")
        self.flush()
        self.assertEqual((got, ended), ([0, 1], ["2 before"]))
        with self.assertRaises(LookupError):
            self.broker.cancel_consumers("none")

    def test_result_of(self) -> None:
        """result_of says when there is no result yet."""
        with self.assertRaisesRegex(AssertionError, "no result yet"):
            self.result_of(Deferred())

    def test_blocked_from_the_start(self) -> None:
        """A connection made while the broker is blocked is told so."""
        self.broker.block("alarm")
        self.result_of(self.connection.connect())
        self.assertEqual(self.connection.blocked_reason, "alarm")
        self.broker.unblock()

    def test_an_own_clock(self) -> None:
        """Without a test case, the broker makes its own Clock."""
        broker = RecordingBroker()
        broker.clock.advance(5)
        self.assertEqual(broker.clock.seconds(), 5)
