"""
Properties and arguments as a wire would carry them.

What the native AMQP transport cannot send is refused here in the same way, and what it
would read at the other end is delivered: text for bytes that are UTF-8, whole seconds
in UTC, lists for tuples.  Copies share nothing with the original.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from ..._util.field_values import (
    NestedTooDeeply,
    check_depth,
    check_finite,
    decimal_parts,
    fits_int32,
    join_decimal,
    read_timestamp,
    timestamp_seconds,
)
from ..._util.validation import SHORT_STRING_BYTES, check_short_string
from ...interfaces import Properties

Table = dict[str, object]

FRAME_MAX: Final = 131_072
"""The bytes of the largest frame that RabbitMQ agrees to, by default."""
_FRAME_OVERHEAD: Final = 8
_METHOD_FIXED: Final = 7
"""Bytes of a method with a table besides names: number, ticket, flags."""
_HEADER_FIXED: Final = 14
"""Bytes of a content's header besides properties: class, weight, size, flags."""


# --- values of tables --------------------------------------------------------


def carry_table(table: Mapping[str, object], depth: int = 1) -> Table:
    """
    Copy a table as a wire would carry it.

    @param depth: how many tables and arrays it is in, itself included.
    @raise TypeError: a table cannot hold one of its values; the key is named.
    @raise ValueError: a value or key is out of range, or nested too deeply.
    """
    check_depth(depth)
    carried: Table = {}
    for key, value in table.items():
        check_short_string("key of a table", key)
        try:
            carried[_text(key)] = _carry(value, depth)
        except (TypeError, ValueError) as problem:
            if depth > 1 and isinstance(problem, NestedTooDeeply):
                raise
            raise _naming(repr(key), problem) from problem
    return carried


def _naming(what: str, problem: Exception) -> TypeError | ValueError:
    """Return an error that says which value cannot be carried, and why."""
    kind = ValueError if isinstance(problem, ValueError) else TypeError
    return kind(f"{what}: {problem}")


def _text(value: str) -> str:
    if type(value) is str and value.isascii():
        return value
    return value.encode("utf-8").decode("utf-8")


def _carry(value: object, depth: int) -> object:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        fits_int32(value)
        return int(value)
    if isinstance(value, float):
        return float(check_finite(value))
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            return bytes(value)
    if isinstance(value, Mapping):
        return carry_table(value, depth + 1)
    if isinstance(value, list | tuple):
        check_depth(depth + 1)
        return [_carry(each, depth + 1) for each in value]
    if isinstance(value, datetime):
        return read_timestamp(timestamp_seconds(value))
    if isinstance(value, Decimal):
        return join_decimal(*decimal_parts(value))
    raise TypeError(f"a {type(value).__name__} cannot be sent in a table: {value!r}")


def copy_table(table: Mapping[str, object]) -> Table:
    """Copy a carried table and all tables and lists in it."""
    return {key: _copy(value) for key, value in table.items()}


def _copy(value: object) -> object:
    if isinstance(value, dict):
        return copy_table(value)
    if isinstance(value, list):
        return [_copy(each) for each in value]
    return value


# --- properties --------------------------------------------------------------


