"""
A content as it arrives: a method, a header, and a body in pieces (AMQP 0-9-1, 4.2.6).
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from pamqp import commands, constants
from pamqp.base import Frame as Method

from ....exceptions import ProtocolError
from ....url.parameters import MAX_MESSAGE_SIZE

CARRIERS: Final = (
    commands.Basic.Deliver,
    commands.Basic.GetOk,
    commands.Basic.Return,
)
"""The methods that a content follows."""

_SIZES: Final = Struct(">HHQ")
_FLAGS_SIZE: Final = 2
_BASIC: Final = commands.Basic.frame_id
_METHOD: Final = constants.FRAME_METHOD
_HEADER: Final = constants.FRAME_HEADER
_BODY: Final = constants.FRAME_BODY
_HEARTBEAT: Final = constants.FRAME_HEARTBEAT


def header(size: int, listed: bytes) -> bytes:
    """
    The payload of a header's frame.

    @param size: the body's, in bytes.
    @param listed: the properties, from their flags on.
    """
    return _SIZES.pack(_BASIC, 0, size) + listed


def read_header(payload: bytes) -> tuple[int, bytes]:
    """
    @return: the size of the body in bytes; the properties, from their flags on.
    @raise ProtocolError: this is no header of a message.
    """
    if len(payload) < _SIZES.size + _FLAGS_SIZE:
        raise ProtocolError("the header of a content is cut short")
    class_id, _, size = _SIZES.unpack_from(payload)
    if class_id != _BASIC:
        raise ProtocolError(f"a content of the unknown class {class_id}")
    return size, payload[_SIZES.size :]


class Content:
    """
    What has come so far of one content.

    @ivar method: the method that it follows.
    @ivar listed: the properties, from their flags on, once the header has come.
    """

    __slots__ = ("_body", "_max_body", "_missing", "listed", "method")

    def __init__(self, method: Any, max_body: int = MAX_MESSAGE_SIZE) -> None:
        """
        @param max_body: the most bytes of its body.
        """
        self.method = method
        self.listed: bytes | None = None
        self._max_body = max_body
        self._missing = 0
        # Not a list: pieces may be so short that they take more than they hold.
        self._body = bytearray()

    @property
    def body(self) -> bytes:
        """What has come of the body."""
        return bytes(self._body)

    def take_header(self, payload: bytes) -> bool:
        """
        @return: whether the content is complete.
        @raise ProtocolError: none was due, it cannot be understood, or the body
            that it announces is too large.
        """
        if self.listed is not None:
            raise ProtocolError("a second header of one content")
        self._missing, self.listed = read_header(payload)
        if self._missing > self._max_body:
            raise ProtocolError(
                f"a body of {self._missing} bytes is larger than {self._max_body}, "
                "the max_message_size of this connection"
            )
        return not self._missing

    def take_body(self, payload: bytes) -> bool:
        """
        @return: whether the content is complete.
        @raise ProtocolError: none was due, or it is longer than announced.
        """
        if self.listed is None:
            raise ProtocolError("a body without a header")
        self._missing -= len(payload)
        if self._missing < 0:
            raise ProtocolError("a body is longer than its header says")
        self._body += payload
        return not self._missing


class ConnectionContentAssembler:
    """Makes methods of the frames of the connection itself, which has no contents."""

    def __init__(self, decode: Callable[[bytes], Method]) -> None:
        """See L{ContentAssembler.__init__}."""
        self._decode = decode

    def handle_frame(self, kind: int, payload: bytes) -> Method | None:
        """
        Take one frame.

        @return: the method it holds; C{None} if it is a heartbeat.
        @raise ProtocolError: it is neither.
        """
        if kind == _HEARTBEAT:
            return None
        if kind != _METHOD:
            raise ProtocolError(f"a frame of type {kind} for the whole connection")
        return self._decode(payload)


class ContentAssembler:
    """
    Makes methods and contents of the frames of one channel.

    @ivar content: the one that has begun, and is not complete.
    """

    __slots__ = ("_decode", "_max_body", "content")

    def __init__(
        self, decode: Callable[[bytes], Method], max_body: int = MAX_MESSAGE_SIZE
    ) -> None:
        """
        @param decode: makes a method of the payload of its frame.
        @param max_body: the most bytes of a body.
        """
        self._decode = decode
        self._max_body = max_body
        self.content: Content | None = None

    def handle_frame(self, kind: int, payload: bytes) -> Method | Content | None:
        """
        Take one frame.

        @return: the method it holds, or the content that it completes.
        @raise ProtocolError: it was not due.
        """
        content = self.content
        if content is None:
            return self._begin(kind, payload)
        if kind == _HEADER:
            whole = content.take_header(payload)
        elif kind == _BODY:
            whole = content.take_body(payload)
        elif kind == _METHOD:
            raise ProtocolError("a method came in the midst of a content")
        else:
            raise _unexpected(kind)
        if not whole:
            return None
        self.content = None
        return content

    def _begin(self, kind: int, payload: bytes) -> Method | None:
        if kind != _METHOD:
            raise _unexpected(kind)
        method = self._decode(payload)
        if not isinstance(method, CARRIERS):
            return method
        self.content = Content(method, self._max_body)
        return None


def _unexpected(kind: int) -> ProtocolError:
    return ProtocolError(f"a frame of type {kind} came without a method")


def assembler(
    number: int, decode: Callable[[bytes], Any], max_body: int = MAX_MESSAGE_SIZE
) -> ContentAssembler | ConnectionContentAssembler:
    """
    @param number: the channel's; 0 is the connection.
    @param decode: makes a method of what is in its frame.
    @param max_body: the most bytes of a body.
    """
    if number:
        return ContentAssembler(decode, max_body)
    return ConnectionContentAssembler(decode)
