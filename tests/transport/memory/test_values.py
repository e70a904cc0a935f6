"""
Values arrive as a wire would carry them, and each receiver has its own copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from math import inf, nan
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import ChannelWatcher, Inbox, Journal
from tests.support.memory_harness import DEFAULT, MemoryTestCase
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import Unroutable
from txkombu.interfaces import Delivery, ISessionChannel, Properties
from txkombu.transport.amqp.wire.properties import decode_properties, encode_properties
from txkombu.transport.amqp.wire.publish_writer import PublishWriter
from txkombu.transport.amqp.wire.tables import Reader, encode_table
from txkombu.transport.memory import Binding
from txkombu.transport.memory.tables import (
    FRAME_MAX,
    carry_arguments,
    carry_properties,
    carry_table,
)

_AROUND_HEADER = 8 + 12
"""Bytes of a frame, and of a header, besides its properties."""

_zones = st.sampled_from([timezone.utc, timezone(timedelta(hours=3)), None])
_anything = st.one_of(
    st.booleans(),
    st.none(),
    st.integers(-(2**64), 2**64),
    st.floats(),
    st.text(max_size=5),
    st.just("\ud800"),
    st.binary(max_size=9),
    st.binary(max_size=9).map(bytearray),
    st.decimals(),
    st.decimals(-1000, 1000, places=2),
    st.tuples(st.datetimes(), _zones).map(lambda pair: pair[0].replace(tzinfo=pair[1])),
    st.builds(object),
)
_keys = st.text(max_size=5) | st.sampled_from(["", "k" * 256, "\ud800"])
_tables = st.dictionaries(
    _keys,
    st.recursive(
        _anything,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(_keys, inner, max_size=3)
        ),
        max_leaves=4,
    ),
    max_size=3,
)


def _typed(value: object) -> object:
    """Return a value with its types, since True equals 1 and 1.0."""
    if isinstance(value, dict):
        return {key: _typed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_typed(each) for each in value]
    return type(value).__name__, str(value)


class CarryTests(SynchronousTestCase):
    """Compared with the native transport, whose bytes a broker would carry."""

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(_tables)
    def test_tables(self, table: dict[str, object]) -> None:
        """What can be written arrives as it would be read; the rest is refused."""
        try:
            wanted = Reader(encode_table(table)).table()
        except (TypeError, ValueError) as error:
            kind = ValueError if isinstance(error, ValueError) else TypeError
            with self.assertRaises(kind):
                carry_table(table)
        else:
            self.assertEqual(_typed(carry_table(table)), _typed(wanted))

    def test_properties(self) -> None:
        """Properties arrive as they would be read; those of None are left out."""
        for properties in (
            {"content_type": "a/b", "priority": 3, "delivery_mode": 2, "headers": {}},
            {"timestamp": datetime(2024, 1, 1, 1, 1, 1, 5), "type": "t", "app_id": ""},
            {"timestamp": 2**64 - 1, "user_id": None, "headers": None},
            {"timestamp": 7.5, "priority": True, "cluster_id": "c"},
        ):
            wanted = decode_properties(encode_properties(properties))
            self.assertEqual(_typed(carry_properties(properties)), _typed(dict(wanted)))

    def test_wrong_properties(self) -> None:
        """A property of a wrong type or size is refused, by its name."""
        wrong: tuple[tuple[dict[str, Any], type[Exception]], ...] = (
            ({"content_type": 7}, TypeError),
            ({"content_type": b"a/b"}, TypeError),
            ({"message_id": "x" * 256}, ValueError),
            ({"reply_to": "\ud800"}, ValueError),
            ({"priority": 256}, ValueError),
            ({"priority": "high"}, ValueError),
            ({"delivery_mode": -1}, ValueError),
            ({"delivery_mode": 1.0}, ValueError),
            ({"timestamp": datetime(1969, 1, 1)}, ValueError),
            ({"timestamp": nan}, ValueError),
            ({"timestamp": "now"}, TypeError),
            ({"headers": 7}, TypeError),
            ({"headers": {"k": object()}}, TypeError),
            ({"headers": {"k": -inf}}, ValueError),
        )
        for properties, kind in wrong:
            (name,) = properties
            with self.assertRaises(kind):
                encode_properties(properties)
            with self.assertRaisesRegex(kind, f"property {name}"):
                carry_properties(properties)

    def test_error_names_the_header(self) -> None:
        """The error says where the value is."""
        with self.assertRaisesRegex(ValueError, "headers: 'a': 'b': .* not take nan"):
            carry_properties({"headers": {"a": {"b": [nan]}}})

    def test_frame(self) -> None:
        """All properties fit into one frame, to the byte."""
        writer = PublishWriter(1, FRAME_MAX)
        moment = datetime(2024, 1, 1)
        properties: dict[str, Any] = {
            "type": "ü",
            "timestamp": moment,
            "priority": 1,
            "headers": {
                "list": [1, 2**40, 0.5, None, True, Decimal(1), moment, "ü", b"\xff"],
                "table": {"ü": {}},
            },
        }
        properties["headers"]["long"] = ""
        room = FRAME_MAX - _AROUND_HEADER - len(encode_properties(properties))
        properties["headers"]["long"] = "x" * room
        writer.frames(b"", properties, "", "", False)
        carry_properties(properties)
        properties["headers"]["long"] += "x"
        for refuse in (
            lambda: writer.frames(b"", properties, "", "", False),
            lambda: carry_properties(properties),
        ):
            with self.assertRaisesRegex(ValueError, "frame of 131073 bytes"):
                refuse()

    def test_arguments(self) -> None:
        """The arguments of a method fit into one frame, with its names."""
        carry_arguments({"a": "x" * (FRAME_MAX - 32)}, "name", "")
        with self.assertRaisesRegex(ValueError, "frame of 131073 bytes"):
            carry_arguments({"a": "x" * (FRAME_MAX - 31)}, "name", "")


class SharedTests(MemoryTestCase):
    """Nobody can change another one's copy."""

    def setUp(self) -> None:
        super().setUp()
        self.one = self.channel()
        self.q = self.queue(self.one)

    def got(self, queue: Queue, no_ack: bool = False) -> Delivery:
        """Get the first message of a queue."""
        delivery = self.done(self.one.basic_get(queue, no_ack))
        assert delivery is not None
        return delivery

    def publish(self, properties: Properties) -> None:
        """Publish a message with these properties to the queue."""
        self.done(self.one.basic_publish(b"1", properties, DEFAULT, "q", False, True))

    def test_published(self) -> None:
        """The publisher may change what it published, empty headers too."""
        given: tuple[dict[str, Any], ...] = ({}, {"list": [1], "deep": [[2]]})
        for headers in given:
            wanted = {"headers": deepcopy(headers)}
            properties: dict[str, Any] = {"headers": headers}
            self.publish(properties)
            got = self.got(self.q, True)
            for value in headers.values():
                value *= 2
            headers["seen"] = properties["type"] = "changed"
            self.assertEqual(got.properties, wanted)

    def test_redelivered(self) -> None:
        """A receiver may change what it got, and what is delivered again is not."""
        for headers in ({}, {"list": [1], "table": {"deep": {}}}):
            self.publish({"headers": headers})
            got = self.got(self.q)
            self.mark(got)
            self.one.nack(got.tag, False, True)
            again = self.got(self.q, True)
            self.assertEqual(again.properties, {"headers": headers})

    def mark(self, delivery: Delivery) -> None:
        """Change everything in a delivery that can be changed."""
        properties: Any = delivery.properties
        properties["type"] = "changed"
        for value in list(properties["headers"].values()):
            value.clear()
        properties["headers"]["seen"] = True

    def test_copies(self) -> None:
        """Each queue's receiver has its own."""
        other = self.queue(self.one, "other")
        exchange = Exchange("amq.fanout")
        for queue in (self.q, other):
            self.done(self.one.queue_bind(queue, exchange, "", {}))
        for headers in ({}, {"list": [1]}):
            self.one.basic_publish(
                b"1", {"headers": headers}, exchange, "", False, False
            )
            self.mark(self.got(self.q, True))
            self.assertEqual(
                self.got(other, True).properties, {"headers": dict(headers)}
            )

    def test_consumers(self) -> None:
        """A consumer gets a copy of its own, too."""
        inbox = self.consume(self.one, self.q)
        self.publish({"headers": {}})
        (delivery,) = inbox.journal.all("delivery")
        self.mark(delivery)
        self.one.nack(delivery.tag, False, True)
        self.broker.flush()
        again = inbox.journal.all("delivery")[1]
        self.assertEqual(again.properties, {"headers": {}})

    def test_returned(self) -> None:
        """A returned message is a copy of the published one."""
        journal = Journal()
        channel = self.done(self.connect().open_channel(ChannelWatcher(journal)))
        headers: dict[str, Any] = {}
        channel.basic_publish(b"1", {"headers": headers}, DEFAULT, "no", True, False)
        self.broker.flush()
        (back,) = journal.all("returned")
        back.properties["headers"]["seen"] = True
        verdict = channel.basic_publish(
            b"1", {"headers": headers}, DEFAULT, "no", True, True
        )
        self.broker.flush()
        error = self.failureResultOf(verdict, Unroutable).value
        headers["mine"] = True
        self.assertEqual(error.returned.properties, {"headers": {}})

    def test_dead_letters(self) -> None:
        """A dead letter's receiver does not change other dead letters."""
        options = {
            "x_dead_letter_exchange": "amq.fanout",
        }
        queue = self.queue(self.one, "dying", **options)
        graves = [self.queue(self.one, name) for name in ("a", "b")]
        for grave in graves:
            self.done(self.one.queue_bind(grave, Exchange("amq.fanout"), "", {}))
        self.put(self.one, queue, b"1")
        self.one.reject(self.got(queue).tag, False)
        first: Any = self.got(graves[0], True).properties
        first["headers"]["x-death"][0]["count"] = 7
        second: Any = self.got(graves[1], True).properties
        self.assertEqual(second["headers"]["x-death"][0]["count"], 1)

    def test_delivery_count(self) -> None:
        """A delivery that is looked at late has the count that it came with."""
        quorum = self.queue(self.one, "quorum", x_queue_type="quorum")
        self.put(self.one, quorum, b"1")
        first = self.got(quorum)
        self.one.nack(first.tag, False, True)
        second = self.got(quorum)
        for delivery, count in ((first, 0), (second, 1)):
            self.assertEqual(
                delivery.properties, {"headers": {"x-delivery-count": count}}
            )

    def test_arguments(self) -> None:
        """A queue, an exchange and a binding keep the arguments they had."""
        mutable: dict[str, Any] = {"n": [1]}
        queue = Queue("mine", queue_arguments=mutable)
        exchange = Exchange("x", "headers", arguments=mutable)
        self.done(self.one.queue_declare(queue, False))
        self.done(self.one.exchange_declare(exchange, False))
        self.done(self.one.queue_bind(queue, exchange, "", mutable))
        mutable["n"].append(2)
        self.assertEqual(self.broker.queue("mine").arguments, {"n": [1]})
        self.assertEqual(self.broker.exchange("x").arguments, {"n": [1]})
        self.one.basic_publish(
            b"1", {"headers": {"n": [1]}}, exchange, "", False, False
        )
        self.assertEqual(self.waiting("mine"), [b"1"])

    def test_custom_type(self) -> None:
        """A function that is an exchange type changes nothing in the broker."""

        def choose(
            bindings: Sequence[Binding], key: str, properties: Properties
        ) -> Iterable[Binding]:
            seen: Any = properties
            seen["headers"]["seen"] = True
            for binding in bindings:
                arguments: Any = binding.arguments
                arguments["n"].append(len(arguments["n"]))
            return [each for each in bindings if each.arguments["n"] == [0, 1]]

        self.broker.register_exchange_type("meddling", choose)
        exchange = Exchange("x", "meddling")
        self.done(self.one.exchange_declare(exchange, False))
        self.done(self.one.queue_bind(self.q, exchange, "", {"n": [0]}))
        for _ in range(2):
            self.one.basic_publish(b"1", {"headers": {}}, exchange, "", False, False)
        self.assertEqual(self.waiting(), [b"1", b"1"])
        self.assertEqual(self.got(self.q, True).properties, {"headers": {}})


