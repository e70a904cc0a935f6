"""
The header of a content: its size and properties (AMQP 0-9-1, 4.2.6.1).
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from pamqp import commands

from ...exceptions import DecodeError, ProtocolError
from ...interfaces import Properties
from .frames import HEADER, frame
from .methods import DECODERS, encode_value
from .tables import Reader

_HEAD: Final = Struct(">HHQH")
_BASIC: Final = commands.Basic.frame_id
_CONTINUED: Final = 1

_PLAN: Final = [
    (
        "type" if name == "message_type" else name,
        commands.Basic.Properties.amqp_type(name),
        commands.Basic.Properties.flags[name],
    )
    for name in commands.Basic.Properties.attributes()
]
"""Each property's name, type and flag, in the order of the wire."""

_NAMES: Final = frozenset(name for name, _, _ in _PLAN)


def encode_header(channel: int, size: int, properties: Properties) -> bytes:
    """
    The frame of a header; properties that are C{None} are left out.

    @param size: the bytes of the body.
    @raise TypeError: a property is not known, or cannot be expressed.
    @raise ValueError: a property is too long or out of range.
    """
    if not properties.keys() <= _NAMES:
        unknown = ", ".join(sorted(properties.keys() - _NAMES))
        raise TypeError(f"messages have no property {unknown}")
    flags = 0
    parts = [b""]
    for name, type_name, flag in _PLAN:
        value = properties.get(name)
        if value is not None:
            flags |= flag
            parts.append(encode_value(f"property {name}", type_name, value))
    parts[0] = _HEAD.pack(_BASIC, 0, size, flags)
    return frame(HEADER, channel, b"".join(parts))


def body_size(payload: bytes) -> int:
    """
    The size of the body that a header announces, in bytes.

    @raise ProtocolError: this is no header of a message.
    """
    if len(payload) < _HEAD.size:
        raise ProtocolError("the header of a content is cut short")
    class_id, _, size, _ = _HEAD.unpack_from(payload)
    if class_id != _BASIC:
        raise ProtocolError(f"a content of the unknown class {class_id}")
    return int(size)


def decode_properties(payload: bytes) -> Properties:
    """
    The properties of a header.

    @raise DecodeError: they cannot be understood.
    """
    flags = _HEAD.unpack_from(payload)[3]
    if flags & _CONTINUED:
        raise DecodeError("a message has properties that AMQP 0-9-1 does not know")
    reader = Reader(payload, _HEAD.size)
    try:
        return {
            name: DECODERS[type_name](reader)
            for name, type_name, flag in _PLAN
            if flags & flag
        }
    except ProtocolError as error:
        raise DecodeError(f"a message's properties: {error}") from error
