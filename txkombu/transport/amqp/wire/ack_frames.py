"""
The frames that settle deliveries (AMQP 0-9-1, 1.8.3.13, 1.8.3.14, and RabbitMQ's
basic.nack).
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from pamqp import commands

from .frames import METHOD

_LAYOUT: Final = Struct(">BHIIQBB")
_ACK: Final = commands.Basic.Ack.index
_NACK: Final = commands.Basic.Nack.index
_REJECT: Final = commands.Basic.Reject.index
_SIZE: Final = 13
_END: Final = 0xCE


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
