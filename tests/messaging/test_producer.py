"""
Producers, on the memory broker under a Clock.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txkombu import Exchange, Message, Producer, Queue
from txkombu.exceptions import (
    AccessRefused,
    BackpressureError,
    ChannelClosed,
    ConnectError,
    ConnectionClosed,
    EncodeError,
    Nacked,
    NotFound,
    NotSent,
    NotSupported,
    OperationTimeout,
    Outcome,
    OutcomeUnknown,
    PreconditionFailed,
    SerializerNotInstalled,
    Unroutable,
)
from txkombu.interfaces import Returned
from txkombu.testing import BrokerTestCase

EXCHANGE = Exchange("feed", type="direct")
QUEUE = Queue("feed", EXCHANGE, "importer")
HEADERS = {
    "gzip": "application/x-gzip",
    "bzip2": "application/x-bz2",
    "zstd": "application/zstd",
}


class ProducerTestCase(BrokerTestCase):
    """The base of these cases: a queue to publish to."""

    def setUp(self) -> None:
        super().setUp()
        self.result_of(QUEUE(self.connection).declare())

    def producer(self, **options: Any) -> Producer:
        """Return a producer for the exchange of the queue."""
        return Producer(self.connection, EXCHANGE, "importer", **options)


class PublishTests(ProducerTestCase):
    def test_default_properties(self) -> None:
        """A message has exactly the properties that Kombu gives it."""
        self.result_of(self.producer().publish({"a": 1}))
        [message] = self.published
        self.assertEqual(message.body, b'{"a":1}')
        self.assertEqual(
            message.properties,
            {
                "content_type": "application/json",
                "content_encoding": "utf-8",
                "headers": {},
                "delivery_mode": 2,
                "priority": 0,
            },
        )

    def test_everything_given(self) -> None:
        """All arguments arrive, and are not changed."""
        headers = {"x": 1, "nested": {"a": [1, None]}}
        options: dict[str, Any] = {
            "delivery_mode": "transient",
            "priority": 7,
            "headers": headers,
            "expiration": 1.5,
            "correlation_id": "c",
            "reply_to": Queue("answers"),
            "message_id": "m",
            "timestamp": 1_700_000_000,
            "type": "t",
            "user_id": None,
            "app_id": "a",
            "compression": "gzip",
        }
        before = dict(options)
        self.result_of(self.producer().publish([1], **options))
        self.assertEqual((options, headers), (before, before["headers"]))
        self.assertEqual(len(headers), 2)
        [message] = self.published
        self.assertEqual(message.payload, [1])
        properties = dict(message.properties)
        self.assertEqual(
            properties,
            {
                "content_type": "application/json",
                "content_encoding": "utf-8",
                "headers": {**headers, "compression": "application/x-gzip"},
                "delivery_mode": 1,
                "priority": 7,
                "expiration": "1500",
                "correlation_id": "c",
                "reply_to": "answers",
                "message_id": "m",
                "timestamp": datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc),
                "type": "t",
                "app_id": "a",
            },
        )

    def test_changed_afterwards(self) -> None:
        """Changes after the call, at any depth, are not sent."""
        inner: list[Any] = [1, {"a": "before"}]
        headers: dict[str, Any] = {
            "x": 1,
            "list": inner,
            "dict": {"inner": inner},
            "tuple": (1, inner),
            "bytes": bytearray(b"before"),
        }
        body = {"list": inner}
        publishing = self.producer().publish(body, headers=headers)
        inner[1]["a"] = "after"
        inner.append(2)
        headers["bytes"][:] = b"after!"
        headers.clear()
        self.result_of(publishing)
        [message] = self.published
        before = [1, {"a": "before"}]
        self.assertEqual(message.payload, {"list": before})
        self.assertEqual(message.headers["list"], before)
        self.assertEqual(message.headers["dict"], {"inner": before})
        self.assertIn(message.headers["tuple"], ((1, before), [1, before]))
        self.assertIn(message.headers["bytes"], (b"before", "before"))

    def test_headers_that_contain_themselves(self) -> None:
        """Headers that contain themselves, or are very deep, are refused at once."""
        headers: dict[str, Any] = {}
        headers["self"] = [headers]
        deep: list[Any] = []
        for _ in range(100):
            deep = [deep]
        for wrong in (headers, {"deep": deep}):
            with self.assertRaisesRegex(ValueError, "headers must nest at most"):
                self.producer().publish(1, headers=wrong)

    def test_handed_on(self) -> None:
        """A received compressed message can be published again with its own headers."""
        producer = self.producer()
        inside = gzip.compress(b"a file")
        for body in ({"n": 1}, "text", b"bytes", b"", inside):
            for method, header in HEADERS.items():
                self.result_of(producer.publish(body, compression=method))
                got = self.received()
                self.assertEqual(got.headers, {"compression": header})
                labels: dict[str, Any] = {
                    "content_type": got.content_type,
                    "content_encoding": got.content_encoding,
                }
                for headers in (got.headers, {**got.headers, "attempt": 2}):
                    for compression in (None, "zlib"):
                        options: dict[str, Any] = {
                            "headers": headers,
                            "compression": compression,
                        }
                        self.result_of(producer.publish(got.body, **labels, **options))
                        self.result_of(producer.publish(got.payload, **options))
                        for again in (self.received(), self.received()):
                            self.assertEqual(again.payload, body)
                            self.assertEqual(
                                again.headers.get("compression"),
                                compression and "application/x-gzip",
                            )

    def received(self) -> Message:
        """Take the next message from the queue."""
        message = self.result_of(QUEUE(self.connection).get(no_ack=True))
        assert message is not None
        return message

    def test_header_that_is_not_true(self) -> None:
        """
        The compression header is sent only with a body that is compressed in that way.
        """
        for body, header, leaves in (
            (gzip.compress(b"1"), "application/x-gzip", True),
            (gzip.compress(b"1"), "gzip", True),
            (b"1", "application/x-gzip", False),
            (b"1", 5, False),
            (gzip.compress(b"1")[:-1], "gzip", False),
            (gzip.compress(b"1"), "bzip2", False),
            (b"1", "x/of-others", True),
        ):
            self.published.clear()
            headers = {"compression": header, "kept": 1}
            self.result_of(self.producer().publish(body, headers=headers))
            [message] = self.published
            expected = headers if leaves else {"kept": 1}
            self.assertEqual(message.headers, expected)
            self.assertEqual(headers["compression"], header)

    def test_beyond_ratio(self) -> None:
        """
        A body that would shrink so much that consumers refuse it is sent uncompressed.
        """
        body = bytes(3 * 1024 * 1024)
        producer = self.producer(compression="zstd")
        for headers in (None, {"compression": "bzip2"}):
            self.published.clear()
            self.result_of(producer.publish(body, headers=headers))
            [message] = self.published
            self.assertEqual(message.headers, {})
            self.assertEqual(message.payload, body)

    def test_exchange_given_by_name(self) -> None:
        """Another exchange may be given by name; it is not declared."""
        failing = self.producer().publish(1, exchange="missing")
        with self.assertRaisesRegex(NotFound, "no exchange 'missing'"):
            self.result_of(failing)

    def test_default_exchange(self) -> None:
        """The default exchange routes to the queue that the key names."""
        self.result_of(Producer(self.connection).publish(1, routing_key="feed"))
        self.assertEqual(self.broker.waiting_in("feed"), 1)

    def test_declare(self) -> None:
        """The entities in declare exist before the message is sent."""
        other = Queue("other", Exchange("others", type="topic"), "#")
        producer = self.producer()
        first = producer.publish(1, "k", exchange=other.exchange, declare=[other])
        second = producer.publish(2, "k", exchange="others")
        self.result_of(first)
        self.result_of(second)
        self.assertEqual(self.broker.waiting_in("other"), 2)
        self.assertEqual([each.payload for each in self.published], [1, 2])

    def test_declaring_fails(self) -> None:
        """A declaration that is refused fails the publish, and nothing is sent."""
        wrong = Queue("feed", durable=False)
        failing = self.producer().publish(1, declare=[wrong])
        with self.assertRaisesRegex(PreconditionFailed, "durable"):
            self.result_of(failing)
        self.assertEqual(self.published, [])

    def test_own_exchange_refused(self) -> None:
        """
        If the producer's own exchange is refused the publish fails, and the next one
        tries again.
        """
        producer = Producer(self.connection, Exchange("feed", type="fanout"))
        for _ in range(2):
            with self.assertRaisesRegex(PreconditionFailed, "type"):
                self.result_of(producer.publish(1))

    def test_auto_declare_off_and_passive(self) -> None:
        """With auto_declare off, or "passive", nothing is declared."""
        for setting in (False, "passive"):
            producer = Producer(
                self.connection, Exchange("nowhere"), auto_declare=setting
            )
            with self.assertRaisesRegex(NotFound, "nowhere"):
                self.result_of(producer.publish(1))

    def test_class_attributes(self) -> None:
        """Class attributes are defaults, as in FeedProducer of the introduction."""

        class FeedProducer(Producer):
            exchange = EXCHANGE
            routing_key = "importer"
            serializer = "yaml"

            def import_feed(self, url: str) -> Deferred[None]:
                return self.send({"action": "import_feed", "feed_url": url})

        self.result_of(FeedProducer(self.connection).import_feed("http://x"))
        [message] = self.published
        self.assertEqual(message.properties["content_type"], "application/x-yaml")
        self.assertEqual(self.broker.waiting_in("feed"), 1)

    def test_many_in_order(self) -> None:
        """
        Publishes that do not wait for each other arrive in order, the first ones
        included.
        """
        producer = self.producer()
        sent = [producer.publish(number) for number in range(3000)]
        self.flush()
        for each in sent:
            self.successResultOf(each)
        bodies = [each.payload for each in self.published]
        self.assertEqual(bodies, list(range(3000)))

    def test_confirm_false_yields_to_the_reactor(self) -> None:
        """
        Without confirms at most 50 Deferreds fire at once in one turn, on memory, too.
        """
        producer = self.producer()
        self.result_of(producer.publish(0))
        sent = [producer.publish(n, confirm=False) for n in range(450)]
        self.assertEqual(sum(each.called for each in sent), 50)
        self.clock.advance(0)
        self.assertEqual(sum(each.called for each in sent), 450)

    def test_confirm_false_counts_bytes_too(self) -> None:
        """Without confirms at most 256 KiB are sent in one turn."""
        producer = self.producer()
        self.result_of(producer.publish(0))
        sent = [producer.publish(b"x" * 160_000, confirm=False) for _ in range(4)]
        self.assertEqual(sum(each.called for each in sent), 2)
        self.flush()
        self.assertEqual(sum(each.called for each in sent), 4)


class BadInputTests(ProducerTestCase):
    def test_unknown_property(self) -> None:
        """An unknown keyword is a TypeError that names the most similar one."""
        with self.assertRaisesRegex(TypeError, "'corelation_id'.*'correlation_id'"):
            self.producer().publish(1, corelation_id="x")

    def test_wrong_types(self) -> None:
        """A property of a wrong type is a TypeError that names it."""
        for name, value in (
            ("correlation_id", 5),
            ("timestamp", "now"),
            ("timestamp", True),
            ("headers", [1]),
            ("headers", {1: 2}),
            ("priority", "high"),
            ("expiration", "soon"),
            ("timeout", "long"),
            ("routing_key", 7),
            ("exchange", 7),
        ):
            with self.assertRaisesRegex(TypeError, "(?i)" + name):
                self.producer().publish(1, **{name: value})  # type: ignore[arg-type]  # wrong on purpose

    def test_no_queue(self) -> None:
        """The default exchange needs a routing key: the error says what for."""
        producer = Producer(self.connection)
        with self.assertRaisesRegex(ValueError, "give a routing_key"):
            producer.publish(1)
        with self.assertRaisesRegex(ValueError, "give a routing_key"):
            self.producer().publish(1, "", exchange="")

    def test_out_of_range(self) -> None:
        """A property out of range is a ValueError that names it."""
        for name, value in (
            ("delivery_mode", 3),
            ("delivery_mode", 0),
            ("delivery_mode", True),
            ("priority", 256),
            ("priority", -1),
            ("expiration", -1),
            ("timeout", -1),
            ("timestamp", -1),
            ("routing_key", "ü" * 128),
            ("message_id", "x" * 256),
            ("content_type", "x" * 256),
        ):
            with self.assertRaisesRegex(ValueError, name):
                self.producer().publish(1, **{name: value})  # type: ignore[arg-type]  # wrong on purpose

    def test_encode_errors_are_failures(self) -> None:
        """A body that cannot be serialized or compressed fails the Deferred."""
        publish = self.producer().publish
        self.failureResultOf(publish({1, 2}), EncodeError)
        self.failureResultOf(publish(1, serializer="jsn"), SerializerNotInstalled)
        self.failureResultOf(publish(1, compression="zp"), SerializerNotInstalled)
        self.assertEqual(self.published, [])

    def test_what_is_not_there(self) -> None:
        """immediate fails with a NotSupported that names it."""
        failing = self.producer().publish(1, immediate=True)
        error = self.failureResultOf(failing, NotSupported).value
        self.assertIn("immediate", str(error))

    def test_auto_declare_is_checked(self) -> None:
        """Any other value is a ValueError."""
        with self.assertRaisesRegex(ValueError, "auto_declare"):
            self.producer(auto_declare="yes")

    def test_no_channel(self) -> None:
        """A wrong channel is a TypeError that says where to get one."""
        with self.assertRaisesRegex(TypeError, "connection.channel"):
            Producer("amqp://", EXCHANGE)  # type: ignore[arg-type]  # wrong on purpose


class VerdictTests(ProducerTestCase):
    def test_unroutable(self) -> None:
        """
        A mandatory message that no queue receives is returned: on_return is called
        first.
        """
        events: list[str] = []

        def on_return(
            error: Exception, exchange: str, key: str, message: Returned
        ) -> None:
            events.append(f"returned {exchange} {key} {message.body!r}")

        producer = self.producer(on_return=on_return)
        sent = producer.publish("x", routing_key="nobody", mandatory=True)

        def failed(failure: Failure) -> None:
            events.append(type(failure.value).__name__)

        sent.addErrback(failed)
        fine = producer.publish("y", mandatory=True)
        self.flush()
        self.assertEqual(events, ["returned feed nobody b'x'", "Unroutable"])
        self.successResultOf(fine)
        self.assertTrue(self.published[0].properties["message_id"])

    def test_second_copy_returned(self) -> None:
        """
        on_return gets the error that the Deferred fails with: if the second copy of a
        message comes back, the first may have arrived.
        """
        told: list[Any] = []
        producer = Producer(
            self.connect(),
            EXCHANGE,
            "importer",
            on_return=lambda error, *rest: told.append(error),
        )
        self.result_of(producer.declare())
        self.broker.hold_confirms()
        sent = producer.publish(1, mandatory=True, retry=True)
        self.flush()
        self.result_of(QUEUE(self.connection).unbind_from(EXCHANGE, "importer"))
        self.broker.drop()
        self.broker.release_confirms()
        self.clock.advance(1)
        self.flush()
        error = self.failureResultOf(sent, Unroutable).value
        self.assertEqual(len(self.broker.published), 2)
        self.assertEqual(told, [error])
        self.assertIs(told[0].outcome, Outcome.UNKNOWN)

    def test_returned_without_confirm(self) -> None:
        """Without confirm only on_return is told."""
        returned: list[Any] = []
        producer = self.producer(on_return=lambda *told: returned.append(told))
        sending = producer.publish(1, "nobody", mandatory=True, confirm=False)
        self.result_of(sending)
        self.flush()
        [(error, exchange, key, message)] = returned
        self.assertIsInstance(error, Unroutable)
        self.assertEqual((exchange, key, message.reply_code), ("feed", "nobody", 312))

    def test_mandatory_has_a_message_id(self) -> None:
        """A mandatory message has a message_id even if None was given."""
        self.result_of(self.producer().publish(1, mandatory=True, message_id=None))
        self.assertTrue(self.published[0].properties["message_id"])

    def test_on_return_coroutine(self) -> None:
        """A coroutine function as on_return is run, and its error logged."""

        async def on_return(*told: Any) -> None:
            raise RuntimeError("later")

        producer = self.producer(on_return=on_return)
        with self.assertRaises(Unroutable):
            self.result_of(producer.publish(1, "nobody", mandatory=True))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_on_return_that_raises(self) -> None:
        """An error of on_return is logged, and does not change the verdict."""

        def on_return(*told: Any) -> None:
            raise RuntimeError("on_return")

        producer = self.producer(on_return=on_return)
        with self.assertRaises(Unroutable):
            self.result_of(producer.publish(1, "nobody", mandatory=True))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_nacked(self) -> None:
        """A full queue that rejects publishes fails them with Nacked."""
        full = Queue(
            "full",
            EXCHANGE,
            "full",
            max_length=1,
            queue_arguments={"x-overflow": "reject-publish"},
        )
        self.result_of(full(self.connection).declare())
        producer = self.producer()
        self.result_of(producer.publish(1, "full"))
        with self.assertRaises(Nacked):
            self.result_of(producer.publish(2, "full"))

    def test_loss_without_verdict(self) -> None:
        """
        At a loss a written message fails with OutcomeUnknown; a waiting one is sent in
        the next session.
        """
        self.broker.hold_confirms()
        producer = self.producer()
        self.result_of(producer.declare())
        sent = [producer.publish(number) for number in range(1003)]
        self.flush()
        self.broker.drop()
        for each in sent[:1000]:
            self.failureResultOf(each, OutcomeUnknown)
        self.broker.release_confirms()
        self.clock.advance(1)
        self.flush()
        for each in sent[1000:]:
            self.successResultOf(each)

    def test_retry(self) -> None:
        """With retry=True what has no verdict at a loss is sent again, with its id."""
        self.broker.hold_confirms()
        producer = self.producer()
        self.result_of(producer.declare())
        sent = [producer.publish(number, retry=True) for number in range(3)]
        self.flush()
        self.broker.drop()
        self.broker.release_confirms()
        self.clock.advance(1)
        self.flush()
        for each in sent:
            self.successResultOf(each)
        ids = [each.properties["message_id"] for each in self.broker.published]
        self.assertEqual(ids[:3], ids[3:])
        self.assertEqual(len(set(ids)), 3)

    def test_properties_of_a_message(self) -> None:
        """The properties of a received message can be published again."""
        queue = Queue("again")
        self.result_of(queue(self.connection).declare())
        producer = Producer(self.connection)
        self.result_of(
            producer.publish(
                {"a": 1}, "again", expiration=60, headers={"h": 1}, correlation_id="c"
            )
        )
        first = self.result_of(queue(self.connection).get(no_ack=True))
        assert first is not None
        options: dict[str, Any] = dict(first.properties)
        self.result_of(producer.publish(first.body, "again", **options))
        second = self.result_of(queue(self.connection).get(no_ack=True))
        assert second is not None
        self.assertEqual((second.payload, second.properties), ({"a": 1}, options))

    def test_mandatory_by_default(self) -> None:
        """A producer's messages may be mandatory, but for those that say otherwise."""

        class Careful(Producer):
            mandatory = True

        for producer in (
            Careful(self.connection),
            Producer(self.connection, mandatory=True),
        ):
            with self.assertRaises(Unroutable):
                self.result_of(producer.publish(1, "nobody"))
            self.result_of(producer.publish(1, "nobody", mandatory=False))
        with self.assertRaisesRegex(TypeError, "mandatory"):
            Producer(self.connection, mandatory="yes")  # type: ignore[arg-type]  # wrong on purpose

    def test_retry_policy(self) -> None:
        """Kombu's dict says how often; nonsense in it is an error that names it."""
        producer = self.producer()
        good = {"max_retries": 3, "interval_start": 0, "interval_step": 0.2}
        self.result_of(producer.publish(1, retry=True, retry_policy=good))
        wrong: list[tuple[Any, type[Exception], str]] = [
            ({"max_retry": 3}, TypeError, "did you mean 'max_retries'"),
            ({"qqq": 3}, TypeError, "it has max_retries"),
            ({"max_retries": "3"}, TypeError, "max_retries"),
            ({"max_retries": -1}, ValueError, "max_retries"),
            ({"interval_max": None}, TypeError, "interval_max"),
            ([3], TypeError, "retry_policy must be a dict"),
        ]
        for policy, kind, text in wrong:
            for retry in (True, False):
                with self.assertRaisesRegex(kind, text):
                    producer.publish(1, retry=retry, retry_policy=policy)

    def test_retry_policy_alone(self) -> None:
        """Without retry=True a policy does not send again what has no verdict."""
        self.broker.hold_confirms()
        producer = self.producer()
        self.result_of(producer.declare())
        sent = [
            producer.publish(1, retry_policy={"max_retries": 3}),
            producer.publish(2, retry=False, retry_policy={}),
        ]
        self.flush()
        self.broker.drop()
        self.broker.release_confirms()
        self.advance(2)
        for each in sent:
            self.failureResultOf(each, OutcomeUnknown)
        self.assertEqual([each.payload for each in self.published], [1, 2])
        for message in self.published:
            self.assertNotIn("message_id", message.properties)

    def test_retry_policy_without_retries(self) -> None:
        """With retry=True a policy of no retries sends nothing again."""
        self.broker.hold_confirms()
        producer = self.producer()
        self.result_of(producer.declare())
        sent = producer.publish(1, retry=True, retry_policy={"max_retries": 0})
        self.flush()
        self.broker.drop()
        self.broker.release_confirms()
        self.advance(2)
        self.failureResultOf(sent, OutcomeUnknown)
        self.assertEqual(len(self.published), 1)

    def test_publishing_while_reconnecting_waits(self) -> None:
        """A message published without a session is sent in the next one."""
        producer = self.producer()
        self.result_of(producer.publish(1))
        self.broker.drop()
        sent = producer.publish(2)
        self.flush()
        self.assertNoResult(sent)
        self.clock.advance(1)
        self.flush()
        self.successResultOf(sent)

    def test_deadline_while_reconnecting(self) -> None:
        """
        The deadline covers the wait for the connection; then the message is never sent.
        """
        producer = self.producer()
        self.result_of(producer.publish(1))
        self.broker.refuse()
        self.broker.drop()
        sent = producer.publish("late", timeout=5)
        self.clock.pump([1] * 5)
        error = self.failureResultOf(sent, OperationTimeout).value
        self.assertIn("waiting for the connection; it was not sent", str(error))
        self.broker.accept()
        self.clock.pump([1] * 60)
        self.assertEqual([each.payload for each in self.published], [1])

    def test_deadline_while_unconfirmed(self) -> None:
        """A verdict that is late is an OperationTimeout, too."""
        self.broker.hold_confirms()
        sent = self.producer().publish(1, timeout=5)
        self.flush()
        self.clock.advance(5)
        error = self.failureResultOf(sent, OperationTimeout).value
        self.assertIn("outcome is unknown", str(error))
        self.broker.release_confirms()

    def test_deadline_while_blocked(self) -> None:
        """
        If the broker is blocked at the deadline the error says so; the message is never
        sent.
        """
        producer = self.producer()
        self.result_of(producer.publish(1))
        self.broker.block("low on memory")
        sent = producer.publish(2, timeout=5)
        self.flush()
        self.assertNoResult(sent)
        self.clock.advance(5)
        error = self.failureResultOf(sent, OperationTimeout).value
        self.assertIn("low on memory", str(error))
        self.broker.unblock()
        self.flush()
        self.assertEqual(len(self.published), 1)

    def test_blocked_and_unblocked(self) -> None:
        """When the broker is no longer blocked, waiting messages are sent in order."""
        producer = self.producer()
        self.result_of(producer.publish(0))
        self.broker.block()
        sent = [producer.publish(n) for n in (1, 2)]
        self.flush()
        self.assertEqual(len(self.published), 1)
        self.broker.unblock()
        self.flush()
        self.assertEqual([each.payload for each in self.published], [0, 1, 2])
        for each in sent:
            self.successResultOf(each)

    def test_first_connection_fails(self) -> None:
        """
        If the first connection fails, a publish fails with the error of connecting.
        """
        self.broker.refuse(ConnectError("nobody listens"))
        producer = Producer(self.connect(), EXCHANGE)
        error = self.failureResultOf(producer.publish(1), NotSent).value
        self.assertIn("nobody listens", str(error))

    def test_cancel_before_it_is_sent(self) -> None:
        """A publish that is cancelled while it waits is never sent."""
        producer = self.producer()
        self.result_of(producer.publish(1))
        self.broker.block()
        sent = producer.publish(2)
        sent.addErrback(lambda failure: None)
        sent.cancel()
        self.broker.unblock()
        self.flush()
        self.assertEqual(len(self.published), 1)

    def test_closed(self) -> None:
        """Publishing on a closed producer or connection says that it is closed."""
        producer = self.producer()
        self.result_of(producer.close())
        error = self.failureResultOf(producer.publish(1), ChannelClosed).value
        self.assertIn("closed by this program", str(error))
        self.assertTrue(producer.channel.closed)
        other = self.producer()
        self.result_of(self.connection.close())
        self.failureResultOf(other.publish(1), ConnectionClosed)

    def test_close_of_a_full_socket(self) -> None:
        """close waits for a socket that is only full for now."""
        producer = self.producer()
        self.result_of(producer.publish(0))
        [session] = self.broker.sessions
        session.write_paused()
        sent = producer.publish(1)
        closing = producer.close()
        self.flush()
        self.assertNoResult(closing)
        session.write_resumed()
        self.flush()
        self.successResultOf(sent)
        self.successResultOf(closing)

    def test_blocked_while_closing(self) -> None:
        """An alarm of the broker after close has begun does not delay it."""
        producer = self.producer()
        self.result_of(producer.publish(0))
        [session] = self.broker.sessions
        session.write_paused()
        sent = producer.publish(1, timeout=1000)
        closing = producer.close()
        self.broker.block("alarm")
        self.flush()
        self.failureResultOf(sent, NotSent)
        self.successResultOf(closing)
        self.broker.unblock()

    def test_close_twice(self) -> None:
        """
        A second close fires with the first; cancelling one does not stop the close.
        """
        producer = self.producer()
        self.result_of(producer.declare())
        self.broker.hold_confirms()
        sent = producer.publish(1)
        self.flush()
        channel = producer.channel
        first, second, third = channel.close(), channel.close(), channel.close()
        third.addErrback(lambda failure: failure.trap(CancelledError))
        third.cancel()
        self.flush()
        self.assertNoResult(first)
        self.assertNoResult(second)
        self.broker.release_confirms()
        self.flush()
        for each in (sent, first, second, channel.close()):
            self.successResultOf(each)

    def test_close_waits_for_verdicts(self) -> None:
        """close fires when every verdict has arrived."""
        producer = self.producer()
        self.result_of(producer.declare())
        self.broker.hold_confirms()
        sent = producer.publish(1)
        self.flush()
        closing = producer.close()
        self.flush()
        self.assertNoResult(closing)
        self.broker.release_confirms()
        self.flush()
        self.successResultOf(sent)
        self.successResultOf(closing)

    def test_access_refused(self) -> None:
        """Publishing to an internal exchange is the broker's 403."""
        sent = Producer(self.connection, "amq.rabbitmq.trace").publish(1)
        with self.assertRaises((AccessRefused, NotFound)):
            self.result_of(sent)