def _carry_octet(name: str, value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= 255:
        raise ValueError(f"property {name} must be an int from 0 to 255, not {value!r}")
    return int(value)


def _carry_text(name: str, value: object) -> str:
    if type(value) is str and value.isascii() and len(value) <= SHORT_STRING_BYTES:
        return value  # most are
    return _text(check_short_string(f"property {name}", value))


def _carry_other(name: str, value: Any) -> object:
    """Carry the headers or the timestamp."""
    if name == "headers" and not isinstance(value, Mapping):
        raise TypeError(f"property {name} must be a mapping, not {value!r}")
    try:
        if name == "headers":
            return carry_table(value)
        return read_timestamp(timestamp_seconds(value))
    except (TypeError, ValueError) as problem:
        raise _naming(f"property {name}", problem) from problem


_TEXTS: Final = (
    "content_type content_encoding correlation_id reply_to expiration message_id type "
    "user_id app_id cluster_id"
)
_CARRY: Final[Mapping[str, Callable[[str, Any], object]]] = {
    **dict.fromkeys(_TEXTS.split(), _carry_text),
    **dict.fromkeys(("delivery_mode", "priority"), _carry_octet),
    **dict.fromkeys(("headers", "timestamp"), _carry_other),
}


def carry_properties(properties: Properties) -> Table:
    """
    Copy properties as a wire would carry them; leave out those that are C{None}.

    @raise TypeError: a property is unknown, or of the wrong type.
    @raise ValueError: a property is out of range, or all are too large for a frame.
    """
    if not _CARRY.keys() >= properties.keys():
        unknown = ", ".join(sorted(properties.keys() - _CARRY.keys()))
        raise TypeError(f"messages have no property {unknown}")
    carried = {
        name: _CARRY[name](name, value)
        for name, value in properties.items()
        if value is not None
    }
    if carried.get("headers"):
        size = sum(map(_property_size, carried.values()))
        _check_frame("properties", _HEADER_FIXED + size)
    return carried


def copy_properties(properties: Mapping[str, object]) -> Table:
    """Copy carried properties and all tables and lists in them."""
    copy = dict(properties)
    headers = copy.get("headers")
    if isinstance(headers, dict):
        copy["headers"] = copy_table(headers) if headers else {}
    return copy


def carry_arguments(arguments: Mapping[str, object], *names: str) -> Table:
    """
    Copy the arguments of a method as a wire would carry them.

    @param names: the method's other arguments that are text.
    @raise TypeError: a table cannot hold one of the arguments, which is named.
    @raise ValueError: an argument is out of range, or all are too large for a frame.
    """
    carried = carry_table(arguments)
    texts = sum(
        1 + _bytes_in(check_short_string("a name or key", name)) for name in names
    )
    _check_frame("arguments", _METHOD_FIXED + texts + _table_size(carried))
    return carried


# --- sizes -------------------------------------------------------------------


def _check_frame(what: str, payload: int) -> None:
    size = payload + _FRAME_OVERHEAD
    if size > FRAME_MAX:
        raise ValueError(
            f"the {what} take a frame of {size} bytes, at most {FRAME_MAX} are taken"
        )


def _bytes_in(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))


def _property_size(value: object) -> int:
    """Return a property's bytes; an int beyond an octet is a late timestamp."""
    if isinstance(value, str):
        return 1 + _bytes_in(value)
    if isinstance(value, dict):
        return _table_size(value)
    return 1 if isinstance(value, int) and value <= 255 else 8


def _table_size(table: Mapping[str, object]) -> int:
    return 4 + sum(
        1 + _bytes_in(key) + _value_size(value) for key, value in table.items()
    )


def _value_size(value: object) -> int:
    """Return a value's bytes, that of its type included."""
    if isinstance(value, str):
        return 5 + _bytes_in(value)
    if isinstance(value, bytes):
        return 5 + len(value)
    if isinstance(value, dict):
        return 1 + _table_size(value)
    if isinstance(value, list):
        return 5 + sum(map(_value_size, value))
    if isinstance(value, bool) or value is None:
        return 1 if value is None else 2
    if isinstance(value, Decimal):
        return 6
    return 5 if isinstance(value, int) and -(2**31) <= value < 2**31 else 9


# --- as the broker compares them ---------------------------------------------


def type_name(value: object) -> str:
    """Return the broker's name of a table value's type."""
    if type(value) is int:
        return "signedint" if -(2**31) <= value < 2**31 else "long"
    return _TYPES.get(type(value), type(value).__name__)


_TYPES: Final[Mapping[type, str]] = {
    bool: "bool",
    str: "longstr",
    bytes: "longstr",
    float: "double",
    dict: "table",
    list: "array",
    tuple: "array",
    datetime: "timestamp",
    Decimal: "decimal",
    type(None): "void",
}


def term(value: object) -> object:
    """
    Return what the broker compares: the Erlang term of a carried value.  So numbers are
    equal whatever their type, but not within tables and arrays.
    """
    if isinstance(value, bool) or value is None:
        return type_name(value), value
    if isinstance(value, Decimal):
        return "decimal", decimal_parts(value)
    if isinstance(value, datetime):
        return timestamp_seconds(value)
    if isinstance(value, dict):
        return tuple((key, *typed(each)) for key, each in value.items())
    if isinstance(value, list):
        return tuple(map(typed, value))
    return value


def typed(value: object) -> tuple[str, object]:
    """Return a carried value's type and term, which are compared together."""
    return type_name(value), term(value)


def typed_arguments(arguments: Mapping[str, object]) -> tuple[object, ...]:
    """Return what tells the arguments of bindings apart, whatever their order."""
    return tuple((key, *typed(arguments[key])) for key in sorted(arguments))
