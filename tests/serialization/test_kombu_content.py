"""Bodies beside Kombu's own: what either publishes, the other reads."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID, uuid1

import kombu.compression
import kombu.serialization
from hypothesis import given, settings
from hypothesis import strategies as some
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.messaging import Producer
from twisted.trial.unittest import SynchronousTestCase

from tests.serialization.test_json_codec import BOTH, typed
from txkombu import compression
from txkombu.serialization import Encoded, Registry, encode

SERIALIZERS = ("json", "yaml", "msgpack", "pickle")
VALUE = {"id": 1, "tags": ["a", "é"], "ratio": 1.5, "none": None, "yes": True}
TYPED = {
    "datetime": datetime(2024, 2, 29, 12, 30, 1, 5),
    "aware": datetime(2024, 2, 29, tzinfo=timezone.utc),
    "date": date(2024, 2, 29),
    "time": time(23, 59, 1, 7),
    "decimal": Decimal("1.10"),
    "uuid": UUID("6f1a4d3e-0000-4000-8000-000000000001"),
    "uuid1": uuid1(),
    "bytes": "é".encode(),
    "base64": b"\xff\x00",
    "nested": [{"deep": Decimal("-0.0")}],
}
BODIES: list[tuple[object, str | None]] = [
    (VALUE, None),
    *((VALUE, serializer) for serializer in SERIALIZERS),
    (TYPED, None),
    (TYPED, "pickle"),
    ({"day": date(2024, 2, 29), "raw": b"\xff"}, "yaml"),
    ({"raw": b"\xff", "text": "é"}, "msgpack"),
    ([], None),
    (None, None),
    (1.5, None),
    ("é", "json"),
    ("é", None),
    (b"\xff\x00", None),
    ("é", "raw"),
    (b"\xff\x00", "raw"),
]


def kombus(body: object, serializer: str | None) -> Encoded:
    """Have Kombu encode a body; it leaves to the transport to make text bytes."""
    kind, encoding, data = kombu.serialization.dumps(body, serializer)
    return Encoded(
        kind, encoding, data.encode(encoding) if isinstance(data, str) else data
    )


class SerializationTests(SynchronousTestCase):
    """
    The functions of both, face to face.

    @cvar fast: whether json uses orjson and msgspec.
    """

    fast: ClassVar[bool] = True

    def setUp(self) -> None:
        """Make a registry."""
        self.registry = Registry()
        self.registry.register_json(self.fast)

    def same(self, ours: Encoded, theirs: Encoded) -> None:
        """See that two bodies are equal, but for blanks and escapes of JSON."""
        self.assertEqual(ours[:2], theirs[:2])
        if ours.content_type == "application/json":
            self.assertEqual(json.loads(ours.body), json.loads(theirs.body))
        else:
            self.assertEqual(ours.body, theirs.body)

    def test_same(self) -> None:
        """Every form of body has the same labels and content in both."""
        for body, serializer in BODIES:
            self.same(self.registry.encode(body, serializer), kombus(body, serializer))

    def test_kombu_reads_ours(self) -> None:
        """Kombu decodes every body of ours."""
        for body, serializer in BODIES:
            kind, encoding, data = self.registry.encode(body, serializer)
            back = kombu.serialization.loads(data, kind, encoding, accept={kind})
            self.assertEqual(back, body)

    def test_we_read_kombus(self) -> None:
        """We decode every body of Kombu's."""
        for body, serializer in BODIES:
            kind, encoding, data = kombus(body, serializer)
            back = self.registry.loads(data, kind, encoding, [kind])
            self.assertEqual(back, body)

    @settings(BOTH, max_examples=50)
    @given(some.lists(typed, max_size=3))
    def test_any_json(self, values: list[object]) -> None:
        """Any JSON with typed values is the same, and read by both."""
        ours = self.registry.encode(values)
        self.same(ours, kombus(values, "json"))
        kind, encoding, data = ours
        back = kombu.serialization.loads(data, kind, encoding, accept={kind})
        self.assertEqual(back, values)
        self.assertEqual(self.registry.decode(data, kind, encoding), values)


class PythonJSONTests(SerializationTests):
    """The same with Python's json."""

    fast = False


class CompressionTests(SynchronousTestCase):
    """Both compress to the same headers and read each other's streams."""

    def test_all(self) -> None:
        """Every name that Kombu has, both ways."""
        body = b"the quick brown fox " * 200
        for name in (
            *("gzip", "zlib", "bzip2", "bzip", "lzma", "xz"),
            *("zstd", "zstandard", "brotli"),
        ):
            ours, header = compression.compress(body, name)
            theirs, said = kombu.compression.compress(body, name)
            self.assertEqual(header, said)
            self.assertEqual(kombu.compression.decompress(ours, header), body)
            self.assertEqual(compression.decompress(theirs, said), body)


class ProducerTests(SynchronousTestCase):
    """Messages that Kombu's Producer publishes to Kombu's memory transport."""

    def published(self, body: object, **options: Any) -> Any:
        """Publish with Kombu and return the message as it is received."""
        with Connection("memory://") as connection:
            queue = Queue("interop", Exchange("interop"), "interop")
            channel = connection.channel()
            bound = queue(channel)
            bound.declare()
            producer = Producer(channel, bound.exchange, "interop")
            producer.publish(body, **options)
            message = bound.get(no_ack=True)
            bound.delete()
            return message

    def test_explicit_content_type(self) -> None:
        """A body with a content type of its own is labelled as Kombu labels it."""
        for body, kind, encoding in [
            ("é", "text/csv", None),
            ("é", "text/csv", "latin-1"),
            (b"\xff", "image/png", None),
            (b"\xe9", "text/csv", "latin-1"),
        ]:
            options = {"content_type": kind, "content_encoding": encoding}
            message = self.published(body, **options)
            ours = encode(body, None, kind, encoding)
            self.assertEqual(ours[:2], (message.content_type, message.content_encoding))
            data = message.body
            if isinstance(data, str):
                data = data.encode(message.content_encoding)
            self.assertEqual(data, ours.body)

    def test_compressed(self) -> None:
        """A compressed body of Kombu's is read by its labels and its header."""
        message = self.published(TYPED, compression="bzip2")
        # Kombu undoes the compression itself and leaves the header in place
        ours, header = compression.compress(message.body, "bzip2")
        self.assertEqual(message.headers["compression"], header)
        self.assertEqual(message.content_type, "application/json")
        self.assertEqual(kombu.compression.decompress(ours, header), message.body)
        self.assertEqual(json.loads(message.body), json.loads(encode(TYPED).body))
