"""
The headers of a message's properties, as far as both dialects agree.

The headers of a SEND are text.  Users' headers that are not text are written once
more, in one header of this library, as JSON: between two programs with this library
every value comes back as it was.  Other programs see text and whole numbers under
their own names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from operator import itemgetter
from typing import Any, Final, NamedTuple

from ...._util.validation import check_count, check_short_string
from ....exceptions import DecodeError
from ....interfaces import Properties
from ....serialization import json_codec
from .frames import encode_header
from .parser import Frame

OURS: Final = "x-txk-"
"""How the names of this library's own headers begin; users never see these."""
TYPED: Final = "x-txk-headers"
"""A JSON object: the headers that are not text, or that cannot have a line."""
ROUTING_KEY: Final = "x-txk-routing-key"
"""The routing key of a publish to a fanout exchange; the destination has none."""

FRAME_HEADERS: Final = frozenset(
    {
        "ack",
        "content-length",
        "destination",
        "message-id",
        "receipt",
        "redelivered",
        "subscription",
        "transaction",
    }
)
"""Headers of the frame itself: a user has not written them."""

MOST_BYTES: Final = 128 * 1024
"""The most bytes of a message's headers: a receiver refuses more, again and again."""

CACHE_SIZE: Final = 500
_usual: Final = itemgetter(
    "content_type", "content_encoding", "delivery_mode", "priority"
)
_USUAL_COUNT: Final = 4
"""What most messages have, beside empty headers; few combinations occur."""
_PERSISTENT: Final = {1: None, 2: "true"}
_LAST_SECOND: Final = 253_402_300_799


class Field(NamedTuple):
    """
    How a property is written to its header, and read; either may raise ValueError.

    @ivar write: returns the text, or C{None} for no header, for a value and the seconds
        since the epoch.
    """

    header: str
    write: Callable[[Any, float], str | None]
    read: Callable[[str], object] = str


def short_string(name: str, header: str) -> Field:
    """Return the field of a property that has at most 255 bytes, as in AMQP."""
    return Field(header, lambda value, _: check_short_string(f"property {name}", value))


def number(name: str, header: str, maximum: int) -> Field:
    """Return the field of a property that is a whole number from 0."""

    def write(value: object, _: float) -> str:
        return str(check_count(f"property {name}", value, 0, maximum))

    return Field(header, write, int)


def milliseconds(header: str, maximum: int) -> Field:
    """Return the field of C{expiration}: whole milliseconds, as text."""

    def write(value: object, _: float) -> str:
        text = check_short_string("property expiration", value)
        if not (text.isascii() and text.isdigit()):
            raise ValueError(
                f"property expiration must be whole milliseconds, not {value!r}"
            )
        check_count("property expiration", int(text), 0, maximum)
        return text

    return Field(header, write)


