"""The arguments of a queue, checked as RabbitMQ checks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from .errors import BrokenDown, Refused, named
from .tables import type_name

Check = Callable[[object], str]
"""Returns the broker's words for what is wrong with a value, or C{""}."""

_LONGEST: Final = 315_360_000_000
"""Ten years: the longest time that RabbitMQ takes, in milliseconds."""


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _unacceptable(value: object) -> str:
    return f"{{unacceptable_type,{type_name(value)}}}"


def _integer(value: object) -> str:
    if _is_int(value):
        return ""
    return f'"expected integer, got {type_name(value)}"'


def _number(value: object) -> str:
    negative = isinstance(value, int) and value < 0
    return _integer(value) or (f"{{value_negative,{value}}}" if negative else "")


def duration_fault(milliseconds: int) -> str:
    """Return what is wrong with a time to live, or C{""}."""
    if milliseconds > _LONGEST:
        return f"{{value_too_large,{milliseconds}}}"
    return f"{{value_negative,{milliseconds}}}" if milliseconds < 0 else ""


def _duration(value: object) -> str:
    wrong = _number(value)
    return wrong or (duration_fault(value) if isinstance(value, int) else "")


def _priority(value: object) -> str:
    large = isinstance(value, int) and value > 255
    return _number(value) or (f"{{max_value_exceeded,{value}}}" if large else "")


def _version(value: object) -> str:
    wrong = "" if value in (1, 2) else f"\"unsupported queue version '{value}'\""
    return _number(value) or wrong


def _not_zero(check: Check) -> Check:
    return lambda value: (
        "{value_zero,0}" if value == 0 and _is_int(value) else check(value)
    )


def _text(value: object) -> str:
    return "" if isinstance(value, str) else _unacceptable(value)


def _flag(value: object) -> str:
    return "" if isinstance(value, bool) else _unacceptable(value)


def _one_of(*allowed: str, wrong: str) -> Check:
    def check(value: object) -> str:
        if not isinstance(value, str):
            return _unacceptable(value)
        return "" if value in allowed else wrong.format(value)

    return check


def _any(value: object) -> str:
    return ""


_OF_STREAMS: Final = (
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
)
_LOCATOR: Final = "x-queue-master-locator"
_LOCATORS: Final = ("min-masters", "client-local", "random")

CHECKS: Final[Mapping[str, Check]] = {
    "x-expires": _not_zero(_duration),
    "x-message-ttl": _duration,
    "x-dead-letter-exchange": _text,
    "x-dead-letter-routing-key": _text,
    "x-dead-letter-strategy": _one_of(
        "at-most-once", "at-least-once", wrong="invalid_dlx_strategy"
    ),
    "x-max-length": _number,
    "x-max-length-bytes": _number,
    "x-max-in-memory-length": _number,
    "x-max-in-memory-bytes": _number,
    "x-max-priority": _priority,
    "x-overflow": _one_of(
        "drop-head", "reject-publish", "reject-publish-dlx", wrong="invalid_overflow"
    ),
    "x-queue-mode": _one_of("default", "lazy", wrong="\"unsupported queue mode '{}'\""),
    "x-queue-version": _version,
    "x-single-active-consumer": _flag,
    "x-queue-type": _one_of(
        "classic", "quorum", "stream", wrong="\"unsupported queue type '{}'\""
    ),
    "x-quorum-initial-group-size": _not_zero(_number),
    "x-queue-leader-locator": _one_of(
        "client-local",
        "balanced",
        "random",
        "least-leaders",
        wrong="invalid_queue_locator_arg",
    ),
    "x-delivery-limit": _any,
    **dict.fromkeys(_OF_STREAMS, _any),
    _LOCATOR: _any,
}
"""
The arguments the broker knows, in the order it looks at them.  Those of streams
are refused for every queue that there can be here.
"""

_NOT_OF_QUORUM: Final = frozenset(
    ("x-max-priority", "x-queue-mode", "x-queue-version", _LOCATOR, *_OF_STREAMS)
)
_NOT_OF_CLASSIC: Final = frozenset(
    (
        "x-dead-letter-strategy",
        "x-max-in-memory-length",
        "x-max-in-memory-bytes",
        "x-quorum-initial-group-size",
        "x-queue-leader-locator",
        "x-delivery-limit",
        *_OF_STREAMS,
    )
)


