"""
Methods and properties to bytes and back, by pamqp: as the native transport does.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.base import Frame as Method
from twisted.trial.unittest import SynchronousTestCase

from tests.transport.amqp.wire.test_tables import _keys, _values, nested
from txkombu.exceptions import DecodeError, ProtocolError
from txkombu.transport.amqp.wire import properties as native_properties
from txkombu.transport.amqp.wire.adapter_codec import (
    decode_method,
    decode_properties,
    encode_arguments,
    encode_properties,
)
from txkombu.transport.amqp.wire.adapter_codec import encode_method as encode_model
from txkombu.transport.amqp.wire.frames import OVERHEAD
from txkombu.transport.amqp.wire.methods import encode_method
from txkombu.transport.amqp.wire.tables import Reader, encode_table

KINDS = cast("list[type[Method]]", list(commands.INDEX_MAPPING.values()))
_tables = st.dictionaries(_keys, _values, max_size=5)
_arguments = {
    "bit": st.booleans(),
    "octet": st.integers(0, 255),
    "short": st.integers(0, 2**16 - 1),
    "long": st.integers(0, 2**32 - 1),
    "longlong": st.integers(0, 2**63 - 1),
    "shortstr": st.text(max_size=60),
    "longstr": st.text(max_size=60),
    "table": _tables,
}
UNSENDABLE: tuple[tuple[dict[str, Any], type[Exception], str], ...] = (
    ({"queue": "\u00fc" * 128}, ValueError, "Queue.Declare.queue: 256 bytes"),
    ({"queue": 7}, TypeError, "Queue.Declare.queue: "),
    ({"queue": "\ud800"}, ValueError, "Queue.Declare.queue: "),
    ({"arguments": {"a": object()}}, TypeError, "arguments: 'a': a object"),
    ({"arguments": {"a": 2**63}}, ValueError, "'a': .* 64 bits"),
    ({"arguments": {7: 1}}, TypeError, "a str, not 7"),
    ({"arguments": {"a": Decimal("NaN")}}, ValueError, "NaN"),
    ({"arguments": {"a": float("nan")}}, ValueError, "'a': brokers do not take nan"),
    ({"arguments": {"a": [float("inf")]}}, ValueError, "'a': brokers do not take inf"),
    ({"arguments": {"a": nested(100)}}, ValueError, "'a': more than 100 tables"),
    ({"arguments": {"a": nested(5000)}}, ValueError, "more than 100 tables"),
    ({"arguments": {"a": Decimal(2**31)}}, ValueError, "too many digits"),
    ({"arguments": {"a": Decimal("1e11")}}, ValueError, "cannot be expressed"),
    ({"arguments": 7}, TypeError, "Queue.Declare.arguments: "),
    ({"nonsense": 1}, TypeError, "Queue.Declare has no nonsense"),
)


def _payload(kind: type[Method], arguments: dict[str, Any]) -> bytes:
    """What the native transport writes."""
    return encode_method(1, kind, **arguments)[OVERHEAD - 1 : -1]


class MethodTests(SynchronousTestCase):
    """Methods."""

    @given(st.sampled_from(KINDS), st.data())
    def test_as_the_native_one(self, kind: type[Method], data: st.DataObject) -> None:
        """Whatever its arguments, a method is written alike, and read again."""
        arguments = {
            name: data.draw(_arguments[kind.amqp_type(name)])
            for name in kind.attributes()
        }
        payload = _payload(kind, arguments)
        self.assertEqual(encode_model(kind, arguments), payload)
        self.assertEqual(encode_arguments(kind, arguments), payload[4:])
        decoded: Any = decode_method(payload)
        self.assertIs(type(decoded), kind)
        for name, value in arguments.items():
            if kind.amqp_type(name) == "longstr":
                value = str(value).encode()
            self.assertEqual(getattr(decoded, name), value)

    def test_not_given(self) -> None:
        """Arguments that are not given are zero, empty or false."""
        for kind in KINDS:
            self.assertEqual(encode_arguments(kind, {}), _payload(kind, {})[4:], kind)

    def test_impossible(self) -> None:
        """What cannot be written is an error that names it."""
        for arguments, error, text in UNSENDABLE:
            with self.assertRaisesRegex(error, text):
                encode_arguments(commands.Queue.Declare, arguments)

    def test_cut_short(self) -> None:
        """A method that is cut short anywhere is a protocol error."""
        given = {"consumer_tag": "tag", "delivery_tag": 1, "routing_key": "key"}
        payload = _payload(commands.Basic.Deliver, given)
        for end in range(len(payload)):
            with self.assertRaises(ProtocolError):
                decode_method(payload[:end])

    def test_unknown(self) -> None:
        """A method that nobody knows is an error that names it."""
        with self.assertRaisesRegex(ProtocolError, "unknown method 60.999"):
            decode_method(b"\x00\x3c\x03\xe7")

    @given(st.sampled_from(KINDS), st.binary(max_size=60))
    def test_any_bytes(self, kind: type[Method], tail: bytes) -> None:
        """Any bytes are a method or a protocol error."""
        try:
            decode_method(kind.index.to_bytes(4, "big") + tail)
        except ProtocolError as error:
            self.assertTrue(str(error))


class PropertiesTests(SynchronousTestCase):
    """Properties and tables."""

    @given(_tables)
    def test_as_the_native_one(self, headers: dict[str, object]) -> None:
        """Headers are written alike, and read alike."""
        properties = {"headers": headers, "priority": 3, "type": "kind"}
        listed = encode_properties(properties)
        self.assertEqual(listed, native_properties.encode_properties(properties))
        self.assertEqual(decode_properties(listed), properties)

    def test_none_is_absent(self) -> None:
        """A property that is None is left out; an empty one is not."""
        listed = encode_properties({"type": None, "app_id": ""})
        self.assertEqual(decode_properties(listed), {"app_id": ""})

    def test_key_that_is_no_text(self) -> None:
        """A header key that is no UTF-8 is shown escaped, and hides no other."""
        table = b"\x02a\xe9V\x01kV"
        listed = b"\x20\x00" + len(table).to_bytes(4, "big") + table
        for decode in (decode_properties, native_properties.decode_properties):
            self.assertEqual(decode(listed), {"headers": {"a\\xe9": None, "k": None}})

    def test_numbers_for_times(self) -> None:
        """A timestamp may be a number, but lies after 1969."""
        listed = encode_properties({"timestamp": 1.5})
        self.assertEqual(listed, native_properties.encode_properties({"timestamp": 1}))
        with self.assertRaisesRegex(ValueError, "property timestamp: .* before 1970"):
            encode_properties({"timestamp": -1})

    def test_unknown(self) -> None:
        """A property that no message has is refused."""
        with self.assertRaisesRegex(TypeError, "no property colour"):
            encode_properties({"colour": "red", "type": "kind"})

    def test_unreadable(self) -> None:
        """Properties that cannot be understood are a DecodeError."""
        listed = encode_properties({"headers": {"k": [True, {"l": "s"}]}})
        for end in range(len(listed)):
            with self.assertRaises(DecodeError):
                decode_properties(listed[:end])
        with self.assertRaisesRegex(DecodeError, "does not know"):
            decode_properties(b"\x20\x01" + listed[2:])

    @given(st.integers(0, 2**15 - 1), st.binary(max_size=60))
    def test_any_bytes(self, flags: int, tail: bytes) -> None:
        """Any bytes are properties or a DecodeError."""
        try:
            decode_properties((flags * 2).to_bytes(2, "big") + tail)
        except DecodeError as error:
            self.assertTrue(str(error))

    def test_nested_too_deeply(self) -> None:
        """Arrays in arrays without end cost their message, and nothing else."""
        table = b""
        for _ in range(20_000):
            table = b"A" + len(table).to_bytes(4, "big") + table
            if len(table) > 100_000:
                break
        table = b"\x01k" + table
        with self.assertRaises(DecodeError):
            decode_properties(b"\x20\x00" + len(table).to_bytes(4, "big") + table)

    def test_many_values(self) -> None:
        """Very many small values are read as they are, of each size."""
        values: tuple[object, ...] = (None, True, 2**40, 0.5, "", "text", {})
        for value in values:
            headers = {"k": [value] * 5_000} | {f"{n}": value for n in range(5_000)}
            listed = encode_properties({"headers": headers})
            self.assertEqual(decode_properties(listed), {"headers": headers})

    @given(_tables)
    def test_tables(self, table: dict[str, object]) -> None:
        """Tables are what the native transport makes of them."""
        listed = encode_properties({"headers": table})
        self.assertEqual(listed[2:], encode_table(table))
        self.assertEqual(Reader(listed[2:]).table(), table)
