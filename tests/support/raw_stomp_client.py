"""
A STOMP client on a blocking socket, for tests of the brokers themselves.

It shares no code with the library, and shows exactly what is on the wire.
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
"""
Seconds to wait for an expected frame.
"""
QUIET = 0.25
"""
Seconds after which an idle broker is expected to send nothing more.
"""

Headers = Mapping[str, object] | Iterable[tuple[str, object]]

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", ":": "\\c"}
_PLAIN = {escape: char for char, escape in _ESCAPES.items()}


def escape(text: str) -> str:
    """Escape the name or value of a header, as STOMP 1.2 demands."""
    return re.sub(r"[\\\n\r:]", lambda found: _ESCAPES[found[0]], text)


def _unescape(text: str) -> str:
    return re.sub(r"\\.", lambda found: _PLAIN[found[0]], text)


def encode(command: str, headers: Headers, body: bytes = b"") -> bytes:
    """
    Return the bytes of a frame; there is no C{content-length} unless the headers have
    one.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lines = [f"{escape(name)}:{escape(str(value))}\n" for name, value in pairs]
    head = f"{command}\n{''.join(lines)}\n".encode("utf-8", "surrogateescape")
    return head + body + b"\0"


@attrs.frozen
class RawFrame:
    """A received frame."""

    command: str
    headers: dict[str, str]
    body: bytes

    def __getitem__(self, name: str) -> str:
        return self.headers[name]


class Raw:
    """
    One connection, logged in.

    @ivar greeting: the headers of the broker's CONNECTED frame.
    @ivar inbox: MESSAGE frames that arrived while another frame was awaited.
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
        """Close the connection without DISCONNECT."""
        self._socket.close()

    def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._socket.sendall(data)

    def send(self, command: str, headers: Headers, body: bytes = b"") -> None:
        """Write one frame."""
        self.write(encode(command, headers, body))

    def publish(self, destination: str, body: bytes = b"x", **headers: Any) -> None:
        """Send a SEND frame, and wait for its receipt."""
        pairs = {"destination": destination, "content-length": len(body), **headers}
        answer = self.request("SEND", pairs, body)
        if answer.command != "RECEIPT":
            raise AssertionError(answer)

    def subscribe(self, destination: str, id: object = "s", **headers: Any) -> None:
        """Send a SUBSCRIBE frame, and wait for its receipt."""
        pairs = {"destination": destination, "id": id, "ack": "client-individual"}
        answer = self.request("SUBSCRIBE", {**pairs, **headers})
        if answer.command != "RECEIPT":
            raise AssertionError(answer)

    def request(self, command: str, headers: Headers, body: bytes = b"") -> RawFrame:
        """Send a frame, and wait for its RECEIPT or an ERROR."""
        self._receipts += 1
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        self.send(command, [*pairs, ("receipt", f"r{self._receipts}")], body)
        while (frame := self.next_frame()).command == "MESSAGE":
            self.inbox.append(frame)
        return frame

    def messages(self, count: int) -> list[RawFrame]:
        """
        Return the next so many MESSAGE frames; fail if more arrive within a moment.
        """
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
        """Return the next MESSAGE frame."""
        if self.inbox:
            return self.inbox.pop(0)
        frame = self.next_frame()
        if frame.command != "MESSAGE":
            raise AssertionError(frame)
        return frame

    def next_frame(self) -> RawFrame:
        """
        Return the next frame.

        @raise EOFError: the broker closed the connection.
        @raise TimeoutError: no frame arrived.
        """
        frame = self.next_frame_within(LIMIT)
        if frame is None:
            raise TimeoutError
        return frame

    def next_frame_within(self, seconds: float) -> RawFrame | None:
        """Return the next frame if it arrives within so many seconds, else None."""
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
