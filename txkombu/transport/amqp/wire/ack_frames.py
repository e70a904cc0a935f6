"""
The frames that settle deliveries (AMQP 0-9-1, 1.8.3.13, 1.8.3.14, and RabbitMQ's
basic.nack), and the confirms that look like them.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from pamqp import commands

from .frames import METHOD

_INDEX: Final = Struct(">I")
_ARGUMENTS: Final = Struct(">QB")
_LAYOUT: Final = Struct(">BHIIQBB")
_ACK: Final = commands.Basic.Ack.index
_NACK: Final = commands.Basic.Nack.index
_REJECT: Final = commands.Basic.Reject.index
_SIZE: Final = 13
_END: Final = 0xCE
_ACK_BEGIN: Final = _INDEX.pack(_ACK)


def ack_frame(number: int, tag: int, multiple: bool) -> bytes:
    """Return what settles a delivery, or all up to it, as handled."""
    return _LAYOUT.pack(METHOD, number, _SIZE, _ACK, tag, multiple, _END)


def nack_frame(number: int, tag: int, multiple: bool, requeue: bool) -> bytes:
    """Return what settles a delivery, or all up to it, as not attempted."""
    bits = multiple | requeue << 1
    return _LAYOUT.pack(METHOD, number, _SIZE, _NACK, tag, bits, _END)


def reject_frame(number: int, tag: int, requeue: bool) -> bytes:
    """Return what settles a delivery as failed."""
    return _LAYOUT.pack(METHOD, number, _SIZE, _REJECT, tag, requeue, _END)


def read_ack(payload: bytes) -> tuple[int, bool] | None:
    """
    Return the tag of a basic.ack, and whether it has the flag C{multiple}.

    @param payload: of a method's frame.
    @return: C{None} if it is another method, or not as it should be.
    """
    if len(payload) != _SIZE or not payload.startswith(_ACK_BEGIN):
        return None
    tag, bits = _ARGUMENTS.unpack_from(payload, _INDEX.size)
    return tag, bool(bits & 1)
