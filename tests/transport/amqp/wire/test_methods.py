"""
Methods and properties of AMQP 0-9-1, compared with pamqp's own codec.
"""

from __future__ import annotations

import contextlib
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, ClassVar, cast

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.frame import marshal, unmarshal
from pamqp.header import ContentHeader
from twisted.trial.unittest import SynchronousTestCase

from tests.transport.amqp.wire.test_tables import nested, tables
from txkombu.exceptions import DecodeError, ProtocolError
from txkombu.transport.amqp.wire.methods import Method, decode_method, encode_method
from txkombu.transport.amqp.wire.parser import AmqpFrameParser
from txkombu.transport.amqp.wire.properties import (
    _common,
    decode_properties,
    encode_properties,
)

_SAMPLES: dict[str, tuple[Any, ...]] = {
    "bit": (True, False),
    "octet": (0, 255),
    "short": (0, 65535),
    "long": (0, 2**32 - 1),
    "longlong": (0, 2**63 - 1),
    "shortstr": ("", "name"),
    "longstr": ("", "text"),
    "table": ({}, {"a": 1}),
}
_ARGUMENTS = {
    "bit": st.booleans(),
    "octet": st.integers(0, 255),
    "short": st.integers(0, 2**16 - 1),
    "long": st.integers(0, 2**32 - 1),
    "longlong": st.integers(0, 2**63 - 1),
    "shortstr": st.text(max_size=60),
    "longstr": st.text(max_size=60),
    "table": tables,
}
KINDS = cast("list[type[Method]]", list(commands.INDEX_MAPPING.values()))
_FIXED = {"ticket", "out_of_band", "cluster_id", "insist", "capabilities", "immediate"}
"""Arguments that pamqp wants at their defaults."""


def _payload(frame: bytes) -> bytes:
    ((_, _, payload),) = AmqpFrameParser().feed(frame)
    assert isinstance(payload, bytes)
    return payload


