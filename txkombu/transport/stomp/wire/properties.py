"""
The headers that carry a message's properties, where both dialects agree.

A SEND has text, and nothing but text.  What a user's headers hold beside text is
written once more, in one header of our own: between two that use this library
every value comes back as it was; others see text and whole numbers under their
own names, and the rest in that header, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Final, NamedTuple

from ...._util.validation import check_count, check_short_string
from ....exceptions import DecodeError
from ....interfaces import Properties
from ....serialization import json_codec as jsoncodec
from .frames import Frame, encode_header

OURS: Final = "x-txk-"
"""What the names of our own headers begin with; users never see these."""
TYPED: Final = "x-txk-headers"
"""A JSON object: the headers that are no text, or that could not have a line."""
ROUTING_KEY: Final = "x-txk-routing-key"
"""The key of a publish to a fanout exchange, where the destination has none."""

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
"""Headers of frames: what comes by these names is nothing a user has written."""

MOST_BYTES: Final = 128 * 1024
"""
What the headers of one message may take.  Receivers have a limit, and a message
beyond it would be delivered again for ever.
"""

_PERSISTENT: Final = {1: None, 2: "true"}
_LAST_SECOND: Final = 253_402_300_799
_USUAL: Final = 5
"""How many properties a message mostly has: content type and encoding, delivery
mode, priority, and headers without any."""
CACHE_SIZE: Final = 500


class Field(NamedTuple):
    """
    How a property is written.

    @ivar header: its header.
    @ivar write: makes its text, or C{None} if it needs none; called with the
        value and the seconds since the epoch; raises TypeError or ValueError.
    @ivar read: makes the value of a text; raises ValueError.
    """

    header: str
    write: Callable[[object, float], str | None]
    read: Callable[[str], object] = str


def short_string(name: str, header: str) -> Field:
    """A property that AMQP has as a short string: at most 255 bytes."""
    return Field(header, lambda value, _: check_short_string(f"property {name}", value))


def number(name: str, header: str, maximum: int) -> Field:
    """A property that is a whole number from 0."""
    return Field(
        header,
        lambda value, _: str(check_number(f"property {name}", value, maximum)),
        int,
    )


def check_number(what: str, value: object, maximum: int) -> int:
    """
    @raise TypeError: it is no int.
    @raise ValueError: it is negative, or more than C{maximum}.
    """
    if value is None:
        raise TypeError(f"{what} must be an int, not None")
    return check_count(what, value, 0, maximum) or 0


def check_digits(what: str, value: object, maximum: int) -> str:
    """
    @raise TypeError: it is no str.
    @raise ValueError: it is no whole number, or more than C{maximum}.
    """
    text = check_short_string(what, value)
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{what} must be whole milliseconds, not {value!r}")
    check_number(what, int(text), maximum)
    return text


def seconds_of(value: object) -> int:
    """
    A timestamp as seconds since the epoch.

    @raise TypeError: it is neither a datetime nor an int.
    @raise ValueError: it is before 1970, or beyond what can be read back.
    """
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        value = int(aware.timestamp())
    return check_number("property timestamp", value, _LAST_SECOND)


def time_of(text: str) -> datetime:
    """
    The timestamp that some seconds stand for.

    @raise ValueError: it is none.
    """
    return datetime.fromtimestamp(int(text), timezone.utc)


def _write_mode(value: object, _: float) -> str | None:
    if check_number("property delivery_mode", value, 2) not in _PERSISTENT:
        raise ValueError(f"property delivery_mode must be 1 or 2, not {value!r}")
    return _PERSISTENT[value]  # type: ignore[index]  # an int


def _read_mode(text: str) -> int:
    # RabbitMQ makes "1" of the 1 of an AMQP producer.
    return 2 if text == "true" else 1


COMMON_FIELDS: Final[Mapping[str, Field]] = {
    "content_type": short_string("content_type", "content-type"),
    "content_encoding": short_string("content_encoding", "content-encoding"),
    "delivery_mode": Field("persistent", _write_mode, _read_mode),
    "correlation_id": short_string("correlation_id", "correlation-id"),
    "message_id": short_string("message_id", "amqp-message-id"),
    "type": short_string("type", "type"),
    "app_id": short_string("app_id", "app-id"),
    "cluster_id": short_string("cluster_id", "cluster-id"),
}
"""The properties that every broker has in the same way."""


class Vocabulary:
    """
    The properties of messages as one dialect writes them.
    """

    def __init__(
        self,
        fields: Mapping[str, Field],
        reserved: Iterable[str] = (),
        longest: int = MOST_BYTES,
        hidden: Iterable[str] = (),
    ) -> None:
        """
        @param fields: by the names of the properties.
        @param reserved: further names that users' headers cannot have on the
            wire; such a header is known to receivers that use this library.
        @param longest: the bytes one line may have.
        @param hidden: further reserved names, which the broker writes: what
            comes by these is not shown.
        """
        self._fields = fields
        # What a header means: a property, or nothing to a user ("").
        self._meanings = dict.fromkeys((*FRAME_HEADERS, *hidden), "")
        self._meanings.update({each.header: name for name, each in fields.items()})
        self._taken = self._meanings.keys() | frozenset(reserved)
        self._longest = longest
        self._kept: dict[tuple[object, ...], bytes] = {}

    # --- writing -------------------------------------------------------------

    def encode(self, properties: Properties, now: float) -> bytes:
        """
        The lines of properties that are set, each with its end.

        @param now: seconds since the epoch.
        @raise TypeError: one is not known, or of a type that cannot be written.
        @raise ValueError: one is out of range, or all together are too long.
        """
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
        """
        The lines of what nearly all messages have, who share a few of them.

        @raise KeyError: this message has others.
        """
        if len(properties) != _USUAL or "headers" not in properties:
            raise KeyError
        key = (
            properties["content_type"],
            properties["content_encoding"],
            properties["delivery_mode"],
            properties["priority"],
        )
        known = self._kept.get(key)
        if known is None:
            known = self._join(self._listed(properties, 0))
            if len(self._kept) >= CACHE_SIZE:
                self._kept.clear()
            self._kept[key] = known
        return known

    def _listed(self, properties: Properties, now: float) -> list[bytes]:
        """The lines of all but the headers."""
        lines: list[bytes] = []
        for name, value in properties.items():
            if name != "headers" and value is not None:
                lines += self._property(name, value, now)
        return lines

    def _join(self, lines: list[bytes]) -> bytes:
        """@raise ValueError: one is too long, or all together."""
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

    def _property(self, name: str, value: object, now: float) -> list[bytes]:
        field = self._fields.get(name)
        if field is None:
            raise TypeError(f"messages have no property {name}")
        text = field.write(value, now)
        return [] if text is None else [encode_header(field.header, text)]

    def _headers(self, headers: object) -> list[bytes]:
        if not isinstance(headers, Mapping):
            raise TypeError(f"property headers must be a mapping, not {headers!r}")
        lines = []
        typed = {}
        for name, value in headers.items():
            check_name(name)
            text = _as_text(value)
            if text is not None and name not in self._taken:
                lines.append(encode_header(name, text))
            if not isinstance(value, str) or name in self._taken:
                typed[name] = value
        if typed:
            lines.append(encode_header(TYPED, _dump(typed)))
        return lines

    # --- reading -------------------------------------------------------------

    def decode(self, frame: Frame) -> dict[str, object]:
        """
        The properties of a MESSAGE.

        A header of an AMQP message may be called as a property is.  It comes
        before that, and often is no value that the property could have.

        @raise DecodeError: a value has bytes that are no UTF-8, or our own header
            cannot be understood.
        """
        texts: dict[str, str] = {}
        headers: dict[str, object] = {}
        meanings = self._meanings
        for name, value in frame.pairs:
            known = meanings.get(name)
            if known is None:
                if not (name.isascii() and value.isascii()):
                    name = _readable(name)
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
            field = self._fields[known]
            if not text.isascii():
                _check_utf8(field.header, text)
            try:
                properties[known] = text if field.read is str else field.read(text)
            except (ValueError, OverflowError, OSError):
                headers.setdefault(field.header, text)
        if TYPED in frame.headers:
            _restore(headers, frame.headers[TYPED])
        properties["headers"] = headers
        return properties


def check_name(name: object) -> None:
    """
    @raise TypeError: the name of a user's header is no str.
    @raise ValueError: it is empty, too long, or one of ours.
    """
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
    """What others are to see under a header's own name."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _dump(headers: Mapping[str, object]) -> str:
    try:
        text = jsoncodec.dumps(headers)
        _check_numbers(text)
        return text
    except (TypeError, ValueError):
        for name, value in headers.items():
            _dump_one(name, value)
        raise


