"""How messages are shown: for people, as lines of JSON, or as they are."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import date, time
from math import isfinite
from typing import Any, ClassVar, Final

from twisted.python import usage

from .._util.suggestions import known_names
from ..exceptions import DecodeError, printable
from ..message import Message
from .options import OptionTable, QueueOptions


def _pretty(message: Message) -> bytes:
    """Show where a message came from, its properties and headers, and its body."""
    again = ", redelivered" if message.redelivered else ""
    source = message.delivery_info["exchange"]
    lines = [f"--- exchange {source!r}, routing key {message.routing_key!r}{again}"]
    properties = dict(message.properties_or_empty)
    properties.pop("headers", None)
    for name, value in {**properties, **message.headers_or_empty}.items():
        lines.append(f"{name}: {_plain(value)}")
    return ("\n".join([*map(printable, lines), "", _pretty_body(message), ""])).encode()


def _pretty_body(message: Message) -> str:
    value = _value(message)
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    if not isinstance(value, str):
        value = json.dumps(value, indent=2, ensure_ascii=False)
    return _lines_without_controls(value)


def _lines_without_controls(text: str) -> str:
    return "\n".join(map(_without_controls, text.split("\n")))


def _without_controls(line: str) -> str:
    """Escape what a terminal would obey, but for tabs."""
    return "\t".join(printable(part) for part in line.split("\t"))


def _json(message: Message) -> bytes:
    """Show a message as one line of JSON."""
    properties = dict(message.properties_or_empty)
    properties.pop("headers", None)
    value = _value(message)
    shown = {
        "exchange": message.delivery_info["exchange"],
        "routing_key": message.routing_key,
        "redelivered": message.redelivered,
        "properties": _for_json(properties),
        "headers": _for_json(message.headers_or_empty),
        "body": value,
    }
    if isinstance(value, bytes):
        shown["body"] = None
        shown["body_base64"] = _for_json(value)
    return json.dumps(shown).encode() + b"\n"


def _raw(message: Message) -> bytes:
    """Show the bytes of a body, decompressed if that is possible."""
    try:
        return message.body
    except DecodeError:
        return message.raw_body


Format = Callable[[Message], bytes]
FORMATS: Final[Mapping[str, Format]] = {
    "pretty": _pretty,
    "json": _json,
    "raw": _raw,
}


class ShowingOptions(QueueOptions):
    """The options of commands that show messages of a queue."""

    optParameters: ClassVar[OptionTable] = (
        ("format", "f", "pretty", "pretty, json (a line each) or raw (the body)."),
    )

    def postOptions(self) -> None:
        """Check the format."""
        super().postOptions()
        name = self["format"]
        if name not in FORMATS:
            hint = known_names(name, FORMATS)
            raise usage.UsageError(f"--format: there is no format {name!r}; {hint}")

    def shown(
        self, message: Message, on_terminal: bool, several: bool = False
    ) -> bytes:
        """
        Return what to write of a message.

        @param message: the message.
        @param on_terminal: whether a terminal shows it, which obeys raw bytes.
        @param several: whether others follow, so that a line break is needed.
        """
        shown = FORMATS[self["format"]](message)
        if self["format"] != "raw":
            return shown
        if on_terminal:
            shown = _lines_without_controls(shown.decode(errors="replace")).encode()
        return shown + b"\n" if several else shown


def _value(message: Message) -> Any:
    """
    Return the decoded body as JSON has it, or a text; the bytes if it is neither, or
    cannot be decoded.
    """
    try:
        value = message.payload
        if not isinstance(value, str | bytes):
            value = _for_json(value)
            json.dumps(value)
    except (DecodeError, ValueError, RecursionError):
        value = _raw(message)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return value


def _plain(value: object) -> str:
    """Show a property or header."""
    value = _for_json(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _for_json(value: object) -> Any:
    """Return a value as JSON has it: bytes as Base64, other things as texts."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, str) else str(key): _for_json(value[key])
            for key in value
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_for_json(each) for each in value]
    if isinstance(value, bytes | bytearray):
        return b64encode(value).decode()
    return value.isoformat() if isinstance(value, date | time) else str(value)
