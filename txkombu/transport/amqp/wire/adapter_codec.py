"""
Methods and properties as bytes, by pamqp.

pamqp says which there are, of what they are made, and how each kind of value is
written and read.  Ours is what it does not do so that RabbitMQ's peers get what
was meant: names may be any UTF-8, doubles and integers keep their types, which
a headers exchange compares, bytes are sent as they are, decimals may be negative,
and what is cut short is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from struct import Struct, error
from sys import maxsize
from typing import Any, Final, cast

from pamqp import commands, decode, encode
from pamqp.base import Frame as Method

from ...._util.field_values import (
    NestedTooDeeply,
    check_depth,
    check_finite,
    decimal_parts,
    fits_int32,
    join_decimal,
    read_timestamp,
    timestamp_seconds,
)
from ....exceptions import DecodeError, ProtocolError
from ....interfaces import Properties

_INDEX: Final = Struct(">I")
_FLAGS: Final = Struct(">H")
_LONG: Final = Struct(">I")
_UINT64: Final = Struct(">Q")
_DECIMAL: Final = Struct(">Bi")
_CONTINUED: Final = 1
_NUMBER_MOST: Final = 8
"""The most bytes of any value that is neither string, array nor table."""
_KEY_MOST: Final = 256
"""Those of a short string, with its length."""

_BY_INDEX: Final = cast("Mapping[int, type[Method]]", commands.INDEX_MAPPING)
_PROPERTIES: Final = commands.Basic.Properties
_PLAN: Final = [
    (
        "type" if name == "message_type" else name,
        _PROPERTIES.amqp_type(name),
        _PROPERTIES.flags[name],
    )
    for name in _PROPERTIES.attributes()
]
"""Each property's name, type and flag, in the order of the wire."""

_EMPTY: Final[dict[str, object]] = {"shortstr": "", "longstr": "", "table": {}}
"""What an argument is that was not given; numbers and bits are zero."""


# --- writing -----------------------------------------------------------------


def encode_method(kind: type[Method], arguments: dict[str, Any]) -> bytes:
    """The payload of a method's frame: its number, and L{encode_arguments}."""
    return _INDEX.pack(kind.index) + encode_arguments(kind, arguments)


def encode_arguments(kind: type[Method], arguments: dict[str, Any]) -> bytes:
    """
    A method's arguments; those not given are zero, empty or false.

    @raise TypeError: one is not known, or cannot be expressed.
    @raise ValueError: one is too long or out of range.
    """
    arguments = dict(arguments)
    parts: list[bytes] = []
    bits: list[bool] = []
    for name in kind.attributes():
        type_name = kind.amqp_type(name)
        value = arguments.pop(name, _EMPTY.get(type_name, 0))
        if type_name == "bit":
            bits.append(bool(value))
        else:
            parts += (_flags(bits), _encode(f"{kind.name}.{name}", type_name, value))
    parts.append(_flags(bits))
    if arguments:
        raise TypeError(f"{kind.name} has no {', '.join(arguments)}")
    return b"".join(parts)


def encode_properties(properties: Properties) -> bytes:
    """
    The flags and properties of a header; those that are C{None} are left out.

    @raise TypeError: a property is not known, or cannot be expressed.
    @raise ValueError: a property is too long or out of range.
    """
    flags = known = 0
    parts = [b""]
    for name, type_name, flag in _PLAN:
        known += name in properties
        value = properties.get(name)
        if value is not None:
            flags |= flag
            parts.append(_encode(f"property {name}", type_name, value))
    if known < len(properties):
        unknown = ", ".join(properties.keys() - {name for name, _, _ in _PLAN})
        raise TypeError(f"messages have no property {unknown}")
    parts[0] = _FLAGS.pack(flags)
    return b"".join(parts)


def _flags(bits: list[bool]) -> bytes:
    """The octet of the bits gathered so far, if any; none has more than eight."""
    if not bits:
        return b""
    octet = 0
    for place, bit in enumerate(bits):
        octet = encode.bit(bit, octet, place)
    bits.clear()
    return encode.octet(octet)


