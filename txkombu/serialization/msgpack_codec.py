"""
Msgpack, with a limit on the size of decoded values.

A list begins with its length, and msgpack's reader allocates all of it at once: a few
bytes of lists in lists ask for gigabytes.  So the lengths in a body are added up before
it is read.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from .._util.limits import CONTAINER_SIZE, ELEMENT_SIZE, too_many_values
from .._util.shown import shown_error

_UINT8: Final = Struct(">B")
_UINT16: Final = Struct(">H")
_UINT32: Final = Struct(">I")

_SIZES: Final = [1] * 256
"""By its first byte, the bytes of a value; 0 for one that L{_measure} reads."""
_SIZES[0x80:0xA0] = [0] * 32  # short maps and arrays
_SIZES[0xA0:0xC0] = range(1, 33)  # short strings
_SIZES[0xC4:0xCA] = [0] * 6  # bytes, extensions
_SIZES[0xCA:0xD4] = [5, 9, 2, 3, 5, 9, 2, 3, 5, 9]  # numbers
_SIZES[0xD4:0xE0] = [0] * 12  # extensions, strings, arrays, maps

_STRINGS: Final = {
    0xC4: _UINT8,
    0xC5: _UINT16,
    0xC6: _UINT32,
    0xD9: _UINT8,
    0xDA: _UINT16,
    0xDB: _UINT32,
}
_EXTENSIONS: Final = {0xC7: _UINT8, 0xC8: _UINT16, 0xC9: _UINT32}
_FIXED_EXTENSIONS: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_CONTAINERS: Final = {
    0xDC: (_UINT16, 1),
    0xDD: (_UINT32, 1),
    0xDE: (_UINT16, 2),
    0xDF: (_UINT32, 2),
}
"""The lengths of arrays and maps, and how many values are in each unit of length."""
_LISTS: Final = (b"\xdc", b"\xdd")


def dumps(value: object) -> bytes:
    """
    Write a value as C{msgpack.packb} does.

    @raise Exception: the value holds something that msgpack cannot, or that L{loads}
        could not read back, such as a key that is neither str nor bytes.
    """
    from msgpack import packb

    packed = bytes(packb(value, use_bin_type=True))
    try:
        loads(packed)
    except Exception as error:
        raise ValueError(f"it could not be read back: {shown_error(error)}") from error
    return packed


def loads(body: bytes) -> object:
    """
    Read one value.

    @raise Exception: it is not msgpack, or has a key that is neither str nor bytes.
    """
    # unpackb allows nothing in a body to be longer than the body itself
    from msgpack import unpackb

    value: object = unpackb(body, raw=False, strict_map_key=True)
    return value


def check_size(body: bytes, limit: int) -> None:
    """
    Compute the size of the value in a body before it is decoded.

    @param limit: the maximum in bytes; see L{txkombu._util.limits}.
    @raise ValueError: the value is larger.
    """
    lists = sum(map(body.count, _LISTS))
    each = CONTAINER_SIZE + ELEMENT_SIZE
    maximum = len(body) * max(each, ELEMENT_SIZE * lists)
    if maximum > limit and _counts_as(body, limit) > limit:
        raise too_many_values(limit)


def _counts_as(body: bytes, enough: int) -> int:
    """Add up sizes until they are enough; a body cut short is left to its reader."""
    at, total, end, sizes = 0, 0, len(body), _SIZES
    values = 1
    while values and at < end and total <= enough:
        values -= 1
        size = sizes[body[at]]
        if not size:
            try:
                size, counted, inside = _measure(body, at)
            except IndexError:
                break
            total += counted + ELEMENT_SIZE * inside
            values += inside
        at += size
    return total


def _measure(body: bytes, at: int) -> tuple[int, int, int]:
    """
    Measure the value that begins at a position.

    @return: how many bytes to skip, what the value counts as without its content, and
        how many values are in it.
    @raise IndexError: its length is cut short.
    """
    first = body[at]
    if first < 0x90:
        return 1, CONTAINER_SIZE, 2 * (first & 0x0F)
    if first < 0xA0:
        return 1, CONTAINER_SIZE, first & 0x0F
    if first in _FIXED_EXTENSIONS:
        return 2 + _FIXED_EXTENSIONS[first], CONTAINER_SIZE, 0
    if first in _CONTAINERS:
        layout, each = _CONTAINERS[first]
        return 1 + layout.size, CONTAINER_SIZE, each * _length(layout, body, at)
    if first in _EXTENSIONS:
        layout = _EXTENSIONS[first]
        return 2 + layout.size + _length(layout, body, at), CONTAINER_SIZE, 0
    layout = _STRINGS[first]
    return 1 + layout.size + _length(layout, body, at), 0, 0


def _length(layout: Struct, body: bytes, at: int) -> int:
    if at + 1 + layout.size > len(body):
        raise IndexError
    length: int = layout.unpack_from(body, at + 1)[0]
    return length
