"""
Bytes to frames, without any I/O (STOMP 1.2, "Augmented BNF").

A header may hold bytes that are not UTF-8.  The connection must survive them: they are
kept as lone surrogates (Python's C{surrogateescape}), and encoding a header finds them.

docs/project/adr/0002-own-stomp-parser.rst tells why this is not stompest's parser.  A
test makes sure that both read the same frames from a correct stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from re import compile as pattern
from typing import Final

from ...._util.heap import LARGE, keep_freed_memory
from ....exceptions import ProtocolError
from ...errors import spoken_in
from .stompest_core import StompSpec

HEAD_MOST: Final = 512 * 1024
"""
The most bytes of a frame's command and headers.  AMQP brings those of a message to
RabbitMQ in one frame of 128 KiB, and escapes may double them.  Every message that can
be published must be readable.
"""

BODY_MOST: Final = 128 * 1024 * 1024
"""The most bytes of a frame's body; RabbitMQ and ActiveMQ allow no more by default."""

_LOGIN_MOST: Final = 32 * 1024
"""The most bytes of the answer to a login."""

MESSAGE: Final = StompSpec.MESSAGE
RECEIPT: Final = StompSpec.RECEIPT
ERROR: Final = StompSpec.ERROR

_COMMANDS: Final = (MESSAGE, RECEIPT, ERROR)
_ANSWERS: Final = (StompSpec.CONNECTED, ERROR)
_TLS_ALERT: Final = b"\x15\x03"
_ENDS_OF_LINE: Final = frozenset(b"\r\n")
_CR: Final = ord("\r")
_BACKSLASH: Final = ord("\\")
_receipts = pattern(rb"(?:RECEIPT\nreceipt-id:[0-9]{1,20}\n\n\0[\r\n]*)+").match
_numbers = pattern(rb"[0-9]+").findall
_ESCAPE: Final = pattern(r"\\(.?)")
_UNESCAPED: Final[dict[str, str]] = StompSpec.ESCAPED_CHARACTERS[StompSpec.VERSION_1_2]
_LENGTH: Final = pattern(r"[0-9]{1,15}")


