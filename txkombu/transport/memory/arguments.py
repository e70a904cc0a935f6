"""
The arguments of a queue, checked as RabbitMQ checks them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from .errors import Refused, named, type_name

Check = Callable[[object], str]
"""The broker's words for what is wrong with a value, or C{""}."""


_LONGEST: Final = 315_360_000_000
"""Ten years: the longest time that RabbitMQ takes, in milliseconds."""


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _unacceptable(value: object) -> str:
    return f"{{unacceptable_type,{type_name(value)}}}"


def _number(value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        return f'"expected integer, got {type_name(value)}"'
    return f"{{value_negative,{value}}}" if value < 0 else ""


def duration_fault(milliseconds: int) -> str:
    """What is wrong with a time to live, or C{""}."""
    if milliseconds > _LONGEST:
        return f"{{value_too_large,{milliseconds}}}"
    return f"{{value_negative,{milliseconds}}}" if milliseconds < 0 else ""


def _duration(value: object) -> str:
    wrong = _number(value)
    return wrong or (duration_fault(value) if isinstance(value, int) else "")


def _expiry(value: object) -> str:
    return "{value_zero,0}" if value == 0 and _is_int(value) else _duration(value)


def _priority(value: object) -> str:
    wrong = _number(value)
    if not wrong and isinstance(value, int) and value > 255:
        return f"{{max_value_exceeded,{value}}}"
    return wrong


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


CHECKS: Final[Mapping[str, Check]] = {
    "x-expires": _expiry,
    "x-message-ttl": _duration,
    "x-dead-letter-exchange": _text,
    "x-dead-letter-routing-key": _text,
    "x-max-length": _number,
    "x-max-length-bytes": _number,
    "x-max-priority": _priority,
    "x-overflow": _one_of(
        "drop-head", "reject-publish", "reject-publish-dlx", wrong="invalid_overflow"
    ),
    "x-queue-mode": _one_of("default", "lazy", wrong="invalid_queue_mode"),
    "x-single-active-consumer": _flag,
    "x-queue-type": _one_of(
        "classic", "quorum", "stream", wrong="\"unsupported queue type '{}'\""
    ),
    "x-delivery-limit": _number,
}
"""The arguments the broker knows, in the order it looks at them."""


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
    for key, check in CHECKS.items():
        wrong = check(arguments[key]) if key in arguments else ""
        if wrong:
            raise Refused(406, f"invalid arg '{key}' for {about}: {wrong}", name)
    _check_type(about, name, arguments)
    if (
        "x-dead-letter-routing-key" in arguments
        and "x-dead-letter-exchange" not in arguments
    ):
        raise Refused(
            406,
            f"invalid arg 'x-dead-letter-routing-key' for {about}: "
            "routing_key_but_no_dlx_defined",
            name,
        )
    return _meaning(dict(arguments))


_NOT_OF_QUORUM: Final = ("x-max-priority", "x-queue-mode")
_NOT_OF_CLASSIC: Final = ("x-delivery-limit",)


def _check_type(about: str, name: str, arguments: Mapping[str, object]) -> None:
    """Some arguments are only for one type of queue."""
    quorum = arguments.get("x-queue-type") == "quorum"
    for key in _NOT_OF_QUORUM if quorum else _NOT_OF_CLASSIC:
        if key in arguments:
            kind = "quorum" if quorum else "classic"
            raise Refused(
                406,
                f"invalid arg '{key}' for {about} of queue type rabbit_{kind}_queue",
                name,
            )


def _meaning(arguments: dict[str, object]) -> QueueArguments:
    def number(key: str) -> int | None:
        value = arguments.get(key)
        return value if isinstance(value, int) else None

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
        quorum=arguments.get("x-queue-type") == "quorum",
        delivery_limit=number("x-delivery-limit"),
    )
