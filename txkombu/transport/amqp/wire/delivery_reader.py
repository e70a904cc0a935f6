"""
Deliveries that arrived whole: a method, a header and a body, read in one go.

Nearly all arrive so.  One that does not, or that is not as it should be, is read frame
by frame by L{ContentAssembler}, which says what is wrong.

Most are like the one before but for their tags and bodies: then only these are read,
and all other bytes are compared with those of the one before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import Final, NamedTuple

from pamqp import commands

from ....exceptions import ProtocolError
from ....interfaces import Delivery, Properties
from ....url.parameters import MAX_MESSAGE_SIZE
from .content import Content
from .frames import BODY, END, HEAD, HEADER
from .properties import decode_properties
from .tables import Reader

_TAG: Final = Struct(">QB")
_TAG_SIZE: Final = _TAG.size
_LONGLONG: Final = Struct(">Q")
_LONGLONG_SIZE: Final = _LONGLONG.size
_LONG: Final = Struct(">I")
_LONG_SIZE: Final = _LONG.size
_HEADER: Final = Struct(">BHIHHQ")
_CLASS: Final = commands.Basic.frame_id
_SIZES: Final = 12
"""Bytes in a header before the properties: class, weight, the body's size."""
_MIN_SIZE: Final = _SIZES + 2
"""Bytes in a header without properties: their flags are always there."""
CACHE_SIZE: Final = 500
_Kept = dict[bytes, tuple[str, ...]]
_METHOD_HEAD: Final = HEAD.size + 4
"""Bytes of a delivery before the arguments of its method."""
_BODY_KIND: Final = 3
"""Bytes of a body's frame before its size: the type and the channel's number."""


class _Like(NamedTuple):
    """
    The bytes of a delivery that the next one shares, and what they say.

    It begins with C{head} of the reader.  Then come the delivery tag and the flag
    C{redelivered}, C{middle}, the size of the body, C{tail}, that size once more, and
    the body.

    @ivar tag_at: where the delivery tag is, from the beginning of C{head}.
    @ivar size_at: where the size of the body is.
    @ivar body_at: where the body is.
    """

    middle: bytes
    tail: bytes
    tag_at: int
    size_at: int
    body_at: int
    channel: int
    consumer_tag: str
    exchange: str
    routing_key: str
    decode: Callable[[], Properties]


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

    @ivar head: how a delivery begins that L{read_like} may be able to read.
    """

    __slots__ = ("_like", "_max_body", "_names", "_tags", "head")

    def __init__(self, max_body: int = MAX_MESSAGE_SIZE) -> None:
        """@param max_body: the maximum size of a body that is read here, in bytes."""
        self._max_body = max_body
        self._tags: _Kept = {}
        self._names: _Kept = {}
        self.head = b"\0"  # no frame begins so
        self._like: _Like | None = None

    def read_like(
        self, data: bytes, start: int, maximum: int
    ) -> tuple[Delivery, int, int] | None:
        """
        Read a delivery that is like the one before.

        @param data: the stream; it has C{head} at C{start}.
        @param start: where the frame of its method begins.
        @param maximum: the size of a frame's payload at most.
        @return: the delivery, its channel, and where the next frame begins; C{None} if
            it is not all there, or not like the one before.
        """
        like = self._like
        if like is None:
            return None
        (
            middle,
            tail,
            tag_at,
            size_at,
            body_at,
            channel,
            consumer_tag,
            exchange,
            routing_key,
            decode,
        ) = like
        tag_at += start
        size_at += start
        begin = body_at + start
        if not (
            begin < len(data)
            and data.startswith(middle, tag_at + _TAG_SIZE)
            and data.startswith(tail, size_at + _LONGLONG_SIZE)
        ):
            return None
        (size,) = _LONG.unpack_from(data, begin - _LONG_SIZE)
        stop = begin + size
        if (
            stop >= len(data)
            or data[stop] != END
            or not 0 < size <= maximum
            or size > self._max_body
            or (size,) != _LONGLONG.unpack_from(data, size_at)
        ):
            return None
        tag, redelivered = _TAG.unpack_from(data, tag_at)
        delivery = Delivery(
            tag,
            consumer_tag,
            redelivered & 1 == 1,
            exchange,
            routing_key,
            data[begin:stop],
            decode,
        )
        return delivery, channel, stop + 1

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
        raw_tag = data[start : names - _TAG_SIZE]
        raw_names = data[names:stop]
        texts = self._tags.get(raw_tag) or _read(self._tags, raw_tag, 1)
        more = self._names.get(raw_names) or _read(self._names, raw_names, 2)
        if texts is None or more is None:
            return None
        tag, redelivered = _TAG.unpack_from(data, names - _TAG_SIZE)
        exchange, routing_key = more
        decode = partial(decode_properties, data[listed:header_stop])
        if body:
            first = start - _METHOD_HEAD
            self.head = data[first : names - _TAG_SIZE]
            self._like = _Like(
                data[names : listed - _LONGLONG_SIZE],
                data[listed : header_stop + 1 + _BODY_KIND],
                names - _TAG_SIZE - first,
                listed - _LONGLONG_SIZE - first,
                header_stop + 1 + HEAD.size - first,
                number,
                texts[0],
                exchange,
                routing_key,
                decode,
            )
        delivery = Delivery(
            tag,
            texts[0],
            redelivered & 1 == 1,
            exchange,
            routing_key,
            body,
            decode,
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
