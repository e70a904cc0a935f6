"""docs/howto/moving-from-kombu.rst is so, on both sides."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import txkombu
from tests.support.paths import DOCS
from tests.support.snippets import PageTestCase
from txkombu import exceptions, serialization
from txkombu.testing import BrokerTestCase

kombu: Any = import_module("kombu")  # it does not export its names to mypy
content: Any = import_module("kombu.serialization")
theirs: Any = import_module("kombu.exceptions")
PAGE = DOCS / "howto" / "moving-from-kombu.rst"


class PageTests(PageTestCase):
    """The snippets."""

    async def test_snippets(self) -> None:
        """Both programs print the same, each with its own library."""
        text = PAGE.read_text(encoding="utf-8")
        self.assertGreater(await self.run_text(text), 8)


class DeclaredTests(SynchronousTestCase):
    """What needs no broker."""

    def refused(self, error: type[Exception], call: Callable[[Any], object]) -> None:
        """See that Kombu does something that we refuse."""
        call(kombu)
        with self.assertRaises(error):
            call(txkombu)

    def test_strict_types(self) -> None:
        """Values of another type are refused, where Kombu takes or converts them."""
        for call in (
            lambda library: library.Exchange("e", durable=1),
            lambda library: library.Exchange(3),
            lambda library: library.Exchange("e", type=3),
            lambda library: library.Queue("q", max_length="3"),
            lambda library: library.Connection("amqp://h", port="5672"),
            lambda library: library.Connection("amqp://h", heartbeat="5"),
            lambda library: library.binding(),
        ):
            self.refused(TypeError, call)

    def test_unknown_keywords(self) -> None:
        """They are refused, where Kombu ignores them."""
        for call in (
            lambda library: library.Exchange("e", durabel=False),
            lambda library: library.Queue("q", durabel=False),
            lambda library: library.Queue.from_dict("q", exchange="e", foo=1),
            lambda library: library.Connection("amqp://h", foo=1),
        ):
            self.refused(TypeError, call)

    def test_ranges(self) -> None:
        """So are values out of range."""
        for call in (
            lambda library: library.Queue("q" * 256),
            lambda library: library.Queue("q", expires=0.0001),
            lambda library: library.Exchange("e", delivery_mode=7),
            lambda library: library.Connection("").as_uri(),
        ):
            self.refused(ValueError, call)

    def test_connections(self) -> None:
        """Pickles, hosts, passwords and virtual hosts."""
        self.refused(TypeError, lambda library: library.Connection(None))
        self.refused(
            TypeError, lambda library: pickle.dumps(library.Connection("amqp://h"))
        )
        self.refused(
            exceptions.InvalidURL, lambda library: library.Connection("pyamqp://h")
        )
        uris = [
            library.Connection("amqp://u:p@h/a%2Fb").as_uri()
            for library in (kombu, txkombu)
        ]
        self.assertEqual(uris, ["amqp://u:**@h:5672/a/b", "amqp://u:**@h:5672/a%2Fb"])
        asked = txkombu.Connection("amqp://h", password=lambda: "s3cret")
        self.assertNotIn("s3cret", asked.as_uri(include_password=True))
        settings = [
            library.Connection("amqp://h").info() for library in (kombu, txkombu)
        ]
        self.assertEqual(
            [(each["connect_timeout"], each["heartbeat"]) for each in settings],
            [(5, 0), (10, 60)],
        )
        self.assertNotIn("password", settings[1])

    def test_entities(self) -> None:
        """Equality, bindings, delivery modes and routing keys."""

        def told(library: Any) -> list[object]:
            queue, exchange, binding = library.Queue, library.Exchange, library.binding
            several = queue("q", [binding(exchange("a")), binding(exchange("b"))])
            return [
                queue("q", expires=1) == queue("q", expires=2),
                binding(exchange("a"), "k") == binding(exchange("a"), "k"),
                type(several.bindings),
                several.exchange is None,
                exchange("e").delivery_mode,
                queue("q").routing_key,
            ]

        self.assertEqual(told(kombu), [True, False, set, True, None, ""])
        self.assertEqual(told(txkombu), [False, True, tuple, False, 2, "q"])
        queue = txkombu.Queue("q", txkombu.Exchange("e"), "k")
        self.assertEqual(pickle.loads(pickle.dumps(queue)), queue)

    def test_content(self) -> None:
        """What is decoded, and what is not."""
        yaml = (b"- 1", "application/x-yaml", "utf-8")
        self.assertRaises(theirs.ContentDisallowed, content.loads, *yaml)
        self.assertEqual(serialization.loads(*yaml), [1])
        empty = (b"", "application/json", "utf-8")
        self.assertEqual(content.loads(*empty), b"")
        self.assertRaises(exceptions.DecodeError, serialization.loads, *empty)
        picture = (b"\xff", "image/png", None)
        self.assertRaises(theirs.DecodeError, content.loads, *picture)
        self.assertEqual(serialization.loads(*picture), b"\xff")
        lookalike = {"__type__": "date", "__value__": "2024-02-29"}
        self.assertNotEqual(
            content.loads(content.dumps(lookalike)[2], "application/json", "utf-8"),
            lookalike,
        )
        self.assertRaises(exceptions.EncodeError, serialization.dumps, lookalike)
        by_number = content.dumps({1: 2}, "msgpack")
        self.assertRaises(
            theirs.DecodeError,
            content.loads,
            by_number[2],
            *by_number[:2],
            accept={"application/x-msgpack"},
        )
        self.assertRaises(
            exceptions.EncodeError, serialization.dumps, {1: 2}, "msgpack"
        )


class DeliveredTests(BrokerTestCase):
    """The memory transports of both, side by side."""

    def setUp(self) -> None:
        """Make a queue here and there."""
        super().setUp()
        exchange, queue = txkombu.Exchange("moving"), txkombu.Queue
        self.queue = queue("moving", exchange, "k")(self.connection)
        self.result_of(self.queue.declare())
        self.producer = txkombu.Producer(self.connection, exchange)
        connection = kombu.Connection("memory://")
        self.addCleanup(connection.close)
        self.channel = connection.channel()
        self.their_queue = kombu.Queue("moving", kombu.Exchange("moving"), "k")(
            self.channel
        )
        self.their_queue.declare()
        self.addCleanup(self.their_queue.delete)
        self.their_producer = kombu.Producer(self.channel, kombu.Exchange("moving"))

    def test_arguments_of_publish(self) -> None:
        """Kombu changes headers and declare; we do not."""
        changed = []
        for publish in (self.their_producer.publish, self.producer.publish):
            headers: dict[str, object] = {}
            declare: list[Any] = []
            publish([1], "k", headers=headers, declare=declare, compression="gzip")
            changed.append((bool(headers), bool(declare)))
        self.flush()
        self.assertEqual(changed, [(True, True), (False, False)])

    def test_publish(self) -> None:
        """What Kombu's transport drops in silence is an error."""
        self.their_producer.publish(1, "k", exchange="missing")
        with self.assertRaises(exceptions.NotFound):
            self.result_of(self.producer.publish(1, "k", exchange="missing"))
        self.their_producer.publish(1, "k", immediate=True)
        with self.assertRaises(exceptions.NotSupported):
            self.result_of(self.producer.publish(1, "k", immediate=True))
        for error, options in (
            (TypeError, {"priorty": 3}),
            (ValueError, {"priority": 999}),
            (TypeError, {"headers": {"a": {1}}}),
        ):
            self.their_producer.publish(1, "k", **options)
            with self.assertRaises(error):
                self.result_of(self.producer.publish(1, "k", **options))
        kombu.Producer(self.channel).publish(1)
        self.assertRaises(ValueError, txkombu.Producer(self.connection).publish, 1)

    def test_multiple(self) -> None:
        """An ack of several settles them here, too."""
        for number in range(2):
            self.their_producer.publish(number, "k")
            self.result_of(self.producer.publish(number, "k"))
        first, second = self.their_queue.get(), self.their_queue.get()
        second.ack(multiple=True)
        first.ack()
        early: Any = self.result_of(self.queue.get())
        late: Any = self.result_of(self.queue.get())
        late.ack(multiple=True)
        self.assertRaises(exceptions.MessageStateError, early.ack)

    def test_a_callback_that_raises(self) -> None:
        """Kombu's drain_events raises it; here the message is tried again."""
        calls: list[object] = []

        def fail_once(body: object, message: Any) -> None:
            calls.append(body)
            if len(calls) == 1:
                raise RuntimeError("the first time")
            message.ack()

        consumer = txkombu.Consumer(
            self.connection, self.queue.unbound(), callbacks=[fail_once]
        )
        self.result_of(consumer.consume())
        self.result_of(self.producer.publish("a", "k"))
        self.advance(2)
        self.assertEqual(calls, ["a", "a"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        calls.clear()
        self.their_producer.publish("a", "k")
        with (
            kombu.Consumer(self.channel, self.their_queue, callbacks=[fail_once]),
            self.assertRaisesRegex(RuntimeError, "the first time"),
        ):
            self.channel.connection.client.drain_events(timeout=1)
        self.assertEqual(calls, ["a"])

    def test_delivery_info(self) -> None:
        """It has more keys than that of Kombu's memory transport."""
        self.their_producer.publish(1, "k")
        self.result_of(self.producer.publish(1, "k"))
        message: Any = self.result_of(self.queue.get(no_ack=True))
        self.assertEqual(
            list(message.delivery_info),
            ["consumer_tag", "delivery_tag", "redelivered", "exchange", "routing_key"],
        )
        self.assertEqual(
            set(self.their_queue.get(no_ack=True).delivery_info),
            {"exchange", "routing_key"},
        )

    def test_defaults(self) -> None:
        """Prefetch, and when a consumer declares."""
        kombu.Consumer(self.channel, kombu.Queue("early"))
        self.assertEqual(
            kombu.Queue("early")(self.channel).queue_declare(passive=True).queue,
            "early",
        )
        late = txkombu.Consumer(self.connection, txkombu.Queue("late"))
        with self.assertRaises(exceptions.NotFound):
            self.result_of(
                txkombu.Queue("late")(self.connection).queue_declare(passive=True)
            )
        self.assertEqual(late.prefetch_count, 100)
        self.assertIsNone(kombu.Consumer(self.channel, []).prefetch_count)

    def test_without_a_broker(self) -> None:
        """Kombu enters a connection without connecting; here that fails."""
        with kombu.Connection("amqp://localhost:1") as connection:
            self.assertFalse(connection.connected)
        ours = self.connect()
        self.broker.refuse(exceptions.ConnectError("no broker"))
        with self.assertRaisesRegex(exceptions.ConnectError, "no broker"):
            self.result_of(ours.__aenter__())

    def test_channels(self) -> None:
        """Kombu's producers on a connection share its channel; ours have their own."""
        connection = self.channel.connection.client
        first, second = kombu.Producer(connection), kombu.Producer(connection)
        self.assertIs(first.channel, second.channel)
        ours = [txkombu.Producer(self.connection) for _ in range(2)]
        self.assertIsNot(ours[0].channel, ours[1].channel)

    def test_exchange_by_name(self) -> None:
        """A producer takes the name of an exchange, by default of a direct one."""
        with self.assertRaises(TypeError):
            kombu.Producer(self.channel, "moving")
        self.result_of(txkombu.Producer(self.connection, "moving").publish(1, "k"))
        self.result_of(txkombu.Producer(self.connection, "new").publish(1, "k"))
        self.result_of(txkombu.Exchange("new", "direct")(self.connect()).declare())

    def test_ack_without_need(self) -> None:
        """An ack of what was taken with no_ack does nothing, each time."""
        self.their_producer.publish(1, "k")
        self.result_of(self.producer.publish(1, "k"))
        message: Any = self.result_of(self.queue.get(no_ack=True))
        for _ in range(2):
            self.result_of(message.ack())
        their_message = self.their_queue.get(no_ack=True)
        their_message.ack()
        self.assertRaises(theirs.MessageStateError, their_message.ack)

    def test_decode(self) -> None:
        """Kombu decodes a payload again if it is empty; here it is decoded once."""
        self.their_producer.publish([], "k")
        self.result_of(self.producer.publish([], "k"))
        message: Any = self.result_of(self.queue.get(no_ack=True))
        their_message = self.their_queue.get(no_ack=True)
        self.assertIs(message.payload, message.payload)
        self.assertIsNot(message.decode(), message.decode())
        self.assertIsNot(their_message.payload, their_message.payload)

    def test_headers(self) -> None:
        """A datetime in a header arrives as one."""
        when = datetime(2024, 2, 29)
        self.result_of(self.producer.publish(1, "k", headers={"when": when}))
        message: Any = self.result_of(self.queue.get(no_ack=True))
        self.assertIsInstance(message.headers["when"], datetime)
