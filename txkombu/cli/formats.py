"""How messages are shown: for people, as lines of JSON, or as they are."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
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
        value = json.dumps(value, indent=2, ensure_ascii=False, default=_other)
    return "\n".join(printable(line) for line in value.split("\n"))


def _json(message: Message) -> bytes:
    """Show a message as one line of JSON."""
    properties = dict(message.properties_or_empty)
    properties.pop("headers", None)
    value = _value(message)
    shown = {
        "exchange": message.delivery_info["exchange"],
        "routing_key": message.routing_key,
        "redelivered": message.redelivered,
        "properties": properties,
        "headers": message.headers_or_empty,
        "body": value,
    }
    if isinstance(value, bytes):
        shown["body"] = None
        shown["body_base64"] = value
    return json.dumps(shown, default=_other).encode() + b"\n"


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

    def shown(self, message: Message, several: bool = False) -> bytes:
        """
        Return what to write of a message.

        @param message: the message.
        @param several: whether others follow, so that a line break is needed.
        """
        shown = FORMATS[self["format"]](message)
        return shown + b"\n" if several and self["format"] == "raw" else shown


def _value(message: Message) -> Any:
    """Return the decoded body; if it cannot be decoded or shown, its bytes."""
    try:
        value = message.payload
        if not isinstance(value, str | bytes):
            json.dumps(value, default=_other)
    except (DecodeError, ValueError, TypeError, RecursionError):
        value = _raw(message)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return value


def _plain(value: object) -> str:
    """Show a property or header."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=_other)


def _other(value: object) -> Any:
    """Show in JSON what JSON has not."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return b64encode(value).decode()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)
