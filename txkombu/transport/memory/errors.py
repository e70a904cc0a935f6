"""How the broker refuses, in RabbitMQ's words."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from ..._util.field_values import decimal_parts, timestamp_seconds
from ...exceptions import BrokerError, broker_error
from .tables import type_name

_NAMES: Final = {
    403: "ACCESS_REFUSED",
    404: "NOT_FOUND",
    405: "RESOURCE_LOCKED",
    406: "PRECONDITION_FAILED",
    503: "COMMAND_INVALID",
    530: "NOT_ALLOWED",
    540: "NOT_IMPLEMENTED",
    541: "INTERNAL_ERROR",
}


class Refused(Exception):
    """
    The broker refuses an operation.

    @ivar code: the reply code (AMQP 0-9-1, "reply-code").
    @ivar about: the name of the exchange or queue that it concerns.
    """

    def __init__(self, code: int, text: str, about: str = "") -> None:
        super().__init__(f"{_NAMES[code]} - {text}" if text else _NAMES[code])
        self.code = code
        self.about = about

    def as_error(self, method: tuple[int, int]) -> BrokerError:
        """Return what the client sees, with the class and method that failed."""
        return broker_error(self.code, str(self), *method, about=self.about)


class BrokenDown(Refused):
    """
    The broker breaks down over an operation: it ends the session, and does not say over
    which operation.
    """

    def __init__(self) -> None:
        super().__init__(541, "")

    def as_error(self, method: tuple[int, int]) -> BrokerError:
        return broker_error(self.code, str(self))


def named(kind: str, name: str, vhost: str) -> str:
    """Return how the broker's texts name a queue or exchange."""
    return f"{kind} '{name}' in vhost '{vhost}'"


def shown(value: object) -> str:
    """Return how the broker's texts show a value: as an Erlang term."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _shown_float(value)
    if isinstance(value, datetime):
        return str(timestamp_seconds(value))
    if isinstance(value, Decimal):
        return "{{{},{}}}".format(*decimal_parts(value))
    if isinstance(value, list):
        return f"[{','.join(_shown_within(each) for each in value)}]"
    if isinstance(value, dict):
        entries = [_shown_within(value[key], f'<<"{key}">>,') for key in value]
        return f"[{','.join(entries)}]"
    return "undefined" if value is None else str(value)


def _shown_within(value: object, before: str = "") -> str:
    text = f'<<"{value}">>' if isinstance(value, str) else shown(value)
    return f"{{{before}{type_name(value)},{text}}}"


def quoted(value: object) -> str:
    """
    Return how a value is shown beside another one.

    @raise BrokenDown: the broker cannot show it (measured with a decimal).
    """
    if isinstance(value, Decimal):
        raise BrokenDown
    return "none" if value is None else f"'{shown(value)}'"


def _shown_float(value: float) -> str:
    """Write it with or without an exponent, whichever is shorter, as Erlang does."""
    sign, figures, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int), "floats in tables are finite"
    digits = "".join(map(str, figures))
    place = exponent + len(digits)
    power = str(place - 1)
    zeros = -place if place <= 0 else max(0, place - len(digits))
    if zeros + 2 > len(power) + (3 if len(digits) == 1 else 2):
        body = f"{digits[0]}.{digits[1:] or '0'}e{power}"
    elif place <= 0:
        body = f"0.{'0' * zeros}{digits}"
    else:
        whole = digits + "0" * zeros
        body = f"{whole[:place]}.{whole[place:] or '0'}"
    return "-" * sign + body
