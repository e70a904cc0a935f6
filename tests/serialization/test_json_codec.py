"""JSON and its typed values, with and without the libraries of the extra C{fast}."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID, uuid1

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from txkombu.serialization import fast_json, json_codec

BOTH = settings(deadline=None, suppress_health_check=[HealthCheck.differing_executors])
"""For tests that run in a class and in its subclass, each with its own codec."""

TYPED: list[tuple[object, object]] = [
    (
        datetime(2024, 2, 29, 12, 30, 1, 5),
        {"__type__": "datetime", "__value__": "2024-02-29T12:30:01.000005"},
    ),
    (
        datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=2))),
        {"__type__": "datetime", "__value__": "2024-02-29T00:00:00+02:00"},
    ),
    (date(2024, 2, 29), {"__type__": "date", "__value__": "2024-02-29"}),
    (time(23, 59, 1), {"__type__": "time", "__value__": "23:59:01"}),
    (Decimal("1.10"), {"__type__": "decimal", "__value__": "1.10"}),
    (
        UUID("6f1a4d3e-0000-4000-8000-000000000001"),
        {"__type__": "uuid", "__value__": {"hex": "6f1a4d3e000040008000000000000001"}},
    ),
    (b"caf\xc3\xa9", {"__type__": "bytes", "__value__": "caf\u00e9"}),
    (b"\xff\x00", {"__type__": "base64", "__value__": "/wA="}),
]

plain = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats(allow_nan=False)
    | some.text(),
    lambda inner: (
        some.lists(inner, max_size=4)
        | some.dictionaries(some.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
typed = (
    plain
    | some.datetimes(timezones=some.none() | some.just(timezone.utc))
    | some.dates()
    | some.times()
    | some.decimals(allow_nan=False)
    | some.uuids()
    | some.binary(max_size=16)
)


def has_floats(value: object) -> bool:
    """Return whether a plain value has floats in it."""
    if isinstance(value, list):
        return any(map(has_floats, value))
    if isinstance(value, dict):
        return any(map(has_floats, value.values()))
    return isinstance(value, float)


class Money:
    """Knows how to be JSON."""

    def __json__(self) -> object:
        return {"amount": Decimal("2.50"), "currency": "EUR"}


class Lookalike:
    """Pretends to be a typed value."""

    def __json__(self) -> object:
        return {"__type__": "date", "__value__": "2024-02-29"}


class JsonCase(SynchronousTestCase):
    """
    What one of the two codecs does.

    @cvar codec: the module.
    """

    codec: ClassVar[Any] = json_codec

    def dumps(self, value: object) -> str:
        """Write a value; what is written must be UTF-8."""
        body = self.codec.dumps(value)
        self.assertIs(type(body), bytes)
        return str(body, "utf-8")

    def loads(self, text: str) -> Any:
        """Read a text."""
        return self.codec.loads(text)


class PlainTests(JsonCase):
    """What JSON itself can hold."""

    @settings(BOTH, max_examples=50)
    @given(plain)
    def test_same_text_as_json(self, value: object) -> None:
        """Plain values are written as json.dumps writes them without blanks."""
        compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if not has_floats(value):  # these may be written in several ways
            self.assertEqual(self.dumps(value), compact)
        self.assertEqual(self.loads(self.dumps(value)), value)

    def test_not_a_number(self) -> None:
        """NaN and the infinities are written as json.dumps writes them."""
        text = self.dumps([float("nan"), float("inf"), float("-inf")])
        self.assertEqual(text, "[NaN,Infinity,-Infinity]")
        back = self.loads(text)
        self.assertNotEqual(back[0], back[0])
        self.assertEqual(back[1:], [float("inf"), float("-inf")])

    def test_lone_surrogates(self) -> None:
        """What UTF-8 cannot hold is written with JSON's escapes; the rest is not."""
        for value, text in [
            ("\ud800", '"\\ud800"'),
            ({"é\udfff": "\\\ud83d"}, '{"é\\udfff":"\\\\\\ud83d"}'),
            (["\ud800", date(2024, 2, 29)], None),
        ]:
            if text is not None:
                self.assertEqual(self.dumps(value), text)
            self.assertEqual(self.loads(self.dumps(value)), value)

    def test_tuples_become_lists(self) -> None:
        """JSON has no tuples."""
        self.assertEqual(self.loads(self.dumps((1, (2, 3)))), [1, [2, 3]])

    def test_impossible(self) -> None:
        """Sets, timedeltas, keys that are no str: a TypeError names the type."""
        for value, name in [
            ({1}, "set"),
            ({"a": [timedelta(1)]}, "timedelta"),
            (object(), "object"),
            ({(1, 2): 3}, "tuple"),
            ({b"a": 1}, "bytes"),
        ]:
            error = self.assertRaises(TypeError, self.dumps, value)
            self.assertIn(name, str(error))

    def test_contains_itself(self) -> None:
        """A value that contains itself is refused."""
        circle: list[object] = []
        for _ in range(3):  # each doubles the ways through it
            circle.append(circle)
            error = self.assertRaises(ValueError, self.dumps, circle)
            self.assertEqual(str(error), "Circular reference detected")

    def test_no_json(self) -> None:
        """Text that is no JSON is refused, with the marker in it or without."""
        for text in ("", "{", "nonsense", '{"__type__": ', '["__type__"] x'):
            self.assertRaises(ValueError, self.loads, text)

    def test_nested_too_deep(self) -> None:
        """Very deep nesting is an exception, not the end of the process."""
        self.assertRaises(RecursionError, self.loads, "[" * 200_000)


