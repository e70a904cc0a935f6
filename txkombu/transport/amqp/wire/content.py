"""
Methods and contents from the frames of one channel (AMQP 0-9-1, 4.2.6).

A content is a method, a header, and a body in pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from struct import Struct
from typing import Any, Final

from pamqp import commands
from pamqp.base import Frame as Method

from ...._util.heap import LARGE, keep_freed_memory
from ....exceptions import ProtocolError
from ....url.parameters import MAX_MESSAGE_SIZE
from .frames import BODY, HEADER, METHOD

CARRIERS: Final = (
    commands.Basic.Deliver,
    commands.Basic.GetOk,
    commands.Basic.Return,
)
"""The methods that a content follows."""

_SIZES: Final = Struct(">HHQ")
"""The beginning of a header: class, weight, the body's size."""
_FLAGS_SIZE: Final = 2
_BASIC: Final = commands.Basic.frame_id


class Content:
    """
    What has come so far of one content.

    @ivar method: the method that it follows.
    @ivar listed: the properties, from their flags on; C{None} before the header.
    """

    __slots__ = ("_body", "_max_body", "_missing", "listed", "method")

    def __init__(self, method: Any, max_body: int = MAX_MESSAGE_SIZE) -> None:
        """@param max_body: the maximum size of its body, in bytes."""
        self.method = method
        self.listed: bytes | None = None
        self._max_body = max_body
        self._missing = 0
        # Not a list: pieces may be so short that they take more than they hold.
        self._body = BytesIO()

    @property
    def body(self) -> bytes:
        """What has come of the body."""
        return self._body.getvalue()

    def take_header(self, payload: bytes) -> bool:
        """
        Take the payload of a header's frame.

        @return: whether the content is complete.
        @raise ProtocolError: no header was due, it cannot be understood, or the body
            that it announces is too large.
        """
        if self.listed is not None:
            raise ProtocolError("a second header of one content")
        if len(payload) < _SIZES.size + _FLAGS_SIZE:
            raise ProtocolError("the header of a content is cut short")
        class_id, _, size = _SIZES.unpack_from(payload)
        if class_id != _BASIC:
            raise ProtocolError(f"a content of the unknown class {class_id}")
        if size > self._max_body:
            raise ProtocolError(
                f"a body of {size} bytes is larger than {self._max_body}, "
                "the max_message_size of this connection"
            )
        self._missing, self.listed = size, payload[_SIZES.size :]
        return not size

    def take_body(self, payload: bytes | memoryview) -> bool:
        """
        Take the payload of a body's frame.

        @return: whether the content is complete.
        @raise ProtocolError: no body was due, or it is longer than announced.
        """
        if self.listed is None:
            raise ProtocolError("a body without a header")
        self._missing -= len(payload)
        if self._missing < 0:
            raise ProtocolError("a body is longer than its header says")
        self._body.write(payload)
        if self._missing:
            return False
        if self._body.tell() >= LARGE:
            keep_freed_memory()
        return True


class ContentAssembler:
    """
    Makes methods and contents of the frames of one channel.

    @ivar content: the content that is not complete yet; C{None} between contents.
    """

    __slots__ = ("_decode", "_max_body", "content")

    def __init__(
        self, decode: Callable[[Any], Method], max_body: int = MAX_MESSAGE_SIZE
    ) -> None:
        """
        @param decode: makes a method of what is in its frame.
        @param max_body: the maximum size of a body, in bytes.
        """
        self._decode = decode
        self._max_body = max_body
        self.content: Content | None = None

    def handle_frame(self, kind: int, payload: Any) -> Method | Content | None:
        """
        Take one frame.

        @return: the method it holds, or the content that it completes.
        @raise ProtocolError: it was not due.
        """
        content = self.content
        if content is None:
            return self._begin(kind, payload)
        if kind == HEADER:
            whole = content.take_header(payload)
        elif kind == BODY:
            whole = content.take_body(payload)
        elif kind == METHOD:
            raise ProtocolError("a method came in the midst of a content")
        else:
            raise _unexpected(kind)
        if not whole:
            return None
        self.content = None
        return content

    def _begin(self, kind: int, payload: Any) -> Method | None:
        if kind != METHOD:
            raise _unexpected(kind)
        method = self._decode(payload)
        if not isinstance(method, CARRIERS):
            return method
        self.content = Content(method, self._max_body)
        return None


def _unexpected(kind: int) -> ProtocolError:
    return ProtocolError(f"a frame of type {kind} came without a method")
