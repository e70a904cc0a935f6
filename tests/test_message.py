"""A received message."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from datetime import datetime, timezone
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.fakes import FakeChannel, delivery
from txkombu import Queue
from txkombu._util.limits import MAX_BODY_SIZE
from txkombu.compression import Undone, compress
from txkombu.core.unacked import UnackedMessages
from txkombu.exceptions import (
    ContentDisallowed,
    DecodeError,
    MessageStateError,
    SerializerNotInstalled,
)
from txkombu.interfaces import Settlement
from txkombu.message import Message
from txkombu.serialization import serializers as serialization

JSON = {"content_type": "application/json", "content_encoding": "utf-8"}
GZIP = "application/x-gzip"


def message(
    body: bytes = b"", accept: frozenset[str] | None = None, /, **properties: object
) -> Message:
    """Make a message that needs no ack."""
    return Message(delivery(body=body, properties=properties), None, None, accept)


class PayloadTests(SynchronousTestCase):
    """What the body stands for."""

    def test_decoded(self) -> None:
        """It is decoded by its content type."""
        got = message(b'{"a": [1]}', **JSON)
        self.assertEqual(got.payload, {"a": [1]})
        self.assertEqual(got.body, b'{"a": [1]}')

    def test_once(self) -> None:
        """It is decoded once, also if that gives something false."""
        for body, value in (
            (b"[]", []),
            (b"null", None),
            (b"0", 0),
            (b"false", False),
            (b'""', ""),
            (b"{}", {}),
        ):
            decoded = self.count_decodes()
            got = message(body, content_type="x/counted", content_encoding="utf-8")
            self.assertEqual(got.payload, value)
            self.assertIs(got.payload, got.payload)
            self.assertEqual(decoded, [body.decode()])

    def count_decodes(self) -> list[str]:
        """Register a serializer that notes what it decodes."""
        decoded: list[str] = []

        def decode(body: str) -> object:
            decoded.append(body)
            return serialization.decode(body.encode(), "application/json", "utf-8")

        self.register(decode)
        return decoded

    def register(self, decode: Callable[[str], object]) -> None:
        """Register a serializer for this test."""
        serialization.register("counted", None, decode, "x/counted")
        self.addCleanup(self.unregister)

    def unregister(self) -> None:
        """Remove it, once."""
        if "counted" in serialization.registry._by_name:
            serialization.unregister("counted")

    def test_decode_each_time(self) -> None:
        """C{decode} does it each time it is called."""
        decoded = self.count_decodes()
        got = message(b"[]", content_type="x/counted", content_encoding="utf-8")
        self.assertIsNot(got.decode(), got.decode())
        self.assertEqual(len(decoded), 2)

    def test_error_each_time(self) -> None:
        """One that cannot be decoded raises each time it is asked."""
        got = message(b"{", **JSON)
        for _ in range(2):
            self.assertRaises(DecodeError, getattr, got, "payload")
        self.assertRaises(DecodeError, got.decode)
        self.assertEqual(got.body, b"{")

    def test_error_then_value(self) -> None:
        """An error is not remembered: what decodes the next time is the payload."""
        answers: list[Any] = [ZeroDivisionError(), 7]

        def decode(body: str) -> object:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.register(decode)
        got = message(b"", content_type="x/counted", content_encoding="utf-8")
        self.assertRaises(DecodeError, getattr, got, "payload")
        self.assertEqual(got.payload, 7)

    def test_unlabelled(self) -> None:
        """Without a content type it is what the encoding says; text or bytes."""
        self.assertEqual(message(b"caf\xc3\xa9").payload, "caf\u00e9")
        self.assertEqual(message(b"\xff", content_encoding="binary").payload, b"\xff")
        self.assertEqual(message(b"\xff").payload, b"\xff")

    def test_not_accepted(self) -> None:
        """What the consumer does not accept is refused, by its name."""
        got = message(b"1", serialization.accept_set(["yaml"]), **JSON)
        error = self.assertRaises(ContentDisallowed, getattr, got, "payload")
        self.assertIn("json", str(error))
        self.assertIsInstance(error, DecodeError)

    def test_pickle(self) -> None:
        """Pickle is refused unless it is asked for."""
        body = serialization.dumps({1: 2}, "pickle").body
        labels = {
            "content_type": "application/x-python-serialize",
            "content_encoding": "binary",
        }
        self.assertRaises(ContentDisallowed, message(body, **labels).decode)
        accepted = serialization.accept_set(["pickle"])
        self.assertEqual(message(body, accepted, **labels).payload, {1: 2})

    def test_odd_content_type(self) -> None:
        """A custom content type without a slash is accepted by its serializer."""
        serialization.register("odd", None, str.upper, "oddity")
        self.addCleanup(serialization.unregister, "odd")
        accepted = serialization.accept_set(["odd"])
        got = message(b"x", accepted, content_type="oddity", content_encoding="utf-8")
        self.assertEqual(got.payload, "X")


class CompressionTests(SynchronousTestCase):
    """Bodies that were compressed."""

    def compressed(
        self, body: bytes, method: object = GZIP, limit: int = MAX_BODY_SIZE
    ) -> Message:
        """Make a message that says it is compressed."""
        properties = {"headers": {"compression": method}, **JSON}
        made = delivery(body=body, properties=properties)
        return Message(made, None, None, None, limit)

    def test_decompressed(self) -> None:
        """Body and payload are what was compressed."""
        got = self.compressed(zlib.compress(b"[1]"))
        self.assertEqual(got.body, b"[1]")
        self.assertEqual(got.payload, [1])
        self.assertIs(got.body, got.body)

    def test_corrupt(self) -> None:
        """A corrupt one raises each time, from body and payload."""
        got = self.compressed(b"no gzip")
        for _ in range(2):
            self.assertRaises(DecodeError, getattr, got, "body")
            self.assertRaises(DecodeError, getattr, got, "payload")

    def test_unknown(self) -> None:
        """A method that is not known is the sender's fault, not the program's."""
        for method in ("application/x-none", 7):
            error = self.assertRaises(
                DecodeError, getattr, self.compressed(b"", method), "payload"
            )
            self.assertIn(str(method), str(error))
            self.assertNotIsInstance(error, SerializerNotInstalled)

    def test_no_method(self) -> None:
        """A header that names no method means that it is not compressed."""
        for method in ("", None):
            self.assertEqual(self.compressed(b"[1]", method).payload, [1])

    def test_bomb(self) -> None:
        """One that would become too large is refused."""
        bomb = zlib.compress(bytes(MAX_BODY_SIZE + 1))
        self.assertRaises(DecodeError, getattr, self.compressed(bomb), "body")
        self.assertRaises(DecodeError, getattr, self.compressed(bomb), "payload")

    def test_own_limit(self) -> None:
        """A consumer's own limit holds for body and payload, up and down."""
        for limit, size, taken in (
            (2 * MAX_BODY_SIZE, MAX_BODY_SIZE + 1, True),
            (1000, 1000, True),
            (1000, 1001, False),
        ):
            text = Random(1).randbytes(size // 2).hex()[: size - 2]
            plain = f'"{text:<{size - 2}}"'.encode()
            got = self.compressed(zlib.compress(plain, 1), limit=limit)
            if taken:
                self.assertEqual(got.body, plain)
                self.assertEqual(got.payload, plain[1:-1].decode())
                continue
            for name in ("payload", "body"):
                error = self.assertRaises(DecodeError, getattr, got, name)
                self.assertIn("larger than 1000 bytes", str(error))
                self.assertIn("max_body_size", str(error))

    def test_plain_is_not_limited(self) -> None:
        """A body that arrives as large as it is may be larger than the limit."""
        large = bytes(MAX_BODY_SIZE + 1)
        got = message(large, content_encoding="binary")
        self.assertIs(got.payload, large)
        text = message(b'"%s"' % (b"[,:{" * (MAX_BODY_SIZE // 4)), **JSON)
        self.assertEqual(len(str(text.payload)), MAX_BODY_SIZE)

    def test_not_kept(self) -> None:
        """Decoding keeps the payload, and not the decompressed body beside it."""
        got = self.compressed(zlib.compress(b"[1]"))
        self.assertEqual(got.payload, [1])
        self.assertIsNone(got._body)
        self.assertEqual(got.body, b"[1]")

    def test_header_says_no_more(self) -> None:
        """The header is that of the sender, but may not be sent with the plain body."""
        got = self.compressed(zlib.compress(b"[1]"))
        self.assertEqual(got.headers, {"compression": GZIP})
        self.assertIsInstance(got.headers["compression"], Undone)


class ContentCodingTests(SynchronousTestCase):
    """Bodies whose content encoding says that they are compressed, as HTTP's."""

    def test_read(self) -> None:
        """The payload is what was compressed; the body is as it came."""
        plain = '{"a": "é"}'
        for encoding, charset, squeeze in (
            ("gzip", "utf-8", gzip.compress),
            ("GZIP", "utf-8", gzip.compress),
            ("x-gzip", "utf-8", gzip.compress),
            ("gzip:UTF-8", "utf-8", gzip.compress),
            ("gzip, utf-16", "utf-16", gzip.compress),
            ("identity", "utf-8", bytes),
            ("identity, latin-1", "latin-1", bytes),
            ("deflate", "utf-8", zlib.compress),
            ("deflate", "utf-8", raw_deflate),
            ("zstd", "utf-8", lambda body: compress(body, "zstd")[0]),
            ("br", "utf-8", lambda body: compress(body, "brotli")[0]),
        ):
            body = squeeze(plain.encode(charset))
            got = message(
                body, content_type="application/json", content_encoding=encoding
            )
            self.assertEqual(got.payload, {"a": "é"}, encoding)
            self.assertEqual(got.body, body)

    def test_no_content_type(self) -> None:
        """Without a content type it is text, or bytes, as without compression."""
        for plain, value in ((b"abc", "abc"), (b"\xff", b"\xff")):
            got = message(gzip.compress(plain), content_encoding="gzip")
            self.assertEqual(got.payload, value)

    def test_under_the_header(self) -> None:
        """What was compressed once more is read from the outside in."""
        body = zlib.compress(gzip.compress(b"[1]"))
        labels = {**JSON, "content_encoding": "gzip", "headers": {"compression": GZIP}}
        self.assertEqual(message(body, **labels).payload, [1])

    def test_refused(self) -> None:
        """What is corrupt, too large or compressed several times is refused."""
        good = gzip.compress(b"[1]")
        for encoding, body in (
            ("gzip", b"[1]"),
            ("gzip", good[:-3]),
            ("gzip", good + b"more"),
            ("gzip", gzip.compress(bytes(MAX_BODY_SIZE + 1))),
            ("deflate", b"no deflate"),
            ("gzip, gzip", gzip.compress(good)),
            ("gzip, utf-8, latin-1", good),
            ("gzip, nonsense", good),
            ("compress", good),
            ("," * 100_000, good),
        ):
            got = message(
                body, content_type="application/json", content_encoding=encoding
            )
            self.assertRaises(DecodeError, getattr, got, "payload")


def raw_deflate(body: bytes) -> bytes:
    """Compress without zlib's header, as some senders do."""
    squeezer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeezer.compress(body) + squeezer.flush()


class PropertiesTests(SynchronousTestCase):
    """What else a message says of itself."""

    def test_by_name(self) -> None:
        """Properties are there by their names, and the common ones as attributes."""
        when = datetime(2024, 2, 29, tzinfo=timezone.utc)
        got = message(
            message_id="7", timestamp=when, headers={"a": 1}, content_type="text/plain"
        )
        self.assertEqual(got.properties["message_id"], "7")
        self.assertEqual(got.properties["timestamp"], when)
        self.assertEqual(got.headers, {"a": 1})
        self.assertEqual(got.content_type, "text/plain")
        self.assertIsNone(got.content_encoding)

    def test_none(self) -> None:
        """Those that are not set are absent."""
        got = message()
        self.assertEqual(got.properties, {})
        self.assertEqual(got.headers, {})
        self.assertIsNone(got.content_type)

    def test_lazy(self) -> None:
        """They are decoded on first use, once."""
        decoded: list[int] = []

        def properties() -> dict[str, object]:
            decoded.append(1)
            return {"message_id": "7"}

        got = Message(delivery(properties=properties), None)
        self.assertEqual(decoded, [])
        self.assertEqual(got.properties, {"message_id": "7"})
        self.assertEqual(got.properties_or_empty, {"message_id": "7"})
        self.assertEqual(len(decoded), 1)

    def test_undecodable(self) -> None:
        """Those that cannot be decoded raise each time, but not when logged."""

        def properties() -> dict[str, object]:
            raise DecodeError("broken table")

        unacked = UnackedMessages(FakeChannel())
        got = Message(delivery(properties=properties), unacked)
        for name in ("properties", "payload", "body", "headers", "content_type"):
            for _ in range(2):
                self.assertRaises(DecodeError, getattr, got, name)
        self.assertEqual(got.properties_or_empty, {})
        self.assertIn("1", repr(got))
        got.reject()
        self.assertTrue(got.acknowledged)

    def test_headers_of_another_kind(self) -> None:
        """Headers that are no mapping count as none."""
        self.assertEqual(message(headers=None).headers, {})
        self.assertEqual(message(headers=[1]).headers, {})

    def test_delivery_info(self) -> None:
        """Where it came from and by which consumer."""
        got = Message(
            delivery(
                7,
                consumer_tag="tag",
                redelivered=True,
                exchange="media",
                routing_key="video",
            ),
            None,
        )
        self.assertEqual(
            got.delivery_info,
            {
                "consumer_tag": "tag",
                "delivery_tag": 7,
                "redelivered": True,
                "exchange": "media",
                "routing_key": "video",
            },
        )
        self.assertEqual((got.delivery_tag, got.consumer_tag), (7, "tag"))
        self.assertTrue(got.redelivered)

    def test_delivery_count(self) -> None:
        """The broker's own count where there is one, else whether it came before."""
        for headers, redelivered, count in (
            ({}, False, 0),
            ({}, True, 1),
            ({"x-delivery-count": 3}, True, 3),
            ({"x-delivery-count": 0}, True, 0),
            ({"x-acquired-count": 4, "x-delivery-count": 3}, True, 4),
            ({"x-delivery-count": "3"}, True, 1),
        ):
            got = Message(
                delivery(properties={"headers": headers}, redelivered=redelivered),
                None,
            )
            self.assertEqual(got.delivery_count, count, headers)

    def test_queue(self) -> None:
        """The queue's name, and where that sends what is rejected."""
        plain = Message(delivery(), None, Queue("video"))
        self.assertEqual(
            (plain.queue_name, plain.dead_letter_exchange), ("video", None)
        )
        arguments = {"x-dead-letter-exchange": ""}
        dead = Message(delivery(), None, Queue("video", queue_arguments=arguments))
        self.assertEqual(dead.dead_letter_exchange, "")
        unknown = Message(delivery(), None)
        self.assertEqual((unknown.queue_name, unknown.dead_letter_exchange), ("", None))


class SettlingTests(SynchronousTestCase):
    """A message is settled once."""

    def setUp(self) -> None:
        self.channel = FakeChannel()
        self.unacked = UnackedMessages(self.channel)

    def message(self) -> Message:
        """Make a message that needs an ack."""
        return Message(delivery(3), self.unacked, Queue("video"))

    def test_each_way(self) -> None:
        """Each way marks it as settled, and says what became of it."""
        for settle, settlement, state in (
            (lambda m: m.ack(), ("ack", 3, False), "acknowledged"),
            (lambda m: m.nack(), ("nack", 3, False, True), "requeued"),
            (lambda m: m.nack(requeue=False), ("nack", 3, False, False), "rejected"),
            (lambda m: m.reject(), ("reject", 3, False), "rejected"),
            (lambda m: m.reject(requeue=True), ("reject", 3, True), "requeued"),
            (lambda m: m.requeue(), ("reject", 3, True), "requeued"),
        ):
            self.channel.settled.clear()
            got = self.message()
            self.assertFalse(got.acknowledged)
            self.assertIn("unsettled", repr(got))
            settle(got)
            self.assertEqual(self.channel.settled, [settlement])
            self.assertTrue(got.acknowledged)
            self.assertIn(state, repr(got))

    def test_twice(self) -> None:
        """A second settlement, of whatever kind, raises at once and sends nothing."""
        for first in ("ack", "nack", "reject", "requeue"):
            for second in ("ack", "nack", "reject", "requeue"):
                got = self.message()
                getattr(got, first)()
                self.channel.settled.clear()
                error = self.assertRaises(MessageStateError, getattr(got, second))
                self.assertIn("message 3 from queue 'video'", str(error))
                self.assertIn("settle each message once", str(error))
                self.assertEqual(self.channel.settled, [])

    def test_no_ack(self) -> None:
        """For one that needs no ack it does nothing, as often as it is done."""
        got = Message(delivery(3), None)
        self.assertTrue(got.no_ack)
        self.assertFalse(self.message().no_ack)
        for settling in (
            got.ack(),
            got.ack(multiple=True),
            got.nack(),
            got.reject(),
            got.requeue(),
        ):
            self.assertIs(self.successResultOf(settling), Settlement.SENT)
        self.assertEqual(self.channel.settled, [])

    def test_stale(self) -> None:
        """After the channel is gone it fires with STALE, and counts as settled."""
        got = self.message()
        self.channel.die()
        self.assertIs(self.successResultOf(got.ack()), Settlement.STALE)
        self.assertTrue(got.acknowledged)

    def test_settled_by_a_later_one(self) -> None:
        """One that a later one settled too cannot be settled again."""
        earlier = Message(delivery(2), self.unacked, Queue("video"))
        self.message().ack(multiple=True)
        self.assertRaises(MessageStateError, earlier.ack)
        self.assertTrue(earlier.acknowledged)

    def test_undecodable(self) -> None:
        """One that cannot be decoded can be settled."""
        got = Message(delivery(body=b"{", properties=JSON), self.unacked)
        self.assertRaises(DecodeError, got.decode)
        got.reject()
        self.assertEqual(self.channel.settled, [("reject", 1, False)])