def _encode(what: str, type_name: str, value: Any) -> bytes:
    try:
        writer = _WRITERS.get(type_name)
        return writer(value) if writer else encode.by_type(value, type_name)
    except (TypeError, ValueError, AttributeError, error) as problem:
        raise _unsendable(what, problem) from problem


def _unsendable(what: str, problem: Exception) -> Exception:
    kind = ValueError if isinstance(problem, ValueError | error) else TypeError
    return kind(f"{what}: {problem}")


def _short_string(value: str) -> bytes:
    size = len(value.encode("utf-8"))
    if size > 255:
        raise ValueError(f"{size} bytes, at most 255 are allowed: {value!r}")
    return encode.short_string(value)


def _long_string(value: str | bytes | bytearray | memoryview) -> bytes:
    raw = value.encode("utf-8") if isinstance(value, str) else bytes(value)
    return encode.byte_array(bytearray(raw))


def _timestamp(value: datetime | float) -> bytes:
    """Whole seconds since 1970; a datetime without a zone is taken for UTC."""
    return _UINT64.pack(timestamp_seconds(value))


def _table(value: Mapping[str, object], depth: int = 1) -> bytes:
    check_depth(depth)
    parts: list[bytes] = []
    for key, each in value.items():
        if not isinstance(key, str):
            raise TypeError(f"a key of a table must be a str, not {key!r}")
        try:
            parts += (_short_string(key), _field(each, depth))
        except (TypeError, ValueError) as problem:
            if depth > 1 and isinstance(problem, NestedTooDeeply):
                raise
            raise _unsendable(repr(key), problem) from problem
    return _long_string(b"".join(parts))


