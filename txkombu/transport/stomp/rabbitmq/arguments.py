"""
The arguments of queues that RabbitMQ's STOMP plugin passes on.

It ignores all others without a word, and closes the connection without one over
a number that is out of range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from re import compile as pattern
from typing import TYPE_CHECKING, Final

from ...._util.validation import check_count, check_short_string
from .mapping import check_line_ends, is_native, route

if TYPE_CHECKING:
    from ....entity import Exchange, Queue

DEAD_LETTER_EXCHANGE: Final = "x-dead-letter-exchange"
DEAD_LETTER_KEY: Final = "x-dead-letter-routing-key"
QUEUE_TYPE: Final = "x-queue-type"

_LONGEST_TIMER: Final = 2**32 - 1
_NUMBERS: Final = {
    "x-message-ttl": (0, _LONGEST_TIMER),
    "x-expires": (1, _LONGEST_TIMER),
    "x-max-length": (0, None),
    "x-max-length-bytes": (0, None),
    "x-max-priority": (0, 255),
}
_TEXTS: Final = (DEAD_LETTER_EXCHANGE, DEAD_LETTER_KEY, QUEUE_TYPE)

KNOWN: Final = frozenset((*_NUMBERS, *_TEXTS))
"""The arguments that reach the broker."""

_WHOLE_NUMBER: Final = pattern(r" *[+-]?[0-9]+ *")


def check_headers(headers: Mapping[str, object]) -> None:
    """
    Check headers of a message that the plugin would read as arguments of a queue.

    It does so whatever the destination is, and closes the connection over one that
    is no number.  Where it is one nothing comes of it.

    @raise ValueError: there is one of that name that is text, and no whole number.
    """
    for name in _NUMBERS:
        value = headers.get(name)
        if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value) is None:
            raise ValueError(
                f"the header {name!r} must be a whole number, not {value[:40]!r}: "
                "RabbitMQ's STOMP plugin reads it as an argument of a queue, and "
                "closes the connection otherwise"
            )


def queue_type(queue: Queue) -> str:
    """Such as C{"quorum"}; C{""} if the broker decides."""
    return str(queue.arguments.get(QUEUE_TYPE, ""))


def argument_headers(
    queue: Queue, exchange_named: Callable[[str], Exchange | None]
) -> list[tuple[str, str]]:
    """
    The arguments of a queue as headers, all of them known.

    @param exchange_named: gives the exchange that messages die to.
    @raise TypeError: one is of a wrong type.
    @raise ValueError: one is out of range, or the exchange cannot be expressed.
    """
    arguments = queue.arguments
    headers = []
    for name, (minimum, maximum) in _NUMBERS.items():
        value = arguments.get(name)
        if value is not None:
            check_count(f"queue argument {name}", value, minimum, maximum)
            headers.append((name, str(value)))
    for name in _TEXTS:
        if name in arguments:
            text = check_short_string(f"queue argument {name}", arguments[name])
            if "\0" in text:
                raise ValueError(f"queue argument {name} has a zero byte: {text!r}")
    if queue_type(queue):
        headers.append((QUEUE_TYPE, queue_type(queue)))
    return headers + _dead_letter_headers(queue, exchange_named)


def lacks_dead_letter_key(
    queue: Queue, exchange_named: Callable[[str], Exchange | None]
) -> bool:
    """
    Whether its messages would die with the keys that they have at the broker,
    where keys matter.
    """
    name = queue.arguments.get(DEAD_LETTER_EXCHANGE)
    if name is None or DEAD_LETTER_KEY in queue.arguments or name == "amq.fanout":
        return False
    exchange = None if _is_predeclared(name) else exchange_named(str(name))
    return exchange is None or exchange.type != "fanout"


def _is_predeclared(name: object) -> bool:
    return not name or str(name).startswith("amq.")


def _dead_letter_headers(
    queue: Queue, exchange_named: Callable[[str], Exchange | None]
) -> list[tuple[str, str]]:
    key = queue.arguments.get(DEAD_LETTER_KEY)
    headers = [] if key is None else [(DEAD_LETTER_KEY, str(key))]
    name = queue.arguments.get(DEAD_LETTER_EXCHANGE)
    if name is None:
        return headers
    check_line_ends("an exchange", str(name))
    exchange = None if _is_predeclared(name) else exchange_named(str(name))
    if _is_predeclared(name) or (exchange is not None and is_native(exchange)):
        return [(DEAD_LETTER_EXCHANGE, str(name)), *headers]
    if exchange is None:
        raise ValueError(
            f"the type of {DEAD_LETTER_EXCHANGE} {name!r} has to be known on STOMP: "
            "declare that exchange before the queue"
        )
    to = route(exchange, str(key or ""))
    return [(DEAD_LETTER_EXCHANGE, to.exchange), (DEAD_LETTER_KEY, to.key)]
