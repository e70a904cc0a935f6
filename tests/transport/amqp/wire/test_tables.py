"""
Field tables of AMQP 0-9-1.
"""

from __future__ import annotations

import contextlib
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pamqp import decode
from twisted.trial.unittest import SynchronousTestCase

from txkombu.exceptions import ProtocolError
from txkombu.transport.amqp.wire.tables import Reader, encode_table, short_string

_moment = datetime(2024, 2, 29, 1, 2, 3, tzinfo=timezone.utc)

_scalars = st.one_of(
    st.booleans(),
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.decimals(-(10**9), 10**9, places=2, allow_nan=False).filter(
        lambda value: abs(value) < 2 * 10**7
    ),
    st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(timezone.utc)).map(
        lambda moment: moment.replace(microsecond=0)
    ),
)
_keys = st.text(max_size=20)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4)
    ),
)

tables = st.dictionaries(_keys, _values, max_size=5)


def _read(data: bytes) -> dict[str, object]:
    return Reader(data).table()


def nested(depth: int) -> object:
    """Return lists in tables in lists, so many deep."""
    value: object = None
    for number in range(depth):
        value = {"k": value} if number % 2 else [value]
    return value


def _table(entry: bytes) -> bytes:
    """Return a table with one entry of that type and value, named C{k}."""
    body = b"\x01k" + entry
    return len(body).to_bytes(4, "big") + body