class ChannelLimitTests(MemoryTestCase):
    """The limit of a channel, beside those of its consumers."""

    def check(self, limit: int, prefetch: int, count: int) -> None:
        """Everything arrives at a consumer that settles."""
        channel = self.channel()
        queue = self.queue(channel)
        self.done(channel.basic_qos(limit))
        inbox = self.consume(channel, queue, then=_acking(channel), prefetch=prefetch)
        for number in range(count):
            channel.basic_publish(b"%d" % number, {}, DEFAULT, "q", False, False)
        self.broker.flush()
        self.assertEqual(len(inbox.journal.all("delivery")), count)
        self.done(channel.queue_delete(queue, False, False))

    def test_goes_on(self) -> None:
        """Delivery goes on however the two limits are to each other."""
        for limit, prefetch in ((5, 2), (2, 5), (1, 1), (3, 3), (4, 0), (0, 4)):
            self.check(limit, prefetch, 40)

    def test_many_at_once(self) -> None:
        """It goes on after several were settled at once, by either verb."""
        channel = self.channel()
        queue = self.queue(channel)
        self.done(channel.basic_qos(5))
        inbox = self.consume(channel, queue, prefetch=2)
        self.put(channel, queue, *(b"%d" % number for number in range(6)))
        for round_, settle in enumerate(
            (
                lambda tag: channel.ack(tag, True),
                lambda tag: channel.nack(tag, True, False),
            ),
            1,
        ):
            settle(inbox.journal.all("delivery")[-1].tag)
            self.broker.flush()
            self.assertEqual(len(inbox.journal.all("delivery")), 2 + 2 * round_)


