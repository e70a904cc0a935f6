"""
JSON with some further Python types, written as Kombu 5 writes them.

A value that JSON has no notation for is written as a I{typed value}: a dict of
exactly the keys C{__type__} and C{__value__}.  Encoding refuses a program's own dict
of these keys, as it would be decoded as a typed value.  L{register_type} adds types.

Nearly all messages have no typed values.  For these the only cost over plain C{json}
is one search of the text for the marker, from the end, as C{rfind} is faster.
"""

from __future__ import annotations

import json
import json.encoder
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final, TypeVar
from uuid import UUID

from .._util.limits import CONTAINER_SIZE, ELEMENT_SIZE, too_many_values
from .._util.shown import shown
from .._util.validation import check_callable

_T = TypeVar("_T")

TYPE: Final = "__type__"
_VALUE = "__value__"
MARK: Final = f'"{TYPE}"'
"""The key in JSON text; within a string its quotes would be escaped."""
_SHAPE = {TYPE, _VALUE}
_SEPARATORS: Final = (",", ":")
_PIECE: Final = 64 * 1024


def dumps(value: object) -> bytes:
    """
    Write a value as C{json.dumps} does, but in UTF-8 and without blanks; and datetime,
    date, time, Decimal, UUID and bytes as typed values, and an object with a method
    C{__json__} as its result.

    @raise TypeError: the value holds something that JSON cannot, such as a set or a
        timedelta.
    @raise ValueError: the value contains itself, or a dict that looks like a typed
        value.
    """
    # UTF-8 has no lone surrogates; Python escapes them as JSON does
    return _write(value, _encode_plain, False).encode("utf-8", "backslashreplace")


def dumps_ascii(value: object) -> str:
    """Write a value as L{dumps} does, which also raises the same, in ASCII."""
    return _write(value, _encode_plain_ascii, True)


def _write(
    value: object, encode_plain: Callable[[object], str], ensure_ascii: bool
) -> str:
    try:
        text = encode_plain(value)
    except _NotPlain:
        encoder = _Encoder(ensure_ascii=ensure_ascii, separators=_SEPARATORS)
        text, written = encoder.encode(value), encoder.written
    else:
        written = 0
    if (written or text.rfind(MARK) >= 0) and text.count(MARK) != written:
        _refuse_lookalikes(text, written)
    return text


def loads(text: str) -> object:
    """
    Read JSON, typed values included.

    @raise Exception: the text is not JSON, or a typed value does not fit its type; the
        class is that of the error of the function that reads it.
    """
    if text.rfind(MARK) >= 0:
        return json.loads(text, object_hook=_revive)
    try:
        value, end = _read_plain(text)
    except ValueError:
        return json.loads(text)
    # The rest is white space, or an error that the full reader names.
    return value if end == len(text) else json.loads(text)


def check_size(text: str | bytes, limit: int) -> None:
    """
    Estimate the size of a value before it is decoded.

    @param limit: the maximum in bytes; see L{txkombu._util.limits}.
    @raise ValueError: the value is larger.
    """
    if sum(map(_counts_as, _pieces(text))) <= limit:
        return
    # Many of the brackets and commas may be in strings.
    total = 0
    for part in _outside_strings(b"".join(_pieces(text))):
        total += _counts_as(part)
        if total > limit:
            raise too_many_values(limit)


def _pieces(text: str | bytes) -> Iterator[bytes]:
    """Cut a text into pieces that fit into a processor's cache."""
    for start in range(0, len(text), _PIECE):
        piece = text[start : start + _PIECE]
        yield (
            piece if isinstance(piece, bytes) else piece.encode(errors="surrogatepass")
        )


def _counts_as(text: bytes) -> int:
    containers = _count(text, b"[") + _count(text, b"{")
    elements = _count(text, b",") + _count(text, b":")
    return CONTAINER_SIZE * containers + ELEMENT_SIZE * elements


def _count(text: bytes, byte: bytes) -> int:
    """Count a byte; where it is rare, C{bytes.count} takes ten times as long."""
    return len(text) - len(text.replace(byte, b""))


def _outside_strings(text: bytes) -> Iterator[bytes]:
    """Yield the text outside of strings, in pieces so that memory holds one."""
    text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    inside = 0
    for start in range(0, len(text), _PIECE):
        parts = text[start : start + _PIECE].split(b'"')
        yield b"".join(parts[inside::2])
        inside = (inside + len(parts) - 1) % 2


class _NotPlain(Exception):
    """A value holds something that JSON has no notation for."""


def _not_plain(value: object) -> object:
    raise _NotPlain


def _plain_encoder(ensure_ascii: bool) -> Callable[[object], str]:
    """
    Return C{JSONEncoder.encode}, without the two objects that it makes for each value.

    These are an encoder in C, and the containers it is within, by which it notices a
    value that contains itself.  Without them such a value exhausts the stack; it is
    then encoded again, for the error that says so.
    """
    checked = json.JSONEncoder(
        ensure_ascii=ensure_ascii, separators=_SEPARATORS, default=_not_plain
    ).encode
    make: Callable[..., Callable[[object, int], Iterable[str]]] | None
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return checked
    quote = (
        json.encoder.encode_basestring_ascii
        if ensure_ascii
        else json.encoder.encode_basestring
    )
    parts = make(None, _not_plain, quote, None, ":", ",", False, False, True)

    def encode(value: object) -> str:
        try:
            return "".join(parts(value, 0))
        except RecursionError:
            return checked(value)

    return encode


