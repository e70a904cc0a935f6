"""Bodies to bytes and back: the registry of serializers."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import msgpack
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from tests.serialization.test_json_codec import BOTH
from txkombu.exceptions import (
    ContentDisallowed,
    DecodeError,
    EncodeError,
    SerializerNotInstalled,
)
from txkombu.serialization import Encoded, Registry
from txkombu.serialization import serializers as serialization

JSON = "application/json"
YAML = "application/x-yaml"
MSGPACK = "application/x-msgpack"
PICKLE = "application/x-python-serialize"
DATA = "application/data"
TEXT = "text/plain"

VALUE = {"id": 1, "tags": ["a", "é"], "ratio": 1.5, "none": None, "yes": True}


SPRUNG: list[str] = []


class Trap:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return spring, ("unpickled",)


def spring(trace: str) -> None:
    """Leave the trace."""
    SPRUNG.append(trace)


class Point:
    """No serializer but pickle knows it."""

    def __init__(self, x: int) -> None:
        self.x = x


class RegistryTestCase(SynchronousTestCase):
    """
    Each test has a registry of its own.

    @cvar fast: whether json uses orjson and msgspec.
    """

    fast: ClassVar[bool] = True

    def setUp(self) -> None:
        """Make the registry."""
        self.registry = Registry()
        self.registry.register_json(self.fast)


class EncodeTests(RegistryTestCase):
    """What is published becomes labelled bytes."""

    def test_forms(self) -> None:
        """Every form of body has Kombu's labels and bytes."""
        encode = self.registry.encode
        text = '{"id":1,"tags":["a","é"],"ratio":1.5,"none":null,"yes":true}'.encode()
        for body, serializer, expected in [
            (VALUE, None, (JSON, "utf-8", text)),
            (VALUE, "json", (JSON, "utf-8", text)),
            ([1, 2], None, (JSON, "utf-8", b"[1,2]")),
            (None, None, (JSON, "utf-8", b"null")),
            (0, None, (JSON, "utf-8", b"0")),
            ({}, "", (JSON, "utf-8", b"{}")),
            ("é", "json", (JSON, "utf-8", b'"\xc3\xa9"')),
            (VALUE, "yaml", (YAML, "utf-8", yaml.safe_dump(VALUE).encode())),
            (
                VALUE,
                "msgpack",
                (MSGPACK, "binary", msgpack.packb(VALUE, use_bin_type=True)),
            ),
            (b"\xff", "msgpack", (MSGPACK, "binary", b"\xc4\x01\xff")),
            (VALUE, "pickle", (PICKLE, "binary", pickle.dumps(VALUE, protocol=4))),
            ("é", None, (TEXT, "utf-8", b"\xc3\xa9")),
            ("", None, (TEXT, "utf-8", b"")),
            (b"\xff", None, (DATA, "binary", b"\xff")),
            (bytearray(b"\xff"), None, (DATA, "binary", b"\xff")),
            (memoryview(b"\xff"), None, (DATA, "binary", b"\xff")),
            ("é", "raw", (DATA, "utf-8", b"\xc3\xa9")),
            (b"\xff", "raw", (DATA, "binary", b"\xff")),
        ]:
            encoded = encode(body, serializer)
            self.assertEqual(encoded, expected)
            self.assertIs(type(encoded.body), bytes)

    def test_explicit_content_type(self) -> None:
        """With a content type the body is sent as it is, labelled as given."""
        encode = self.registry.encode
        for body, encoding, expected in [
            ("é", None, Encoded("text/csv", "utf-8", b"\xc3\xa9")),
            ("é", "latin-1", Encoded("text/csv", "latin-1", b"\xe9")),
            (b"\xe9", None, Encoded("text/csv", "binary", b"\xe9")),
            (b"\xe9", "latin-1", Encoded("text/csv", "latin-1", b"\xe9")),
            (bytearray(b"\xe9"), None, Encoded("text/csv", "binary", b"\xe9")),
        ]:
            self.assertEqual(encode(body, None, "text/csv", encoding), expected)
            self.assertEqual(encode(body, "json", "text/csv", encoding), expected)

    def test_unserialized_values(self) -> None:
        """What is neither str nor bytes is refused where nothing serializes it."""
        for serializer, kind in [("raw", None), (None, "text/csv")]:
            error = self.assertRaises(
                EncodeError, self.registry.encode, VALUE, serializer, kind
            )
            self.assertIn("dict cannot be sent unserialized", str(error))

    def test_text_that_is_none(self) -> None:
        """A str that its encoding has no bytes for, or a wrong encoding."""
        for body, encoding in [
            ("\ud800", None),
            ("é", "ascii"),
            ("é", "no-such-encoding"),
            ("é", "binary"),
        ]:
            error = self.assertRaises(
                EncodeError, self.registry.encode, body, None, "text/csv", encoding
            )
            self.assertIn(repr(encoding or "utf-8"), str(error))
        self.assertRaises(EncodeError, self.registry.encode, "\ud800")

    def test_impossible(self) -> None:
        """The error names the serializer, the body's type and what it was."""
        for body, serializer, words in [
            ({1}, None, ("'json'", "this set", "Object of type set")),
            ({"a": timedelta(1)}, "json", ("'json'", "this dict", "timedelta")),
            ({"__type__": 1, "__value__": 2}, "json", ("'json'", "exactly the keys")),
            (Point(1), "yaml", ("'yaml'", "this Point")),
            (Point(1), "msgpack", ("'msgpack'", "this Point")),
            (2**70, "msgpack", ("'msgpack'", "this int")),
            (lambda: None, "pickle", ("'pickle'", "this function")),
        ]:
            error = self.assertRaises(
                EncodeError, self.registry.encode, body, serializer
            )
            for word in words:
                self.assertIn(word, str(error))
            self.assertIsInstance(error.__cause__, Exception)

    def test_where(self) -> None:
        """The error says which part of the body it is that cannot be encoded."""
        bad = timedelta(1)
        for body, where in [
            ({"a": [1, 2, 3, bad]}, ", at body['a'][3]: "),
            ([{"fine": 1}, {"b": (1, {"c": {bad}})}], ", at body[1]['b'][1]['c']: "),
            ({"a": {(1, 2): "a key"}}, ", at body['a']: "),
            ({"x": {"__type__": 1, "__value__": 2}}, ", at body['x']: "),
            ({"k" * 50: bad}, f", at body['{'k' * 39}…]: "),
            (bad, "encode this timedelta: "),
        ]:
            error = self.assertRaises(EncodeError, self.registry.encode, body)
            self.assertIn(where, str(error))
        for serializer, part in [("yaml", Point(1)), ("msgpack", 2**70)]:
            error = self.assertRaises(
                EncodeError, self.registry.encode, {"a": [0, part]}, serializer
            )
            self.assertIn(", at body['a'][1]: ", str(error))

    def test_contains_itself(self) -> None:
        """What contains itself has an end here, and so has what is very deep."""
        body: dict[str, Any] = {"a": [1]}
        body["a"].append(body)
        error = self.assertRaises(EncodeError, self.registry.encode, body)
        self.assertIn(", at body['a'][1]: ", str(error))
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        error = self.assertRaises(EncodeError, self.registry.encode, deep)
        self.assertIn(f", at body{'[0]' * 20}: ", str(error))

    def test_where_in_others_formats(self) -> None:
        """What an encoder of somebody else makes of a part is not asked."""
        asked: list[object] = []

        def encoder(value: object) -> str:
            asked.append(value)
            raise ValueError("no")

        self.registry.register("theirs", encoder, None, "x/theirs")
        error = self.assertRaises(EncodeError, self.registry.dumps, [1], "theirs")
        self.assertIn("this list: ValueError: no", str(error))
        self.assertEqual(asked, [[1]])

    def test_unknown_serializer(self) -> None:
        """The error names the nearest serializer, and all."""
        error = self.assertRaises(
            SerializerNotInstalled, self.registry.encode, VALUE, "jsn"
        )
        self.assertEqual(
            str(error),
            "there is no serializer 'jsn': did you mean 'json'? "
            "known are json, msgpack, pickle, raw, yaml",
        )
        error = self.assertRaises(
            SerializerNotInstalled, self.registry.dumps, VALUE, "zzz"
        )
        self.assertNotIn("did you mean", str(error))

    def test_serializer_is_no_name(self) -> None:
        """A serializer that is no str is a mistake of type."""
        error = self.assertRaises(
            TypeError,
            self.registry.encode,
            VALUE,
            5,
        )
        self.assertIn("5", str(error))


