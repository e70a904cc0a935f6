"""
Deliveries that arrived whole: a method, a header and a body, read in one go.

Nearly all arrive so.  One that does not, or that is not as it should be, is read frame
by frame by L{ContentAssembler}, which says what is wrong.
"""

from __future__ import annotations

from functools import partial
from struct import Struct
from typing import Final

from pamqp import commands

from ....exceptions import ProtocolError
from ....interfaces import Delivery
from ....url.parameters import MAX_MESSAGE_SIZE
from .content import Content
from .frames import BODY, END, HEAD, HEADER
from .properties import decode_properties
from .tables import Reader

_TAG: Final = Struct(">QB")
_HEADER: Final = Struct(">BHIHHQ")
_CLASS: Final = commands.Basic.frame_id
_SIZES: Final = 12
"""Bytes in a header before the properties: class, weight, the body's size."""
_MIN_SIZE: Final = _SIZES + 2
"""Bytes in a header without properties: their flags are always there."""
CACHE_SIZE: Final = 500
_Kept = dict[bytes, tuple[str, ...]]


def delivery_of(content: Content) -> Delivery:
    """Return the message of a complete content that was delivered or got."""
    method = content.method
    assert content.listed is not None
    return Delivery(
        method.delivery_tag,
        getattr(method, "consumer_tag", ""),
        method.redelivered,
        method.exchange,
        method.routing_key,
        content.body,
        partial(decode_properties, content.listed),
    )


class DeliveryReader:
    """
    Reads the deliveries of one connection.

    Consumer tags, exchanges and routing keys are few: their strings are kept.
    """

    __slots__ = ("_max_body", "_names", "_tags")

    def __init__(self, max_body: int = MAX_MESSAGE_SIZE) -> None:
        """@param max_body: the maximum size of a body that is read here, in bytes."""
        self._max_body = max_body
        self._tags: _Kept = {}
        self._names: _Kept = {}

    def read(
        self, data: bytes, number: int, start: int, stop: int, maximum: int
    ) -> tuple[Delivery, int] | None:
        """
        Read a delivery from a stream.

        @param data: the stream, from any point on.
        @param number: the channel it is for.
        @param start: where the arguments of its method begin.
        @param stop: where the frame of its method ends.
        @param maximum: the size of a frame's payload at most.
        @return: the delivery, and where the next frame begins; C{None} if it is not
            all there, or not as it should be.
        """
        names = start + 10 + data[start]
        listed = stop + 1 + _HEADER.size
        end = len(data)
        if names + 2 > stop or listed + 2 >= end:
            return None
        kind, channel, size, class_id, _, length = _HEADER.unpack_from(data, stop + 1)
        header_stop = listed + size - _SIZES
        if (
            kind != HEADER
            or channel != number
            or class_id != _CLASS
            or not _MIN_SIZE <= size <= maximum
            or header_stop >= end
            or data[header_stop] != END
        ):
            return None
        body = b""
        after = header_stop + 1
        if length:
            begin = after + HEAD.size
            after = begin + length + 1
            if (
                after > end
                or length > maximum
                or length > self._max_body
                or HEAD.unpack_from(data, header_stop + 1) != (BODY, number, length)
                or data[after - 1] != END
            ):
                return None
            body = data[begin : after - 1]
        raw_tag = data[start : names - _TAG.size]
        raw_names = data[names:stop]
        texts = self._tags.get(raw_tag) or _read(self._tags, raw_tag, 1)
        more = self._names.get(raw_names) or _read(self._names, raw_names, 2)
        if texts is None or more is None:
            return None
        tag, redelivered = _TAG.unpack_from(data, names - _TAG.size)
        exchange, routing_key = more
        delivery = Delivery(
            tag,
            texts[0],
            bool(redelivered & 1),
            exchange,
            routing_key,
            body,
            partial(decode_properties, data[listed:header_stop]),
        )
        return delivery, after


def _read(kept: _Kept, raw: bytes, count: int) -> tuple[str, ...] | None:
    """
    Read short strings, and keep them.

    @return: C{None} if that is not what these bytes are.
    """
    reader = Reader(raw)
    try:
        texts = tuple(reader.short_string() for _ in range(count))
    except ProtocolError:
        return None
    if reader.at != len(raw):
        return None
    if len(kept) >= CACHE_SIZE:
        kept.clear()
    kept[raw] = texts
    return texts
