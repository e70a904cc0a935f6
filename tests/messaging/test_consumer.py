"""
Consumers, on the memory broker under a Clock.
"""

from __future__ import annotations

import bz2
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import (
    ILogObserver,
    LogLevel,
    capturedLogs,
    formatEvent,
    globalLogPublisher,
)
from twisted.python.failure import Failure

from txkombu import Consumer, Exchange, Message, Producer, Queue
from txkombu.exceptions import (
    AccessRefused,
    ChannelClosed,
    DecodeError,
    NotFound,
    NotSupported,
    OperationTimeout,
    PreconditionFailed,
    ResourceLocked,
    SerializerNotInstalled,
    Unroutable,
)
from txkombu.interfaces import Settlement
from txkombu.policy import Drop, Halt, Park, Reject, Requeue, park, reject, retry
from txkombu.testing import BrokerTestCase

EXCHANGE = Exchange("feed", type="direct")
QUEUE = Queue("feed", EXCHANGE, "importer")


def ignore(what: object) -> None:
    """Return None, as a lambda's result must not be awaited."""


class ConsumerTestCase(BrokerTestCase):
    """The base of these cases: a producer, and a list of received payloads."""

    def setUp(self) -> None:
        super().setUp()
        self.got: list[Any] = []
        self.producer = Producer(self.connection, EXCHANGE, routing_key="importer")

    def take(self, payload: Any, message: Message) -> None:
        """Return a callback that records the payload and acks."""
        self.got.append(payload)
        message.ack()

    def consumer(self, *callbacks: Any, **options: Any) -> Consumer:
        """Return a running consumer."""
        consumer = Consumer(self.connection, QUEUE, callbacks=callbacks, **options)
        self.result_of(consumer.consume())
        return consumer

    def send(self, *bodies: object, **options: Any) -> None:
        """Publish, and check that it is confirmed."""
        for body in bodies:
            self.result_of(self.producer.publish(body, **options))


class CallbackTests(ConsumerTestCase):
    def test_each_message_reaches_the_callback(self) -> None:
        """A registered callback is called with (payload, message) for each message."""
        self.consumer(self.take)
        self.send({"a": 1}, [2], "three", b"four", None, 0)
        self.assertEqual(self.got, [{"a": 1}, [2], "three", b"four", None, 0])

    def test_callbacks_run_in_order_each_awaited(self) -> None:
        """A callback runs when the Deferred of the one before has fired."""
        gate: Deferred[None] = Deferred()
        order: list[str] = []

        def first(payload: Any, message: Message) -> Deferred[None]:
            order.append("first")
            return gate

        async def second(payload: Any, message: Message) -> None:
            order.append("second")

        def third(payload: Any, message: Message) -> None:
            order.append("third")
            message.ack()

        self.consumer(first, second, third)
        self.send(1)
        self.assertEqual(order, ["first"])
        gate.callback(None)
        self.flush()
        self.assertEqual(order, ["first", "second", "third"])

    def test_register_callback_takes_what_waits(self) -> None:
        """Messages that arrived before there was a callback are not lost."""
        consumer = self.consumer()
        self.send(1, 2)
        consumer.register_callback(self.take)
        self.assertEqual(self.got, [1, 2])

    def test_a_callback_must_be_callable(self) -> None:
        """Registering something that is not callable is a TypeError that shows it."""
        consumer = Consumer(self.connection, QUEUE)
        with self.assertRaisesRegex(TypeError, "'no function'"):
            consumer.register_callback("no function")  # type: ignore[arg-type]  # wrong on purpose

    def test_callbacks_are_checked(self) -> None:
        """Arguments that cannot be called are refused when they are given."""
        wrong: tuple[Any, ...] = ([None], ["f"], self.take, [lambda payload: None])
        for callbacks in wrong:
            with self.assertRaisesRegex(TypeError, "callback"):
                Consumer(self.connection, QUEUE, callbacks=callbacks)
        for name in ("on_message", "on_decode_error", "on_failure", "on_cancel"):
            with self.assertRaisesRegex(TypeError, name):
                Consumer(self.connection, QUEUE, **{name: "f"})  # type: ignore[arg-type]  # wrong on purpose
            with self.assertRaisesRegex(TypeError, name):
                Consumer(self.connection, QUEUE, **{name: lambda: None})  # type: ignore[arg-type]  # wrong on purpose
        with self.assertRaisesRegex(TypeError, "'video'"):
            Consumer(self.connection, "video")  # type: ignore[arg-type]  # wrong on purpose

    def test_on_message_gets_the_undecoded_message(self) -> None:
        """With on_message, nothing is decoded and no callback runs."""

        def see(message: Message) -> None:
            self.got.append(message.body)
            message.ack()

        self.consumer(on_message=see)
        self.send({"a": 1})
        self.assertEqual(self.got, [b'{"a":1}'])

    def test_a_subclass_receives(self) -> None:
        """Class attributes are defaults, and a subclass may override receive."""
        got = self.got

        class FeedConsumer(Consumer):
            queues = QUEUE
            prefetch_count = 3

            def receive(self, message_data: Any, message: Message) -> None:
                got.append(message_data)
                message.ack()

        consumer = FeedConsumer(self.connection)
        self.result_of(consumer.consume())
        self.send("x")
        self.assertEqual((got, consumer.prefetch_count), (["x"], 3))

    def test_delivery_info(self) -> None:
        """delivery_info has five entries on every transport."""
        self.consumer(lambda payload, message: self.got.append(message))
        self.send(1)
        [message] = self.got
        info = message.delivery_info
        self.assertEqual(
            (info["exchange"], info["routing_key"], info["redelivered"]),
            ("feed", "importer", False),
        )
        self.assertEqual(info["delivery_tag"], message.delivery_tag)
        self.assertEqual(info["consumer_tag"], message.consumer_tag)
        message.ack()

    def test_delivery_comes_in_the_next_turn(self) -> None:
        """A message is delivered one turn of the reactor after the publish."""
        self.consumer(self.take)
        self.send("declared")
        self.producer.publish("next")
        self.assertEqual(self.got, ["declared"])
        self.clock.advance(0)
        self.assertEqual(self.got, ["declared", "next"])