class DecodeTests(RegistryTestCase):
    """Received bytes become what was published."""

    def test_round_trip(self) -> None:
        """Every form of body comes back by its labels alone."""
        for body, serializer in [
            (VALUE, None),
            (VALUE, "yaml"),
            (VALUE, "msgpack"),
            ({"day": date(2024, 2, 29), "price": Decimal("1.10")}, "json"),
            ({"day": date(2024, 2, 29)}, "yaml"),
            ({"raw": b"\xff\x00", "text": "é"}, "msgpack"),
            ("é", None),
            ("é", "json"),
            (b"\xff", None),
            ("é", "raw"),
            (b"\xff", "raw"),
            (None, None),
            ("", None),
            (b"", None),
        ]:
            kind, encoding, data = self.registry.dumps(body, serializer)
            self.assertEqual(self.registry.loads(data, kind, encoding), body)

    def test_pickle(self) -> None:
        """Pickle brings back built-in values that the others do not have."""
        value = {
            "set": {1, 2},
            "frozenset": frozenset("ab"),
            "tuple": (1, 2.5, 3j),
            "bytes": b"\xff",
            "bytearray": bytearray(b"\xff"),
            "range": range(3),
            "delta": timedelta(days=1, microseconds=5),
            "ellipsis": ...,
            5: None,
        }
        kind, encoding, data = self.registry.dumps(value, "pickle")
        self.assertEqual(data[:2], b"\x80\x04")
        back = self.registry.loads(data, kind, encoding, accept=["pickle"])
        self.assertEqual(back, value)

    def test_missing_labels(self) -> None:
        """No content type is application/data, no encoding utf-8."""
        decode = self.registry.decode
        for labels in [(None, None), ("", ""), (DATA, None), (None, "utf-8")]:
            self.assertEqual(decode(b"\xc3\xa9", *labels), "é")
        self.assertEqual(decode(b"\xc3\xa9", None, "binary"), b"\xc3\xa9")
        self.assertEqual(decode(b'{"a": 1}', JSON, None), {"a": 1})
        self.assertEqual(decode(b"\x81\xa1a\x01", MSGPACK, None), {"a": 1})

    def test_unknown_content_types(self) -> None:
        """They come back as text in their encoding, or as bytes when binary."""
        decode = self.registry.decode
        self.assertEqual(decode(b"a;\xe9", "text/csv", "latin-1"), "a;é")
        self.assertEqual(decode(b"a;\xc3\xa9", "text/csv", None), "a;é")
        for binary in ("binary", "BINARY", "ascii-8bit"):
            self.assertEqual(decode(b"\xff", "image/png", binary), b"\xff")

    def test_json_in_other_encodings(self) -> None:
        """Text formats are read in the encoding that the message names."""
        decode = self.registry.decode
        self.assertEqual(decode('"é"'.encode("utf-16"), JSON, "utf-16"), "é")
        self.assertEqual(decode(b'"\xe9"', JSON, "ISO-8859-1"), "é")
        self.assertEqual(decode(b'"\xc3\xa9"', JSON, "UTF8"), "é")
        self.assertEqual(decode(b'"\xc3\xa9"', JSON, "binary"), "é")

    def test_corrupt(self) -> None:
        """The error names content type, encoding and size, and has its cause."""
        for body, kind, encoding in [
            (b"{", JSON, "utf-8"),
            (b"", JSON, "utf-8"),
            (b'"\xff"', JSON, "utf-8"),
            (b'{"__type__": "x", "__value__": 1}', JSON, "utf-8"),
            (b"[" * 200_000, JSON, "utf-8"),
            (b"a: b: c", YAML, "utf-8"),
            (b"- " * 20_000, YAML, "utf-8"),
            (b"\x81\xa1a", MSGPACK, "binary"),
            (b"\x01\x02", MSGPACK, "binary"),
            (b"\x81\x01\x02", MSGPACK, "binary"),
            (b"\xa1\xff", MSGPACK, "binary"),
            (b"", MSGPACK, "binary"),
            (b"\xff", TEXT, "utf-8"),
            (b"\xff", DATA, "utf-8"),
            (b"x", TEXT, "no-such-encoding"),
            (b"x", "text/csv", "gzip"),
            (b"x", "text/csv", "hex"),
            (b"x", "text/csv", "\x00"),
            (b"x" * 200_000, "text/csv", "punycode"),
            (b"x", "text/csv", "IDNA"),
        ]:
            error = self.assertRaises(
                DecodeError, self.registry.decode, body, kind, encoding
            )
            self.assertIn(f"{len(body)} bytes", str(error))
            self.assertIn(repr(kind), str(error))
            self.assertIn(repr(encoding), str(error))
            self.assertIsInstance(error.__cause__, Exception)
            self.assertNotIsInstance(error, ContentDisallowed)

    def test_corrupt_pickle(self) -> None:
        """A corrupt pickle is a DecodeError, whatever pickle raises."""
        for body in (b"", b"nonsense", pickle.dumps(VALUE)[:-3], b"cno_such\nname\n."):
            self.assertRaises(
                DecodeError,
                self.registry.loads,
                body,
                PICKLE,
                "binary",
                accept=["pickle"],
            )

    def test_lengths_allocate_nothing(self) -> None:
        """Lengths of msgpack that exceed the body are refused."""
        for head in (b"\xdd", b"\xdf", b"\xdb", b"\xc6"):
            self.assertRaises(
                DecodeError, self.registry.decode, head + b"\xff" * 4, MSGPACK, "binary"
            )

    @settings(BOTH, max_examples=50)
    @given(
        some.binary(max_size=64),
        some.sampled_from([None, JSON, YAML, MSGPACK, TEXT, DATA, "x/y"]),
        some.sampled_from([None, "utf-8", "binary", "utf-16", "latin-1", "?"]),
    )
    def test_garbage(self, body: bytes, kind: str | None, encoding: str | None) -> None:
        """Whatever is received is decoded or is a DecodeError."""
        try:
            serialization.decode(body, kind, encoding)
        except DecodeError as error:
            self.assertIn("cannot be decoded", str(error))

    def test_body_of_wrong_type(self) -> None:
        """loads takes bytes only."""
        error = self.assertRaises(
            TypeError,
            self.registry.loads,
            "{}",
            JSON,
            "utf-8",
        )
        self.assertIn("must be bytes, not str", str(error))