class Frame:
    """
    One frame from a broker.

    @ivar command: such as C{"MESSAGE"}.
    @ivar headers: unescaped; of repeated headers the first, which is the one that
        counts (STOMP 1.2, "Repeated Header Entries").
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
        """@param repeated: all headers in their order, if a name is repeated."""
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
        """Return the last header of a name."""
        if self._repeated is None:
            return self.headers.get(name, default)
        return dict(self._repeated).get(name, default)

    def ends_with(self, name: str) -> bool:
        """Tell whether the last header has this name; there is at least one header."""
        if self._repeated is None:
            return next(reversed(self.headers)) == name
        return self._repeated[-1][0] == name

    def __repr__(self) -> str:
        return f"<Frame {self.command} with a body of {len(self.body)} bytes>"


class StompFrameParser:
    """
    Cuts a stream of bytes into frames, in time linear in its length.

    No memory is reserved for bytes that have not come.
    """

    def __init__(
        self,
        max_head: int = HEAD_MOST,
        max_body: int = BODY_MOST,
        login: bool = False,
        length_is_last: bool = False,
    ) -> None:
        """
        @param login: whether the first frame is the answer to a login, in which
            nothing is escaped; L{logged_in} has to be called when it has come.
        """
        self._max_head = max_head
        self._max_body = max_body
        self._commands = _ANSWERS if login else _COMMANDS
        self._answer_left: int | None = _LOGIN_MOST if login else None
        self._length_is_last = length_is_last
        self._kept = bytearray()  # a frame that is not complete
        self._seek = 0  # how much of it was searched for the end of its head or body
        self._frame: Frame | None = None  # its head, if that is complete
        self._begin = 0  # where its body begins
        self._length: int | None = None  # the bytes of its body, if it tells them

    def logged_in(self) -> None:
        """Read all frames from now on as those of an open connection."""
        self._commands = _COMMANDS
        self._answer_left = None

    def expect_length_last(self, is_last: bool) -> None:
        """
        Tell whether a C{content-length} is always the last header.  RabbitMQ writes it
        there if there is a body; one elsewhere is a header of an AMQP message.
        """
        self._length_is_last = is_last

    def feed(self, data: bytes) -> Iterator[Frame]:
        """
        Take more bytes, and yield each frame that they complete.  The iterator has to
        be exhausted before the next call.

        @raise ProtocolError: this is not a broker's stream of STOMP frames, or a
            frame is too large.  Nothing more can be read.
        """
        if self._answer_left is not None:
            self._answer_left -= len(data)
            if self._answer_left < 0:
                raise ProtocolError(
                    f"the answer to a login is larger than {_LOGIN_MOST} bytes"
                )
        source: bytes | bytearray = data
        if self._kept:
            self._kept += data
            source = self._kept
        start, end = 0, len(source)
        while True:
            if self._frame is None:
                while start < end and source[start] in _ENDS_OF_LINE:
                    start += 1
                if start == end:
                    break
                numbers, start = self._receipts(source, start)
                if numbers:
                    for number in numbers:
                        yield Frame(RECEIPT, {"receipt-id": number.decode()})
                    continue
            frame, stop = self._cut(source, start)
            if frame is None:
                break
            yield frame
            start = stop
        if source is data:
            self._kept += data[start:]
        else:
            del self._kept[:start]

    def _receipts(
        self, source: bytes | bytearray, start: int
    ) -> tuple[list[bytes], int]:
        """
        Cut receipts that stand side by side; return their numbers and where they end.
        """
        found = _receipts(source, start)
        if found is None or self._commands is not _COMMANDS:
            return [], start
        self._seek = 0
        return _numbers(found[0]), found.end()

    def _cut(self, source: bytes | bytearray, start: int) -> tuple[Frame | None, int]:
        """Cut one frame, if it is complete; return where the next one begins, too."""
        frame = self._frame or self._cut_head(source, start)
        if frame is None:
            return None, start
        begin = start + self._begin
        if self._length is None:
            stop = source.find(b"\0", max(begin, start + self._seek))
        else:
            stop = begin + self._length
        if not 0 <= stop < len(source):
            self._frame = frame
            self._seek = len(source) - start
            if self._length is None and len(source) - begin > self._max_body:
                raise self._too_large("a body")
            return None, start
        if source[stop]:
            raise ProtocolError("a frame lacks its end: its content-length is wrong")
        if stop - begin > self._max_body:
            raise self._too_large("a body")
        if isinstance(source, bytes):
            frame.body = source[begin:stop]
        else:
            with memoryview(source) as view:
                frame.body = bytes(view[begin:stop])
            if stop - begin >= LARGE:
                keep_freed_memory()
        self._frame = None
        self._seek = 0
        return frame, stop + 1

    def _cut_head(self, source: bytes | bytearray, start: int) -> Frame | None:
        """Read the head of a frame; return C{None} if its end has not come."""
        seek, most = start + max(0, self._seek - 2), start + self._max_head
        stop = source.find(b"\n\n", seek, most)
        other = source.find(b"\n\r\n", seek, most if stop < 0 else stop + 1)
        begin = stop + 2
        if other >= 0:
            stop, begin = other, other + 3
        if stop < 0:
            if len(source) - start >= self._max_head:
                raise ProtocolError(
                    f"a frame's head is larger than {self._max_head} bytes"
                )
            self._seek = len(source) - start
            check_begin(bytes(source[start : start + 16]), *self._commands)
            return None
        frame = self._frame_of(bytes(source[start:stop]))
        self._length = self._length_of(frame)
        self._begin = begin - start
        self._seek = self._begin
        return frame

    def _length_of(self, frame: Frame) -> int | None:
        """Return the C{content-length} of a frame, if it has one."""
        if "content-length" not in frame.headers:
            return None
        if self._length_is_last and not frame.ends_with("content-length"):
            return None
        # RabbitMQ writes its own behind one that is a header of an AMQP message.
        told = frame.last("content-length")
        if _LENGTH.fullmatch(told) is None:
            raise ProtocolError(f"a frame's content-length is {told[:40]!r}")
        length = int(told)
        if length > self._max_body:
            raise self._too_large(f"a body of {length} bytes")
        return length

    def _too_large(self, what: str) -> ProtocolError:
        return ProtocolError(
            f"{what} is larger than {self._max_body} bytes, the max_message_size of "
            "this connection"
        )

    def _frame_of(self, head: bytes) -> Frame:
        """Read a head, which is given without the last line's end."""
        command, *lines = head.decode("utf-8", "surrogateescape").split("\n")
        if _CR in head:
            command = command.removesuffix("\r")
            lines = [line.removesuffix("\r") for line in lines]
        if command not in self._commands:
            check_begin(head[:16] + b"\n", *self._commands)
        is_escaped = _BACKSLASH in head and self._commands is _COMMANDS
        try:
            pairs = [
                _unescaped(line) if is_escaped and "\\" in line else line.split(":", 1)
                for line in lines
            ]
            headers = dict(pairs)
        except (KeyError, ValueError):
            raise ProtocolError("a header has no colon, or a wrong escape") from None
        if len(headers) == len(pairs):
            return Frame(command, headers)
        headers = dict(reversed(pairs))
        return Frame(command, headers, b"", [(name, value) for name, value in pairs])


def check_begin(begin: bytes, *commands: str) -> None:
    """@raise ProtocolError: a frame begins with none of the commands that may come."""
    line, ended, _ = begin.partition(b"\n")
    line = line.removesuffix(b"\r")
    for command in commands:
        known = command.encode()
        if line == known or (not ended and known.startswith(line)):
            return
    text = f"no frame of a STOMP broker begins with {begin!r}"
    if begin.startswith(_TLS_ALERT):
        text += ", which is TLS: use stomp+ssl://"
    else:
        text += spoken_in(begin)
    raise ProtocolError(text)


def _unescaped(line: str) -> list[str]:
    pair = line.split(":", 1)
    if line.count("\\") == line.count("\\c"):
        return [field.replace("\\c", ":") for field in pair]
    return [_ESCAPE.sub(lambda found: _UNESCAPED[found[1]], field) for field in pair]
