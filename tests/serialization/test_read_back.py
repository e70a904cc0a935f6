"""What we publish we can read; what we cannot read we do not publish."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from txkombu.exceptions import DecodeError, EncodeError
from txkombu.serialization import Registry, decode, encode
from txkombu.serialization.yaml_codec import YAML_DEPTH, YAML_LIMIT

ODD_ZONE = timezone(timedelta(seconds=3601))

scalars = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats(allow_nan=False)
    | some.text(some.characters(exclude_categories=()))
    | some.binary()
)
values = some.recursive(
    scalars,
    lambda inner: some.lists(inner) | some.dictionaries(scalars, inner),
    max_leaves=10,
)


def nested(depth: int, key: Any = None) -> object:
    """Make lists, or dicts of this key, in each other."""
    value: object = None
    for _ in range(depth):
        value = [value] if key is None else {key: value}
    return value


class RefusedTests(SynchronousTestCase):
    """Bodies that every consumer would refuse."""

    def refuse(self, serializer: str, body: object) -> str:
        """See that a body cannot be encoded."""
        error = self.assertRaises(EncodeError, encode, body, serializer)
        self.assertIn(repr(serializer), str(error))
        return str(error)

    def test_msgpack_keys(self) -> None:
        """Keys that are neither str nor bytes; the error says where."""
        keys: tuple[Any, ...] = (1, -1, 2**40, None, True, 1.5, (1, 2), ())
        for key in keys:
            self.assertIn("could not be read back", self.refuse("msgpack", {key: 1}))
            where = self.refuse("msgpack", {"a": [0, {"b": {key: 1}}]})
            self.assertIn(", at body['a'][1]['b']: ", where)
        for key in ("text", "", b"bytes", b"\xff"):
            kind, encoding, data = encode({key: 1}, "msgpack")
            self.assertEqual(decode(data, kind, encoding), {key: 1})

    def test_msgpack_depth(self) -> None:
        """Lists and dicts in each other, deeper than the reader goes."""
        for depth in (10, 300, 511, 600, 1000, 1023, 1024, 2000):
            for key in (None, "k"):
                value = nested(depth, key)
                try:
                    kind, encoding, data = encode(value, "msgpack")
                except EncodeError:
                    self.assertGreater(depth, 500)
                else:
                    back = decode(data, kind, encoding)
                    self.assertEqual(encode(back, "msgpack").body, data)

    def test_yaml(self) -> None:
        """What the loader takes off YAML, the dumper does not write."""
        for body in (
            {(1, 2): 3},
            {"a": {frozenset(): 1}},
            "\ud800",
            {"a": ["fine", "\udfff"]},
            datetime(2024, 1, 1, tzinfo=ODD_ZONE),
            "x" * YAML_LIMIT,
            ["x" * 1000] * (YAML_LIMIT // 1000),
            nested(YAML_DEPTH + 1),
            nested(YAML_DEPTH + 1, "k"),
            10**1001,
            -(10**1001),
        ):
            self.refuse("yaml", body)
        where = self.refuse("yaml", {"a": [1, "\ud800"]})
        self.assertIn(", at body['a'][1]: ", where)
        self.assertIn("could not be read back", where)

    def test_text(self) -> None:
        """Text that its character set, or no reader, has bytes for."""
        for body, encoding in (
            ("\ud800", None),
            ("\u00e9", "ascii"),
            ("x", "unicode_escape"),
            ("x", "gzip"),
        ):
            self.assertRaises(EncodeError, encode, body, None, "text/csv", encoding)


class ReadBackTests(SynchronousTestCase):
    """Bodies that are taken."""

    def check(self, serializer: str, body: object) -> None:
        """See that a body comes back equal, or is not written."""
        try:
            kind, encoding, data = encode(body, serializer)
        except EncodeError:
            return
        self.assertEqual(decode(data, kind, encoding), body)

    @settings(max_examples=60, deadline=None)
    @given(values)
    def test_msgpack(self, value: object) -> None:
        """Whatever msgpack writes comes back as it was."""
        self.check("msgpack", value)

    @settings(max_examples=60, deadline=None)
    @given(values)
    def test_yaml(self, value: object) -> None:
        """Whatever YAML writes comes back as it was."""
        self.check("yaml", value)

    def test_json(self) -> None:
        """Lone surrogates, long numbers and deep lists come back from JSON."""
        registry = Registry()
        for fast in (True, False):
            registry.register_json(fast)
            for body in (
                *("\ud800", {"\udfff": 1}, 10**4000),
                *(nested(500), nested(300, "k")),
            ):
                kind, encoding, data = registry.encode(body, "json")
                self.assertEqual(registry.decode(data, kind, encoding), body)

    def test_long_numbers(self) -> None:
        """A number of more digits than Python reads is refused where it is written."""
        registry = Registry()
        for fast in (True, False):
            registry.register_json(fast)
            try:
                kind, encoding, data = registry.encode(10**5000, "json")
            except EncodeError as error:
                self.assertIn("'json'", str(error))
            else:
                self.assertEqual(registry.decode(data, kind, encoding), 10**5000)


class ErrorTests(SynchronousTestCase):
    """What errors tell of a body."""

    def error(self, body: bytes, kind: str, encoding: str = "utf-8") -> DecodeError:
        """Return the error of a body that cannot be decoded."""
        error: DecodeError
        error = self.assertRaises(DecodeError, decode, body, kind, encoding)
        return error

    def test_cut(self) -> None:
        """What the sender wrote is cut, in each place where errors quote it."""
        long = "x" * 100_000
        typed = b'{"__type__": "%s", "__value__": "%s"}'
        for body, kind, encoding in (
            (typed % (long.encode(), b""), "application/json", "utf-8"),
            (typed % (b"decimal", long.encode()), "application/json", "utf-8"),
            (typed % (b"datetime", long.encode()), "application/json", "utf-8"),
            (b"!!python/name:" + long.encode(), "application/x-yaml", "utf-8"),
            (b"x", f"text/{long}", "utf-16"),
            (b"x", "text/plain", long),
            (b"[", f"application/json; {long}", "utf-8"),
        ):
            self.assertLess(len(str(self.error(body, kind, encoding))), 1000)

    def test_escaped(self) -> None:
        """Control characters that the sender wrote are shown, not sent on."""
        clear = "\x1b[2J\r\nforged\x9b\u202e"
        for error in (
            self.error(b"x", f"text/{clear}", "?"),
            self.error(b"x", "text/plain", clear),
            self.error(f"!!python/{clear}".encode(), "application/x-yaml"),
            self.error(
                b'{"__type__": "\\u001b[2J", "__value__": 1}', "application/json"
            ),
        ):
            self.assertTrue(str(error).isprintable(), str(error))

    def test_no_body(self) -> None:
        """An error's causes do not hold the body."""
        body = b'{"a": "' + b"x" * 10_000 + b"\xff"
        cause: Any = self.error(body, "application/json").__cause__
        self.assertLess(len(cause.object), 20)
        self.assertIn("0xff", str(cause))
        cause = self.error(body[:-1], "application/json").__cause__
        self.assertEqual(cause.doc, "")
        self.assertIn("Unterminated string", str(cause))
        self.assertIsNone(cause.__traceback__.tb_next if cause.__traceback__ else None)
