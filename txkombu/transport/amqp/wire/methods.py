"""
Methods to frames and back (AMQP 0-9-1, 4.2.4), by pamqp's definitions.

pamqp's commands name the methods and the types of their arguments.  Its encoder and
decoder are not used: they refuse names that RabbitMQ takes, which are any UTF-8 of up
to 255 bytes, change the types of numbers, and overlook what is cut short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct, error
from typing import Any, Final, cast

from pamqp import base, commands

from ....exceptions import ProtocolError
from .frames import METHOD, frame
from .tables import (
    Reader,
    encode_table,
    encode_timestamp,
    long_string,
    short_string,
    unsendable,
)

Method = base.Frame

_INDEX: Final = Struct(">I")
_OCTET: Final = Struct(">B")
_SHORT: Final = Struct(">H")
_LONG: Final = Struct(">I")
_LONGLONG: Final = Struct(">Q")

_DEFAULTS: Final[dict[str, object]] = {
    "bit": False,
    "octet": 0,
    "short": 0,
    "long": 0,
    "longlong": 0,
    "shortstr": "",
    "words": "",
    "longstr": "",
    "table": {},
}

_ENCODERS: Final[dict[str, Callable[[Any], bytes]]] = {
    "octet": _OCTET.pack,
    "short": _SHORT.pack,
    "long": _LONG.pack,
    "longlong": _LONGLONG.pack,
    "shortstr": short_string,
    "words": short_string,
    "longstr": long_string,
    "table": encode_table,
    "timestamp": encode_timestamp,
}

DECODERS: Final[dict[str, Callable[[Reader], object]]] = {
    "octet": lambda reader: reader.number(_OCTET),
    "short": lambda reader: reader.number(_SHORT),
    "long": lambda reader: reader.number(_LONG),
    "longlong": lambda reader: reader.number(_LONGLONG),
    "shortstr": Reader.short_string,
    "words": Reader.words,
    "longstr": Reader.long_string,
    "table": Reader.table,
    "timestamp": Reader.timestamp,
}


_BY_INDEX: Final = cast("Mapping[int, type[Method]]", commands.INDEX_MAPPING)

WORDS: Final = frozenset(("reply_text", "reason"))
"""Arguments that people read: RabbitMQ cuts them off in the midst of a character."""

_PLANS: Final = {
    kind.index: [
        (name, "words" if name in WORDS else kind.amqp_type(name))
        for name in kind.attributes()
    ]
    for kind in _BY_INDEX.values()
}
"""The names and types of each method's arguments, in order."""


def encode_method(channel: int, kind: type[Method], **arguments: object) -> bytes:
    """
    Return the frame of a method.

    @param kind: the class of the method.
    @param arguments: those of the method; others are zero, empty or false.
    @raise TypeError: an argument cannot be expressed.
    @raise ValueError: an argument is too long or out of range.
    """
    return frame(
        METHOD, channel, _INDEX.pack(kind.index) + encode_arguments(kind, arguments)
    )


def encode_arguments(kind: type[Method], arguments: dict[str, object]) -> bytes:
    """
    Return a method's arguments as they stand in its frame; see L{encode_method}.

    @param arguments: emptied.
    """
    owner = f"{kind.name}."
    parts: list[bytes] = []
    bits: list[bool] = []
    for name, type_name in _PLANS[kind.index]:
        value = arguments.pop(name, _DEFAULTS[type_name])
        if type_name == "bit":
            bits.append(bool(value))
            continue
        parts += (_flags(bits), encode_value(owner, name, type_name, value))
    parts.append(_flags(bits))
    if arguments:
        raise TypeError(f"{kind.name} has no {', '.join(arguments)}")
    return b"".join(parts)


def encode_value(owner: str, name: str, type_name: str, value: object) -> bytes:
    """
    Return the bytes of one argument or property.

    @param owner: what begins its name in an error.
    @raise TypeError: it is of the wrong type.
    @raise ValueError: it is too long or out of range.
    """
    try:
        return _ENCODERS[type_name](value)
    except (AttributeError, TypeError, ValueError, error) as problem:
        raise unsendable(owner + name, problem) from problem


def _flags(bits: list[bool]) -> bytes:
    """Return the octet of the bits gathered so far; no method has more than eight."""
    if not bits:
        return b""
    octet = sum(bit << place for place, bit in enumerate(bits))
    bits.clear()
    return _OCTET.pack(octet)


def decode_method(payload: bytes) -> Method:
    """
    Return the method of a frame's payload, with its arguments as attributes.

    @raise ProtocolError: it is not known, or cut short.
    """
    reader = Reader(payload)
    index = reader.number(_INDEX)
    kind = _BY_INDEX.get(index)
    if kind is None:
        raise ProtocolError(f"unknown method {index >> 16}.{index & 0xFFFF}")
    method = kind.__new__(kind)
    octet = place = 0
    for name, type_name in _PLANS[kind.index]:
        if type_name != "bit":
            place = 0
            setattr(method, name, DECODERS[type_name](reader))
            continue
        if place == 0:
            octet = reader.number(_OCTET)
        setattr(method, name, bool(octet >> place & 1))
        place += 1
    return method
