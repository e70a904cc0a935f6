"""
JSON by orjson and msgspec, wherever they give what L{json_codec} gives.

What orjson would write otherwise is of a type that marshal refuses: of what orjson
takes, marshal takes only the built-in types, no subclasses.  Two things are left: NaN
and the infinities, which orjson writes as null, and dicts that look like typed values.
If a long text holds few values, looking at each of them finds all three sooner.

msgspec knows neither NaN nor lone surrogates, and fails.  What either fails for is left
to L{json_codec}, for its result or its error.

Importing this module fails if one of the two libraries is not installed, or if orjson
crashes the process for deep tuples, as 3.12 and 3.13 do: they bound the depth of lists
and dicts only.
"""

from __future__ import annotations

import marshal
import re
from math import isfinite
from types import NoneType
from typing import Any, Final

import msgspec
import orjson

from . import json_codec

LIBRARIES: Final = f"orjson {orjson.__version__} and msgspec {msgspec.__version__}"

_REFUSED: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
_SHAPE_VERSION: Final = 4
"""In this version of marshal's format, repeated strings are quick."""
# a float's code, with the flag of a repeated one or without, and the highest exponent
_not_finite = re.compile(rb"[g\xe7](?s:.{6})[\xf0-\xff][\x7f\xff]").search
_BYTES_MARK: Final = json_codec.MARK.encode()
_TYPE: Final = json_codec.TYPE
_LEAVES: Final = frozenset({str, int, bool, NoneType})
_AFTER_LAST: Final = len(_BYTES_MARK) - _BYTES_MARK.rindex(b"_")
_LONG: Final = 2048
"""From so many bytes on, one pass over the JSON takes longer than a few calls."""
_BYTES_PER_VALUE: Final = 256
"""To look at a value takes as long as all passes over so many bytes."""
_KEPT_AS_IS: Final = 16 * 1024
"""So many bytes of JSON are not copied."""
_MOST_LEVELS: Final = 255
"""Of so many levels orjson writes nothing, but fails."""
_write = orjson.dumps
_shape: Any = marshal.dumps  # of anything: it raises for what it does not take
_read = msgspec.json.Decoder().decode


def _check_depth() -> None:
    """
    Check that orjson bounds the depth of tuples.

    @raise ImportError: it does not.
    """
    value: object = None
    for _ in range(_MOST_LEVELS):
        value = (value,)
    try:
        _write(value)
    except TypeError:
        return
    raise ImportError(
        f"orjson {orjson.__version__} crashes for deep tuples; install another version",
        name="orjson",
    )


_check_depth()


def dumps(value: object) -> bytes:
    """Write a value as L{json_codec.dumps} does, which also raises the same."""
    is_same = False
    try:
        # first, as it fails for a value that contains itself, and marshal does not
        data = _write(value, None, _REFUSED)
        if len(data) >= _LONG:
            is_same = _is_plain(value, len(data) // _BYTES_PER_VALUE)
        if not is_same:
            shape = _shape(value, _SHAPE_VERSION)
            is_same = not (data.rfind(_BYTES_MARK) >= 0 or _may_lose_float(data, shape))
    except Exception:
        pass
    if not is_same:
        return json_codec.dumps(value)
    if len(data) < _KEPT_AS_IS:
        # orjson's object keeps up to 4 KiB more than it needs
        return b"".join((data, b""))
    return data


def _is_plain(value: object, most: int) -> bool:
    """
    Return whether a value consists of few values, each of which orjson writes as
    L{json_codec} does.

    @param value: one that orjson takes, so its keys are text, and it does not contain
        itself.
    @param most: how many to look at.
    """
    found: list[Any] = [value]
    for each in found:
        kind = type(each)
        if kind in _LEAVES:
            continue
        if kind is float:
            if not isfinite(each):
                return False
            continue
        if kind is dict:
            if _TYPE in each:
                return False
        elif kind is not list and kind is not tuple:
            return False
        if len(found) + len(each) > most:
            return False
        found += each.values() if kind is dict else each
    return True


def _may_lose_float(data: bytes, shape: bytes) -> bool:
    """Return whether there may be a float among the nulls of the JSON."""
    # One byte is found many times as fast as four, and text has neither of these two.
    if 0x7F not in shape and 0xFF not in shape:
        return False
    return data.rfind(b"null") >= 0 and _not_finite(shape) is not None


def loads(text: str) -> object:
    """Read JSON as L{json_codec.loads} does, which also raises the same."""
    if text.rfind(json_codec.MARK) < 0:
        try:
            return _read(text)
        except Exception:
            pass
    return json_codec.loads(text)


def loads_utf8(data: bytes) -> object:
    """Read JSON that is not yet text; raise also what decoding UTF-8 does."""
    if not _has_mark(data):
        try:
            return _read(data)
        except Exception:
            pass
    return json_codec.loads(data.decode("utf-8"))


def _has_mark(data: bytes) -> bool:
    """Return whether there may be a typed value in the JSON."""
    end = len(data)
    if end >= _LONG:  # one byte is found ten times as fast as several
        end = data.rfind(b"_") + _AFTER_LAST
    return data.rfind(_BYTES_MARK, 0, end) >= 0