_encode_plain = _plain_encoder(ensure_ascii=False)
_encode_plain_ascii = _plain_encoder(ensure_ascii=True)
_read_plain = json.JSONDecoder().raw_decode


class _Encoder(json.JSONEncoder):
    """
    Encodes one value that needs typed values.

    @ivar written: the number of typed values it wrote.
    """

    written = 0

    def default(self, o: object) -> object:
        reduce = getattr(o, "__json__", None)
        if reduce is not None:
            return reduce()
        writer = _writer_of(o)
        if writer is not None:
            marker, write = writer
            return write(o) if marker is None else self._typed(marker, write(o))
        if isinstance(o, bytes):
            try:
                return self._typed("bytes", o.decode("utf-8"))
            except UnicodeDecodeError:
                return self._typed("base64", b64encode(o).decode("ascii"))
        return super().default(o)

    def _typed(self, marker: str, value: object) -> dict[str, object]:
        self.written += 1
        return {TYPE: marker, _VALUE: value}


def _refuse_lookalikes(text: str, written: int) -> None:
    found = 0

    def count(pairs: dict[str, object]) -> None:
        nonlocal found
        found += pairs.keys() == _SHAPE

    json.loads(text, object_hook=count)
    if found != written:
        raise ValueError(
            f"a dict of exactly the keys {TYPE} and {_VALUE} would be decoded as a "
            "typed value; give it a third key, or use another serializer"
        )


def _revive(pairs: dict[str, Any]) -> object:
    if len(pairs) != len(_SHAPE) or pairs.keys() != _SHAPE:
        return pairs
    marker = pairs[TYPE]
    read = _READERS.get(marker) if isinstance(marker, str) else None
    if read is None:
        raise ValueError(f"there is no typed value of type {shown(marker)}")
    return read(pairs[_VALUE])


def _read_decimal(text: str) -> Decimal:
    if not isinstance(text, str):
        raise TypeError(f"a decimal is written as a str, not {shown(text)}")
    return Decimal(text)


_Writer = tuple[str | None, Callable[[Any], object]]

_WRITERS: dict[type, _Writer] = {
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    Decimal: ("decimal", str),
    UUID: ("uuid", lambda value: {"hex": value.hex}),
}
"""The marker of a type, C{None} for one without, and what writes its values."""

_READERS: dict[str, Callable[[Any], object]] = {
    "datetime": datetime.fromisoformat,
    "date": lambda text: datetime.fromisoformat(text).date(),
    "time": time.fromisoformat,
    "decimal": _read_decimal,
    "uuid": lambda value: UUID(hex=value["hex"], version=value.get("version")),
    "bytes": str.encode,
    "base64": b64decode,
}

_WRITTEN_ALREADY: Final = (str, int, float, list, tuple, dict, type(None))


def _writer_of(value: object) -> _Writer | None:
    """Return the writer of the nearest base; abstract ones have no place in the MRO."""
    for kind in type(value).__mro__:
        if kind in _WRITERS:
            return _WRITERS[kind]
    return next(
        (writer for kind, writer in _WRITERS.items() if isinstance(value, kind)), None
    )


def _as_it_is(value: Any) -> Any:
    return value


def register_type(
    t: type[_T],
    marker: str | None,
    encoder: Callable[[_T], object],
    decoder: Callable[[Any], object] = _as_it_is,
) -> None:
    """
    Have json write values of a type, and read them back.

    It is for the whole process: for producers and consumers, with whatever library.
    Registering a type or a marker again replaces it.

    @param t: the type; its subclasses are written so, too, unless they have their own.
    @param marker: the name of the type in messages, by which consumers choose the
        decoder; C{None} writes the result of the encoder as it is, and so consumers
        get that.
    @param encoder: takes a value, and returns what JSON can hold; values of
        registered types may be in it.
    @param decoder: takes what the encoder returned, as JSON holds it, and returns the
        value.  It gets what any sender chose to write.  By default that is the value.
    @raise TypeError: an argument is of a wrong type; or JSON writes values of this type
        by itself, so that the encoder would never be called.
    @raise ValueError: the marker is empty.
    """
    if not isinstance(t, type):
        raise TypeError(f"t must be a type, not {t!r}")
    if issubclass(t, _WRITTEN_ALREADY):
        raise TypeError(f"JSON writes {t.__name__} by itself: it cannot be registered")
    if marker is not None and not isinstance(marker, str):
        raise TypeError(f"marker must be a str or None, not {marker!r}")
    if marker == "":
        raise ValueError("marker must not be empty")
    check_callable("encoder", encoder, 1)
    check_callable("decoder", decoder, 1)
    _WRITERS[t] = (marker, encoder)
    if marker is not None:
        _READERS[marker] = decoder
