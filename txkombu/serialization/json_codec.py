"""
JSON with a few Python types beside its own, written as Kombu 5 writes them.

A value that JSON has no notation for is written as a I{typed value}: a dict of
exactly the keys C{__type__} and C{__value__}.  A user's own dict of that shape
could not be told from one, so it is refused when encoding.

Messages without typed values, nearly all, cost one search of the text for the
marker, and no more, over plain C{json}.
"""

from __future__ import annotations

import json
import json.encoder
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from .._util.limits import CONTAINER_SIZE, ELEMENT_SIZE, too_many_values
from .._util.shown import shown

_TYPE = "__type__"
_VALUE = "__value__"
_MARK = f'"{_TYPE}"'
"""How the key stands in JSON text; inside of a string its quotes are escaped."""
_SHAPE = {_TYPE, _VALUE}
_PIECE: Final = 1024 * 1024


def dumps(value: object) -> str:
    """
    Write a value as C{json.dumps} does, and the types it cannot as typed values.

    Those are datetime, date, time, Decimal, UUID and bytes; an object with a
    method C{__json__} is written as what that returns.

    @raise TypeError: there is something in it that JSON cannot hold, such as a
        set or a timedelta.
    @raise ValueError: it contains itself, or a dict that looks like a typed
        value.
    """
    try:
        text = _encode_plain(value)
    except _NotPlain:
        encoder = _Encoder()
        text, written = encoder.encode(value), encoder.written
    else:
        written = 0
    if text.count(_MARK) != written:
        _refuse_lookalikes(text, written)
    return text


def loads(text: str) -> object:
    """
    Read JSON; typed values become what they stand for.

    @raise Exception: the text is no JSON, or a typed value is not what its
        type says; of whatever class the reader at fault raises.
    """
    if _MARK in text:
        return json.loads(text, object_hook=_revive)
    try:
        value, end = _read_plain(text)
    except ValueError:
        return json.loads(text)
    # What is left is white space, or an error for the full reader to name.
    return value if end == len(text) else json.loads(text)


def check_size(text: str | bytes, limit: int) -> None:
    """
    Estimate what a value will take, before it is made.

    @raise ValueError: it is more than allowed.
    """
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    if _counts_as(text) <= limit:
        return
    # Many of those may have been in strings.
    total = 0
    for part in _outside_strings(text):
        total += _counts_as(part)
        if total > limit:
            raise too_many_values(limit)


def _counts_as(text: str) -> int:
    containers = text.count("[") + text.count("{")
    return CONTAINER_SIZE * containers + ELEMENT_SIZE * (
        text.count(",") + text.count(":")
    )


def _outside_strings(text: str) -> Iterator[str]:
    """Take a text apart, piece by piece so that the parts are not all in memory."""
    text = text.replace("\\\\", "").replace('\\"', "")
    inside = 0
    for start in range(0, len(text), _PIECE):
        parts = text[start : start + _PIECE].split('"')
        yield "".join(parts[inside::2])
        inside = (inside + len(parts) - 1) % 2


class _NotPlain(Exception):
    """A value has something in it that JSON has no notation for."""


def _not_plain(value: object) -> object:
    raise _NotPlain


_PLAIN = json.JSONEncoder(default=_not_plain)


def _plain_encoder() -> Callable[[object], str]:
    """
    C{_PLAIN.encode}, without the two objects it makes for each value.

    They are what json's own encoder writes with, and the list of where it is in
    a value, by which it finds out that one contains itself.  Here that runs out
    of stack instead, and is encoded again for the error that says so.
    """
    make: Callable[..., Callable[[object, int], Iterable[str]]] | None
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return _PLAIN.encode
    quote = json.encoder.encode_basestring_ascii
    parts = make(None, _not_plain, quote, None, ": ", ", ", False, False, True)

    def encode(value: object) -> str:
        try:
            return "".join(parts(value, 0))
        except RecursionError:
            return _PLAIN.encode(value)

    return encode


_encode_plain = _plain_encoder()
_read_plain = json.JSONDecoder().raw_decode


class _Encoder(json.JSONEncoder):
    """
    Writes one value that needs typed values.

    @ivar written: how many typed values it wrote.
    """

    written = 0

    def default(self, o: object) -> object:
        reduce = getattr(o, "__json__", None)
        if reduce is not None:
            return reduce()
        for kind, marker, write in _WRITERS:
            if isinstance(o, kind):
                return self._typed(marker, write(o))
        if isinstance(o, bytes):
            return self._typed(*_write_bytes(o))
        return super().default(o)

    def _typed(self, marker: str, value: object) -> dict[str, object]:
        self.written += 1
        return {_TYPE: marker, _VALUE: value}


def _refuse_lookalikes(text: str, written: int) -> None:
    found = 0

    def count(pairs: dict[str, object]) -> None:
        nonlocal found
        found += pairs.keys() == _SHAPE

    json.loads(text, object_hook=count)
    if found != written:
        raise ValueError(
            f"a dict of exactly the keys {_TYPE} and {_VALUE} stands for a typed "
            "value and would come back as another; give it a third key, or use "
            "another serializer"
        )


def _revive(pairs: dict[str, Any]) -> object:
    if len(pairs) != len(_SHAPE) or pairs.keys() != _SHAPE:
        return pairs
    marker = pairs[_TYPE]
    read = _READERS.get(marker) if isinstance(marker, str) else None
    if read is None:
        raise ValueError(f"there is no typed value of type {shown(marker)}")
    return read(pairs[_VALUE])


def _write_bytes(value: bytes) -> tuple[str, str]:
    try:
        return "bytes", value.decode("utf-8")
    except UnicodeDecodeError:
        return "base64", b64encode(value).decode("ascii")


def _read_date(text: str) -> date:
    return datetime.fromisoformat(text).date()


def _read_decimal(text: str) -> Decimal:
    if not isinstance(text, str):
        raise TypeError(f"a decimal is written as a str, not {shown(text)}")
    return Decimal(text)


def _read_uuid(fields: dict[str, Any]) -> UUID:
    return UUID(hex=fields["hex"], version=fields.get("version"))


# datetime goes before date, whose subclass it is
_WRITERS: tuple[tuple[type, str, Callable[[Any], object]], ...] = (
    (datetime, "datetime", datetime.isoformat),
    (date, "date", date.isoformat),
    (time, "time", time.isoformat),
    (Decimal, "decimal", str),
    (UUID, "uuid", lambda value: {"hex": value.hex}),
)

_READERS: dict[str, Callable[[Any], object]] = {
    "datetime": datetime.fromisoformat,
    "date": _read_date,
    "time": time.fromisoformat,
    "decimal": _read_decimal,
    "uuid": _read_uuid,
    "bytes": str.encode,
    "base64": b64decode,
}