@attrs.frozen
class QueueArguments:
    """
    What a queue's arguments mean.

    @ivar ttl: milliseconds a message may wait.
    @ivar expires: milliseconds the queue may go unused.
    @ivar dead_letter_exchange: where what it drops goes; C{""} is the default
        exchange.
    @ivar dead_letter_key: the key it goes with instead of its own.
    """

    ttl: int | None
    expires: int | None
    dead_letter_exchange: str | None
    dead_letter_key: str | None
    max_length: int | None
    max_bytes: int | None
    overflow: str
    max_priority: int | None
    single_active: bool
    quorum: bool
    delivery_limit: int | None

    @property
    def bounded(self) -> bool:
        """Whether there is a limit on what may wait in it."""
        return self.max_length is not None or self.max_bytes is not None


def read_arguments(
    name: str, vhost: str, arguments: Mapping[str, object]
) -> QueueArguments:
    """
    Return what a queue's arguments mean.

    @param name: the queue's, for errors; C{vhost} likewise.
    @raise Refused: an argument is not acceptable.
    """
    about = named("queue", name, vhost)
    exchange = arguments.get("x-dead-letter-exchange", "")
    if not isinstance(exchange, str):
        raise Refused(
            406,
            f"invalid type '{type_name(exchange)}' for arg 'x-dead-letter-exchange' "
            f"in {about}",
            name,
        )
    quorum = arguments.get("x-queue-type") == "quorum"
    others = _NOT_OF_QUORUM if quorum else _NOT_OF_CLASSIC
    given = [key for key in CHECKS if key in arguments]
    for key in ("x-queue-type", *given):
        wrong = "" if key in others else _fault(arguments, key)
        if wrong:
            raise Refused(406, f"invalid arg '{key}' for {about}: {wrong}", name)
    for key in given:
        if key in others:
            raise _not_of_type(about, name, key, quorum)
    if arguments.get(_LOCATOR, _LOCATORS[0]) not in _LOCATORS:
        raise BrokenDown
    return _meaning(arguments, quorum)


def _fault(arguments: Mapping[str, object], key: str) -> str:
    """Return what is wrong with an argument, or C{""}."""
    wrong = CHECKS[key](arguments[key]) if key in arguments else ""
    if key == "x-dead-letter-routing-key" and "x-dead-letter-exchange" not in arguments:
        wrong = wrong or "routing_key_but_no_dlx_defined"
    return wrong


def _not_of_type(about: str, name: str, key: str, quorum: bool) -> Refused:
    kind = "quorum" if quorum else "classic"
    return Refused(
        406, f"invalid arg '{key}' for {about} of queue type rabbit_{kind}_queue", name
    )


def _meaning(arguments: Mapping[str, object], quorum: bool) -> QueueArguments:
    def number(key: str) -> int | None:
        value = arguments.get(key)
        return value if isinstance(value, int) and _is_int(value) else None

    def text(key: str) -> str | None:
        value = arguments.get(key)
        return value if isinstance(value, str) else None

    return QueueArguments(
        ttl=number("x-message-ttl"),
        expires=number("x-expires"),
        dead_letter_exchange=text("x-dead-letter-exchange"),
        dead_letter_key=text("x-dead-letter-routing-key"),
        max_length=number("x-max-length"),
        max_bytes=number("x-max-length-bytes"),
        overflow=text("x-overflow") or "drop-head",
        max_priority=number("x-max-priority"),
        single_active=arguments.get("x-single-active-consumer") is True,
        quorum=quorum,
        delivery_limit=number("x-delivery-limit"),
    )


_OF_CONSUMERS: Final[Mapping[str, Check]] = {
    "x-priority": _integer,
    "x-cancel-on-ha-failover": _flag,
}


def read_consumer_priority(
    queue: str, vhost: str, quorum: bool, arguments: Mapping[str, object]
) -> int:
    """
    Return the priority of a consumer with these arguments.

    @param quorum: whether its queue is a quorum queue.
    @raise Refused: an argument is not acceptable.
    """
    about = named("queue", queue, vhost)
    for key, check in _OF_CONSUMERS.items():
        wrong = check(arguments[key]) if key in arguments else ""
        if wrong:
            raise Refused(406, f"invalid arg '{key}' for {about}: {wrong}", queue)
    if "x-stream-offset" in arguments:
        raise _not_of_type(about, queue, "x-stream-offset", quorum)
    priority = arguments.get("x-priority", 0)
    return priority if isinstance(priority, int) else 0