class TableTests(SynchronousTestCase):
    """Tables to bytes and back."""

    @given(tables)
    def test_round_trip(self, table: dict[str, object]) -> None:
        """Every value comes back as it was, nested too."""
        found = _read(encode_table(table))
        self.assertEqual(found, table)
        self.assertEqual(list(found), list(table))

    def test_types_written(self) -> None:
        """Values are written by the types that other clients write."""
        for value, entry in (
            ("ü", b"S\x00\x00\x00\x02\xc3\xbc"),
            (b"\xff", b"S\x00\x00\x00\x01\xff"),
            (True, b"t\x01"),
            (1, b"I\x00\x00\x00\x01"),
            (-(2**31), b"I\x80\x00\x00\x00"),
            (2**31, b"l\x00\x00\x00\x00\x80\x00\x00\x00"),
            (0.1, b"d\x3f\xb9\x99\x99\x99\x99\x99\x9a"),
            (None, b"V"),
            (Decimal("-1.10"), b"D\x02\xff\xff\xff\x92"),
            (_moment, b"T\x00\x00\x00\x00\x65\xdf\xd7\x8b"),
            ([True], b"A\x00\x00\x00\x02t\x01"),
            ((), b"A\x00\x00\x00\x00"),
            ({}, b"F\x00\x00\x00\x00"),
        ):
            self.assertEqual(encode_table({"k": value}), _table(entry), value)

    def test_types_read(self) -> None:
        """Every type that RabbitMQ knows is read."""
        values: list[tuple[bytes, Any]] = [
            (b"t\x00", False),
            (b"b\xff", -1),
            (b"B\xff", 255),
            (b"s\xff\xfe", -2),
            (b"u\xff\xfe", 65534),
            (b"I\xff\xff\xff\xff", -1),
            (b"i\xff\xff\xff\xff", 2**32 - 1),
            (b"l" + b"\xff" * 8, -1),
            (b"L" + b"\xff" * 8, -1),
            (b"f\x3f\x80\x00\x00", 1.0),
            (b"d\x3f\xf0" + b"\x00" * 6, 1.0),
            (b"D\x02\xff\xff\xff\x92", Decimal("-1.10")),
            (b"S\x00\x00\x00\x01a", "a"),
            (b"S\x00\x00\x00\x01\xff", b"\xff"),
            (b"A\x00\x00\x00\x04t\x01b\x07", [True, 7]),
            (b"T" + b"\x00" * 7 + b"\x01", datetime.fromtimestamp(1, timezone.utc)),
            (b"T" + b"\xff" * 8, 2**64 - 1),
            (b"F\x00\x00\x00\x03\x01aV", {"a": None}),
            (b"V", None),
            (b"x\x00\x00\x00\x02\x00\xff", b"\x00\xff"),
        ]
        for entry, value in values:
            found = _read(_table(entry))["k"]
            self.assertEqual((found, type(found)), (value, type(value)), entry)

    def test_as_pamqp_reads(self) -> None:
        """pamqp reads what is written here."""
        table = {"a": 1, "b": "ü", "c": [True, {"d": None}], "e": _moment, "f": 2**40}
        _, found = decode.field_table(encode_table(table))
        moment = found["e"]
        assert isinstance(moment, datetime)
        found["e"] = moment.replace(tzinfo=timezone.utc)  # older ones tell no zone
        self.assertEqual(found, table)

    def test_unknown_type(self) -> None:
        """An unknown type is an error that names it."""
        with self.assertRaisesRegex(ProtocolError, r"unknown type b'Z'"):
            _read(_table(b"Z\x00"))

    @given(st.binary(max_size=60))
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever comes is read or is a protocol error."""
        with contextlib.suppress(ProtocolError):
            _read(data)

    @given(st.dictionaries(_keys, _values, min_size=1, max_size=3), st.data())
    def test_cut_short(self, table: dict[str, object], data: st.DataObject) -> None:
        """A table that is cut short is a protocol error."""
        encoded = encode_table(table)
        cut = data.draw(st.integers(0, len(encoded) - 1))
        with self.assertRaises(ProtocolError):
            _read(encoded[:cut])

    def test_longer_than_it_says(self) -> None:
        """A value that reaches beyond its table is a protocol error."""
        with self.assertRaisesRegex(ProtocolError, "longer than it says"):
            _read(b"\x00\x00\x00\x04\x01kt\x01"[:3] + b"\x03\x01kt\x01")

    def test_too_deep(self) -> None:
        """Tables nested without end are a protocol error."""
        data = b""
        for _ in range(3000):
            data = _table(b"F" + (data or b"\x00\x00\x00\x00"))
        with self.assertRaisesRegex(ProtocolError, "nested too deeply"):
            _read(data)

    def test_unsendable(self) -> None:
        """What cannot be sent is an error that says where it is."""
        for table, kind, text in (
            ({"a": {"b": [object()]}}, TypeError, "'a': 'b': a object cannot be sent"),
            ({1: 2}, TypeError, "key of a table must be a str, not 1"),
            ({"a": 2**63}, ValueError, "'a': 9223372036854775808 does not fit"),
            ({"ü" * 128: 1}, ValueError, "256 bytes, at most 255"),
            ({"a": "\ud800"}, ValueError, "'a': .*surrogates"),
            ({"a": datetime(1969, 1, 1)}, ValueError, "lies before 1970"),
            ({"a": float("nan")}, ValueError, "'a': brokers do not take nan"),
            ({"a": [1.0, float("inf")]}, ValueError, "'a': brokers do not take inf"),
            ({"a": {"b": float("-inf")}}, ValueError, "'a': 'b': .* not take -inf"),
            ({"a": nested(100)}, ValueError, "'a': more than 100 tables or arrays"),
            ({"a": nested(5000)}, ValueError, "more than 100 tables or arrays"),
            ({"a": Decimal("NaN")}, ValueError, "cannot be expressed"),
            ({"a": Decimal("2147483648")}, ValueError, "too many digits"),
            ({"a": Decimal(1).scaleb(-256)}, ValueError, "cannot be expressed"),
        ):
            with self.assertRaisesRegex(kind, text):
                encode_table(table)  # type: ignore[arg-type]  # wrong on purpose

    def test_deepest(self) -> None:
        """What is nested as deeply as can be written can be read."""
        table = {"k": nested(99)}
        self.assertEqual(_read(encode_table(table)), table)

    def test_naive_time_is_utc(self) -> None:
        """A time without a zone is taken for UTC."""
        naive = _moment.replace(tzinfo=None)
        self.assertEqual(encode_table({"k": naive}), encode_table({"k": _moment}))

    def test_key_that_is_no_text(self) -> None:
        """A key that is no UTF-8 is shown escaped, and hides no other."""
        inner = b"\x01\xffV"
        data = b"\x02a\xe9V\x01k" + b"F" + len(inner).to_bytes(4, "big") + inner
        table = Reader(len(data).to_bytes(4, "big") + data).table()
        self.assertEqual(table, {"a\\xe9": None, "k": {"\\xff": None}})
        self.assertEqual(Reader(encode_table(table)).table(), table)

    def test_short_string_counts_bytes(self) -> None:
        """The length of a short string is that of its UTF-8."""
        self.assertEqual(short_string("ü"), b"\x02\xc3\xbc")
        self.assertEqual(len(short_string("ü" * 127)), 255)
        with self.assertRaises(ValueError):
            short_string("ü" * 128)
