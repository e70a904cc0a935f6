"""
Values of AMQP field tables, which headers and arguments are.

The limits are those of the types on the wire (AMQP 0-9-1, 4.2.5.5) and those of
RabbitMQ, which closes the connection for a double that is not a number (measured with
3.10).  Values are checked before anything is sent.
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
"""How deep tables and arrays may nest, the outermost table included.  Deeper ones are
not read, so they are not written either."""


class NestedTooDeeply(ValueError):
    """Tables and arrays nest too deeply for the error to show the path."""


def check_depth(depth: int) -> None:
    """
    Check how many tables and arrays are around a value.

    @raise NestedTooDeeply: there are too many, or one contains itself.
    """
    if depth > DEEPEST:
        raise NestedTooDeeply(f"more than {DEEPEST} tables or arrays within each other")


def fits_int32(value: int) -> bool:
    """
    Return whether an int fits into 32 bits; otherwise it is written with 64.

    @raise ValueError: it has more than 64 bits.
    """
    if -(2**31) <= value < 2**31:
        return True
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} does not fit into 64 bits")
    return False


def check_finite(value: float) -> float:
    """
    Check a number.

    @raise ValueError: it is NaN or infinite.
    """
    if not isfinite(value):
        raise ValueError(f"brokers do not take {value}: send a finite number, or text")
    return value


def decimal_parts(value: Decimal) -> tuple[int, int]:
    """
    Split a decimal into the number of its decimal places, and its digits as an int.

    @raise ValueError: it is NaN or infinite, or these do not fit into 8 and 32 bits.
    """
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or not -_PLACES_MOST <= exponent <= _DIGITS:
        raise ValueError(f"{value:.40} cannot be expressed as a decimal")
    if len(digits) + max(0, exponent) > _DIGITS and any(digits):
        raise ValueError(f"{value:.40} has too many digits for a decimal")
    scaled = int("".join(map(str, digits)) or "0") * 10 ** max(0, exponent)
    unscaled = -scaled if value.is_signed() else scaled
    if not -(2**31) <= unscaled < 2**31:
        raise ValueError(f"{value:.40} has too many digits for a decimal")
    return max(0, -exponent), unscaled


def join_decimal(places: int, unscaled: int) -> Decimal:
    """Make the decimal of which L{decimal_parts} returned the parts."""
    return Decimal(unscaled).scaleb(-places)


def timestamp_seconds(value: datetime | float) -> int:
    """
    Return whole seconds since 1970; a datetime without time zone counts as UTC.

    @raise ValueError: it is before 1970, or not a finite number.
    """
    if isinstance(value, datetime):
        try:
            seconds: float = timegm(value.utctimetuple())
        except OverflowError as error:
            raise ValueError(f"{value!r} cannot be expressed in UTC") from error
    else:
        seconds = check_finite(value)
    if not 0 <= seconds < 2**64:
        raise ValueError(f"{value!r} is no timestamp: it lies before 1970")
    return int(seconds)


def read_timestamp(seconds: int) -> datetime | int:
    """Return a datetime in UTC; or the seconds, if they are too many for one."""
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return seconds