class ConcurrencyTests(ConsumerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.gates: list[Deferred[None]] = []

    def slow(self, payload: Any, message: Message) -> Deferred[None]:
        """Return a callback that ends, and acks, when its gate opens."""
        self.got.append(payload)
        gate: Deferred[None] = Deferred()
        self.gates.append(gate)
        gate.addCallback(lambda _: ignore(message.ack()))
        return gate

    def test_concurrency_bounds_handlers(self) -> None:
        """At most concurrency handlers run; other messages wait."""
        self.consumer(self.slow, concurrency=2)
        self.send(1, 2, 3, 4)
        self.assertEqual(self.got, [1, 2])
        self.gates[1].callback(None)
        self.assertEqual(self.got, [1, 2, 3])
        for gate in self.gates:
            if not gate.called:
                gate.callback(None)
        self.assertEqual(self.got, [1, 2, 3, 4])

    def test_prefetch_bounds_what_is_handed_out(self) -> None:
        """The broker keeps the messages beyond prefetch_count."""
        self.consumer(self.slow, prefetch_count=2)
        self.send(1, 2, 3)
        self.assertEqual((self.got, self.broker.waiting_in("feed")), ([1, 2], 1))
        self.gates[0].callback(None)
        self.flush()
        self.assertEqual(self.got, [1, 2, 3])
        for gate in self.gates[1:]:
            gate.callback(None)

    def test_no_ack_is_bounded_too(self) -> None:
        """
        A no_ack consumer gets as many messages as it can begin with, and as many again.
        """
        self.consumer(self.slow, no_ack=True, prefetch_count=3)
        self.send(*range(10))
        self.assertEqual(self.got, [0, 1, 2])
        self.assertEqual(self.broker.waiting_in("feed"), 4)
        while not all(gate.called for gate in self.gates):
            for gate in list(self.gates):
                if not gate.called:
                    gate.callback(None)
            self.flush()
        self.assertEqual(self.got, list(range(10)))

    def test_qos_on_a_running_consumer(self) -> None:
        """qos takes effect at once, and delivered messages can still be acked."""
        consumer = self.consumer(self.slow, prefetch_count=1)
        self.send(1, 2, 3)
        self.assertEqual(self.got, [1])
        self.result_of(consumer.qos(prefetch_count=3))
        self.assertEqual(self.got, [1, 2, 3])
        for gate in self.gates:
            gate.callback(None)
        self.flush()
        self.assertEqual(self.broker.waiting_in("feed"), 0)
        self.assertTrue(self.connection.is_consuming)

    def test_qos_by_channel(self) -> None:
        """With apply_global all consumers of a channel share one limit."""
        channel = self.result_of(self.connection.channel())
        other = Queue("other", EXCHANGE, "other")
        consumer = Consumer(channel, [QUEUE, other], callbacks=[self.slow])
        self.result_of(consumer.qos(prefetch_count=1, apply_global=True))
        self.result_of(consumer.consume())
        self.send(1)
        self.send(2, routing_key="other")
        self.assertEqual(self.got, [1])
        self.gates[0].callback(None)
        self.flush()
        self.gates[1].callback(None)
        self.assertEqual(self.got, [1, 2])

    def test_prefetch_size_is_not_supported(self) -> None:
        """Brokers have no limit by bytes, so prefetch_size fails."""
        consumer = Consumer(self.connection, QUEUE)
        with self.assertRaisesRegex(NotSupported, "prefetch_size.*memory"):
            self.result_of(consumer.qos(prefetch_size=1))


class BeginnersTests(ConsumerTestCase):
    """Common mistakes are reported."""

    def setUp(self) -> None:
        super().setUp()
        self.warned: list[Any] = []
        observer = cast("ILogObserver", self.observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def observe(self, event: Any) -> None:
        """Record warnings."""
        text = "has no dead letter exchange"  # told of each queue here
        if event.get("log_level") is LogLevel.warn and text not in formatEvent(event):
            self.warned.append(formatEvent(event))

    def test_forgotten_ack(self) -> None:
        """
        When prefetch_count messages are unsettled and all handlers have returned, one
        warning says so.
        """
        held: list[Message] = []
        self.consumer(lambda payload, message: held.append(message), prefetch_count=3)
        self.send(1, 2)
        self.assertEqual(self.warned, [])
        self.send(3, 4)
        [warning] = self.warned
        self.assertRegex(warning, "Consumer of 'feed'.*3 messages are unsettled.*ack")
        held[0].ack()
        self.flush()
        self.assertEqual(len(self.warned), 1)
        for message in held[1:]:
            message.ack()

    def test_ack_later(self) -> None:
        """A handler that still runs is no reason to warn."""
        gates: list[Deferred[None]] = []

        def slow(payload: Any, message: Message) -> Deferred[None]:
            gate: Deferred[None] = Deferred()
            gates.append(gate)
            return gate.addCallback(lambda _: ignore(message.ack()))

        self.consumer(slow, prefetch_count=2)
        self.send(1, 2)
        for gate in gates:
            gate.callback(None)
        self.assertEqual(self.warned, [])

    def test_generator(self) -> None:
        """A handler that forgot inlineCallbacks fails, and the error says so."""

        def callback(payload: Any, message: Message) -> Any:
            yield message.ack()

        failures: list[str] = []

        def policy(message: Message, failure: Failure) -> None:
            failures.append(str(failure.value))
            message.reject()

        self.consumer(callback, on_failure=policy)
        self.send(1)
        self.assertRegex(failures[0], "generator.*inlineCallbacks")

    def test_system_exit(self) -> None:
        """A handler that raises SystemExit fails, and affects nothing else."""

        def callback(payload: Any, message: Message) -> None:
            raise SystemExit(3)

        self.consumer(callback, on_failure=reject)
        self.send(1, 2)
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 2)
        self.assertTrue(self.connection.is_consuming)


class FailureTests(ConsumerTestCase):
    def fails(self, payload: Any, message: Message) -> None:
        """Raise, as a callback."""
        self.got.append((payload, message.redelivered))
        raise RuntimeError("unknown action")

    def test_default(self) -> None:
        """
        The default policy tries five times, then requeues the message after a wait
        that grows, and so on: it is never lost, and never comes at full speed.
        """
        consumer = self.consumer(self.fails)
        self.send("bad")
        self.assertEqual((len(self.got), consumer.retrying), (1, 1))
        for seconds, count in ((1, 2), (2, 3), (4, 4), (8, 5), (29, 5)):
            self.advance(seconds)
            self.assertEqual(self.got, [("bad", False)] * count)
        self.advance(1)
        self.assertEqual(self.got[5:], [("bad", True)])
        self.advance(15 + 59)
        self.assertEqual(len(self.got), 10)
        self.advance(1)
        self.assertEqual(len(self.got), 11)
        self.flushLoggedErrors(RuntimeError)
        self.result_of(consumer.close())
        self.assertEqual(self.broker.waiting_in("feed"), 1)
        self.result_of(QUEUE(self.connection).purge())

    def test_for_a_while(self) -> None:
        """Nothing is lost while what the handlers need is away for a while."""
        away = True

        def handle(payload: Any, message: Message) -> None:
            if away:
                raise RuntimeError("no database")
            self.take(payload, message)

        consumer = self.consumer(handle, prefetch_count=10)
        self.send(*range(50))
        self.assertEqual((consumer.retrying, consumer.is_stuck), (10, True))
        self.advance(60)
        away = False
        self.advance(150)
        self.assertEqual(sorted(self.got), list(range(50)))
        self.assertFalse(consumer.is_stuck)
        self.flushLoggedErrors(RuntimeError)

    def test_lost_and_closed(self) -> None:
        """A held message comes again after a loss, and after a close."""
        consumer = self.consumer(self.fails)
        self.send("bad")
        self.connection.drop()
        self.advance(1)
        self.assertEqual(self.got, [("bad", False), ("bad", True)])
        self.result_of(consumer.cancel())
        self.assertEqual(self.broker.waiting_in("feed"), 1)
        self.result_of(QUEUE(self.connection).purge())
        self.flushLoggedErrors(RuntimeError)

    def test_verdicts(self) -> None:
        """A handler may raise what is to become of its message."""
        parked = Queue("parked")
        self.result_of(parked(self.connection).declare())
        verdicts = {"reject": Reject(), "drop": Drop(), "park": Park("parked")}

        def handle(payload: Any, message: Message) -> None:
            self.got.append(payload)
            raise verdicts[payload]

        self.consumer(handle)
        self.send(*verdicts)
        self.assertEqual(self.got, ["reject", "drop", "park"])
        self.assertEqual(self.broker.waiting_in("feed"), 0)
        message = self.result_of(parked(self.connection).get())
        assert message is not None
        self.assertEqual(message.payload, "park")
        message.ack()

    def test_requeue_verdict(self) -> None:
        """Requeue puts it back, after a wait."""

        def handle(payload: Any, message: Message) -> None:
            self.got.append(message.redelivered)
            if not message.redelivered:
                raise Requeue
            message.ack()

        self.consumer(handle)
        self.send("again")
        self.assertEqual(self.got, [False])
        self.advance(30)
        self.assertEqual(self.got, [False, True])

    def test_halt(self) -> None:
        """Halt requeues the message and closes the consumer."""

        def handle(payload: Any, message: Message) -> None:
            raise Halt(7)

        consumer = self.consumer(handle)
        self.send("a", "b")
        self.assertIsInstance(consumer.halted, Halt)
        self.successResultOf(consumer.when_closed())
        self.assertEqual(self.broker.waiting_in("feed"), 2)
        self.result_of(QUEUE(self.connection).purge())

    def test_park(self) -> None:
        """A parking queue is declared, and gets what failed, as it was."""
        consumer = self.consumer(self.fails, on_failure=retry(2, then=park("parked")))
        self.send({"a": 1}, compression="gzip", headers={"h": "x"}, message_id="m")
        self.advance(1)
        self.assertEqual(len(self.got), 2)
        self.flushLoggedErrors(RuntimeError)
        message = self.result_of(Queue("parked")(self.connection).get())
        assert message is not None
        self.assertEqual(message.payload, {"a": 1})
        self.assertEqual(message.headers["h"], "x")
        self.assertEqual(message.headers["x-exception"], "unknown action")
        self.assertEqual(message.properties["message_id"], "m")
        message.ack()
        self.assertEqual(consumer.retrying, 0)

    def test_cancelled_while_preparing(self) -> None:
        """A cancel or a close while the parking queue is declared is not forgotten."""
        for end in (Consumer.cancel, Consumer.close):
            consumer = Consumer(
                self.connection, QUEUE, callbacks=[self.take], on_failure=park("parked")
            )
            starting = consumer.consume()
            ending = end(consumer)
            self.flush()
            self.failureResultOf(starting, ChannelClosed)
            self.successResultOf(ending)
            self.assertFalse(consumer.consuming_from(QUEUE))

    def test_cannot_park(self) -> None:
        """Without its parking queue a message is held, and parked later."""
        self.consumer(self.fails, on_failure=park("parked"))
        self.result_of(Queue("parked")(self.connection).delete())
        self.send("bad")
        self.assertEqual(len(self.got), 1)
        self.result_of(Queue("parked")(self.connection).declare())
        self.advance(30)
        self.assertEqual(len(self.got), 2)
        self.assertEqual(self.broker.waiting_in("parked"), 1)
        self.flushLoggedErrors(RuntimeError)
        self.flushLoggedErrors(Unroutable)

    def test_warning(self) -> None:
        """At start one warning names each queue whose messages cannot get away."""
        dead = Queue("dead", queue_arguments={"x-dead-letter-exchange": "dlx"})
        with capturedLogs() as events:
            consumer = Consumer(self.connection, [QUEUE, dead], callbacks=[self.take])
            self.result_of(consumer.consume())
            self.result_of(consumer.cancel())
            self.result_of(consumer.consume())
            parking = Consumer(self.connection, QUEUE, on_failure=park("parked"))
            self.result_of(parking.consume())
        [line] = [formatEvent(each) for each in events if "queue" in each]
        self.assertIn("'feed' has no dead letter exchange", line)
        self.assertIn("queue_arguments={'x-dead-letter-exchange'", line)

    def test_warning_without_a_name(self) -> None:
        """The warning of a queue that the broker names does not show an empty name."""
        with capturedLogs() as events:
            consumer = Consumer(self.connection, Queue(""), callbacks=[self.take])
            self.result_of(consumer.consume())
        [line] = [formatEvent(each) for each in events if "queue" in each]
        self.assertIn("A queue without a name has no dead letter exchange", line)

    def test_no_policy(self) -> None:
        """A policy that could only fail with a message is refused at once."""

        class Forgotten(Consumer):
            on_failure = retry  # type: ignore[assignment]  # that is refused

        with self.assertRaisesRegex(TypeError, r"on_failure must be what retry\(\)"):
            Forgotten(self.connection, QUEUE, callbacks=[self.take])
        for wrong, text in (
            (Reject, "on_failure must be a policy, not the class Reject"),
            ("parked", "on_failure must be callable, not 'parked'"),
            (park, "on_failure is called with 2 arguments"),
        ):
            given: Any = wrong
            with self.assertRaisesRegex(TypeError, text):
                Consumer(self.connection, QUEUE, on_failure=given)

    def test_one_bad_message_touches_no_other(self) -> None:
        """The next message is handled as usual."""

        def picky(payload: Any, message: Message) -> None:
            if payload == "bad":
                raise RuntimeError(payload)
            self.take(payload, message)

        self.consumer(picky, on_failure=reject)
        self.send("bad", "good")
        self.assertEqual(self.got, ["good"])
        self.flushLoggedErrors(RuntimeError)

    def test_own_policy(self) -> None:
        """on_failure gets the message and the failure, and decides."""

        def policy(message: Message, failure: Failure) -> None:
            self.got.append(str(failure.value))
            message.ack()

        self.consumer(self.fails, on_failure=policy)
        self.send("bad")
        self.assertEqual(self.got, [("bad", False), "unknown action"])

    def test_a_deferred_that_fails_takes_the_same_path(self) -> None:
        """A handler whose Deferred fails takes the same path."""
        gate: Deferred[None] = Deferred()
        self.consumer(
            lambda payload, message: gate,
            on_failure=lambda message, failure: ignore(message.reject()),
        )
        self.send("bad")
        gate.errback(Failure(RuntimeError("late")))
        self.flush()
        self.assertEqual(self.broker.waiting_in("feed"), 0)

    def test_dead_letter(self) -> None:
        """A message that is rejected for good goes to the dead letter exchange."""
        dead = Queue("dead", Exchange("dlx", type="fanout"))
        queue = Queue(
            "work", EXCHANGE, "work", queue_arguments={"x-dead-letter-exchange": "dlx"}
        )
        self.result_of(dead(self.connection).declare())
        consumer = Consumer(self.connection, queue, callbacks=[self.fails])
        self.result_of(consumer.consume())
        self.send("bad", routing_key="work")
        self.advance(15)
        self.assertEqual(len(self.got), 5)
        self.flushLoggedErrors(RuntimeError)
        message = self.result_of(dead(self.connection).get())
        assert message is not None
        self.assertEqual(message.payload, "bad")
        self.assertEqual(message.headers["x-first-death-reason"], "rejected")
        message.ack()

    def test_undecodable(self) -> None:
        """A message that cannot be decoded goes to on_failure."""
        errors: list[BaseException | None] = []

        def policy(message: Message, failure: Failure) -> None:
            errors.append(failure.value)
            message.reject()

        self.consumer(self.take, on_failure=policy)
        self.send(b"{", content_type="application/json", content_encoding="utf-8")
        self.assertIsInstance(errors[0], DecodeError)

    def test_on_decode_error(self) -> None:
        """
        on_decode_error gets a message that cannot be decoded, instead of on_failure.
        """

        def see(message: Message, error: Exception) -> None:
            self.got.append(type(error).__name__)
            message.reject()

        self.consumer(self.take, on_decode_error=see)
        self.send(b"x", content_type="text/plain", headers={"compression": "huh"})
        self.assertEqual(self.got, ["DecodeError"])

    def test_repeated_log_lines(self) -> None:
        """
        Of many messages that cannot be decoded one is logged in ten seconds, for each
        consumer.
        """
        self.consumer(self.take, on_failure=reject)
        with capturedLogs() as events:
            self.send(*[b"{"] * 20, content_type="application/json")
            self.clock.advance(10)
            self.send(b"{", content_type="application/json")
        lines = [formatEvent(each) for each in events if "fate" in each]
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[1], r"\(and \d+ more before, not logged\)")

    def test_max_body_size(self) -> None:
        """
        A consumer refuses a body that becomes too large, unless its limit is higher.
        """
        refused: list[str] = []

        def policy(message: Message, failure: Failure) -> None:
            refused.append(str(failure.value))
            message.reject()

        small = bz2.compress(b"x" * 2000)
        labels: dict[str, Any] = {
            "content_type": "application/data",
            "headers": {"compression": "bzip2"},
        }
        consumer = self.consumer(self.take, on_failure=policy, max_body_size=1000)
        self.send(small, **labels)
        bodies = "x" * 999, "y" * 2000, bytes(5000), "x" * 1001
        self.send(*bodies, compression="bzip2")
        self.assertEqual(self.got, ["x" * 999])
        self.assertEqual(len(refused), 4)
        self.assertTrue(all("1000" in each for each in refused), refused)
        self.result_of(consumer.close())
        self.consumer(self.take, max_body_size=2000)
        self.send(small, **labels)
        self.assertEqual(self.got[1:], [b"x" * 2000])

    def test_max_body_size_of_values(self) -> None:
        """
        The limit also counts values in lists, applies to get, and may be a class
        attribute.
        """

        class Small(Consumer):
            max_body_size = 1000

        consumer = Small(self.connection, QUEUE)
        self.result_of(consumer.declare())
        body = bz2.compress(b"[" + b"[]," * 100 + b"1]")
        for _ in range(2):
            self.send(
                body,
                content_type="application/json",
                headers={"compression": "bzip2"},
            )
        message: Any = self.result_of(consumer.get())
        error = self.assertRaises(DecodeError, getattr, message, "payload")
        self.assertIn("count as more than", str(error))
        self.assertIn("raise max_body_size", str(error))
        queue = QUEUE(self.connection)
        self.result_of(message.reject())
        message = self.result_of(queue.get(max_body_size=100_000))
        self.assertEqual(len(message.payload), 101)
        message.ack()

    def test_plain_bodies_are_not_limited(self) -> None:
        """A plain body is received whatever its size is, however small the limit."""
        self.consumer(self.take, max_body_size=1)
        self.send(bytes(5000), "x" * 5000, 5)
        self.assertEqual(self.got, [bytes(5000), "x" * 5000, 5])

    def test_wrong_max_body_size(self) -> None:
        """A limit that is not a number of bytes is refused."""
        wrong: Any
        for wrong, kind in ((0, ValueError), (-1, ValueError), ("8M", TypeError)):
            with self.assertRaisesRegex(kind, "max_body_size"):
                Consumer(self.connection, QUEUE, max_body_size=wrong)
            with self.assertRaisesRegex(kind, "max_body_size"):
                QUEUE(self.connection).get(max_body_size=wrong)

    def test_exchange_for_a_queue(self) -> None:
        """
        An exchange instead of a queue is refused; the error names it and says what to
        do.
        """
        exchange: Any = Exchange("media", "fanout")
        for wrong in (exchange, [exchange], [QUEUE, exchange]):
            with self.assertRaisesRegex(TypeError, "Queue.'name', 'media'"):
                Consumer(self.connection, wrong)
        consumer = Consumer(self.connection, QUEUE)
        with self.assertRaisesRegex(TypeError, "bind one to it"):
            consumer.add_queue(exchange)
        wrong_queues: tuple[Any, ...] = ("feed", b"feed", 5, ["feed"])
        for wrong in wrong_queues:
            with self.assertRaisesRegex(TypeError, "queues must be Queue objects"):
                Consumer(self.connection, wrong)

    def test_pickle_is_refused_unless_accepted(self) -> None:
        """pickle is decoded only if accept has it."""
        refused: list[str] = []

        def policy(message: Message, failure: Failure) -> None:
            refused.append(str(failure.value))
            message.reject()

        consumer = self.consumer(self.take, on_failure=policy)
        self.send({1, 2}, serializer="pickle")
        self.assertIn("application/x-python-serialize", refused[0])
        self.result_of(consumer.close())
        self.consumer(self.take, accept=["pickle"])
        self.send({1, 2}, serializer="pickle")
        self.assertEqual(self.got, [{1, 2}])

    def test_accept_unknown(self) -> None:
        """An unknown name in accept is refused at once, and the error names it."""
        with self.assertRaisesRegex(SerializerNotInstalled, "jsno"):
            Consumer(self.connection, QUEUE, accept=["jsno"])