class MethodTests(SynchronousTestCase):
    """Methods to bytes and back."""

    def test_every_method(self) -> None:
        """Every method is written so that pamqp reads it, and is read again."""
        for kind in KINDS:
            for choice in (0, 1):
                given = {
                    name: _SAMPLES[kind.amqp_type(name)][choice]
                    for name in kind.attributes()
                    if name not in _FIXED
                }
                encoded = encode_method(3, kind, **given)
                _, channel, method = unmarshal(encoded)
                found = {name: getattr(method, name) for name in given}
                self.assertEqual((channel, found), (3, given), kind.name)
                decoded = decode_method(_payload(encoded))
                self.assertIsInstance(decoded, kind)
                for name, value in given.items():
                    read = getattr(decoded, name)
                    if kind.amqp_type(name) == "longstr":
                        read = read.decode()
                    self.assertEqual(read, value, f"{kind.name}.{name}")

    @given(st.sampled_from(KINDS), st.data())
    def test_any_arguments(self, kind: type[Method], data: st.DataObject) -> None:
        """Whatever its arguments, a method comes back as it was."""
        arguments = {
            name: data.draw(_ARGUMENTS[kind.amqp_type(name)])
            for name in kind.attributes()
        }
        decoded: Any = decode_method(_payload(encode_method(1, kind, **arguments)))
        self.assertIs(type(decoded), kind)
        for name, value in arguments.items():
            if kind.amqp_type(name) == "longstr":
                value = str(value).encode()
            self.assertEqual(getattr(decoded, name), value)

    def test_not_given(self) -> None:
        """Arguments that are not given are zero, empty or false."""
        for kind in KINDS:
            given = {
                name: _SAMPLES[kind.amqp_type(name)][0] for name in kind.attributes()
            }
            for name in given:
                if kind.amqp_type(name) == "bit":
                    given[name] = False
            self.assertEqual(
                encode_method(1, kind), encode_method(1, kind, **given), kind
            )

    def test_as_pamqp(self) -> None:
        """Bits are packed as pamqp packs them."""
        method = commands.Queue.Declare(
            queue="q", passive=True, exclusive=True, nowait=True
        )
        ours = encode_method(
            1,
            commands.Queue.Declare,
            queue="q",
            passive=True,
            exclusive=True,
            nowait=True,
        )
        self.assertEqual(ours, marshal(method, 1))

    def test_any_name(self) -> None:
        """Names are any UTF-8, which pamqp would refuse."""
        name = "ärger 'ß' \x01 日本"
        encoded = encode_method(1, commands.Queue.Delete, queue=name)
        decoded: Any = decode_method(_payload(encoded))
        self.assertEqual(decoded.queue, name)

    def test_impossible(self) -> None:
        """What cannot be written is an error that names the argument."""
        for arguments, kind, text in (
            ({"queue": "ü" * 128}, ValueError, "Queue.Declare.queue: 256 bytes"),
            ({"queue": 7}, TypeError, "Queue.Declare.queue: "),
            ({"queue": "\ud800"}, ValueError, "Queue.Declare.queue: "),
            ({"ticket": 70000}, ValueError, "Queue.Declare.ticket: "),
            ({"ticket": "1"}, ValueError, "Queue.Declare.ticket: "),
            ({"arguments": {"a": object()}}, TypeError, "arguments: 'a': a object"),
            ({"arguments": {"a": 2**63}}, ValueError, "'a': .* 64 bits"),
            ({"arguments": {7: 1}}, TypeError, "a str, not 7"),
            ({"arguments": {"a": [float("inf")]}}, ValueError, "'a': .*not take inf"),
            ({"arguments": {"a": nested(100)}}, ValueError, "'a': more than 100 table"),
            ({"arguments": {"a": Decimal("1e11")}}, ValueError, "cannot be expressed"),
            ({"arguments": 7}, TypeError, "Queue.Declare.arguments: "),
            ({"nonsense": 1}, TypeError, "Queue.Declare has no nonsense"),
        ):
            with self.assertRaisesRegex(kind, text):
                encode_method(1, commands.Queue.Declare, **arguments)

    def test_unknown(self) -> None:
        """An unknown method is an error that names it."""
        with self.assertRaisesRegex(ProtocolError, "unknown method 60.999"):
            decode_method(b"\x00\x3c\x03\xe7")

    def test_cut_short(self) -> None:
        """A method that is cut short anywhere is a protocol error."""
        payload = _payload(
            encode_method(
                1,
                commands.Basic.Deliver,
                consumer_tag="tag",
                delivery_tag=1,
                exchange="e",
                routing_key="key",
            )
        )
        for cut in range(len(payload)):
            with self.assertRaises(ProtocolError):
                decode_method(payload[:cut])

    @given(st.binary(max_size=30))
    def test_any_bytes(self, tail: bytes) -> None:
        """Whatever comes is a method or a protocol error."""
        for index in commands.INDEX_MAPPING:
            with contextlib.suppress(ProtocolError):
                decode_method(index.to_bytes(4, "big") + tail)