def _field(value: Any, depth: int) -> bytes:
    """A value of a table, as py-amqp writes it."""
    if isinstance(value, str | bytes | bytearray | memoryview):
        return b"S" + _long_string(value)
    if isinstance(value, bool) or value is None:
        return encode.encode_table_value(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return b"d" + encode.double(check_finite(value))
    return _compound(value, depth + 1)


def _compound(value: Any, depth: int) -> bytes:
    if isinstance(value, Mapping):
        return b"F" + _table(value, depth)
    if isinstance(value, list | tuple):
        check_depth(depth)
        return b"A" + _long_string(b"".join(_field(each, depth) for each in value))
    if isinstance(value, datetime):
        return b"T" + _timestamp(value)
    if isinstance(value, Decimal):
        return b"D" + _DECIMAL.pack(*decimal_parts(value))
    raise TypeError(f"a {type(value).__name__} cannot be sent in a table: {value!r}")


def _integer(value: int) -> bytes:
    if fits_int32(value):
        return b"I" + encode.long_int(value)
    return b"l" + encode.long_long_int(value)


_WRITERS: Final[dict[str, Callable[[Any], bytes]]] = {
    "shortstr": _short_string,
    "longstr": _long_string,
    "table": _table,
    "timestamp": _timestamp,
}


# --- reading -----------------------------------------------------------------


def decode_method(payload: bytes) -> Method:
    """
    The method of a frame's payload, with its arguments as attributes.

    @raise ProtocolError: it is not known, or cut short.
    """
    index = _INDEX.unpack(payload[:4])[0] if len(payload) >= 4 else 0
    kind = _BY_INDEX.get(index)
    if kind is None:
        raise ProtocolError(f"unknown method {index >> 16}.{index & 0xFFFF}")
    method = kind.__new__(kind)
    at, place = _INDEX.size, 0
    for name in kind.attributes():
        type_name = kind.amqp_type(name)
        if type_name == "bit":
            octet = _decode(payload, at, "octet")[1]
            setattr(method, name, bool(octet >> place & 1))
            place += 1
            continue
        at, place = at + bool(place), 0
        at, value = _decode(payload, at, type_name)
        setattr(method, name, value)
    return method


def decode_properties(listed: bytes) -> Properties:
    """
    The properties, from their flags on.

    @raise DecodeError: they cannot be understood.
    """
    found: dict[str, object] = {}
    try:
        at, flags = _decode(listed, 0, "short")
        if flags & _CONTINUED:
            raise ProtocolError("there are some that AMQP 0-9-1 does not know")
        for name, type_name, flag in _PLAN:
            if flags & flag:
                at, found[name] = _decode(listed, at, type_name)
    except ProtocolError as problem:
        raise DecodeError(f"a message's properties: {problem}") from problem
    return found


def _decode(data: bytes, at: int, type_name: str) -> tuple[int, Any]:
    """
    @return: where the next value begins, and this one.
    @raise ProtocolError: it is cut short, or cannot be understood.
    """
    reader = _READERS.get(type_name, decode.METHODS.get(type_name))
    assert reader is not None
    try:
        return _read(reader, data, at)
    except UnicodeDecodeError as problem:
        raise ProtocolError(f"{problem.object[:40]!r} is not UTF-8") from problem
    except (ValueError, OverflowError, RecursionError, error) as problem:
        raise ProtocolError(str(problem)) from problem


def _read(
    reader: Callable[[bytes], tuple[int, Any]],
    data: bytes,
    at: int,
    maximum: int = maxsize,
) -> tuple[int, Any]:
    """
    @param maximum: how many bytes it has at most; a copy of all that follows, for each
        of thousands of values, would take seconds.
    """
    rest = data[at : at + maximum]
    size, value = reader(rest)
    if size > len(rest):
        raise ValueError("a value is cut short")
    return at + size, value


def _read_octets(data: bytes) -> tuple[int, bytes]:
    size, value = decode.byte_array(data)
    return size, bytes(value)


def _read_timestamp(data: bytes) -> tuple[int, datetime | int]:
    """UTC; the bare seconds where no datetime can be so late."""
    return _UINT64.size, read_timestamp(*_UINT64.unpack_from(data))


def _read_decimal(data: bytes) -> tuple[int, Decimal]:
    places, digits = _DECIMAL.unpack_from(data)
    return _DECIMAL.size, join_decimal(places, digits)


def _read_array(data: bytes) -> tuple[int, list[object]]:
    data, found = _whole(data), []
    at = _LONG.size
    while at < len(data):
        at, value = _read_field(data, at)
        found.append(value)
    return at, found


def _read_table(data: bytes) -> tuple[int, dict[str, object]]:
    data, found = _whole(data), {}
    at = _LONG.size
    while at < len(data):
        at, key = _read(_read_key, data, at, _KEY_MOST)
        at, found[key] = _read_field(data, at)
    return at, found


def _read_key(data: bytes) -> tuple[int, str]:
    """One odd key must not hide all the others."""
    size = 1 + data[0]
    return size, data[1:size].decode("utf-8", "backslashreplace")


def _whole(data: bytes) -> bytes:
    """A table or array, which begins with its size, without what follows it."""
    end = _LONG.size + int(_LONG.unpack_from(data)[0])
    if end > len(data):
        raise ValueError("a table is cut short")
    return data[:end]


def _read_field(data: bytes, at: int) -> tuple[int, object]:
    tag = data[at : at + 1]
    reader = _FIELDS.get(tag)
    if reader is None:
        raise ValueError(f"a table has a value of the unknown type {tag!r}")
    return _read(reader, data, at + 1, maxsize if tag in _LONG_FIELDS else _NUMBER_MOST)


_READERS: Final[dict[str, Callable[[bytes], tuple[int, Any]]]] = {
    "longstr": _read_octets,
    "table": _read_table,
    "timestamp": _read_timestamp,
}
_LONG_FIELDS: Final = frozenset((b"A", b"F", b"S", b"x"))
_FIELDS: Final[dict[bytes, Callable[[bytes], tuple[int, object]]]] = {
    **decode.TABLE_MAPPING,
    b"A": _read_array,
    b"D": _read_decimal,
    b"F": _read_table,
    b"T": _read_timestamp,
    b"x": _read_octets,
}