class DeclaringTests(ConsumerTestCase):
    def test_auto_declare_off(self) -> None:
        """With auto_declare off nothing is declared: a missing queue is a 404."""
        consumer = Consumer(self.connection, QUEUE, auto_declare=False)
        with self.assertRaisesRegex(NotFound, "no queue 'feed'"):
            self.result_of(consumer.consume())

    def test_declare_when_auto_declare_is_off(self) -> None:
        """declare declares, even if consume does not: exchange, queue and binding."""
        consumer = Consumer(self.connection, QUEUE, auto_declare=False)
        self.result_of(consumer.declare())
        self.send(1)
        self.assertEqual(self.broker.waiting_in("feed"), 1)

    def test_declare_again(self) -> None:
        """declare declares each time: the queue may have been deleted elsewhere."""
        consumer = Consumer(self.connection, QUEUE)
        self.result_of(consumer.declare())
        self.result_of(Queue("feed")(self.connect()).delete())
        self.result_of(consumer.declare())
        self.assertEqual(self.broker.waiting_in("feed"), 0)

    def test_declare_passively(self) -> None:
        """With auto_declare="passive" declare looks the queue up, each time."""
        consumer = Consumer(self.connection, QUEUE, auto_declare="passive")
        with self.assertRaisesRegex(NotFound, "no queue 'feed'"):
            self.result_of(consumer.declare())
        self.result_of(QUEUE(self.connection).declare())
        self.result_of(consumer.declare())

    def test_declare_refused(self) -> None:
        """declare fails with the broker's refusal."""
        self.result_of(QUEUE(self.connection).declare())
        other = Queue("feed", EXCHANGE, durable=False)
        consumer = Consumer(self.connection, other, auto_declare=False)
        with self.assertRaisesRegex(PreconditionFailed, "durable.*'feed'"):
            self.result_of(consumer.declare())

    def test_passive(self) -> None:
        """With auto_declare="passive" a queue is only looked up."""
        consumer = Consumer(self.connection, QUEUE, auto_declare="passive")
        with self.assertRaisesRegex(NotFound, "no queue 'feed'"):
            self.result_of(consumer.consume())
        self.result_of(QUEUE(self.connection).declare())
        self.result_of(consumer.consume())
        self.assertTrue(consumer.consuming_from(QUEUE))

    def test_auto_declare_is_checked(self) -> None:
        """Any other value is a ValueError."""
        with self.assertRaisesRegex(ValueError, "auto_declare.*'maybe'"):
            Consumer(self.connection, QUEUE, auto_declare="maybe")

    def test_redeclaring_otherwise(self) -> None:
        """A queue that exists with other properties is a 406 that names it."""
        self.result_of(QUEUE(self.connection).declare())
        other = Consumer(self.connection, Queue("feed", EXCHANGE, durable=False))
        with self.assertRaisesRegex(PreconditionFailed, "durable.*'feed'"):
            self.result_of(other.consume())

    def test_exclusive_consumer(self) -> None:
        """A second consumer beside an exclusive one is refused."""
        self.consumer(self.take, exclusive=True)
        second = Consumer(self.connection, QUEUE)
        with self.assertRaisesRegex(AccessRefused, "exclusive"):
            self.result_of(second.consume())

    def test_exclusive_queue(self) -> None:
        """A queue that is exclusive to one connection is locked for others."""
        mine = Queue("mine", exclusive=True)
        self.result_of(mine(self.connection).declare())
        theirs = Consumer(self.connect(), mine)
        with self.assertRaisesRegex(ResourceLocked, "mine"):
            self.result_of(theirs.consume())

    def test_priority(self) -> None:
        """A consumer of higher priority gets messages first."""
        self.consumer(lambda payload, message: ignore(message.ack()))
        self.consumer(self.take, priority=5)
        self.send(1, 2)
        self.assertEqual(self.got, [1, 2])


