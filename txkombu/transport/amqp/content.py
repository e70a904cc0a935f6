"""
A content as it arrives: a method, a header, and a body in pieces (AMQP 0-9-1, 4.2.6).
"""

from __future__ import annotations

from typing import Any

from pamqp import commands

from ...exceptions import ProtocolError
from ...interfaces import Delivery, Properties
from .deliveries import AmqpDelivery
from .properties import body_size, decode_properties, listed_in

CARRIERS = (commands.Basic.Deliver, commands.Basic.GetOk, commands.Basic.Return)
"""The methods that a content follows."""


class Content:
    """
    What has come so far of one content.

    @ivar method: the method that it follows.
    """

    __slots__ = ("_header", "_missing", "_pieces", "method")

    def __init__(self, method: Any) -> None:
        self.method = method
        self._header: bytes | None = None
        self._missing = 0
        self._pieces: list[bytes] = []

    def take_header(self, payload: bytes) -> bool:
        """
        @return: whether the content is complete.
        @raise ProtocolError: none was due, or it cannot be understood.
        """
        if self._header is not None:
            raise ProtocolError("a second header of one content")
        self._header = payload
        self._missing = body_size(payload)
        return not self._missing

    def take_body(self, payload: bytes) -> bool:
        """
        @return: whether the content is complete.
        @raise ProtocolError: none was due, or it is longer than announced.
        """
        if self._header is None:
            raise ProtocolError("a body without a header")
        self._missing -= len(payload)
        if self._missing < 0:
            raise ProtocolError("a body is longer than its header says")
        self._pieces.append(payload)
        return not self._missing

    @property
    def body(self) -> bytes:
        """What has come of the body."""
        return b"".join(self._pieces)

    def delivery(self) -> Delivery:
        """The message of a complete content that was handed out."""
        method = self.method
        assert self._header is not None
        return AmqpDelivery(
            method.delivery_tag,
            getattr(method, "consumer_tag", ""),
            method.redelivered,
            method.exchange,
            method.routing_key,
            self.body,
            listed_in(self._header),
        )

    def properties(self) -> Properties:
        """
        The properties of a complete content.

        @raise DecodeError: they cannot be understood.
        """
        assert self._header is not None
        return decode_properties(listed_in(self._header))