class RoomTests(ProducerTestCase):
    def test_backpressure(self) -> None:
        """With 10,000 messages waiting, a publish fails at once and is not kept."""
        producer = self.producer()
        self.result_of(producer.publish(0))
        self.broker.block("alarm")
        sent = [producer.publish(n) for n in range(10_000)]
        error = self.failureResultOf(producer.publish(1), BackpressureError).value
        self.assertRegex(str(error), "10000 messages.*alarm.*when_ready")
        self.broker.unblock()
        self.flush()
        for each in sent:
            self.successResultOf(each)

    def test_when_ready(self) -> None:
        """when_ready waits for room, and each caller gets its own Deferred."""
        producer = self.producer()
        self.result_of(producer.publish(0))
        self.successResultOf(producer.when_ready())
        self.broker.block()
        first, second = producer.when_ready(), producer.when_ready()
        first.addErrback(lambda failure: None)
        first.cancel()
        self.assertNoResult(second)
        self.broker.unblock()
        self.successResultOf(second)

    def test_when_ready_fails_when_closed(self) -> None:
        """when_ready fails when the connection is closed."""
        producer = self.producer()
        self.result_of(producer.publish(0))
        self.broker.block()
        waiting = producer.when_ready()
        self.result_of(self.connection.close())
        self.failureResultOf(waiting, ConnectionClosed)

    def test_publish_all(self) -> None:
        """
        publish_all reads an iterable as fast as there is room, and returns the number.
        """
        taken: list[int] = []

        def bodies() -> Any:
            for number in range(2500):
                taken.append(number)
                yield number

        self.broker.hold_confirms()
        publishing = self.producer().publish_all(bodies())
        self.flush()
        self.assertLess(len(taken), 1100)
        self.broker.release_confirms()
        self.flush()
        self.assertEqual(self.successResultOf(publishing), 2500)

    def test_publish_all_async(self) -> None:
        """publish_all takes an asynchronous iterable, too."""

        async def bodies() -> AsyncIterator[int]:
            for number in range(5):
                yield number

        self.assertEqual(self.result_of(self.producer().publish_all(bodies())), 5)

    def test_publish_all_closes_a_generator(self) -> None:
        """
        publish_all closes an asynchronous generator that it does not read to the end.
        """
        closed: list[bool] = []

        async def bodies() -> AsyncIterator[object]:
            try:
                yield {1, 2}
                yield 3
            finally:
                closed.append(True)

        with self.assertRaises(EncodeError):
            self.result_of(self.producer().publish_all(bodies()))
        self.assertEqual(closed, [True])

    def test_publish_all_fails(self) -> None:
        """At the first failure publish_all stops reading, and fails with it."""
        bodies = iter([1, {2, 3}, 4])
        with self.assertRaises(EncodeError):
            self.result_of(self.producer().publish_all(bodies))
        self.assertEqual(list(bodies), [4])
        self.assertEqual(self.broker.waiting_in("feed"), 1)

    def test_publish_all_of_a_failing_iterable(self) -> None:
        """publish_all fails with an exception of the iterable, after all verdicts."""

        def bodies() -> Any:
            yield 1
            raise RuntimeError("no more")

        producer = self.producer()
        self.result_of(producer.declare())
        self.broker.hold_confirms()
        publishing = producer.publish_all(bodies())
        self.flush()
        self.assertNoResult(publishing)
        self.broker.release_confirms()
        self.flush()
        self.failureResultOf(publishing, RuntimeError)