class EndingTests(ConsumerTestCase):
    def test_cancel_hands_back_what_nobody_started(self) -> None:
        """After a cancel, messages that wait for a handler are in the queue again."""
        consumer = self.consumer()
        self.send(1, 2)
        self.result_of(consumer.cancel())
        self.assertEqual(self.broker.waiting_in("feed"), 2)
        self.assertFalse(consumer.consuming_from("feed"))

    def test_messages_in_hand_can_be_acked_after_cancel(self) -> None:
        """A handler that runs at a cancel finishes, and its ack counts."""
        held: list[Message] = []
        consumer = self.consumer(lambda payload, message: held.append(message))
        self.send(1)
        self.result_of(consumer.cancel())
        self.result_of(held[0].ack())
        self.connection.drop()
        self.clock.advance(1)
        self.flush()
        self.assertEqual(self.broker.waiting_in("feed"), 0)

    def test_cancel_by_queue(self) -> None:
        """A consumer can stop receiving from one of its queues."""
        other = Queue("other", EXCHANGE, "other")
        consumer = Consumer(self.connection, [QUEUE, other], callbacks=[self.take])
        self.result_of(consumer.consume())
        self.result_of(consumer.cancel_by_queue("feed"))
        self.send(1)
        self.send(2, routing_key="other")
        self.assertEqual((self.got, consumer.queues), ([2], [other]))

    def test_consume_after_cancel(self) -> None:
        """consume starts a cancelled consumer again."""
        consumer = self.consumer(self.take)
        self.result_of(consumer.flow(False))
        self.send(1)
        self.assertEqual(self.got, [])
        self.result_of(consumer.flow(True))
        self.assertEqual(self.got, [1])

    def test_consume_twice_consumes_once(self) -> None:
        """consume does not change a queue that is consumed already."""
        consumer = self.consumer(self.take)
        self.result_of(consumer.consume())
        ok = self.result_of(QUEUE(self.connection).queue_declare(passive=True))
        self.assertEqual(ok.consumer_count, 1)

    def test_consume_twice_at_once(self) -> None:
        """A second consume at the same time waits for the first, and starts nothing."""
        consumer = Consumer(self.connection, QUEUE, callbacks=[self.take])
        calls = [consumer.consume(), consumer.consume()]
        self.flush()
        for call in calls:
            self.successResultOf(call)
        ok = self.result_of(QUEUE(self.connection).queue_declare(passive=True))
        self.assertEqual(ok.consumer_count, 1)

    def test_cancel_before_anything_was_answered(self) -> None:
        """A cancel or a close stops a consume that is under way."""
        self.result_of(QUEUE(self.connection).declare())
        for end in (Consumer.cancel, Consumer.close):
            consumer = Consumer(self.connection, QUEUE, callbacks=[self.take])
            starting = consumer.consume()
            self.successResultOf(end(consumer))
            self.flush()
            self.failureResultOf(starting, ChannelClosed)
            self.assertConsumers(0)

    def test_cancel_between_declaring_and_consuming(self) -> None:
        """A cancel or a close stops a consume between declaring and starting."""
        self.end_when_declared(Consumer.cancel)
        self.end_when_declared(Consumer.close)

    def end_when_declared(self, end: Callable[[Consumer], Deferred[None]]) -> None:
        """Start a consumer of a new queue, and end it when the queue is declared."""
        ending: list[Deferred[None]] = []
        new = Queue(f"ended by {end.__name__}")
        consumer = Consumer(self.connection, new, callbacks=[self.take])
        [queue] = cast("list[Queue]", consumer.queues)
        queue.on_declared = lambda *told: ending.append(end(consumer))
        starting = consumer.consume()
        self.flush()
        self.successResultOf(ending[0])
        self.failureResultOf(starting, ChannelClosed)
        ok = self.result_of(new(self.connection).queue_declare(passive=True))
        self.assertEqual(ok.consumer_count, 0)

    def test_cancel_while_the_broker_starts_it(self) -> None:
        """
        A consumer that is cancelled before the broker confirms its start ends at once.
        """
        self.result_of(QUEUE(self.connection).declare())
        channel = self.result_of(self.connection.channel())
        consumer = Consumer(channel, QUEUE, False, False, callbacks=[self.take])
        starting = consumer.consume()
        self.successResultOf(consumer.cancel())
        self.flush()
        self.failureResultOf(starting, ChannelClosed)
        self.assertConsumers(0)

    def assertConsumers(self, count: int) -> None:
        """Check how many consumers of the queue the broker has."""
        ok = self.result_of(QUEUE(self.connection).queue_declare(passive=True))
        self.assertEqual(ok.consumer_count, count)

    def test_add_queue(self) -> None:
        """A queue that is added to a running consumer starts with the next consume."""
        consumer = self.consumer(self.take)
        consumer.add_queue(Queue("more", EXCHANGE, "more"))
        self.result_of(consumer.consume())
        self.send(1, routing_key="more")
        self.assertEqual(self.got, [1])

    def test_add_queue_takes_queues_only(self) -> None:
        """add_queue accepts only queues, not names."""
        with self.assertRaisesRegex(TypeError, "'feed'"):
            Consumer(self.connection, []).add_queue("feed")  # type: ignore[arg-type]  # wrong on purpose

    def test_use_after_close(self) -> None:
        """Operations of a closed consumer say that it is closed."""
        consumer = self.consumer(self.take)
        self.result_of(consumer.close())
        self.result_of(consumer.close())
        with self.assertRaisesRegex(ChannelClosed, "consumer was closed"):
            self.result_of(consumer.consume())

    def test_close_of_an_own_channel_waits_for_handlers(self) -> None:
        """
        The channel closes when the last handler has finished, so the handler's ack
        counts.
        """
        gate: Deferred[None] = Deferred()

        def slow(payload: Any, message: Message) -> Deferred[None]:
            gate.addCallback(lambda _: ignore(message.ack()))
            return gate

        consumer = self.consumer(slow)
        self.send(1)
        self.result_of(consumer.close())
        gate.callback(None)
        self.flush()
        self.assertTrue(consumer.channel.closed)
        self.assertEqual(self.broker.waiting_in("feed"), 0)

    def test_purge(self) -> None:
        """purge removes the ready messages, and returns their number."""
        consumer = Consumer(self.connection, QUEUE)
        self.result_of(consumer.declare())
        self.send(1, 2, 3)
        self.assertEqual(self.result_of(consumer.purge()), 3)

    def test_recover(self) -> None:
        """
        recover gives unsettled messages back; recover(requeue=False) is not supported.
        """
        seen: list[Message] = []
        consumer = self.consumer(lambda payload, message: seen.append(message))
        self.send(1)
        self.result_of(consumer.recover(requeue=True))
        self.assertEqual([each.redelivered for each in seen], [False, True])
        self.assertIs(self.result_of(seen[0].ack()), Settlement.STALE)
        with self.assertRaisesRegex(NotSupported, "recover"):
            self.result_of(consumer.recover())
        seen[1].ack()