class AcceptTests(RegistryTestCase):
    """Which content types a consumer decodes."""

    def refuse(self, kind: str, accept: list[str] | None) -> str:
        """Assert that a content type is refused; return the error's text."""
        error = self.assertRaises(
            ContentDisallowed, self.registry.loads, b"{}", kind, "utf-8", accept
        )
        self.assertIsInstance(error, DecodeError)
        return str(error)

    def test_pickle_by_default(self) -> None:
        """Pickle is refused, not run, and the error says how to accept it."""
        body = pickle.dumps(Trap())
        error = self.assertRaises(
            ContentDisallowed, self.registry.loads, body, PICKLE, "binary"
        )
        self.assertEqual(SPRUNG, [])
        self.assertIn(repr(PICKLE), str(error))
        self.assertIn("accept=['pickle', …]", str(error))
        self.addCleanup(SPRUNG.clear)
        self.registry.loads(body, PICKLE, "binary", accept=["pickle"])
        self.assertEqual(SPRUNG, ["unpickled"])

    def test_pickle_under_other_names(self) -> None:
        """A serializer of one's own for pickle's content type is refused, too."""
        self.registry.register("mine", pickle.dumps, pickle.loads, PICKLE, "binary")
        self.assertIn("accept=['mine', …]", self.refuse(PICKLE, None))
        self.registry.unregister("mine")
        self.registry.unregister("pickle")
        self.assertIn(f"accept=['{PICKLE}', …]", self.refuse(PICKLE, None))

    def test_list(self) -> None:
        """A list is all that is accepted, but for text and bytes."""
        loads = self.registry.loads
        self.assertEqual(loads(b"{}", JSON, "utf-8", ["json"]), {})
        self.assertEqual(loads(b"{}", JSON, "utf-8", [JSON]), {})
        self.assertEqual(loads(b"{}", "text/csv", "utf-8", ["text/csv"]), "{}")
        for accept in (["json"], [], ["yaml", "raw"]):
            self.assertEqual(loads(b"x", TEXT, "utf-8", accept), "x")
            self.assertEqual(loads(b"x", DATA, "binary", accept), b"x")
            self.assertEqual(loads(b"x", None, None, accept), "x")
        self.assertIn("accept=['json', …]", self.refuse(JSON, ["yaml"]))
        self.refuse(JSON, [])
        self.refuse(PICKLE, ["json", "yaml"])
        self.assertIn("accept=['text/csv', …]", self.refuse("text/csv", ["json"]))

    def test_own_serializers(self) -> None:
        """What the program registered itself is accepted without a list."""
        self.registry.register("up", str.upper, str.lower, "x/up")
        self.assertEqual(self.registry.loads(b"ABC", "x/up", "utf-8"), "abc")
        self.refuse("x/up", ["json"])

    def test_accept_set(self) -> None:
        """The set holds content types, and is its own set again."""
        accept_set = self.registry.accept_set
        self.assertIsNone(accept_set(None))
        expected = {JSON, YAML, TEXT, DATA}
        self.assertEqual(accept_set(["json", YAML]), expected)
        self.assertEqual(accept_set(accept_set(iter(["json", "yaml"]))), expected)
        self.assertEqual(accept_set(["raw"]), {TEXT, DATA})

    def test_unknown_name(self) -> None:
        """The error names the nearest serializer."""
        error = self.assertRaises(
            SerializerNotInstalled, self.registry.accept_set, ["json", "pickel"]
        )
        self.assertIn("no serializer 'pickel': did you mean 'pickle'?", str(error))

    def test_wrong_types(self) -> None:
        """One str instead of a list, or a list of something else."""
        for accept in ("json", b"json", [None], 5):
            self.assertRaises(
                TypeError,
                self.registry.accept_set,
                accept,
            )


