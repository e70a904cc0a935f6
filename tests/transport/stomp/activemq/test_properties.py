"""
The properties of messages, and what settles these, as ActiveMQ has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from twisted.trial.unittest import SynchronousTestCase

from txkombu.exceptions import DecodeError, NotSupported
from txkombu.transport.stomp.activemq import ActiveMQDialect
from txkombu.transport.stomp.activemq.properties import (
    decode_properties,
    encode_properties,
)
from txkombu.transport.stomp.wire.parser import Frame

NOW = 1_700_000_000.25
TIME = datetime(2020, 2, 29, 12, tzinfo=timezone.utc)
PROPERTIES: Mapping[str, object] = {
    "content_type": "text/plain",
    "content_encoding": "utf-8",
    "headers": {"a": "1", "n": 7, "none": None, "expires": "x"},
    "delivery_mode": 2,
    "priority": 9,
    "correlation_id": "ü",
    "reply_to": "there.now",
    "expiration": "60000",
    "message_id": "m-1",
    "timestamp": TIME,
    "type": "kind",
    "user_id": "guest",
    "app_id": "app",
    "cluster_id": "c",
}


def lines(properties: Mapping[str, object]) -> dict[str, str]:
    """The headers of a SEND."""
    found: dict[str, str] = {}
    for line in encode_properties(properties, NOW).decode().splitlines():
        name, _, value = line.partition(":")
        assert name not in found, name
        found[name] = value.replace("\\c", ":")
    return found


def message(headers: Mapping[str, str]) -> Frame:
    """A MESSAGE with what ActiveMQ adds to headers."""
    added = {
        "destination": "/queue/q",
        "ack": "ID:1",
        "subscription": "s1",
        "message-id": "ID:2",
        "content-length": "1",
        "original-destination": "/topic/VirtualTopic.x",
        "expires": "0",
        "priority": "4",
        "timestamp": "1700000000250",
    }
    return Frame("MESSAGE", {**added, **headers}, b"x")


class WritingTests(SynchronousTestCase):
    """Properties to headers."""

    def test_written(self) -> None:
        """Each property has its header, and times are ActiveMQ's."""
        found = lines(PROPERTIES)
        expected = {
            "content-type": "text/plain",
            "content-encoding": "utf-8",
            "persistent": "true",
            "priority": "9",
            "correlation-id": "ü",
            "reply-to": "/queue/there.now",
            "expiration": "60000",
            "expires": "1700000060250",
            "amqp-message-id": "m-1",
            "timestamp": f"{int(TIME.timestamp())}000",
            "type": "kind",
            "user-id": "guest",
            "app-id": "app",
            "cluster-id": "c",
            "a": "1",
            "n": "7",
        }
        found.pop("x-txk-headers")
        self.assertEqual(found, expected)

    def test_transient(self) -> None:
        """A transient message has no word of it, for ActiveMQ asks for none."""
        self.assertEqual(lines({"delivery_mode": 1}), {})
        self.assertEqual(lines({}), {})

    def test_priority(self) -> None:
        """Priorities go from 0 to 9; a number out of that is refused by name."""
        self.assertEqual(lines({"priority": 0}), {"priority": "0"})
        for value in (10, -1, 255):
            with self.assertRaisesRegex(ValueError, "property priority"):
                lines({"priority": value})
        for other in ("3", True, 1.0):
            with self.assertRaisesRegex(TypeError, "property priority"):
                lines({"priority": other})

    def test_expiration(self) -> None:
        """An expiration that is no number of milliseconds is refused by name."""
        self.assertEqual(lines({"expiration": "0"})["expires"], "1700000000250")
        for value in ("", "a", "-1", "1.5", " 1", "²", "99999999999"):
            with self.assertRaisesRegex(ValueError, "property expiration"):
                lines({"expiration": value})
        with self.assertRaisesRegex(TypeError, "property expiration"):
            lines({"expiration": 5})

    def test_timestamp(self) -> None:
        """A timestamp that is none is refused by name."""
        for value in ("1", 1.5, True):
            with self.assertRaisesRegex(TypeError, "property timestamp"):
                lines({"timestamp": value})
        with self.assertRaisesRegex(ValueError, "property timestamp"):
            lines({"timestamp": -1})

    def test_reply_to(self) -> None:
        """A reply_to is the destination of a queue, which is never a wrong one."""
        for name, written in (
            ("a", "/queue/a"),
            ("a,b", "/queue/a%2Cb"),
            ("/topic/a", "/queue//topic/a"),
            ("", ""),
        ):
            self.assertEqual(lines({"reply_to": name}), {"reply-to": written})
        name = "/remote-temp-queue/ID:a-1"
        text = encode_properties({"reply_to": name}, NOW)
        self.assertEqual(text, b"reply-to:/remote-temp-queue/ID\\ca-1\n")

    def test_unknown(self) -> None:
        """A property that messages do not have is refused by name."""
        with self.assertRaisesRegex(TypeError, "colour"):
            lines({"colour": "red"})

    def test_scheduled(self) -> None:
        """A delay is not supported, since nobody knows whether the broker does it."""
        for name in ("AMQ_SCHEDULED_DELAY", "AMQ_SCHEDULED_CRON"):
            with self.assertRaisesRegex(NotSupported, name):
                lines({"headers": {name: "1000"}})

    def test_reserved(self) -> None:
        """Headers by whose names ActiveMQ does something are seen by us alone."""
        for name in (
            "JMSPriority",
            "JMSXGroupID",
            "transformation",
            "amq-msg-type",
            "expires",
            "timestamp",
            "original-destination",
            "destination",
        ):
            found = lines({"headers": {name: "a"}})
            self.assertEqual(list(found), ["x-txk-headers"])
            shown = decode_properties(message(found))
            self.assertEqual(shown["headers"], {name: "a"})

    def test_many_headers(self) -> None:
        """More headers than ActiveMQ takes are refused."""
        headers = {f"h{number}": "x" for number in range(900)}
        self.assertEqual(len(lines({"headers": headers})), 900)
        with self.assertRaisesRegex(ValueError, "901 headers, at most 900"):
            lines({"headers": {**headers, "more": "x"}})

    def test_long_header(self) -> None:
        """A longer line than ActiveMQ takes is refused; what is escaped counts."""
        maximum = 10 * 1024 - len("a:\n")
        lines({"headers": {"a": "x" * maximum}})
        for value in (
            "x" * (maximum + 1),
            ":" * (maximum // 2 + 1),
            "ü" * (maximum // 2 + 1),
        ):
            with self.assertRaisesRegex(ValueError, "a header has a line of"):
                lines({"headers": {"a": value}})

    def test_no_headers(self) -> None:
        """Headers that are no mapping are refused."""
        for headers in (5, "text", ["a"]):
            with self.assertRaisesRegex(TypeError, "headers must be a mapping"):
                lines({"headers": headers})


class ReadingTests(SynchronousTestCase):
    """Headers to properties."""

    def test_read(self) -> None:
        """What was written is read, and nothing else but what ActiveMQ adds."""
        properties = decode_properties(message(lines(PROPERTIES)))
        self.assertEqual(properties, PROPERTIES)

    def test_added(self) -> None:
        """Without a priority and a timestamp, a message has those of ActiveMQ."""
        self.assertEqual(
            decode_properties(message({})),
            {
                "delivery_mode": 1,
                "headers": {},
                "priority": 4,
                "timestamp": datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc),
            },
        )

    def test_expires_of_others(self) -> None:
        """A message of JMS has the time to live that its publisher gave it."""
        for expires, live in (("1700000000350", "100"), ("1600000000000", "0")):
            properties = decode_properties(message({"expires": expires}))
            self.assertEqual(properties["expiration"], live)

    def test_wrong_expires(self) -> None:
        """One that cannot be understood is an error of the message."""
        with self.assertRaisesRegex(DecodeError, "expiration.*'soon'"):
            decode_properties(message({"expires": "soon"}))

    def test_reply_to(self) -> None:
        """Who awaits replies elsewhere than in a queue is shown where."""
        for reply_to, shown in (
            ("/queue/a%2Cb", "a,b"),
            ("/topic/a", "/topic/a"),
            ("/remote-temp-queue/ID:1", "/remote-temp-queue/ID:1"),
            ("plain", "plain"),
        ):
            properties = decode_properties(message({"reply-to": reply_to}))
            self.assertEqual(properties["reply_to"], shown)

    def test_lazy(self) -> None:
        """A delivery is made whatever is in its headers; its properties fail."""
        frame = message({"bad": "\udcff"})
        delivery = ActiveMQDialect().delivery(frame, 3, "tag")
        self.assertEqual((delivery.tag, delivery.consumer_tag), (3, "tag"))
        self.assertEqual(delivery.body, b"x")
        for _ in range(2):
            with self.assertRaisesRegex(DecodeError, "no UTF-8"):
                delivery.properties  # noqa: B018

    def test_redelivered(self) -> None:
        """A message was handed out before if ActiveMQ says so, or we do."""
        dialect = ActiveMQDialect()
        for headers, expected in (
            ({}, False),
            ({"redelivered": "true"}, True),
            ({"x-txk-redelivered": "true"}, True),
        ):
            frame = message(headers)
            self.assertEqual(dialect.delivery(frame, 1, "").redelivered, expected)

    def test_fanout(self) -> None:
        """The key of a fanout exchange is in a header, which is not shown."""
        frame = message({"x-txk-routing-key": "k"})
        delivery = ActiveMQDialect().delivery(frame, 1, "")
        self.assertEqual((delivery.exchange, delivery.routing_key), ("x", "k"))
        self.assertEqual(delivery.properties["headers"], {})

    def test_dead_fanout(self) -> None:
        """The key of a dead letter is where it lies, not where it was published to."""
        frame = message({"x-txk-routing-key": "k", "original-destination": "/queue/a"})
        delivery = ActiveMQDialect().delivery(frame, 1, "")
        self.assertEqual((delivery.exchange, delivery.routing_key), ("", "q"))


def requeued(frame: Frame) -> bytes:
    """What puts a message back."""
    return ActiveMQDialect().nack(frame, True)


class SettlingTests(SynchronousTestCase):
    """The frames that settle a message."""

    def test_ack(self) -> None:
        """What was handled is acknowledged by the id of its delivery."""
        self.assertEqual(ActiveMQDialect().ack(message({})), b"ACK\nid:ID\\c1\n\n\0")

    def test_dead_letter(self) -> None:
        """What shall not be tried again is a NACK."""
        frames = ActiveMQDialect().nack(message({}), False)
        self.assertEqual(frames, b"NACK\nid:ID\\c1\n\n\0")

    def test_requeue(self) -> None:
        """What shall be tried again is sent and acknowledged in one transaction."""
        given = {"reply-to": "/queue/r", "a:b": "c\nd"}
        frame = message({**given, "redelivered": "true"})
        begin, send, acked, commit, rest = requeued(frame).split(b"\0")
        self.assertEqual(begin, b"BEGIN\ntransaction:requeue\n\n")
        self.assertEqual(acked, b"ACK\nid:ID\\c1\ntransaction:requeue\n\n")
        self.assertEqual(commit, b"COMMIT\ntransaction:requeue\n\n")
        self.assertEqual(rest, b"")
        head, _, body = send.partition(b"\n\n")
        self.assertEqual(body, b"x")
        self.assertEqual(
            head.decode().split("\n"),
            [
                "SEND",
                "destination:/queue/q",
                "transaction:requeue",
                "x-txk-redelivered:true",
                "original-destination:/topic/VirtualTopic.x",
                "expires:0",
                "priority:4",
                "timestamp:1700000000250",
                "reply-to:/queue/r",
                "a\\cb:c\\nd",
                "content-length:1",
            ],
        )

    def test_requeued_twice(self) -> None:
        """A copy of a copy says only once that it is one."""
        frames = requeued(message({"x-txk-redelivered": "true"}))
        self.assertEqual(frames.count(b"x-txk-redelivered"), 1)

    def test_requeued_text(self) -> None:
        """A text of JMS stays one: it has no length."""
        frame = message({})
        del frame.headers["content-length"]
        self.assertNotIn(b"content-length", requeued(frame))

    def test_foreign_headers(self) -> None:
        """Headers of the frame itself, and of ActiveMQ's own use, are not copied."""
        hostile = {"receipt": "r", "transaction": "t", "amq-msg-type": "map"}
        frames = requeued(message(hostile))
        for text in (b"receipt:", b"transaction:t\n", b"amq-msg-type"):
            self.assertNotIn(text, frames)

    def test_requeued_as_it_came(self) -> None:
        """What nobody should have written is put back as it came."""
        frames = requeued(message({"a\0": "\udcff"}))
        self.assertIn(b"\na\0:\xff\n", frames)
