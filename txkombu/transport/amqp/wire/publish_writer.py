"""
The frames of a publish: a method, a header and a body, in one piece.

Most publishes of a channel differ from the one before in nothing but their bodies.  So
the bytes of a method are kept for its exchange and routing key, and those of a header
for the properties that nearly every message has and no other; only the two lengths and
the body are put between.
"""

from __future__ import annotations

from operator import itemgetter
from struct import Struct
from typing import Final, TypeVar

from pamqp import commands

from ....interfaces import Properties
from .frames import BODY, HEAD, HEADER, METHOD, OVERHEAD, body_pieces
from .methods import encode_value
from .properties import COMMON, encode_properties

_METHOD: Final = Struct(">BHIIH")
_HEADER: Final = Struct(">BHIHH")
_BODY: Final = Struct(">BH")
_LONGLONG: Final = Struct(">Q")
_LONG: Final = Struct(">I")
_PUBLISH: Final = commands.Basic.Publish.index
_CLASS: Final = commands.Basic.frame_id
_END: Final = b"\xce"

_K = TypeVar("_K")
_V = TypeVar("_V")

_SIZES: Final = 12
"""Bytes in a header before the properties: class, weight, size of the body."""
CACHE_SIZE: Final = 500
"""How many methods and how many headers are kept."""
_COUNT: Final = len(COMMON)
_CACHE_KEY: Final = itemgetter(
    "content_type", "content_encoding", "delivery_mode", "priority"
)
_ZERO: Final = bytes(4)
"""The upper half of the size of a body."""

_Header = tuple[bytes, bytes, bytes]
"""A header's frame before and after the size of the body, and the latter with
the beginning of the body's frame."""


class PublishWriter:
    """
    Writes the publishes of one channel.

    @param number: the channel's.
    @param frame_max: the size of a whole frame at most, in bytes; 0 is no limit.
    """

    __slots__ = ("_frame_max", "_headers", "_max_payload", "_methods", "_number")

    def __init__(self, number: int, frame_max: int) -> None:
        self._number = number
        self._frame_max = frame_max
        self._methods: dict[tuple[str, str, bool], bytes] = {}
        self._headers: dict[tuple[object, ...], _Header] = {}
        self._max_payload = frame_max - OVERHEAD if frame_max else 2**32 - 1

    def frames(
        self,
        body: bytes,
        properties: Properties,
        exchange: str,
        routing_key: str,
        mandatory: bool,
    ) -> bytes:
        """
        Return the frames of one publish.

        @raise TypeError: a property is not known, or cannot be expressed.
        @raise ValueError: something is too long or out of range.
        """
        method = self._methods.get((exchange, routing_key, mandatory))
        if method is None:
            method = self._method(exchange, routing_key, mandatory)
        header = None
        if len(properties) == _COUNT and properties.get("headers") == {}:
            try:
                header = self._headers.get(_CACHE_KEY(properties))
            except (KeyError, TypeError):
                header = None  # what cannot be hashed cannot be sent either
        before, after, body_head = header or self._header(properties)
        size = len(body)
        if 0 < size <= self._max_payload:
            length = _LONG.pack(size)
            return b"".join(
                (method, before, _ZERO, length, body_head, length, body, _END)
            )
        parts: list[bytes | memoryview] = [
            method,
            before,
            _LONGLONG.pack(size),
            after,
        ]
        for piece in body_pieces(memoryview(body), self._frame_max):
            parts += HEAD.pack(BODY, self._number, len(piece)), piece, _END
        return b"".join(parts)

    def _method(self, exchange: str, routing_key: str, mandatory: bool) -> bytes:
        names = b"".join(
            encode_value("Basic.Publish.", name, "shortstr", value)
            for name, value in (("exchange", exchange), ("routing_key", routing_key))
        )
        head = _METHOD.pack(METHOD, self._number, len(names) + 7, _PUBLISH, 0)
        method = head + names + (b"\x01" if mandatory else b"\x00") + _END
        return _keep(self._methods, (exchange, routing_key, mandatory), method)

    def _header(self, properties: Properties) -> _Header:
        listed = encode_properties(properties)
        size = _SIZES + len(listed)
        if self._frame_max and size > self._frame_max - OVERHEAD:
            raise ValueError(
                f"the properties take a frame of {size + OVERHEAD} bytes, at most "
                f"{self._frame_max} were agreed on with the broker"
            )
        before = _HEADER.pack(HEADER, self._number, size, _CLASS, 0)
        after = listed + _END
        header = before, after, after + _BODY.pack(BODY, self._number)
        if properties.keys() == COMMON and properties["headers"] == {}:
            _keep(self._headers, _CACHE_KEY(properties), header)
        return header


def _keep(kept: dict[_K, _V], key: _K, value: _V) -> _V:
    """Keep one more, but a limited number: names may all differ."""
    if len(kept) >= CACHE_SIZE:
        kept.clear()
    kept[key] = value
    return value