class GetTests(ConsumerTestCase):
    def test_get(self) -> None:
        """get declares the queue, and returns one message or None."""
        consumer = Consumer(self.connection, QUEUE)
        self.assertIsNone(self.result_of(consumer.get()))
        self.send({"a": 1})
        message = self.result_of(consumer.get())
        assert message is not None
        self.assertEqual(message.payload, {"a": 1})
        self.result_of(message.ack())
        self.assertIsNone(self.result_of(consumer.get()))

    def test_get_tries_the_queues_in_turn(self) -> None:
        """get takes the message of the first queue that has one."""
        other = Queue("other", EXCHANGE, "other")
        consumer = Consumer(self.connection, [QUEUE, other])
        self.result_of(consumer.declare())
        self.send("from other", routing_key="other")
        message = self.result_of(consumer.get(no_ack=True))
        assert message is not None
        self.assertEqual(message.payload, "from other")

    def test_accept_from_an_iterator(self) -> None:
        """accept may be any iterable, and is read once."""
        consumer = Consumer(self.connection, QUEUE, accept=iter(["pickle"]))
        self.result_of(consumer.declare())
        self.send({1}, serializer="pickle")
        message = self.result_of(consumer.get(no_ack=True))
        assert message is not None
        self.assertEqual(message.payload, {1})

    def test_get_from_a_missing_queue(self) -> None:
        """With auto_declare off a missing queue is a 404."""
        consumer = Consumer(self.connection, QUEUE, auto_declare=False)
        with self.assertRaises(NotFound):
            self.result_of(consumer.get())


