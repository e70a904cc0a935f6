"""The properties in the header of a content (AMQP 0-9-1, 4.2.6.1)."""

from __future__ import annotations

from struct import Struct
from typing import Final

from pamqp import commands

from ....exceptions import DecodeError, ProtocolError
from ....interfaces import Properties
from .methods import DECODERS, encode_value
from .tables import Reader

_FLAGS: Final = Struct(">H")
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

COMMON: Final = frozenset(
    ("content_type", "content_encoding", "headers", "delivery_mode", "priority")
)
"""The properties of nearly every message, which has no others."""
CACHE_SIZE: Final = 500
_common: Final[dict[bytes, Properties]] = {}
"""The properties of messages with C{COMMON} and empty headers, by their bytes.  Kept
to save time, as nearly all messages share a few of them."""


def encode_properties(properties: Properties) -> bytes:
    """
    Return the flags and properties of a header; those that are C{None} are left out.

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
            parts.append(encode_value("property ", name, type_name, value))
    parts[0] = _FLAGS.pack(flags)
    return b"".join(parts)


def decode_properties(listed: bytes) -> Properties:
    """
    Return the properties of a header.

    @param listed: the properties, from their flags on.
    @raise DecodeError: they cannot be understood.
    """
    known = _common.get(listed)
    if known is not None:
        return {**known, "headers": {}}
    properties = _decode(listed)
    if properties.keys() == COMMON and not properties["headers"]:
        if len(_common) >= CACHE_SIZE:
            _common.clear()
        _common[listed] = {**properties, "headers": {}}
    return properties


def _decode(listed: bytes) -> dict[str, object]:
    (flags,) = _FLAGS.unpack_from(listed)
    if flags & _CONTINUED:
        raise DecodeError("a message has properties that AMQP 0-9-1 does not know")
    reader = Reader(listed, _FLAGS.size)
    try:
        return {
            name: DECODERS[type_name](reader)
            for name, type_name, flag in _PLAN
            if flags & flag
        }
    except ProtocolError as error:
        raise DecodeError(f"a message's properties: {error}") from error