class OwnExchangeTests(ProducerTestCase):
    """Publishing with a queue's own exchange and routing key."""

    def test_reaches_the_queue(self) -> None:
        """The message reaches the queue, whatever the producer's exchange is."""
        other = Queue("other", Exchange("elsewhere", "topic"), "a.b")
        plain, named = Queue("plain"), Queue("named", "", "named")
        producer = self.producer()
        for queue in (plain, named, other, QUEUE):
            self.result_of(queue(self.connection).declare())
            self.result_of(
                producer.publish(
                    queue.name, exchange=queue.exchange, routing_key=queue.routing_key
                )
            )
            message = self.result_of(queue(self.connection).get(no_ack=True))
            assert message is not None
            self.assertEqual(message.payload, queue.name)


class DeclaredOnceTests(ProducerTestCase):
    """What is declared before a publish, and what is known to exist."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.connect()

    def waiting(self, queue: Queue) -> int | None:
        """Return how many messages a queue has, C{None} if it does not exist."""
        try:
            return self.result_of(
                queue(self.other).queue_declare(passive=True)
            ).message_count
        except NotFound:
            return None

    def test_once(self) -> None:
        """A declared queue is not declared again with each message."""
        channel = self.result_of(self.connection.channel())
        producer = Producer(channel, EXCHANGE, "importer")
        told: list[str] = []
        queue = Queue("once", on_declared=lambda name, *_: told.append(name))
        for _ in range(3):
            self.result_of(producer.publish(1, declare=[queue]))
        self.assertEqual(told, ["once"])

    def test_expired_queue(self) -> None:
        """A queue that may have expired is declared again."""
        for queue in (
            Queue("short", expires=1),
            Queue("short too", queue_arguments={"x-expires": 1000}),
        ):
            producer = Producer(self.connection)
            self.result_of(producer.publish(1, queue.name, declare=[queue]))
            self.clock.advance(2)
            self.assertIsNone(self.waiting(queue))
            self.result_of(producer.publish(2, queue.name, declare=[queue]))
            self.assertEqual(self.waiting(queue), 1)

    def test_auto_delete_queue(self) -> None:
        """A queue that was deleted with its last consumer is declared again."""
        queue = Queue("brief", auto_delete=True)
        producer = Producer(self.connection)
        self.result_of(producer.publish(1, "brief", declare=[queue]))
        tag = self.result_of(queue(self.other).consume(callback=lambda message: None))
        self.result_of(queue(self.other).cancel(tag))
        self.assertIsNone(self.waiting(queue))
        self.result_of(producer.publish(2, "brief", declare=[queue]))
        self.assertEqual(self.waiting(queue), 1)

    def test_auto_delete_exchange(self) -> None:
        """An exchange that was deleted with its last binding is declared again."""
        exchange = Exchange("passing", auto_delete=True)
        producer = Producer(self.connection, exchange)
        self.result_of(producer.publish(1))
        bound = Queue("bound", exchange, "k")(self.other)
        self.result_of(bound.declare())
        self.result_of(bound.delete())
        self.result_of(producer.publish(2))

    def test_exchange_deleted(self) -> None:
        """
        If somebody else has deleted the exchange one publish fails, and the next one
        declares it again.
        """
        for producer in (self.producer(), self.producer(auto_declare=True)):
            self.result_of(producer.publish(1))
            self.result_of(EXCHANGE(self.other).delete())
            failed = producer.publish(2)
            self.flush()
            self.failureResultOf(failed, NotFound)
            self.result_of(producer.publish(3))

    def test_exchange_deleted_without_confirm(self) -> None:
        """The same holds without confirms, where only the channel is told."""
        producer = self.producer()
        self.result_of(producer.publish(1))
        self.result_of(EXCHANGE(self.other).delete())
        producer.publish(2, confirm=False)
        self.flush()
        self.clock.advance(1)
        self.result_of(producer.publish(3))

    def test_queue_deleted(self) -> None:
        """A queue that is reported as missing is declared with the next message."""
        producer = Producer(self.connection)
        queue = Queue("gone")
        self.result_of(producer.publish(1, "gone", declare=[queue]))
        self.result_of(queue(self.other).delete())
        self.flush()
        self.failureResultOf(self.outcome_of(queue(self.connection).get()), NotFound)
        self.result_of(producer.publish(2, "gone", declare=[queue]))
        self.assertEqual(self.waiting(queue), 1)

    def outcome_of(self, began: Deferred[Any]) -> Deferred[Any]:
        """Wait for a Deferred, and return its result."""
        self.flush()
        return began

    def test_passive(self) -> None:
        """A passive producer looks up its exchange once."""
        producer = self.producer(auto_declare="passive")
        self.result_of(producer.publish(1))
        self.result_of(producer.publish(2))
        self.result_of(EXCHANGE(self.other).delete())
        for number in (3, 4):
            failed = producer.publish(number)
            self.flush()
            self.failureResultOf(failed, NotFound)

    def test_by_name(self) -> None:
        """
        An exchange that is given by name is present if it was declared in another way.
        """
        fanout = Exchange("news", "fanout")
        self.result_of(fanout(self.connection).declare())
        producer = Producer(self.connection, "news")
        self.result_of(producer.publish(1))
        self.result_of(producer.publish(2))