def _check_numbers(text: str) -> None:
    """@raise ValueError: there is a number in some JSON that JSON does not have."""
    if "NaN" in text or "Infinity" in text:
        json.loads(text, parse_constant=_refuse_number)


def _refuse_number(name: str) -> None:
    raise ValueError(f"{name} is no number that other programs could read")


def _dump_one(name: str, value: object) -> None:
    """@raise TypeError: it is this one that cannot be written, or ValueError."""
    try:
        _check_numbers(jsoncodec.dumps(value))
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"the header {name!r} cannot be sent, it is a {type(value).__name__}: "
            f"{error}"
        ) from error


def _restore(headers: dict[str, object], text: str) -> None:
    """Put values that are no text back, unless someone has changed them since."""
    try:
        typed = jsoncodec.loads(text)
    except Exception as error:
        raise DecodeError(f"a message's header {TYPED} is no JSON: {error}") from error
    if not isinstance(typed, dict):
        raise DecodeError(f"a message's header {TYPED} is no object")
    for name, value in typed.items():
        if name not in headers or headers[name] == _as_text(value):
            headers[name] = value


def _readable(name: str) -> str:
    """Escape bytes that are no UTF-8: one odd name must not hide all the others."""
    raw = name.encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")


def _check_utf8(name: str, value: str) -> None:
    try:
        name.encode()
        value.encode()
    except UnicodeEncodeError:
        raise DecodeError(
            f"a message's header {name!r} has bytes that are no UTF-8"
        ) from None