class TypedTests(JsonCase):
    """What is written as typed values."""

    def test_form(self) -> None:
        """Each type is written in the form that Kombu has for it."""
        for value, form in TYPED:
            self.assertEqual(json.loads(self.dumps(value)), form)
            back = self.loads(self.dumps([{"key": value}]))
            self.assertEqual(back, [{"key": value}])
            self.assertIs(type(back[0]["key"]), type(value))

    @settings(BOTH, max_examples=50)
    @given(some.lists(typed, max_size=3))
    def test_round_trip(self, values: list[object]) -> None:
        """Any of them comes back as it was."""
        self.assertEqual(self.loads(self.dumps({"values": values})), {"values": values})

    def test_uuid_version(self) -> None:
        """A UUID written with its version is read."""
        uuid = uuid1()
        text = json.dumps(
            {"__type__": "uuid", "__value__": {"hex": uuid.hex, "version": 1}}
        )
        self.assertEqual(self.loads(text), uuid)

    def test_date_written_as_datetime(self) -> None:
        """A date that was written with a time of day is read."""
        text = '{"__type__": "date", "__value__": "2024-02-29T00:00:00"}'
        self.assertEqual(self.loads(text), date(2024, 2, 29))

    def test_own_method(self) -> None:
        """An object with __json__ is written as what that returns."""
        self.assertEqual(
            self.loads(self.dumps([Money()])),
            [{"amount": Decimal("2.50"), "currency": "EUR"}],
        )

    def test_bad_values(self) -> None:
        """A typed value that is unknown, or not what its type says, is refused."""
        for kind, value in [
            ("unknown", 1),
            (["datetime"], "x"),
            (None, None),
            ("datetime", "yesterday"),
            ("datetime", 5),
            ("date", "x"),
            ("time", "25:00"),
            ("decimal", "x"),
            ("decimal", [0, [1], 1]),
            ("uuid", {"hex": "x"}),
            ("uuid", {"int": 1}),
            ("uuid", "6f1a"),
            ("bytes", 1),
            ("base64", "a"),
        ]:
            text = json.dumps({"__type__": kind, "__value__": value})
            self.assertRaises(Exception, self.loads, text)  # noqa: B017


class LookalikeTests(JsonCase):
    """A user's own dict that has the keys of a typed value."""

    def test_refused(self) -> None:
        """One of exactly the two keys is refused, wherever it is."""
        own: dict[str, object] = {"__type__": "date", "__value__": "2024-02-29"}
        for value in (
            own,
            [1, {"deep": (own,)}],
            [date(2024, 2, 29), own],
            {"__type__": own, "__value__": 1, "third": 1},
            Lookalike(),
        ):
            error = self.assertRaises(ValueError, self.dumps, value)
            self.assertIn("exactly the keys __type__ and __value__", str(error))

    def test_others_survive(self) -> None:
        """Other uses of these words come back as they were."""
        for value in (
            {"__type__": "date"},
            {"__type__": "date", "__value__": "x", "third": 1},
            {"__type__": date(2024, 2, 29), "other": Decimal("1")},
            ["__type__", "__value__"],
            "__type__",
            'say "__type__"',
            {"a": '{"__type__": "date", "__value__": "x"}'},
        ):
            self.assertEqual(self.loads(self.dumps(value)), value)

    def test_escaped_key(self) -> None:
        """A typed value whose key is written with an escape stays a dict."""
        text = '{"\\u005f_type__": "decimal", "__value__": "1"}'
        self.assertEqual(self.loads(text), {"__type__": "decimal", "__value__": "1"})


class FastPlainTests(PlainTests):
    """The same with orjson and msgspec."""

    codec: ClassVar[Any] = fast_json


class FastTypedTests(TypedTests):
    """The same with orjson and msgspec."""

    codec: ClassVar[Any] = fast_json


class FastLookalikeTests(LookalikeTests):
    """The same with orjson and msgspec."""

    codec: ClassVar[Any] = fast_json


class AsciiTests(SynchronousTestCase):
    """JSON in a header of a message, where it stands in ASCII."""

    @settings(BOTH, max_examples=50)
    @given(some.lists(typed, max_size=3))
    def test_same_value(self, values: list[object]) -> None:
        """It is ASCII, and is read as what the codec wrote in UTF-8."""
        text = json_codec.dumps_ascii(values)
        self.assertTrue(text.isascii())
        self.assertEqual(json_codec.loads(text), values)

    def test_refused(self) -> None:
        """What the codec refuses is refused."""
        own = {"__type__": "date", "__value__": "2024-02-29"}
        self.assertRaises(ValueError, json_codec.dumps_ascii, own)
        self.assertRaises(TypeError, json_codec.dumps_ascii, {1})
