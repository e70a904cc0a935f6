"""
Bytes to frames, without any I/O (AMQP 0-9-1, 4.2.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any, Final

from pamqp import commands

from ....exceptions import ProtocolError
from ....url.parameters import MAX_MESSAGE_SIZE
from .delivery_reader import DeliveryReader
from .errors import no_frame
from .frames import BODY, HEADER, HEARTBEAT, METHOD, OVERHEAD
from .login import FRAME_MAX

DELIVERY: Final = -1
"""Stands for the three frames of a delivery that has arrived whole."""

_KINDS: Final = frozenset((METHOD, HEADER, BODY, HEARTBEAT))
_END: Final = 0xCE
_HEAD: Final = Struct(">BHI")
_HEAD_SIZE: Final = _HEAD.size
_INDEX: Final = Struct(">I")
_DELIVER: Final = _INDEX.pack(commands.Basic.Deliver.index)


class AmqpFrameParser:
    """
    Cuts a stream of bytes into frames, in time linear in its length.

    Nothing is set aside for a frame before its bytes are there.
    """

    __slots__ = ("_deliveries", "_frame_max", "_kept", "_most", "_needed")

    def __init__(self, max_body: int = MAX_MESSAGE_SIZE) -> None:
        """
        @param max_body: the most bytes of a body; one that has more comes in
            frames.
        """
        self.frame_max = FRAME_MAX
        self._kept = bytearray()
        self._needed = 1
        self._deliveries = DeliveryReader(max_body)

    @property
    def frame_max(self) -> int:
        """The size of a whole frame at most, in bytes; 0 is no limit."""
        return self._frame_max

    @frame_max.setter
    def frame_max(self, size: int) -> None:
        self._frame_max = size
        self._most = size - OVERHEAD if size else 2**32

    def feed(self, data: bytes) -> Iterator[tuple[int, int, Any]]:
        """
        Take more bytes, and give each frame they complete as (type, channel,
        payload); a delivery that is all there as (L{DELIVERY}, channel,
        L{Delivery}).  To be iterated to its end before it is called again.

        @raise ProtocolError: this is no stream of AMQP frames.
        """
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return
            data = bytes(self._kept)
            self._kept.clear()
        start, end = 0, len(data)
        while end - start >= _HEAD_SIZE:
            kind, channel, size = _HEAD.unpack_from(data, start)
            if kind not in _KINDS or size > self._most:
                raise self._no_frame(data, start)
            begin = start + _HEAD_SIZE
            stop = begin + size
            if stop >= end:
                break
            if data[stop] != _END:
                raise ProtocolError(f"a frame of {size} bytes lacks its end")
            if kind == METHOD and data.startswith(_DELIVER, begin):
                found = self._deliveries.read(
                    data, channel, begin + _INDEX.size, stop, self._most
                )
                if found is not None:
                    delivery, start = found
                    yield DELIVERY, channel, delivery
                    continue
            start = stop + 1
            yield kind, channel, data[begin:stop]
        if start < end:
            self._keep(data[start:])

    def _no_frame(self, data: bytes, start: int) -> ProtocolError:
        if data[start] not in _KINDS:
            return no_frame(data[start:])
        size = _HEAD.unpack_from(data, start)[2] + OVERHEAD
        return ProtocolError(
            f"a frame of {size} bytes is larger than {self._frame_max}, the size "
            "agreed on"
        )

    def _keep(self, rest: bytes) -> None:
        if rest[0] not in _KINDS:
            raise self._no_frame(rest, 0)
        self._kept += rest
        self._needed = _HEAD_SIZE
        if len(rest) >= _HEAD_SIZE:
            self._needed = _HEAD.unpack_from(rest)[2] + OVERHEAD
