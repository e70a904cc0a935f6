"""Types that programs register for JSON, with and without the extra C{fast}."""

from __future__ import annotations

import enum
import json
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import kombu.utils.json
from twisted.trial.unittest import SynchronousTestCase

from tests.serialization.test_json_codec import Money
from txkombu.exceptions import DecodeError, EncodeError
from txkombu.serialization import Registry, fast_json, json_codec, register_type


class Point:
    """A value of a program."""

    def __init__(self, x: object, y: object) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.x)


class Pixel(Point):
    """A more special one."""


class Color(enum.Enum):
    """An enumeration, which orjson would write by itself."""

    RED = "red"


class Instant(datetime):
    """A datetime of a program's own."""


def write_point(point: Point) -> object:
    """Write a point."""
    return [point.x, point.y]


def read_point(pair: list[object]) -> Point:
    """Read a point."""
    return Point(*pair)


class RegisterTypeTests(SynchronousTestCase):
    """
    L{register_type}

    @cvar codec: the module that writes and reads.
    @cvar fast: whether it is the one with orjson and msgspec.
    """

    codec: ClassVar[Any] = json_codec
    fast: ClassVar[bool] = False

    def setUp(self) -> None:
        """Forget afterwards what was registered; see what Kombu does beside."""
        for module, names in (
            (json_codec, ("_WRITERS", "_READERS")),
            (kombu.utils.json, ("_encoders", "_decoders")),
        ):
            for name in names:
                self.patch(module, name, dict(getattr(module, name)))

    def both(self, *arguments: Any) -> None:
        """Register a type here and in Kombu."""
        register_type(*arguments)
        kombu.utils.json.register_type(*arguments)

    def same(self, value: object) -> str:
        """Return the text of a value, which Kombu reads and writes as we do."""
        text = str(self.codec.dumps(value), "utf-8")
        theirs = kombu.utils.json.dumps(value)
        self.assertEqual(json.loads(text), json.loads(theirs))
        self.assertEqual(self.codec.loads(theirs), kombu.utils.json.loads(text))
        return text

    def test_round_trip(self) -> None:
        """A value is written with its marker, and read by its decoder, as in Kombu."""
        self.both(Point, "point", write_point, read_point)
        for value in (Point(1, 2), [Point(1, 2)], {"at": {"is": Point(-1, "é")}}):
            text = self.same(value)
            self.assertIn('{"__type__":"point","__value__":[', text)
            self.assertEqual(self.codec.loads(text), value)

    def test_nested(self) -> None:
        """What the encoder returns may hold registered types, and those of Kombu."""
        self.both(Point, "point", write_point, read_point)
        value = Point(Point(Decimal("1.5"), date(2024, 2, 29)), {"raw": b"\xff"})
        self.assertEqual(self.codec.loads(self.same(value)), value)

    def test_without_marker(self) -> None:
        """Without a marker the result of the encoder is what consumers get."""
        self.both(Point, None, write_point)
        self.assertEqual(self.same({"at": Point(1, 2)}), '{"at":[1,2]}')

    def test_default_decoder(self) -> None:
        """Without a decoder the encoded value is what consumers get."""
        self.both(Point, "point", write_point)
        self.assertEqual(self.codec.loads(self.same(Point(1, 2))), [1, 2])

    def test_subclass(self) -> None:
        """A subclass is written as its base, until it has its own."""
        self.both(Point, "point", write_point, read_point)
        self.assertIn('"point"', self.same(Pixel(1, 2)))
        register_type(Pixel, "pixel", write_point, lambda pair: Pixel(*pair))
        text = str(self.codec.dumps([Pixel(1, 2), Point(3, 4)]), "utf-8")
        self.assertEqual((text.count('"pixel"'), text.count('"point"')), (1, 1))
        self.assertIs(type(self.codec.loads(text)[0]), Pixel)

    def test_subclass_of_a_built_in_one(self) -> None:
        """A kind of datetime can have its own marker, which it has not in Kombu."""
        register_type(Instant, "instant", str, Instant.fromisoformat)
        for value, marker in (
            (Instant(2024, 2, 29), "instant"),
            (datetime(2024, 2, 29), "datetime"),
        ):
            text = str(self.codec.dumps(value), "utf-8")
            self.assertIn(f'"{marker}"', text)
            self.assertIs(type(self.codec.loads(text)), type(value))

    def test_abstract(self) -> None:
        """A type may be an abstract one, of which others are virtual subclasses."""
        self.both(AbstractSet, "set", sorted, set)
        for value in ({3, 1, 2}, frozenset("ab")):
            self.assertEqual(self.codec.loads(self.same(value)), set(value))

    def test_enumeration(self) -> None:
        """An enumeration can be registered; the fast codec would know it by itself."""
        self.both(Color, "color", lambda color: color.name, Color.__getitem__)
        self.assertIs(self.codec.loads(self.same(Color.RED)), Color.RED)

    def test_replace(self) -> None:
        """Registering again replaces, also what is built in."""
        number = UUID("6f1a4d3e-0000-4000-8000-000000000001")
        self.both(UUID, "uuid", str, UUID)
        self.assertIn(f'"__value__":"{number}"', self.same(number))
        self.assertEqual(self.codec.loads(self.same(number)), number)
        self.both(bytes, "blob", bytes.hex, bytes.fromhex)
        self.assertIn('"ff"', self.same(b"\xff"))

    def test_own_method_wins(self) -> None:
        """The method C{__json__} of a value comes first, as in Kombu."""
        self.both(Money, "money", lambda money: 0)
        self.assertNotIn('"money"', self.same(Money()))

    def test_written_by_json(self) -> None:
        """Types that JSON writes by itself are refused: no encoder would be called."""

        class Level(enum.IntEnum):
            """A number to JSON."""

            LOW = 1

        for kind in (int, bool, str, float, list, dict, tuple, type(None), Level):
            with self.assertRaisesRegex(TypeError, f"JSON writes {kind.__name__} by"):
                register_type(kind, "own", repr)

    def test_wrong_arguments(self) -> None:
        """Arguments of a wrong type are refused, and nothing is registered."""
        wrong: list[tuple[Any, ...]] = [
            ("Point", "point", write_point),
            (Point, 3, write_point),
            (Point, "point", None),
            (Point, "point", lambda: None),
            (Point, "point", write_point, 3),
            (Point, "point", write_point, lambda: None),
        ]
        for arguments in wrong:
            self.assertRaises(TypeError, register_type, *arguments)
        self.assertRaises(ValueError, register_type, Point, "", write_point)
        self.assertRaises(TypeError, self.codec.dumps, Point(1, 2))

    def test_errors(self) -> None:
        """What encoder or decoder raise becomes EncodeError or DecodeError."""
        registry = Registry()
        registry.register_json(self.fast)
        register_type(Point, "point", lambda _: 1 / 0, lambda _: 1 / 0)
        with self.assertRaisesRegex(EncodeError, r"body\['at'\]: ZeroDivisionError"):
            registry.encode({"at": Point(0, 0)})
        text = b'{"__type__":"point","__value__":0}'
        with self.assertRaisesRegex(DecodeError, "ZeroDivisionError"):
            registry.decode(text, "application/json", "utf-8")

    def test_unknown_marker(self) -> None:
        """A marker that nobody registered here cannot be decoded."""
        with self.assertRaisesRegex(ValueError, "no typed value of type 'point'"):
            self.codec.loads('{"__type__":"point","__value__":[1,2]}')


class FastRegisterTypeTests(RegisterTypeTests):
    """The same with orjson and msgspec."""

    codec: ClassVar[Any] = fast_json
    fast: ClassVar[bool] = True
