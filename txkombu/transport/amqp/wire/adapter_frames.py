"""
What a frame is (AMQP 0-9-1, 4.2.3), for those who leave most of it to a library: a
type, a channel's number, a size, so many bytes of payload, and an octet that ends it.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from pamqp import constants
from pamqp.frame import frame_parts

from ....exceptions import ProtocolError
from .errors import no_frame

OVERHEAD: Final = constants.FRAME_HEADER_SIZE + len(constants.FRAME_END_CHAR)
"""The bytes of a frame around its payload."""

_HEAD: Final = Struct(">BHI")
_KINDS: Final = (
    constants.FRAME_METHOD,
    constants.FRAME_HEADER,
    constants.FRAME_BODY,
    constants.FRAME_HEARTBEAT,
)


def frame(kind: int, number: int, payload: bytes) -> bytes:
    """The bytes of one frame."""
    head = _HEAD.pack(kind, number, len(payload))
    return b"".join((head, payload, constants.FRAME_END_CHAR))


def pieces(body: bytes, frame_max: int) -> list[bytes]:
    """
    The payloads of a body's frames.

    @param frame_max: the size of a whole frame at most, in bytes.
    """
    maximum = frame_max - OVERHEAD
    return [body[at : at + maximum] for at in range(0, len(body), maximum)]


def frame_size(data: bytes, frame_max: int) -> int:
    """
    Look at how a frame begins.

    @param data: what has come of it, one byte at least, and what follows.
    @param frame_max: the size of a whole frame at most, in bytes.
    @return: its whole size in bytes; 0 if that has not come yet.
    @raise ProtocolError: no frame begins so, or it is too large.
    """
    if data[0] not in _KINDS:
        raise no_frame(data)
    size = frame_parts(data)[2]
    if size is None:
        return 0
    if size + OVERHEAD > frame_max:
        raise ProtocolError(
            f"a frame of {size + OVERHEAD} bytes is larger than {frame_max}, the size "
            "agreed on"
        )
    return size + OVERHEAD


def parts(whole: bytes) -> tuple[int, int, bytes]:
    """
    @return: the type, the channel's number and the payload of a frame.
    @raise ProtocolError: it does not end as frames do.
    """
    if whole[-1] != constants.FRAME_END:
        raise ProtocolError(f"a frame of {len(whole)} bytes lacks its end")
    kind, number, _ = frame_parts(whole)
    return kind, number, whole[constants.FRAME_HEADER_SIZE : -1]