class PropertiesTests(SynchronousTestCase):
    """Headers of contents."""

    _properties: ClassVar[dict[str, object]] = {
        "content_type": "text/plain",
        "content_encoding": "utf-8",
        "headers": {"a": [1, {"b": None}]},
        "delivery_mode": 2,
        "priority": 9,
        "correlation_id": "ü",
        "reply_to": "there",
        "expiration": "1500",
        "message_id": "m",
        "timestamp": datetime(2024, 1, 1, tzinfo=timezone.utc),
        "type": "kind",
        "user_id": "guest",
        "app_id": "app",
        "cluster_id": "c",
    }

    def test_round_trip(self) -> None:
        """All properties come back, alone and together."""
        alone = [{name: value} for name, value in self._properties.items()]
        for properties in ({}, self._properties, *alone):
            for _ in range(2):
                listed = encode_properties(properties)
                self.assertEqual(decode_properties(listed), properties)

    def test_as_pamqp(self) -> None:
        """Headers are written as pamqp writes them."""
        names = ("content_type", "delivery_mode", "message_id", "type")
        properties = {name: self._properties[name] for name in names}
        theirs = commands.Basic.Properties(
            content_type="text/plain",
            delivery_mode=2,
            message_id="m",
            message_type="kind",
        )
        payload = _payload(marshal(ContentHeader(0, 2**40, theirs), 5))
        self.assertEqual(payload[12:], encode_properties(properties))

    def test_none_is_absent(self) -> None:
        """A property that is None is left out; an empty one is not."""
        listed = encode_properties({"type": None, "app_id": ""})
        self.assertEqual(decode_properties(listed), {"app_id": ""})

    def test_impossible(self) -> None:
        """What cannot be written is an error that names the property."""
        given: list[tuple[dict[str, object], type[Exception], str]] = [
            ({"message_type": "x"}, TypeError, "messages have no property message_ty"),
            ({"priority": 300}, ValueError, "property priority: "),
            ({"priority": "1"}, ValueError, "property priority: "),
            ({"reply_to": "x" * 256}, ValueError, "property reply_to: 256 bytes"),
            ({"message_id": 7}, TypeError, "property message_id: "),
            ({"headers": [1]}, TypeError, "property headers: "),
            ({"headers": {"a": {1}}}, TypeError, "property headers: 'a': a set"),
            ({"timestamp": "now"}, TypeError, "property timestamp: "),
        ]
        for properties, kind, text in given:
            with self.assertRaisesRegex(kind, text):
                encode_properties(properties)

    def test_common_not_shared(self) -> None:
        """Messages with the same properties do not share their headers."""
        listed = encode_properties(
            {
                "content_type": "a/b",
                "content_encoding": "utf-8",
                "headers": {},
                "delivery_mode": 2,
                "priority": 0,
            }
        )
        for _ in range(3):
            headers = decode_properties(listed)["headers"]
            assert isinstance(headers, dict)
            self.assertEqual(headers, {})
            headers["mine"] = 1

    def test_many_kinds(self) -> None:
        """However many kinds of messages there are, few are remembered."""
        for number in range(2000):
            properties = {
                "content_type": f"a/{number}",
                "content_encoding": "utf-8",
                "headers": {},
                "delivery_mode": 2,
                "priority": 0,
            }
            listed = encode_properties(properties)
            self.assertEqual(decode_properties(listed), properties)
        self.assertLessEqual(len(_common), 500)

    @given(tables)
    def test_headers(self, headers: dict[str, object]) -> None:
        """Whatever the headers are, they come back."""
        properties = {"headers": headers, "priority": 3, "type": "kind"}
        self.assertEqual(decode_properties(encode_properties(properties)), properties)

    def test_numbers_for_times(self) -> None:
        """A timestamp may be a number, but lies after 1969."""
        listed = encode_properties({"timestamp": 1.5})
        self.assertEqual(listed, encode_properties({"timestamp": 1}))
        with self.assertRaisesRegex(ValueError, "property timestamp: .* before 1970"):
            encode_properties({"timestamp": -1})

    def test_unreadable(self) -> None:
        """Properties that cannot be understood are a DecodeError."""
        listed = encode_properties({"headers": {"k": [True, {"l": "s"}]}})
        for end in range(2, len(listed)):
            with self.assertRaises(DecodeError):
                decode_properties(listed[:end])
        with self.assertRaisesRegex(DecodeError, "unknown type b'Z'"):
            decode_properties(listed.replace(b"t\x01", b"Z\x01"))
        with self.assertRaisesRegex(DecodeError, "does not know"):
            decode_properties(b"\x20\x01" + listed[2:])

    @given(st.integers(0, 2**15 - 1), st.binary(max_size=60))
    def test_any_bytes(self, flags: int, tail: bytes) -> None:
        """Any bytes are properties or a DecodeError."""
        with contextlib.suppress(DecodeError):
            decode_properties((flags * 2).to_bytes(2, "big") + tail)

    def test_nested_too_deeply(self) -> None:
        """Arrays in arrays without end cost their message, and nothing else."""
        table = b""
        for _ in range(20_000):
            table = b"A" + len(table).to_bytes(4, "big") + table
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
