"""
Values of AMQP field tables: what can be sent in headers and arguments.

The limits are those of the types that are written (AMQP 0-9-1, 4.2.5.5), and of
RabbitMQ, which ends the connection over a double that is no number (measured
with 3.10).  What is refused here is refused before anything is sent.
"""

from __future__ import annotations

from calendar import timegm
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from math import isfinite
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_PLACES_MOST: Final = 255
_DIGITS: Final = len(str(2**31))

DEEPEST: Final = 100
"""Tables and arrays within each other, the outermost table included: what is
nested deeper is not read, so it is not written either."""


def check_depth(depth: int) -> None:
    """
    @param depth: how many tables and arrays are around a value.
    @raise ValueError: they are too many, or hold themselves.
    """
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} tables or arrays within each other")


def fits_int32(value: int) -> bool:
    """
    @return: whether an int is written with 32 bits; otherwise it takes 64.
    @raise ValueError: it has more than 64 bits.
    """
    if -(2**31) <= value < 2**31:
        return True
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} does not fit into 64 bits")
    return False


def check_finite(value: float) -> float:
    """@raise ValueError: it is NaN or infinite."""
    if not isfinite(value):
        raise ValueError(f"brokers do not take {value}: send a finite number, or text")
    return value


def decimal_parts(value: Decimal) -> tuple[int, int]:
    """
    Split a decimal into the places behind its point, and its digits as an int.

    @raise ValueError: it is no number, or they do not fit into 8 and 32 bits.
    """
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or not -_PLACES_MOST <= exponent <= _DIGITS:
        raise ValueError(f"{value:.40} cannot be expressed as a decimal")
    scaled = int("".join(map(str, digits)) or "0") * 10 ** max(0, exponent)
    unscaled = -scaled if value.is_signed() else scaled
    if not -(2**31) <= unscaled < 2**31:
        raise ValueError(f"{value:.40} has too many digits for a decimal")
    return max(0, -exponent), unscaled


def join_decimal(places: int, unscaled: int) -> Decimal:
    """Undo L{decimal_parts}."""
    return Decimal(unscaled).scaleb(-places)


def timestamp_seconds(value: datetime | float) -> int:
    """
    Return whole seconds since 1970; a datetime without a zone is taken for UTC.

    @raise ValueError: it lies before 1970, or is no number.
    """
    if isinstance(value, datetime):
        seconds: float = timegm(value.utctimetuple())
    else:
        seconds = check_finite(value)
    if not 0 <= seconds < 2**64:
        raise ValueError(f"{value!r} is no timestamp: it lies before 1970")
    return int(seconds)


def read_timestamp(seconds: int) -> datetime | int:
    """Return UTC; the bare seconds where no datetime can be so late."""
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return seconds
