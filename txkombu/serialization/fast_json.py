"""
JSON by orjson and msgspec, wherever they give what L{json_codec} gives.

What orjson would write otherwise is of a type that marshal refuses: of what orjson
takes, marshal takes only the built-in types, no subclasses.  Two things are left: NaN
and the infinities, which orjson writes as null, and dicts that look like typed values.
msgspec knows neither NaN nor lone surrogates, and fails.  What either fails for is left
to L{json_codec}, for its result or its error.

Importing this module fails if one of the two libraries is not installed.
"""

from __future__ import annotations

import marshal
import re
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
_KEPT_AS_IS: Final = 16 * 1024
"""So many bytes of JSON are not copied."""
_write = orjson.dumps
_shape: Any = marshal.dumps  # of anything: it raises for what it does not take
_read = msgspec.json.Decoder().decode


def dumps(value: object) -> bytes:
    """Write a value as L{json_codec.dumps} does, which also raises the same."""
    try:
        # first, as marshal takes exponential time for a value that contains itself
        data = _write(value, None, _REFUSED)
        shape = _shape(value, _SHAPE_VERSION)
    except Exception:
        shape = b""
    if not shape or data.rfind(_BYTES_MARK) >= 0 or _may_lose_float(data, shape):
        return json_codec.dumps(value)
    if len(data) < _KEPT_AS_IS:
        # orjson's object keeps up to 4 KiB more than it needs
        return b"".join((data, b""))
    return data


def _may_lose_float(data: bytes, shape: bytes) -> bool:
    """Return whether there may be a float among the nulls of the JSON."""
    # One byte is found many times as fast as four, and text has neither of these two.
    if b"\x7f" not in shape and b"\xff" not in shape:
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
    if data.rfind(_BYTES_MARK) < 0:
        try:
            return _read(data)
        except Exception:
            pass
    return json_codec.loads(data.decode("utf-8"))
