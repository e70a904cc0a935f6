"""
Frames, without any I/O (AMQP 0-9-1, 4.2.3).

A frame is a type, a channel number, a size, so many bytes of payload, and one
octet that marks its end.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, TypeVar

from ....exceptions import ProtocolError
from .errors import no_frame

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
HEARTBEAT: Final = 8
KINDS: Final = frozenset((METHOD, HEADER, BODY, HEARTBEAT))

HEAD: Final = Struct(">BHI")
"""What precedes the payload: the type, the channel's number, the payload's size."""
END: Final = 0xCE
OVERHEAD: Final = HEAD.size + 1
"""The bytes of a frame around its payload."""

_END: Final = bytes([END])

_Bytes = TypeVar("_Bytes", bytes, memoryview)

HEARTBEAT_FRAME: Final = HEAD.pack(HEARTBEAT, 0, 0) + _END


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Return the bytes of one frame."""
    return HEAD.pack(kind, channel, len(payload)) + payload + _END


def body_pieces(body: _Bytes, frame_max: int) -> list[_Bytes]:
    """
    Cut a body into the payloads of its frames; an empty one has none.

    @param frame_max: the size of a whole frame at most, in bytes; 0 is no limit.
    """
    size = len(body)
    maximum = frame_max - OVERHEAD if frame_max else size
    if size <= maximum:
        return [body] if body else []
    return [body[start : start + maximum] for start in range(0, size, maximum)]


def frame_size(data: bytes | memoryview, frame_max: int) -> int:
    """
    Return the whole size of a frame in bytes, or 0 if too little of it is there.

    @param data: the frame's beginning, at least one byte, and whatever follows.
    @param frame_max: the size of a whole frame at most, in bytes; 0 is no limit.
    @raise ProtocolError: no frame begins so, or it is too large.
    """
    if data[0] not in KINDS:
        raise no_frame(bytes(data))
    if len(data) < HEAD.size:
        return 0
    size: int = HEAD.unpack_from(data)[2] + OVERHEAD
    if 0 < frame_max < size:
        raise ProtocolError(
            f"a frame of {size} bytes is larger than {frame_max}, the size agreed on"
        )
    return size


def split_frame(whole: bytes) -> tuple[int, int, bytes]:
    """
    Return the type, the channel's number and the payload of a frame.

    @raise ProtocolError: the mark at its end is missing.
    """
    kind, number, size = HEAD.unpack_from(whole)
    if whole[-1] != END:
        raise ProtocolError(f"a frame of {size} bytes lacks its end")
    return kind, number, whole[HEAD.size : -1]
