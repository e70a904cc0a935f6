"""
Bytes to frames, without any I/O (STOMP 1.2, "Augmented BNF").

For what comes after the login, where it comes by the million.  stompest's parser
takes 4 times as long for a receipt and twice as long for a message; it knows no
limits, is lost after a header that is no UTF-8, and takes CR LF between frames for
an error.  On what is right its frames are the same, which a test makes sure of.
"""

from __future__ import annotations

from collections.abc import Iterator
from re import Match
from re import compile as pattern
from typing import Final

from ....exceptions import ProtocolError
from ...errors import spoken_in
from .frames import Frame

HEAD_MOST: Final = 512 * 1024
"""
The most bytes of a frame's command and headers.  By AMQP those of a message come to
RabbitMQ in one frame of 128 KiB, and escapes may double them: a message that can be
published must not be one that nobody can ever read.
"""

BODY_MOST: Final = 128 * 1024 * 1024
"""The most bytes of a frame's body; RabbitMQ and ActiveMQ allow no more by default."""

MESSAGE: Final = "MESSAGE"
RECEIPT: Final = "RECEIPT"
ERROR: Final = "ERROR"

_COMMANDS: Final = (MESSAGE, RECEIPT, ERROR)
_TLS_ALERT: Final = b"\x15\x03"
_ENDS_OF_LINE: Final = frozenset(b"\r\n")
_receipts = pattern(rb"(?:RECEIPT\nreceipt-id:[0-9]{1,20}\n\n\0[\r\n]*)+").match
_numbers = pattern(rb"[0-9]+").findall
_ESCAPE: Final = pattern(r"\\(.?)")
_UNESCAPED: Final = {"\\": "\\", "c": ":", "n": "\n", "r": "\r"}
_LENGTH: Final = pattern(r"[0-9]{1,15}")


