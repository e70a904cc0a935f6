"""
Frames from bytes, and bytes from frames, without any I/O (AMQP 0-9-1, 4.2.3).

A frame is a type, a channel number, a size, so many bytes of payload, and one
octet that marks its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final

from ...exceptions import ProtocolError

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
HEARTBEAT: Final = 8

OVERHEAD: Final = 8
"""The bytes of a frame around its payload."""

FRAME_MAX: Final = 131072
"""What we ask for, and the limit until a limit is agreed on, in bytes."""

_KINDS: Final = frozenset((METHOD, HEADER, BODY, HEARTBEAT))
_END: Final = 0xCE
_TLS_ALERT: Final = b"\x15\x03"
_HEAD: Final = Struct(">BHI")
_HEAD_SIZE: Final = _HEAD.size

HEARTBEAT_FRAME: Final = _HEAD.pack(HEARTBEAT, 0, 0) + bytes((_END,))


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """The bytes of one frame."""
    return _HEAD.pack(kind, channel, len(payload)) + payload + b"\xce"


def body_frames(channel: int, body: bytes, frame_max: int) -> list[bytes]:
    """
    The frames of a body, in pieces.

    @param frame_max: the size of a whole frame at most; 0 is no limit.
    """
    most = frame_max - OVERHEAD if frame_max else len(body)
    if len(body) <= most:
        return [frame(BODY, channel, body)] if body else []
    return [
        frame(BODY, channel, body[start : start + most])
        for start in range(0, len(body), most)
    ]


def _no_frame(head: bytes) -> str:
    text = f"no frame of AMQP 0-9-1 begins with {head!r}"
    if head.startswith(b"AMQP"):
        return f"{text}, which asks for another version of the protocol"
    if head.startswith(_TLS_ALERT):
        return f"{text}, which is TLS: use amqps://"
    return text


class FrameParser:
    """
    Cuts a stream of bytes into frames, in time linear in its length.

    Nothing is set aside for a frame before its bytes are there.

    @ivar frame_max: the size of a whole frame at most; 0 is no limit.
    """

    __slots__ = ("_kept", "_needed", "frame_max")

    def __init__(self) -> None:
        self.frame_max = FRAME_MAX
        self._kept = bytearray()
        self._needed = 1

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """
        Take more bytes, and give each frame they complete as (type, channel,
        payload).  To be iterated to its end before it is called again.

        @raise ProtocolError: this is no stream of AMQP frames.
        """
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return
            data = bytes(self._kept)
            self._kept.clear()
        start, end = 0, len(data)
        while start < end:
            if data[start] not in _KINDS:
                raise ProtocolError(_no_frame(data[start : start + 16]))
            if end - start < _HEAD_SIZE:
                break
            kind, channel, size = _HEAD.unpack_from(data, start)
            self._check(size)
            start += _HEAD_SIZE
            stop = start + size
            if stop >= end:
                start -= _HEAD_SIZE
                break
            if data[stop] != _END:
                raise ProtocolError(f"a frame of {size} bytes lacks its end")
            yield kind, channel, data[start:stop]
            start = stop + 1
        if start < end:
            self._keep(data[start:])

    def _check(self, size: int) -> None:
        if self.frame_max and size > self.frame_max - OVERHEAD:
            raise ProtocolError(
                f"a frame of {size + OVERHEAD} bytes is larger than {self.frame_max}, "
                "the size agreed on"
            )

    def _keep(self, rest: bytes) -> None:
        self._kept += rest
        self._needed = _HEAD_SIZE
        if len(rest) >= _HEAD_SIZE:
            self._needed = _HEAD.unpack_from(rest)[2] + OVERHEAD
