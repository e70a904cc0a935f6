"""
How the broker refuses, in RabbitMQ's words.
"""

from __future__ import annotations

from typing import Final

from ...exceptions import BrokerError, broker_error

_NAMES: Final = {
    403: "ACCESS_REFUSED",
    404: "NOT_FOUND",
    405: "RESOURCE_LOCKED",
    406: "PRECONDITION_FAILED",
    503: "COMMAND_INVALID",
    530: "NOT_ALLOWED",
    540: "NOT_IMPLEMENTED",
}


class Refused(Exception):
    """
    The broker refuses an operation.

    @ivar code: the reply code (AMQP 0-9-1, "reply-code").
    @ivar about: the name of the object it is about.
    """

    def __init__(self, code: int, text: str, about: str = "") -> None:
        super().__init__(f"{_NAMES[code]} - {text}")
        self.code = code
        self.about = about

    def as_error(self, method: tuple[int, int]) -> BrokerError:
        """What the client sees: with the class and method that failed."""
        return broker_error(self.code, str(self), *method, about=self.about)


def named(kind: str, name: str, vhost: str) -> str:
    """A queue or exchange as the broker's texts name it."""
    return f"{kind} '{name}' in vhost '{vhost}'"


_TYPES: Final[dict[type, str]] = {
    bool: "bool",
    str: "longstr",
    bytes: "longstr",
    float: "double",
    dict: "table",
    list: "array",
    tuple: "array",
    type(None): "void",
}


def type_name(value: object) -> str:
    """The name of a table value's type on the wire, as the broker calls it."""
    if type(value) is int:
        return "signedint" if -(2**31) <= value < 2**31 else "long"
    return _TYPES.get(type(value), type(value).__name__)


def shown(value: object) -> str:
    """A value as the broker's texts show it: an Erlang term."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
