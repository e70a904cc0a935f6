"""Bytes to frames, without any I/O (AMQP 0-9-1, 4.2.3)."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from struct import Struct
from typing import Any, Final

from pamqp import commands

from ....exceptions import ProtocolError
from ....url.parameters import MAX_MESSAGE_SIZE
from .delivery_reader import DeliveryReader
from .frames import BODY, END, HEAD, KINDS, METHOD, OVERHEAD, frame_size
from .login import FRAME_MAX

DELIVERY: Final = -1
"""Stands for the three frames of a delivery that has arrived whole."""

_HEAD_SIZE: Final = HEAD.size
_INDEX: Final = Struct(">I")
_DELIVER: Final = _INDEX.pack(commands.Basic.Deliver.index)


class AmqpFrameParser:
    """
    Cuts a stream of bytes into frames, in time linear in its length.

    Nothing is set aside for a frame before its bytes are there.
    """

    __slots__ = ("_deliveries", "_frame_max", "_kept", "_max_payload", "_needed")

    def __init__(self, max_body: int = MAX_MESSAGE_SIZE) -> None:
        """
        @param max_body: the maximum size of a body, in bytes; a larger one is yielded
            frame by frame.
        """
        self.limit_frames(FRAME_MAX)
        self._kept = BytesIO()
        self._needed = 1
        self._deliveries = DeliveryReader(max_body)

    def limit_frames(self, frame_max: int) -> None:
        """
        Refuse larger frames from the next one on.

        @param frame_max: the size of a whole frame at most, in bytes; 0 is no limit.
        """
        self._frame_max = frame_max
        self._max_payload = frame_max - OVERHEAD if frame_max else 2**32

    def feed(self, data: bytes) -> Iterator[tuple[int, int, Any]]:
        """
        Take more bytes, and yield each frame they complete as (type, channel,
        payload); a delivery that is all there as (L{DELIVERY}, channel,
        L{Delivery}).  The payload of a body is a memoryview.  Iterate it to its end
        before the next call.

        @raise ProtocolError: this is no stream of AMQP frames.
        """
        kept = self._kept
        if kept.tell():
            kept.write(data)
            if kept.tell() < self._needed:
                return
            data = kept.getvalue()  # which copies nothing
            self._kept = BytesIO()
        start, end = 0, len(data)
        deliveries = self._deliveries
        while end - start >= _HEAD_SIZE:
            if data.startswith(deliveries.head, start):
                like = deliveries.read_like(data, start, self._max_payload)
                if like is not None:
                    delivery, channel, start = like
                    yield DELIVERY, channel, delivery
                    continue
            kind, channel, size = HEAD.unpack_from(data, start)
            if kind not in KINDS or size > self._max_payload:
                frame_size(data[start:], self._frame_max)  # which raises
            begin = start + _HEAD_SIZE
            stop = begin + size
            if stop >= end:
                break
            if data[stop] != END:
                raise ProtocolError(f"a frame of {size} bytes lacks its end")
            if kind == METHOD and data.startswith(_DELIVER, begin):
                found = deliveries.read(
                    data, channel, begin + _INDEX.size, stop, self._max_payload
                )
                if found is not None:
                    delivery, start = found
                    yield DELIVERY, channel, delivery
                    continue
            start = stop + 1
            if kind == BODY:
                yield kind, channel, memoryview(data)[begin:stop]
            else:
                yield kind, channel, data[begin:stop]
        if start < end:
            rest = memoryview(data)[start:]
            self._needed = frame_size(rest, self._frame_max) or _HEAD_SIZE
            self._kept.write(rest)