class IterationTests(ConsumerTestCase):
    def test_async_for(self) -> None:
        """
        Messages can be iterated over inside async with; leaving it gives unsettled ones
        back.
        """

        async def program() -> None:
            async with Consumer(self.connection, QUEUE) as consumer:
                async for message in consumer:
                    self.got.append(message.payload)
                    if message.payload == 2:
                        break
                    await message.ack()

        done = Deferred.fromCoroutine(program())
        self.flush()
        self.send(1, 2, 3)
        self.successResultOf(done)
        self.assertEqual((self.got, self.broker.waiting_in("feed")), ([1, 2], 2))

    def test_iteration_ends_when_the_consumer_is_closed(self) -> None:
        """async for ends when the consumer is closed."""
        consumer = self.consumer()

        async def program() -> str:
            async for message in consumer:
                await message.ack()
            return "ended"

        done = Deferred.fromCoroutine(program())
        self.send(1)
        self.result_of(consumer.close())
        self.assertEqual(self.successResultOf(done), "ended")
        self.failureResultOf(consumer.take(), ChannelClosed)

    def test_iterating_beside_callbacks_is_refused(self) -> None:
        """A consumer with callbacks cannot be iterated over."""
        consumer = self.consumer(self.take)
        with self.assertRaisesRegex(TypeError, "callbacks"):
            aiter(consumer)


