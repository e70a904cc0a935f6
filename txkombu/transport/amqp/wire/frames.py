"""
Frames from bytes, and bytes from frames, without any I/O (AMQP 0-9-1, 4.2.3).

A frame is a type, a channel number, a size, so many bytes of payload, and one
octet that marks its end.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
HEARTBEAT: Final = 8

OVERHEAD: Final = 8
"""The bytes of a frame around its payload."""

_HEAD: Final = Struct(">BHI")
_END: Final = b"\xce"

HEARTBEAT_FRAME: Final = _HEAD.pack(HEARTBEAT, 0, 0) + _END


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """The bytes of one frame."""
    return _HEAD.pack(kind, channel, len(payload)) + payload + _END


def body_frames(channel: int, body: bytes, frame_max: int) -> list[bytes]:
    """
    The frames of a body, in pieces.

    @param frame_max: the size of a whole frame at most; 0 is no limit.
    """
    maximum = frame_max - OVERHEAD if frame_max else len(body)
    if len(body) <= maximum:
        return [frame(BODY, channel, body)] if body else []
    return [
        frame(BODY, channel, body[start : start + maximum])
        for start in range(0, len(body), maximum)
    ]