class PythonEncodeTests(EncodeTests):
    """The same with Python's json."""

    fast = False


class PythonDecodeTests(DecodeTests):
    """The same with Python's json."""

    fast = False


class RegisterTests(RegistryTestCase):
    """Serializers of one's own."""

    def test_text(self) -> None:
        """A text format takes and gives str, in its content encoding."""
        self.registry.register(
            "lines", "\n".join, str.splitlines, "text/x-lines", "latin-1"
        )
        encoded = self.registry.dumps(["a", "é"], "lines")
        self.assertEqual(encoded, ("text/x-lines", "latin-1", b"a\n\xe9"))
        self.assertEqual(
            self.registry.loads(encoded.body, "text/x-lines", "latin-1"), ["a", "é"]
        )
        self.assertEqual(
            self.registry.loads(encoded.body, "text/x-lines", "binary"), ["a", "é"]
        )
        error = self.assertRaises(EncodeError, self.registry.dumps, ["\u20ac"], "lines")
        self.assertIn("'lines'", str(error))

    def test_binary(self) -> None:
        """A binary format takes and gives bytes, whatever a message says."""
        self.registry.register(
            "reversed", lambda b: b[::-1], lambda b: b[::-1], "x/rev", "binary"
        )
        encoded = self.registry.dumps(b"\xff\x00", "reversed")
        self.assertEqual(encoded, ("x/rev", "binary", b"\x00\xff"))
        for encoding in ("binary", "utf-8", None):
            self.assertEqual(
                self.registry.loads(encoded.body, "x/rev", encoding), b"\xff\x00"
            )

    def test_failing(self) -> None:
        """What its functions raise becomes EncodeError and DecodeError."""
        self.registry.register("int", lambda v: str(v + 0), int, "x/int")
        self.assertRaises(EncodeError, self.registry.dumps, "a", "int")
        self.assertRaises(DecodeError, self.registry.loads, b"a", "x/int", "utf-8")

    def test_missing_library(self) -> None:
        """A serializer may say itself that it is not installed."""

        def missing(value: object) -> str:
            raise SerializerNotInstalled("pip install it")

        self.registry.register("it", missing, missing, "x/it")
        self.assertRaises(SerializerNotInstalled, self.registry.dumps, 1, "it")
        self.assertRaises(
            SerializerNotInstalled, self.registry.loads, b"1", "x/it", "utf-8"
        )

    def test_encoder_returns_something_else(self) -> None:
        """An encoder that returns neither str nor bytes is at fault."""
        self.registry.register("bad", lambda v: v, None, "x/bad")
        error = self.assertRaises(EncodeError, self.registry.dumps, 5, "bad")
        self.assertIn("'bad' returned int", str(error))

    def test_one_way(self) -> None:
        """Without an encoder nothing is published, without a decoder nothing read."""
        self.registry.register("in", None, json.loads, "x/in")
        error = self.assertRaises(SerializerNotInstalled, self.registry.dumps, 1, "in")
        self.assertIn("'in' has no encoder", str(error))
        self.assertEqual(self.registry.loads(b"1", "x/in", "utf-8"), 1)
        self.registry.register("out", json.dumps, None, "x/out")
        self.assertEqual(self.registry.dumps(1, "out").body, b"1")
        self.assertEqual(self.registry.loads(b"1", "x/out", "utf-8"), "1")

    def test_replace(self) -> None:
        """A name registered again is replaced, the built-in ones too."""
        self.registry.register("json", lambda v: "1", lambda t: "one", JSON)
        self.assertEqual(self.registry.encode(VALUE).body, b"1")
        self.assertEqual(self.registry.decode(b"1", JSON, None), "one")
        self.registry.register("json", lambda v: "2", lambda t: "two", "x/new")
        self.assertEqual(self.registry.encode(VALUE), ("x/new", "utf-8", b"2"))
        self.assertEqual(self.registry.decode(b"1", JSON, None), "1")

    def test_same_content_type(self) -> None:
        """The last one registered decodes; without it the one before does."""
        self.registry.register("fast", json.dumps, lambda t: "fast", JSON)
        self.assertEqual(self.registry.decode(b"1", JSON, None), "fast")
        self.registry.unregister("fast")
        self.assertEqual(self.registry.decode(b"1", JSON, None), 1)

    def test_unregister(self) -> None:
        """What was unregistered is unknown; what is unknown cannot be."""
        self.registry.unregister("json")
        self.assertRaises(SerializerNotInstalled, self.registry.encode, VALUE)
        self.assertEqual(self.registry.decode(b"1", JSON, None), "1")
        error = self.assertRaises(
            SerializerNotInstalled, self.registry.unregister, "ymal"
        )
        self.assertIn("did you mean 'yaml'", str(error))

    def test_wrong_arguments(self) -> None:
        """Each wrong argument is named."""
        good = ("name", json.dumps, json.loads, "x/y", "utf-8")
        for place, value, kind, word in [
            (0, 5, TypeError, "name"),
            (0, "", TypeError, "name"),
            (0, "raw", ValueError, "'raw'"),
            (1, "dumps", TypeError, "encoder"),
            (2, "loads", TypeError, "decoder"),
            (3, None, TypeError, "content_type"),
            (4, None, TypeError, "content_encoding"),
            (4, "utf-88", ValueError, "'utf-88'"),
            (4, "hex", ValueError, "'hex'"),
            (4, "idna", ValueError, "'idna'"),
        ]:
            arguments = [*good[:place], value, *good[place + 1 :]]
            error = self.assertRaises(
                kind,
                self.registry.register,
                *arguments,
            )
            self.assertIn(word, str(error))


class ModuleTests(SynchronousTestCase):
    """The functions of the module."""

    def test_one_registry(self) -> None:
        """All of them share one registry."""
        serialization.register("mod", str.upper, str.lower, "x/mod")
        try:
            self.assertEqual(serialization.encode("a", "mod").body, b"A")
            self.assertEqual(serialization.dumps("a", "mod").body, b"A")
            self.assertEqual(serialization.decode(b"A", "x/mod", None), "a")
            self.assertEqual(serialization.loads(b"A", "x/mod", None, ["mod"]), "a")
            accepted = serialization.accept_set(["mod"])
            self.assertEqual(accepted, {"x/mod", TEXT, DATA})
        finally:
            serialization.unregister("mod")
        self.assertRaises(SerializerNotInstalled, serialization.dumps, "a", "mod")

    def test_light_import(self) -> None:
        """Importing the modules imports only the libraries that make JSON fast."""
        code = (
            "import sys, txkombu.serialization, txkombu.compression\n"
            "print(*{'yaml', 'msgpack', 'brotli', 'backports.zstd'}\n"
            "      .intersection(sys.modules))"
        )
        root = str(Path(serialization.__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-S", "-c", code],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])},
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(done.stdout.strip(), "")
