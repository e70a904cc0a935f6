"""
Frames of STOMP 1.2, and how their headers are written.

A header that came may hold bytes that are no UTF-8: whoever put them there, the
connection must live on.  They are kept as lone surrogates (Python's
C{surrogateescape}), and whoever needs the header finds them by encoding it.
"""

from __future__ import annotations

from collections.abc import Iterable
from re import compile as pattern
from typing import Final

SEND: Final = "SEND"

END: Final = b"\0"
"""Ends every frame (STOMP 1.2, "STOMP Frames")."""

HEARTBEAT: Final = b"\n"
"""May come between frames (STOMP 1.2, "Heart-beating")."""

_is_special = pattern("[\\\\\r\n:\0\ud800-\udfff]").search


class Frame:
    """
    One frame that came from a broker.

    @ivar command: such as C{"MESSAGE"}.
    @ivar headers: unescaped; of those of one name the first, which is the one
        that counts (STOMP 1.2, "Repeated Header Entries").
    @ivar body: its bytes.
    """

    __slots__ = ("_repeated", "body", "command", "headers")

    def __init__(
        self,
        command: str,
        headers: dict[str, str],
        body: bytes = b"",
        repeated: list[tuple[str, str]] | None = None,
    ) -> None:
        """
        @param repeated: all headers in their order, if some come twice.
        """
        self.command = command
        self.headers = headers
        self.body = body
        self._repeated = repeated

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """All headers, in their order."""
        if self._repeated is None:
            return list(self.headers.items())
        return self._repeated

    def last(self, name: str, default: str = "") -> str:
        """
        The last of the headers of a name.

        RabbitMQ writes the headers of an AMQP message before its properties, so
        one that is called as a property comes first.
        """
        if self._repeated is None:
            return self.headers.get(name, default)
        return dict(self._repeated).get(name, default)

    def ends_with(self, name: str) -> bool:
        """Whether the last of its headers, of which there are some, is called so."""
        if self._repeated is None:
            return next(reversed(self.headers)) == name
        return self._repeated[-1][0] == name

    def __repr__(self) -> str:
        return f"<Frame {self.command} with a body of {len(self.body)} bytes>"


def escape(text: str) -> str:
    """A name or a value of a header as it is written."""
    # Many times faster than one substitution; the first has to be the first.
    text = text.replace("\\", "\\\\").replace(":", "\\c")
    return text.replace("\n", "\\n").replace("\r", "\\r")


def _field(text: str, header: str) -> bytes:
    if "\0" in text:
        raise ValueError(f"the header {header!r} has a zero byte, which ends a frame")
    try:
        return escape(text).encode()
    except UnicodeEncodeError:
        raise ValueError(f"the header {header!r} cannot be written as UTF-8") from None


def encode_header(name: str, value: str) -> bytes:
    """
    One line of a head, with its end, escaped (STOMP 1.2, "Value Encoding").

    @raise ValueError: it cannot be written; the value is not shown.
    """
    if not name:
        raise ValueError("a header needs a name")
    if _is_special(name) is None and _is_special(value) is None:
        return f"{name}:{value}\n".encode()
    return b"%b:%b\n" % (_field(name, name), _field(value, name))


def encode_frame(
    command: str, headers: Iterable[tuple[str, str]], body: bytes = b""
) -> bytes:
    """
    A whole frame; with C{content-length} if it may have a body, since the body
    may have zero bytes.

    @raise ValueError: a header cannot be written.
    """
    lines = [command.encode("ascii"), b"\n"]
    lines += [encode_header(name, value) for name, value in headers]
    if body or command == SEND:
        lines.append(b"content-length:%d\n" % len(body))
    return b"".join((*lines, b"\n", body, END))
