"""
Msgpack, with what its reader cannot know about a message from a stranger.

A list announces its length before it is there, and the reader makes room for all
of it at once: a few bytes of lists in lists ask for gigabytes.  So what a body
announces is added up before it is read.
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
"""By the first byte, how many bytes a value has that is none of those below."""
for _first, _size in {
    **{0xA0 + length: 1 + length for length in range(32)},
    0xCA: 5,
    0xCB: 9,
    0xCC: 2,
    0xCD: 3,
    0xCE: 5,
    0xCF: 9,
    0xD0: 2,
    0xD1: 3,
    0xD2: 5,
    0xD3: 9,
}.items():
    _SIZES[_first] = _size

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
"""The lengths that arrays and maps announce, and what one of them stands for."""
_LISTS: Final = (b"\xdc", b"\xdd")

for _first in (*range(0x80, 0xA0), *_STRINGS, *_EXTENSIONS, *_FIXED_EXTENSIONS):
    _SIZES[_first] = 0
for _first in _CONTAINERS:
    _SIZES[_first] = 0


def dumps(value: object) -> bytes:
    """
    Write a value as C{msgpack.packb} does.

    @raise Exception: there is something in it that msgpack cannot hold, or that
        L{loads} could not read back, such as a key that is neither str nor
        bytes.
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

    @raise Exception: it is no msgpack, or has a key that is neither str nor bytes.
    """
    # unpackb allows nothing in a body to be longer than the body itself
    from msgpack import unpackb

    value: object = unpackb(body, raw=False, strict_map_key=True)
    return value


def check_size(body: bytes, limit: int) -> None:
    """
    Add up what the value in a body will take, before it is made.

    @raise ValueError: it is more than allowed.
    """
    lists = sum(map(body.count, _LISTS))
    each = CONTAINER_SIZE + ELEMENT_SIZE
    maximum = len(body) * max(each, ELEMENT_SIZE * lists)
    if maximum > limit and _counts_as(body, limit) > limit:
        raise too_many_values(limit)


def _counts_as(body: bytes, enough: int) -> int:
    """Add up to what is enough; a body that is cut short is left to its reader."""
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
    @return: how many bytes to skip, what the value that begins here counts as by
        itself, and how many values are in it.
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
