"""
Failed messages that wait in delay queues, on the memory broker under a Clock.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs, formatEvent

from txkombu import Consumer, Exchange, Message, Producer, Queue
from txkombu.exceptions import (
    Nacked,
    NotSupported,
    OutcomeUnknown,
    PreconditionFailed,
    Unroutable,
)
from txkombu.policy import Halt, delayed, halt, retry
from txkombu.policy.hosting import HostedPolicy
from txkombu.testing import BrokerTestCase

WORK = Queue("work")
FULL = Queue("parked", max_length=1, queue_arguments={"x-overflow": "reject-publish"})


class DelayedTests(BrokerTestCase):
    """The broker holds a message, and parks it at last."""

    def setUp(self) -> None:
        super().setUp()
        self.got: list[tuple[float, object]] = []
        self.producer = Producer(self.connect())

    def fails(self, payload: Any, message: Message) -> None:
        """Note when the message came, and how often it waited; fail."""
        self.got.append((self.clock.seconds(), message.headers.get("x-delayed-count")))
        raise RuntimeError("no database")

    def consume(
        self, policy: HostedPolicy, queue: Queue = WORK, **options: Any
    ) -> Consumer:
        """Return a running consumer whose handler fails."""
        consumer = Consumer(
            self.connection,
            queue,
            callbacks=[self.fails],
            on_failure=policy,
            **options,
        )
        self.result_of(consumer.consume())
        return consumer

    def send(self, body: object = "bad", **options: Any) -> None:
        """Publish to the queue."""
        self.result_of(self.producer.publish(body, "work", **options))

    def parked(self) -> Message:
        """Take the only message of the parking queue."""
        self.flushLoggedErrors(RuntimeError)
        self.assertEqual(self.broker.waiting_in("parked"), 1)
        message = self.result_of(Queue("parked")(self.connection).get())
        assert message is not None
        message.ack()
        return message

    def test_delays(self) -> None:
        """Each failure has the next delay, the last one again; then it is parked."""
        self.consume(delayed(4, [1, 5], park="parked"))
        self.send()
        self.assertEqual(self.broker.waiting_in("work.delay.1000"), 1)
        self.advance(1)
        self.assertEqual(self.broker.waiting_in("work.delay.5000"), 1)
        self.advance(20)
        self.assertEqual(self.got, [(0, None), (1, 1), (6, 2), (11, 3)])
        self.assertEqual(self.broker.waiting_in("work"), 0)
        self.parked()

    def test_parked_as_it_was(self) -> None:
        """
        What is parked is as it was published, with the error, without the count of the
        delays, and does not expire.
        """
        self.consume(delayed(2, [1], park="parked"))
        headers = {"h": "x", "CC": ["other"]}
        options = {"message_id": "m", "priority": 3, "headers": headers}
        self.send({"a": 1}, compression="gzip", expiration=60, **options)
        self.advance(1)
        self.advance(100)
        message = self.parked()
        self.assertEqual(message.payload, {"a": 1})
        self.assertEqual(message.headers["h"], "x")
        self.assertEqual(message.headers["x-exception"], "no database")
        self.assertEqual({"CC", "x-delayed-count"} & message.headers.keys(), set())
        self.assertEqual(message.properties["message_id"], "m")
        self.assertEqual(message.properties["priority"], 3)
        self.assertNotIn("expiration", message.properties)

    def test_undecodable(self) -> None:
        """What cannot be decoded is parked at once."""
        self.consume(delayed(5, [1], park="parked"))
        self.send("{", content_type="application/json")
        self.assertEqual(self.got, [])
        self.assertEqual(self.parked().raw_body, b"{")

    def test_after_retries(self) -> None:
        """After each delay, the attempts of a retry before it begin anew."""
        self.consume(retry(2, delay=1, then=delayed(2, [10], park="parked")))
        self.send()
        self.advance(60)
        self.assertEqual(self.got, [(0, None), (1, None), (11, 1), (12, 1)])
        self.parked()

    def test_without_end(self) -> None:
        """Without a number of attempts it is never parked."""
        self.consume(delayed(None, [2], park="parked"))
        self.send()
        self.advance(99)
        self.assertEqual(len(self.got), 50)
        self.assertEqual(self.broker.waiting_in("work.delay.2000"), 1)
        self.flushLoggedErrors(RuntimeError)

    def test_order_and_prefetch(self) -> None:
        """A message that waits is in nobody's way, with a prefetch of 1 neither."""
        self.consume(delayed(2, [10], park="parked"), prefetch_count=1)
        for number in range(20):
            self.send(number)
        self.assertEqual(len(self.got), 20)
        self.assertEqual(self.broker.waiting_in("work.delay.10000"), 20)
        self.flushLoggedErrors(RuntimeError)

    def test_outlives_the_consumer(self) -> None:
        """A message comes back though the consumer has ended, and its count with it."""
        consumer = self.consume(delayed(2, [10], park="parked"))
        self.send()
        self.result_of(consumer.close())
        self.advance(30)
        self.assertEqual(self.broker.waiting_in("work"), 1)
        self.consume(delayed(2, [10], park="parked"))
        self.assertEqual(self.got, [(0, None), (30, 1)])
        self.parked()

    def test_expired_before(self) -> None:
        """
        A message that expired in its queue before, and came back, is no circle to the
        broker, and is not dropped.
        """
        short = Queue(
            "work", message_ttl=1, queue_arguments={"x-dead-letter-exchange": "late"}
        )
        late = Queue("late", Exchange("late", "fanout"))
        self.result_of(late(self.connection).declare())
        self.result_of(short(self.connection).declare())
        self.send()
        self.advance(1)
        message = self.result_of(late(self.connection).get())
        assert message is not None
        self.assertEqual(message.headers["x-death"][0]["reason"], "expired")  # type: ignore[index]  # a list
        forwarding = self.producer.forward(message, exchange="", routing_key="work")
        self.result_of(forwarding)
        message.ack()
        self.consume(delayed(3, [1], park="parked"), queue=short)
        self.advance(5)
        self.assertEqual(len(self.got), 3)
        self.parked()

    def test_no_delay_queue(self) -> None:
        """Without its delay queue a message is held, and handled again."""
        consumer = self.consume(delayed(2, [1], park="parked"))
        self.result_of(Queue("work.delay.1000")(self.connection).delete())
        self.send()
        self.assertEqual(self.broker.waiting_in("work"), 0)
        self.advance(30)
        self.assertEqual(self.got, [(0, None), (30, None)])
        self.assertEqual(len(self.flushLoggedErrors(Unroutable)), 2)
        self.flushLoggedErrors(RuntimeError)
        self.result_of(consumer.close())
        self.assertEqual(self.broker.waiting_in("work"), 1)

    def test_refused_for_a_moment(self) -> None:
        """
        A message whose copy is refused, as by a quorum queue without a leader, is held
        for growing times that begin with a second.
        """
        parking = FULL(self.connection)
        self.result_of(parking.declare())
        self.result_of(self.producer.publish("first", "parked"))
        self.consume(delayed(1, park=FULL))
        self.send()
        self.advance(8)
        self.assertEqual([when for when, _ in self.got], [0, 1, 3, 7])
        self.result_of(parking.purge())
        self.advance(8)
        self.assertEqual(len(self.flushLoggedErrors(Nacked)), 1)
        self.assertEqual(self.parked().payload, "bad")

    def test_many_refused(self) -> None:
        """Many copies that are refused at once get one line in the log."""
        self.result_of(FULL(self.connection).declare())
        self.result_of(self.producer.publish("first", "parked"))
        consumer = self.consume(delayed(1, park=FULL))
        for number in range(50):
            self.send(number)
        self.assertEqual(len(self.got), 50)
        self.assertEqual(len(self.flushLoggedErrors(Nacked)), 1)
        self.flushLoggedErrors(RuntimeError)
        self.result_of(consumer.close())

    def test_lost_while_published(self) -> None:
        """
        A message whose session is lost before its copy is confirmed comes back from the
        broker, and the log says so; its copy counts as not refused.
        """
        consumer = self.consume(delayed(1, park=FULL))
        self.broker.hold_confirms()
        publishing = self.producer.publish("bad", "work")
        self.flush()
        with capturedLogs() as events:
            self.broker.drop()
        lines = [line for each in events if (line := formatEvent(each))]
        [line] = [each for each in lines if "Handling message" in each]
        self.assertIn("failed; the broker delivers it again", line)
        self.failureResultOf(publishing, OutcomeUnknown)
        self.broker.release_confirms()
        self.advance(4)
        # The first copy has arrived, so further ones are refused.
        self.assertEqual([when for when, _ in self.got], [0, 1, 2, 4])
        self.flushLoggedErrors(RuntimeError, Nacked, OutcomeUnknown)
        self.result_of(consumer.close())

    def test_confirmed_before_the_ack(self) -> None:
        """A message is not acknowledged before the broker has confirmed its copy."""
        consumer = self.consume(delayed(2, [1], park="parked"))
        self.broker.hold_confirms()
        self.producer.publish("bad", "work")
        self.flush()
        self.assertEqual(consumer.channel.unsettled_count, 1)
        self.broker.release_confirms()
        self.flush()
        self.assertEqual(consumer.channel.unsettled_count, 0)
        self.flushLoggedErrors(RuntimeError)

    def test_declared_only_then(self) -> None:
        """The queues are declared when the consumer starts, each one once."""
        other = Queue("other", durable=False)
        policy = delayed(5, [1, 0.25, 1], park="parked")
        consumer = Consumer(self.connection, [WORK, other], on_failure=policy)
        self.result_of(self.connection.connect())
        queues = self.broker.memory.vhost().queues
        self.assertEqual(dict(queues), {})
        self.result_of(consumer.consume())
        found = {name: queue.durable for name, queue in queues.items()}
        kept = ("work", "work.delay.1000", "work.delay.250", "parked")
        lost = ("other", "other.delay.1000", "other.delay.250")
        self.assertEqual(
            found, {**dict.fromkeys(kept, True), **dict.fromkeys(lost, False)}
        )

    def test_refused(self) -> None:
        """A delay queue that exists with other properties fails the start."""
        self.result_of(Queue("work.delay.1000")(self.connection).declare())
        consumer = Consumer(
            self.connection, WORK, on_failure=delayed(delays=[1], park="parked")
        )
        with self.assertRaises(PreconditionFailed):
            self.result_of(consumer.consume())

    def test_queues_that_go(self) -> None:
        """A queue that goes with its consumer could not get its messages back."""
        for queue, said in (
            (Queue("mine", exclusive=True), "the exclusive queue 'mine'"),
            (Queue("mine", auto_delete=True), "the auto-delete queue 'mine'"),
            (Queue(""), "a queue that the broker names"),
            (Queue("log", queue_type="stream"), "the stream 'log'"),
        ):
            consumer = Consumer(
                self.connection, queue, on_failure=delayed(park="parked")
            )
            with self.assertRaisesRegex(NotSupported, said):
                self.result_of(consumer.consume())

    def test_quorum(self) -> None:
        """A quorum queue's delay queues keep messages until it has them again."""
        queue = Queue("work", queue_type="quorum")
        self.consume(delayed(2, [1], park="parked"), queue=queue)
        arguments = self.broker.memory.queue("work.delay.1000").arguments
        self.assertEqual(arguments["x-queue-type"], "quorum")
        self.assertEqual(arguments["x-dead-letter-strategy"], "at-least-once")
        self.send()
        self.advance(1)
        self.assertEqual(self.got, [(0, None), (1, 1)])
        self.parked()

    def test_wrong_arguments(self) -> None:
        """Wrong arguments are refused at once."""
        wrong: list[tuple[type[Exception], dict[str, Any]]] = [
            (TypeError, {}),
            (ValueError, {"park": ""}),
            (ValueError, {"park": "p", "attempts": 0}),
            (TypeError, {"park": "p", "attempts": "5"}),
            (ValueError, {"park": "p", "delays": []}),
            (ValueError, {"park": "p", "delays": [1, 0]}),
            (TypeError, {"park": "p", "delays": ["1"]}),
        ]
        for kind, options in wrong:
            with self.assertRaises(kind):
                delayed(**options)

    def test_strange_counts(self) -> None:
        """A count that is none counts as nothing."""
        self.consume(delayed(2, [1], park="parked"))
        for count in ("many", -5, None):
            self.got.clear()
            self.send(headers={"x-delayed-count": count})
            self.advance(1)
            self.assertEqual(len(self.got), 2)
            self.parked()