def _acking(channel: ISessionChannel) -> Any:
    return lambda delivery: channel.ack(delivery.tag, False)


class DirectReplyTests(MemoryTestCase):
    """Direct reply-to leaves nothing behind."""

    def setUp(self) -> None:
        super().setUp()
        self.session = self.connect()
        self.one = self.channel(self.session)
        self.replies = self.broker.vhost().replies

    def consume_replies(self) -> Inbox:
        """Consume what replies to this channel."""
        inbox = self.consume(self.one, Queue("amq.rabbitmq.reply-to"), "r", no_ack=True)
        self.broker.flush()
        self.assertEqual(len(self.replies), 1)
        return inbox

    def test_cancelled(self) -> None:
        """The name goes with the consumer."""
        self.consume_replies()
        self.done(self.one.basic_cancel("r"))
        self.assertEqual(self.replies, {})

    def test_closed(self) -> None:
        """The name goes with the channel."""
        self.consume_replies()
        self.done(self.one.close())
        self.assertEqual(self.replies, {})

    def test_lost(self) -> None:
        """The name goes with the session, however that ends."""
        self.consume_replies()
        self.session.abort()
        self.assertEqual(self.replies, {})

    def test_no_one_else_can_guess(self) -> None:
        """The name is another one for each channel."""
        self.consume_replies()
        (first,) = self.replies
        self.done(self.one.close())
        self.one = self.channel(self.session)
        self.consume_replies()
        (second,) = self.replies
        self.assertNotEqual(first, second)
        self.assertTrue(first.startswith("amq.rabbitmq.reply-to."))

    def test_more_than_a_window(self) -> None:
        """Thousands of replies arrive in one turn, beyond any window."""
        inbox = self.consume_replies()
        (name,) = self.replies
        other = self.channel()
        for number in range(1000):
            other.basic_publish(b"%d" % number, {}, DEFAULT, name, False, False)
        self.broker.flush()
        self.assertEqual(inbox.bodies, [b"%d" % number for number in range(1000)])
