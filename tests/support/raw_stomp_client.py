"""
A STOMP client on a blocking socket, for what brokers do by themselves.

It shares no code with the library: what it sees is the wire.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import attrs
from typing_extensions import Self

from tests.support.broker_process import HOST

LIMIT = 30.0
"""Seconds to wait for what has to come."""
QUIET = 0.25
"""Seconds after which nothing more is expected of an idle broker."""

Headers = Mapping[str, object] | Iterable[tuple[str, object]]

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", ":": "\\c"}
_PLAIN = {escape: char for char, escape in _ESCAPES.items()}


def escape(text: str) -> str:
    """Escape a name or a value of a header, as of STOMP 1.2."""
    return re.sub(r"[\\\n\r:]", lambda found: _ESCAPES[found[0]], text)


def _unescape(text: str) -> str:
    return re.sub(r"\\.", lambda found: _PLAIN[found[0]], text)


def encode(command: str, headers: Headers, body: bytes = b"") -> bytes:
    """A frame; C{content-length} is what the headers say, or missing."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lines = [f"{escape(name)}:{escape(str(value))}\n" for name, value in pairs]
    head = f"{command}\n{''.join(lines)}\n".encode("utf-8", "surrogateescape")
    return head + body + b"\0"


@attrs.frozen
class RawFrame:
    """A frame that came."""

    command: str
    headers: dict[str, str]
    body: bytes

    def __getitem__(self, name: str) -> str:
        return self.headers[name]


class Raw:
    """
    One connection, logged in.

    @ivar greeting: the broker's answer to the login.
    @ivar inbox: MESSAGEs that came while something else was awaited.
    """

    def __init__(self, port: int, login: str = "guest", **headers: str) -> None:
        self._socket = socket.create_connection((HOST, port), LIMIT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""
        self._receipts = 0
        self.inbox: list[RawFrame] = []
        pairs = {"accept-version": "1.2", "host": "/", "login": login}
        self.send("STOMP", {**pairs, "passcode": login, **headers})
        self.greeting = self.next_frame()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection without a word."""
        self._socket.close()

    def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._socket.sendall(data)

    def send(self, command: str, headers: Headers, body: bytes = b"") -> None:
        """Write one frame."""
        self.write(encode(command, headers, body))

    def publish(self, destination: str, body: bytes = b"x", **headers: Any) -> None:
        """SEND with a receipt, and wait for it."""
        pairs = {"destination": destination, "content-length": len(body), **headers}
        answer = self.request("SEND", pairs, body)
        if answer.command != "RECEIPT":
            raise AssertionError(answer)

    def subscribe(self, destination: str, id: object = "s", **headers: Any) -> None:
        """SUBSCRIBE with a receipt, and wait for it."""
        pairs = {"destination": destination, "id": id, "ack": "client-individual"}
        answer = self.request("SUBSCRIBE", {**pairs, **headers})
        if answer.command != "RECEIPT":
            raise AssertionError(answer)

    def request(self, command: str, headers: Headers, body: bytes = b"") -> RawFrame:
        """Write a frame, and wait for its RECEIPT or an ERROR."""
        self._receipts += 1
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        self.send(command, [*pairs, ("receipt", f"r{self._receipts}")], body)
        while (frame := self.next_frame()).command == "MESSAGE":
            self.inbox.append(frame)
        return frame

    def messages(self, count: int) -> list[RawFrame]:
        """The next MESSAGEs, so many, and no more for a moment."""
        found = self.inbox[:]
        del self.inbox[:]
        while len(found) < count:
            found.append(self.next_frame())
        while (frame := self.next_frame_within(QUIET)) is not None:
            found.append(frame)
        if len(found) != count or any(each.command != "MESSAGE" for each in found):
            raise AssertionError(found)
        return found

    def message(self) -> RawFrame:
        """The next MESSAGE."""
        if self.inbox:
            return self.inbox.pop(0)
        frame = self.next_frame()
        if frame.command != "MESSAGE":
            raise AssertionError(frame)
        return frame

    def next_frame(self) -> RawFrame:
        """
        The next frame.

        @raise EOFError: the broker closed the connection.
        @raise TimeoutError: none came.
        """
        frame = self.next_frame_within(LIMIT)
        if frame is None:
            raise TimeoutError
        return frame

    def next_frame_within(self, seconds: float) -> RawFrame | None:
        """The next frame, if it comes in so many seconds."""
        while (frame := self._parse()) is None:
            self._socket.settimeout(seconds)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                return None
            except ConnectionResetError:
                data = b""
            if not data:
                raise EOFError("the broker closed the connection")
            self._data += data
        return frame

    def _parse(self) -> RawFrame | None:
        self._data = self._data.lstrip(b"\r\n")
        head, blank, rest = self._data.partition(b"\n\n")
        if not blank:
            return None
        command, *lines = head.decode("utf-8", "surrogateescape").split("\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(_unescape(name), _unescape(value))
        length = int(headers.get("content-length", rest.find(b"\0")))
        if length < 0 or len(rest) <= length:
            return None
        self._data = rest[length + 1 :]
        return RawFrame(command, headers, rest[:length])