def seconds_of(value: object) -> int:
    """Return a timestamp, a datetime or an int, as seconds since the epoch."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        value = int(aware.timestamp())
    return check_count("property timestamp", value, 0, _LAST_SECOND) or 0


def time_of(text: str) -> datetime:
    """Return the timestamp for seconds since the epoch."""
    return datetime.fromtimestamp(int(text), timezone.utc)


def _write_mode(value: object, _: float) -> str | None:
    check_count("property delivery_mode", value, 0, 2)
    if value not in _PERSISTENT:
        raise ValueError(f"property delivery_mode must be 1 or 2, not {value!r}")
    return _PERSISTENT[value]


COMMON_FIELDS: Final[Mapping[str, Field]] = {
    "content_type": short_string("content_type", "content-type"),
    "content_encoding": short_string("content_encoding", "content-encoding"),
    # RabbitMQ makes "1" of the 1 of an AMQP producer.
    "delivery_mode": Field(
        "persistent", _write_mode, lambda text: 1 + (text == "true")
    ),
    "correlation_id": short_string("correlation_id", "correlation-id"),
    "message_id": short_string("message_id", "amqp-message-id"),
    "type": short_string("type", "type"),
    "app_id": short_string("app_id", "app-id"),
    "cluster_id": short_string("cluster_id", "cluster-id"),
}
"""The properties that are the same on every broker."""


class Vocabulary:
    """The properties of messages as one dialect writes them."""

    def __init__(
        self,
        fields: Mapping[str, Field],
        reserved: Iterable[str] = (),
        longest: int = MOST_BYTES,
        hidden: Iterable[str] = (),
    ) -> None:
        """
        @param reserved: further names that users' headers cannot have on the wire;
            only receivers with this library see such a header.
        @param longest: the most bytes of one line.
        @param hidden: as C{reserved}; users see no header of these names.
        """
        self._fields = fields
        # What a header means: a property, or nothing to a user ("").
        self._meanings = dict.fromkeys((*FRAME_HEADERS, *hidden), "")
        self._meanings.update({each.header: name for name, each in fields.items()})
        self._taken = self._meanings.keys() | frozenset(reserved)
        self._longest = longest
        self._cache: dict[tuple[object, ...], bytes] = {}

    def encode(self, properties: Properties, now: float) -> bytes:
        """Return the header lines of the properties that are set, as L{Dialect}."""
        headers = properties.get("headers")
        try:
            lines = [self._usual(properties)]
        except (KeyError, TypeError):  # there are others, or one is of a wrong type
            lines = self._listed(properties, now)
        if headers:
            lines += self._headers(headers)
        elif len(lines) == 1:
            return lines[0]
        return self._join(lines)

    def _usual(self, properties: Properties) -> bytes:
        """@raise KeyError: the message has others than the usual properties."""
        if len(properties) != _USUAL_COUNT + 1 or "headers" not in properties:
            raise KeyError
        key = _usual(properties)
        known = self._cache.get(key)
        if known is None:
            known = self._join(self._listed(properties, 0))
            if len(self._cache) >= CACHE_SIZE:
                self._cache.clear()
            self._cache[key] = known
        return known

    def _listed(self, properties: Properties, now: float) -> list[bytes]:
        """Return the lines of all properties but the headers."""
        lines: list[bytes] = []
        for name, value in properties.items():
            if name == "headers" or value is None:
                continue
            if name not in self._fields:
                raise TypeError(f"messages have no property {name}")
            header, write, _ = self._fields[name]
            text = write(value, now)
            if text is not None:
                lines.append(encode_header(header, text))
        return lines

    def _join(self, lines: list[bytes]) -> bytes:
        for line in lines:
            if len(line) > self._longest:
                raise ValueError(
                    f"a header has a line of {len(line)} bytes, at most "
                    f"{self._longest} can be sent: {line[:40]!r}…"
                )
        encoded = b"".join(lines)
        if len(encoded) > MOST_BYTES:
            raise ValueError(
                f"the headers of a message have {len(encoded)} bytes, at most "
                f"{MOST_BYTES} can be sent"
            )
        return encoded

    def _headers(self, headers: object) -> list[bytes]:
        if not isinstance(headers, Mapping):
            raise TypeError(f"property headers must be a mapping, not {headers!r}")
        lines, typed = [], []
        for name, value in headers.items():
            _check_name(name)
            text = _as_text(value)
            if text is not None and name not in self._taken:
                lines.append(encode_header(name, text))
            if not isinstance(value, str) or name in self._taken:
                typed.append(f"{json_codec.dumps_ascii(name)}:{_as_json(name, value)}")
        if typed:
            lines.append(encode_header(TYPED, f"{{{','.join(typed)}}}"))
        return lines

    def decode(self, frame: Frame) -> dict[str, object]:
        """
        Return the properties of a MESSAGE; raise DecodeError if it cannot be read.

        A header of an AMQP message may have the name of a property's header.  It
        comes before that one, and often has no value that the property could have.
        """
        texts: dict[str, str] = {}
        headers: dict[str, object] = {}
        meanings = self._meanings
        for name, value in frame.pairs:
            known = meanings.get(name)
            if known is None:
                if not (name.isascii() and value.isascii()):
                    # One odd name must not hide all other headers.
                    raw = name.encode("utf-8", "surrogateescape")
                    name = raw.decode("utf-8", "backslashreplace")
                    _check_utf8(name, value)
                if not name.startswith(OURS):
                    headers.setdefault(name, value)
            elif known:
                if known in texts:
                    _check_utf8(name, texts[known])
                    headers.setdefault(name, texts[known])
                texts[known] = value
        properties: dict[str, object] = {"delivery_mode": 1}
        for known, text in texts.items():
            header, _, read = self._fields[known]
            if not text.isascii():
                _check_utf8(header, text)
            try:
                properties[known] = text if read is str else read(text)
            except (ValueError, OverflowError, OSError):
                headers.setdefault(header, text)
        if TYPED in frame.headers:
            _restore(headers, frame.headers[TYPED])
        properties["headers"] = headers
        return properties


def _check_name(name: object) -> None:
    text = check_short_string("name of a header", name)
    if not text:
        raise ValueError("a header needs a name")
    if "\0" in text:
        raise ValueError(f"the name of the header {text!r} has a zero byte")
    if text.startswith(OURS):
        raise ValueError(
            f"the header {text!r} cannot be sent: names that begin with {OURS} are "
            "the library's own"
        )


def _as_text(value: object) -> str | None:
    """Return what other programs see under a header's own name."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _as_json(name: str, value: object) -> str:
    try:
        text = json_codec.dumps_ascii(value)
        if "NaN" in text or "Infinity" in text:
            json.loads(text, parse_constant=_refuse_number)
        return text
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"the header {name!r} cannot be sent, it is a {type(value).__name__}: "
            f"{error}"
        ) from error


def _refuse_number(name: str) -> None:
    raise ValueError(f"{name} is no number that other programs could read")


def _restore(headers: dict[str, object], text: str) -> None:
    """Put back values that are not text, unless another program changed them."""
    try:
        typed = json_codec.loads(text)
    except Exception as error:
        raise DecodeError(f"a message's header {TYPED} is no JSON: {error}") from error
    if not isinstance(typed, dict):
        raise DecodeError(f"a message's header {TYPED} is no object")
    for name, value in typed.items():
        if name not in headers or headers[name] == _as_text(value):
            headers[name] = value


def _check_utf8(name: str, value: str) -> None:
    try:
        name.encode()
        value.encode()
    except UnicodeEncodeError:
        raise DecodeError(
            f"a message's header {name!r} has bytes that are no UTF-8"
        ) from None
