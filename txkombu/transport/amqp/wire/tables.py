"""
Field tables (AMQP 0-9-1, 4.2.5.5, with RabbitMQ's errata).

They are written as by py-amqp, since a headers exchange compares types too: C{S} for
str and bytes, C{I} or C{l} for int, C{t}, C{d}, C{D}, C{T}, C{A}, C{F}, C{V}.  Every
type that RabbitMQ knows is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from struct import Struct, error
from typing import Any, Final

from ...._util.field_values import (
    DEEPEST,
    NestedTooDeeply,
    check_depth,
    check_finite,
    decimal_parts,
    fits_int32,
    join_decimal,
    read_timestamp,
    timestamp_seconds,
)
from ....exceptions import ProtocolError

_OCTET: Final = Struct(">B")
_LONG: Final = Struct(">I")
_INT32: Final = Struct(">i")
_INT64: Final = Struct(">q")
_UINT64: Final = Struct(">Q")
_DOUBLE: Final = Struct(">d")
_DECIMAL: Final = Struct(">Bi")


# --- writing -----------------------------------------------------------------


def unsendable(what: str, problem: Exception) -> TypeError | ValueError:
    """Return the error that says which value cannot be written, and why."""
    kind = ValueError if isinstance(problem, ValueError | error) else TypeError
    return kind(f"{what}: {problem}")


def short_string(value: str) -> bytes:
    """
    Return text preceded by the octet of its length.

    @raise ValueError: it has more than 255 bytes of UTF-8.
    """
    encoded = value.encode("utf-8")
    if len(encoded) > 255:
        raise ValueError(f"{len(encoded)} bytes, at most 255 are allowed: {value!r}")
    return _OCTET.pack(len(encoded)) + encoded


def long_string(value: str | bytes) -> bytes:
    """Return text or bytes preceded by the four bytes of their length."""
    encoded = value.encode("utf-8") if isinstance(value, str) else value
    return _LONG.pack(len(encoded)) + encoded


def encode_table(table: Mapping[str, object], depth: int = 1) -> bytes:
    """
    Return a table preceded by its length.

    @param depth: how many tables and arrays it is in, itself included.
    @raise TypeError: a value of it cannot be expressed; its key is named.
    @raise ValueError: a value or key is out of range, or it is nested too deeply.
    """
    check_depth(depth)
    parts: list[bytes] = []
    for key, value in table.items():
        if not isinstance(key, str):
            raise TypeError(f"a key of a table must be a str, not {key!r}")
        try:
            parts += (short_string(key), _encode_value(value, depth))
        except (TypeError, ValueError) as problem:
            if depth > 1 and isinstance(problem, NestedTooDeeply):
                raise
            raise unsendable(repr(key), problem) from problem
    return long_string(b"".join(parts))


def _encode_value(value: object, depth: int) -> bytes:
    if isinstance(value, str):
        return b"S" + long_string(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return b"S" + long_string(bytes(value))
    if isinstance(value, bool):
        return b"t\x01" if value else b"t\x00"
    if isinstance(value, int):
        if fits_int32(value):
            return b"I" + _INT32.pack(value)
        return b"l" + _INT64.pack(value)
    if isinstance(value, float):
        return b"d" + _DOUBLE.pack(check_finite(value))
    if value is None:
        return b"V"
    return _encode_compound(value, depth + 1)


def _encode_compound(value: object, depth: int) -> bytes:
    if isinstance(value, Mapping):
        return b"F" + encode_table(value, depth)
    if isinstance(value, list | tuple):
        check_depth(depth)
        values = [_encode_value(each, depth) for each in value]
        return b"A" + long_string(b"".join(values))
    if isinstance(value, datetime):
        return b"T" + encode_timestamp(value)
    if isinstance(value, Decimal):
        return b"D" + _DECIMAL.pack(*decimal_parts(value))
    raise TypeError(f"a {type(value).__name__} cannot be sent in a table: {value!r}")


def encode_timestamp(value: datetime | int | float) -> bytes:
    """Return whole seconds since 1970; a datetime without a zone is taken for UTC."""
    return _UINT64.pack(timestamp_seconds(value))


# --- reading -----------------------------------------------------------------


class Reader:
    """
    Reads values one after the other.  What is cut short, or cannot be understood, is a
    L{ProtocolError}.

    @ivar at: where the next value begins.
    """

    __slots__ = ("_depth", "_end", "at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at
        self._end = len(data)
        self._depth = 0

    def number(self, layout: Struct) -> int:
        """Read an integer."""
        return int(self.unpack(layout))

    def unpack(self, layout: Struct) -> Any:
        """Read the one value that a layout describes."""
        at = self.at
        try:
            (value,) = layout.unpack_from(self.data, at)
        except error:
            raise ProtocolError("a value is cut short") from None
        self.at = at + layout.size
        return value

    def read_bytes(self, size: int) -> bytes:
        """Read so many bytes."""
        at = self.at
        if size > self._end - at:
            raise ProtocolError("a value is cut short")
        self.at = at + size
        return self.data[at : at + size]

    def short_string(self) -> str:
        """Read up to 255 bytes of UTF-8."""
        raw = self.read_bytes(self.number(_OCTET))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise ProtocolError(f"{raw[:40]!r} is not UTF-8") from None

    def words(self) -> str:
        """Read a short string for people, whatever its bytes are."""
        return self.read_bytes(self.number(_OCTET)).decode("utf-8", "replace")

    def long_string(self) -> bytes:
        """Read any number of bytes."""
        return self.read_bytes(self.number(_LONG))

    def text(self) -> str | bytes:
        """Read the C{S} of a table: str where it is UTF-8, else bytes."""
        raw = self.long_string()
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw

    def timestamp(self) -> datetime | int:
        """Read a time in UTC; the bare seconds where no datetime can be so late."""
        return read_timestamp(self.number(_UINT64))

    def table(self) -> dict[str, object]:
        """Read a table."""
        end = self._enter()
        found: dict[str, object] = {}
        while self.at < end:
            raw = self.read_bytes(self.number(_OCTET))
            # One odd key must not hide all the others.
            key = raw.decode("utf-8", "backslashreplace")
            found[key] = self._value()
        self._leave(end)
        return found

    def array(self) -> list[object]:
        """Read an array."""
        end = self._enter()
        found = []
        while self.at < end:
            found.append(self._value())
        self._leave(end)
        return found

    def _enter(self) -> int:
        size = self.number(_LONG)
        self._depth += 1
        if size > self._end - self.at or self._depth > DEEPEST:
            raise ProtocolError("a table is cut short, or nested too deeply")
        return self.at + size

    def _leave(self, end: int) -> None:
        if self.at != end:
            raise ProtocolError("a table is longer than it says")
        self._depth -= 1

    def _value(self) -> object:
        tag = self.read_bytes(1)
        read = _READERS.get(tag)
        if read is None:
            raise ProtocolError(f"a table has a value of the unknown type {tag!r}")
        return read(self)

    def decimal(self) -> Decimal:
        """Read a decimal number."""
        places = self.number(_OCTET)
        return join_decimal(places, self.number(_INT32))


def _plain(layout: str) -> Callable[[Reader], object]:
    struct = Struct(layout)
    return lambda reader: reader.unpack(struct)


_READERS: Final[dict[bytes, Callable[[Reader], object]]] = {
    b"t": _plain(">?"),
    b"b": _plain(">b"),
    b"B": _plain(">B"),
    b"s": _plain(">h"),
    b"u": _plain(">H"),
    b"I": _plain(">i"),
    b"i": _plain(">I"),
    b"l": _plain(">q"),
    b"L": _plain(">q"),
    b"f": _plain(">f"),
    b"d": _plain(">d"),
    b"D": Reader.decimal,
    b"S": Reader.text,
    b"A": Reader.array,
    b"T": Reader.timestamp,
    b"F": Reader.table,
    b"V": lambda reader: None,
    b"x": Reader.long_string,
}