class DrainEventsTests(ConsumerTestCase):
    def test_fires_when_the_next_message_was_handled(self) -> None:
        """
        It waits for a message that is handled after the call; earlier ones do not
        count.
        """
        self.consumer(self.take)
        self.send(1)
        drain_waiters = self.connection.drain_events(timeout=5)
        self.flush()
        self.assertNoResult(drain_waiters)
        self.send(2)
        self.successResultOf(drain_waiters)

    def test_times_out(self) -> None:
        """Without a message it fails with OperationTimeout, which is a TimeoutError."""
        self.consumer(self.take)
        drain_waiters = self.connection.drain_events(timeout=5)
        self.clock.advance(5)
        self.failureResultOf(drain_waiters, OperationTimeout)

    def test_starts_untouched_consumers(self) -> None:
        """A consumer on which nothing was called is started."""
        consumer = Consumer(self.connection, QUEUE)
        consumer.register_callback(self.take)
        idle = Consumer(self.connection, Queue("idle"))
        drain_waiters = self.connection.drain_events()
        self.flush()
        self.send(1)
        self.successResultOf(drain_waiters)
        self.assertEqual(self.got, [1])
        self.assertFalse(idle.consuming_from("idle"))

    def test_tells_why_a_consumer_did_not_start(self) -> None:
        """It fails with the broker's refusal."""
        consumer = Consumer(self.connection, QUEUE, auto_declare=False)
        consumer.register_callback(self.take)
        drain_waiters = self.connection.drain_events()
        self.flush()
        self.failureResultOf(drain_waiters, NotFound)