class StompFrameParser:
    """
    Cuts a stream of bytes into frames, in time linear in its length.

    Nothing is set aside for a frame before its bytes are there.

    @ivar length_is_last: whether a C{content-length} is the last header of a frame;
        RabbitMQ writes it there if there is a body, and one elsewhere is a header
        of an AMQP message.
    """

    __slots__ = (
        "_body_most",
        "_frame",
        "_kept",
        "_length",
        "_max_head",
        "_seek",
        "length_is_last",
    )

    def __init__(self, head_most: int = HEAD_MOST, max_body: int = BODY_MOST) -> None:
        """
        @param head_most: bytes of a command and its headers.
        @param body_most: bytes of a body.
        """
        self._max_head = head_most
        self._body_most = max_body
        self._kept = bytearray()
        self._seek = 0
        self._frame: Frame | None = None  # its head is there, its body is not
        self._length: int | None = None
        self.length_is_last = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """
        Take more bytes, and give each frame they complete.  To be iterated to
        its end before it is called again.

        @raise ProtocolError: this is no stream of STOMP frames that a broker
            sends, or one is too large; the stream is of no more use.
        """
        if self._kept or self._frame is not None:
            frame, data = self._resume(data)
            if frame is not None:
                yield frame
        start, end = 0, len(data)
        while True:
            while start < end and data[start] in _ENDS_OF_LINE:
                start += 1
            if start == end:
                return
            receipts = _receipts(data, start)
            if receipts is not None:
                for number in _numbers(receipts[0]):
                    yield Frame(RECEIPT, {"receipt-id": number.decode()})
                start = receipts.end()
                continue
            frame, start = self._cut(data, start)
            if frame is None:
                return
            yield frame

    def _resume(self, data: bytes) -> tuple[Frame | None, bytes]:
        """
        Go on with a frame of which a part was kept.

        @return: it, if it is there by now; and what is to be cut next.
        """
        self._kept += data
        if self._frame is not None:
            return self._finish(self._frame)
        if not self._has_head():
            return None, b""
        data = bytes(self._kept)
        self._kept.clear()
        return None, data

    def _cut(self, data: bytes, start: int) -> tuple[Frame | None, int]:
        """
        Cut one frame, or keep what is there of it.

        @return: the frame, if it is there; and where the next begins.
        """
        begin, stop = self._head(data, start)
        if not begin:
            self._keep_head(data[start:])
            return None, start
        frame = _frame_of(data[start:stop])
        length = self._length_of(frame)
        stop = data.find(b"\0", begin) if length is None else begin + length
        if not 0 <= stop < len(data):
            self._keep_body(frame, length, data[begin:])
            return None, start
        if data[stop] or stop - begin > self._body_most:
            self._check_end(data[stop], stop - begin)
        frame.body = data[begin:stop]
        return frame, stop + 1

    def _head(self, data: bytes | bytearray, start: int) -> tuple[int, int]:
        """
        Look for the end of a head.

        @return: where its body begins and its last line ends; 0 if it is not
            there yet.
        """
        maximum = start + self._max_head
        stop = data.find(b"\n\n", start, maximum)
        other = data.find(b"\n\r\n", start, maximum if stop < 0 else stop + 1)
        if other >= 0:
            return other + 3, other
        return (stop + 2, stop) if stop >= 0 else (0, 0)

    def _keep_head(self, rest: bytes) -> None:
        self._kept += rest
        self._check_head(rest)

    def _has_head(self) -> bool:
        """Whether a head that has begun is there by now."""
        kept = self._kept
        if self._head(kept, max(0, self._seek - 2))[0]:
            return True
        self._check_head(kept)
        return False

    def _check_head(self, kept: bytes | bytearray) -> None:
        """Look at a head that is not there yet, as far as it is."""
        if len(kept) >= self._max_head:
            raise ProtocolError(f"a frame's head is larger than {self._max_head} bytes")
        self._seek = len(kept)
        check_begin(bytes(kept[:16]), *_COMMANDS)

    def _length_of(self, frame: Frame) -> int | None:
        """
        The number of bytes that a body says it has.

        Of several the last one tells: RabbitMQ writes its own behind those that
        an AMQP message may have among its headers.
        """
        if "content-length" not in frame.headers:
            return None
        if self.length_is_last and not frame.ends_with("content-length"):
            return None
        told = frame.last("content-length")
        if _LENGTH.fullmatch(told) is None:
            raise ProtocolError(f"a frame's content-length is {told[:40]!r}")
        length = int(told)
        if length > self._body_most:
            raise self._too_large(f"a body of {length} bytes")
        return length

    def _keep_body(self, frame: Frame, length: int | None, rest: bytes) -> None:
        self._frame, self._length = frame, length
        self._kept += rest
        self._seek = len(rest)
        self._check_size(self._seek)

    def _check_size(self, size: int) -> None:
        # One with a length may be followed by its end and by other frames.
        if self._length is None and size > self._body_most:
            raise self._too_large("a body")

    def _too_large(self, what: str) -> ProtocolError:
        return ProtocolError(
            f"{what} is larger than {self._body_most} bytes, the max_message_size of "
            "this connection"
        )

    def _check_end(self, byte: int, size: int) -> None:
        if byte:
            raise ProtocolError("a frame lacks its end: its content-length is wrong")
        if size > self._body_most:
            raise self._too_large("a body")

    def _finish(self, frame: Frame) -> tuple[Frame | None, bytes]:
        """
        Give a frame its body, if that is there by now.

        @return: as that of L{_resume}.
        """
        kept = self._kept
        stop = self._length
        if stop is None:
            stop = kept.find(b"\0", self._seek)
        if not 0 <= stop < len(kept):
            self._seek = len(kept)
            self._check_size(self._seek)
            return None, b""
        self._check_end(kept[stop], stop)
        with memoryview(kept) as view:
            frame.body = bytes(view[:stop])
            rest = bytes(view[stop + 1 :])
        kept.clear()
        self._frame = None
        return frame, rest


def check_begin(begin: bytes, *commands: str) -> None:
    """
    @param begin: the first bytes of a frame.
    @param commands: those that it may have.
    @raise ProtocolError: it has none of them.
    """
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


def _frame_of(head: bytes) -> Frame:
    """
    Read a head.

    @param head: without the last line's end.
    """
    command, *lines = head.decode("utf-8", "surrogateescape").split("\n")
    if b"\r" in head:
        command = command.removesuffix("\r")
        lines = [line.removesuffix("\r") for line in lines]
    if command not in _COMMANDS:
        check_begin(head[:16] + b"\n", *_COMMANDS)
    try:
        pairs = [
            _unescaped(line) if "\\" in line else line.split(":", 1) for line in lines
        ]
        headers = dict(pairs)
    except ValueError:
        raise ProtocolError("a header has no colon, or a wrong escape") from None
    if len(headers) == len(pairs):
        return Frame(command, headers)
    headers = dict(reversed(pairs))
    return Frame(command, headers, b"", [(name, value) for name, value in pairs])


def _unescaped(line: str) -> list[str]:
    pair = line.split(":", 1)
    if line.count("\\") == line.count("\\c"):
        return [field.replace("\\c", ":") for field in pair]
    return [_ESCAPE.sub(_unescape, field) for field in pair]


def _unescape(found: Match[str]) -> str:
    try:
        return _UNESCAPED[found[1]]
    except KeyError:
        raise ValueError(found[0]) from None