class ForwardTests(BrokerTestCase):
    """What forward leaves out when it is asked to."""

    def test_left_out(self) -> None:
        """A header given as None is left out, and the expiration when that is asked."""
        producer = Producer(self.connection)
        queue = Queue("work")(self.connection)
        self.result_of(queue.declare())
        self.result_of(
            producer.publish("x", "work", headers={"a": 1, "b": 2}, expiration=5)
        )
        message = self.result_of(queue.get(no_ack=True))
        assert message is not None
        self.result_of(
            producer.forward(
                message, "", "work", {"a": None, "no": None}, with_expiration=False
            )
        )
        again = self.result_of(queue.get(no_ack=True))
        assert again is not None
        self.assertEqual(again.headers, {"b": 2})
        self.assertNotIn("expiration", again.properties)
        self.assertEqual(message.headers, {"a": 1, "b": 2})


class HaltTests(BrokerTestCase):
    """The end of a consumer."""

    def test_exit_code(self) -> None:
        """An exit code is one that a process can have."""
        for code in (-1, 256):
            with self.assertRaisesRegex(ValueError, "exit_code"):
                Halt(code)

    def test_system_exit(self) -> None:
        """A handler that asks for the end of the program ends its consumer."""

        def exits(payload: Any, message: Message) -> None:
            raise SystemExit(3)

        consumer = Consumer(self.connection, WORK, callbacks=[exits], on_failure=halt)
        self.result_of(consumer.consume())
        self.result_of(Producer(self.connection).publish("x", "work"))
        self.assertIsInstance(consumer.halted, RuntimeError)
        self.assertEqual(self.broker.waiting_in("work"), 1)
        self.flushLoggedErrors(SystemExit)
