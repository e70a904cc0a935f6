"""
What RabbitMQ's STOMP plugin takes as headers: arguments of queues, and properties of
messages.

It silently ignores all other arguments, and closes the connection without a word over a
number that is out of range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from re import compile as pattern
from typing import TYPE_CHECKING, Final

from ...._util.validation import check_count, check_short_string
from ..wire.properties import (
    COMMON_FIELDS,
    Field,
    Vocabulary,
    milliseconds,
    number,
    seconds_of,
    time_of,
)
from .mapping import check_line_ends, is_native, route

if TYPE_CHECKING:
    from ....entity import Exchange, Queue

ROUTING_HEADERS: Final = ("CC", "BCC")
"""Headers by which RabbitMQ routes; it takes nothing but lists for them."""

_DEAD_LETTER_EXCHANGE: Final = "x-dead-letter-exchange"
_DEAD_LETTER_KEY: Final = "x-dead-letter-routing-key"
_QUEUE_TYPE: Final = "x-queue-type"
_NUMBERS: Final = {
    "x-message-ttl": (0, 2**32 - 1),
    "x-expires": (1, 2**32 - 1),
    "x-max-length": (0, None),
    "x-max-length-bytes": (0, None),
    "x-max-priority": (0, 255),
}
_TEXTS: Final = (_DEAD_LETTER_EXCHANGE, _DEAD_LETTER_KEY, _QUEUE_TYPE)

KNOWN: Final = frozenset((*_NUMBERS, *_TEXTS))
"""The arguments that reach the broker."""

_WHOLE_NUMBER: Final = pattern(r" *[+-]?[0-9]+ *")


def check_headers(headers: Mapping[str, object]) -> None:
    """Check the headers of a message that the plugin reads as arguments of a queue."""
    for name in _NUMBERS:
        value = headers.get(name)
        if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value) is None:
            raise ValueError(
                f"the header {name!r} must be a whole number, not {value[:40]!r}: "
                "RabbitMQ's STOMP plugin reads it as an argument of a queue, and "
                "closes the connection otherwise"
            )


def queue_type(queue: Queue) -> str:
    """Return such as C{"quorum"}; C{""} if the broker decides."""
    return str(queue.arguments.get(_QUEUE_TYPE, ""))


def argument_headers(
    queue: Queue, exchange_named: Callable[[str], Exchange | None]
) -> list[tuple[str, str]]:
    """Return the arguments of a queue as headers."""
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
        headers.append((_QUEUE_TYPE, queue_type(queue)))
    return headers + _dead_letter_headers(queue, exchange_named)


def lacks_dead_letter_key(
    queue: Queue, exchange_named: Callable[[str], Exchange | None]
) -> bool:
    """Tell whether dead letters would keep the broker's keys, where keys matter."""
    name = queue.arguments.get(_DEAD_LETTER_EXCHANGE)
    if name is None or _DEAD_LETTER_KEY in queue.arguments or name == "amq.fanout":
        return False
    exchange = None if _is_predeclared(name) else exchange_named(str(name))
    return exchange is None or exchange.type != "fanout"


def _is_predeclared(name: object) -> bool:
    return not name or str(name).startswith("amq.")


def _dead_letter_headers(
    queue: Queue, exchange_named: Callable[[str], Exchange | None]
) -> list[tuple[str, str]]:
    key = queue.arguments.get(_DEAD_LETTER_KEY)
    headers = [] if key is None else [(_DEAD_LETTER_KEY, str(key))]
    name = queue.arguments.get(_DEAD_LETTER_EXCHANGE)
    if name is None:
        return headers
    check_line_ends("an exchange", str(name))
    exchange = None if _is_predeclared(name) else exchange_named(str(name))
    if _is_predeclared(name) or (exchange is not None and is_native(exchange)):
        return [(_DEAD_LETTER_EXCHANGE, str(name)), *headers]
    if exchange is None:
        raise ValueError(
            f"the type of {_DEAD_LETTER_EXCHANGE} {name!r} has to be known on STOMP: "
            "declare that exchange before the queue"
        )
    to = route(exchange, str(key or ""))
    return [(_DEAD_LETTER_EXCHANGE, to.exchange), (_DEAD_LETTER_KEY, to.key)]


def vocabulary(userid: str) -> Vocabulary:
    """Return how a session of some user, C{""} if unknown, writes properties."""

    def user(value: object, _: float) -> str:
        name = check_short_string("property user_id", value)
        if userid and name != userid:
            raise ValueError(
                f"property user_id must be the login, {userid!r}, not {name!r}: "
                "RabbitMQ closes the connection otherwise"
            )
        return name

    return Vocabulary(
        {
            **COMMON_FIELDS,
            "priority": number("priority", "priority", 255),
            "reply_to": Field(
                "reply-to",
                _write_reply_to,
                lambda text: text.removeprefix("/reply-queue/"),
            ),
            "expiration": milliseconds("expiration", 2**32 - 1),
            "timestamp": Field("timestamp", lambda at, _: str(seconds_of(at)), time_of),
            "user_id": Field("user-id", user),
        },
        ROUTING_HEADERS,
    )


def _write_reply_to(value: object, _: float) -> str:
    name = check_short_string("property reply_to", value)
    if "/" in name:
        raise ValueError(
            f"property reply_to cannot be {name!r}: RabbitMQ's STOMP plugin takes "
            "what has a slash for a destination"
        )
    return name
