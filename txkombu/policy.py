"""
What to do when something fails: how long to wait, what becomes of a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.python.failure import Failure

from ._util.backoff import ReconnectPolicy
from ._util.failures import without_frames
from ._util.log_limit import LogLimit
from ._util.shown import shown
from .exceptions import DecodeError

if TYPE_CHECKING:
    from .message import Message

__all__ = [
    "FailurePolicy",
    "ReconnectPolicy",
    "drop",
    "reject",
    "requeue_once",
]


FailurePolicy = Callable[["Message", Failure], object]
"""
Called with a message whose handling failed and that is not settled.  It
settles it, or leaves it unsettled on purpose; it may return a Deferred.
"""


_log = Logger()


def requeue_once(message: Message, failure: Failure) -> None:
    """Put the message back once; if it comes again and fails again, reject it."""
    if message.redelivered or message.no_ack:
        reject(message, failure)
        return
    _say(message, failure, "it is requeued once")
    message.reject(requeue=True)


def reject(message: Message, failure: Failure) -> None:
    """Reject the message: to the dead letter exchange if there is one."""
    _say(message, failure, _fate(message))
    message.reject()


def drop(message: Message, failure: Failure) -> None:
    """Take the message for handled, whatever went wrong."""
    _say(message, failure, "it is dropped")
    message.ack()


def _say(message: Message, failure: Failure, fate: str) -> None:
    if failure.check(DecodeError):
        _say_undecodable(message, failure, fate)
        return
    _log.failure(
        "Handling message {name} from queue {queue!r} failed; {fate}",
        without_frames(failure),
        name=_name(message),
        message_id=message.properties_or_empty.get("message_id"),
        queue=message.queue_name,
        fate=fate,
    )


def _say_undecodable(message: Message, failure: Failure, fate: str) -> None:
    """One line, as it is no fault of this program, and not one for each."""
    limit: LogLimit | None = getattr(message, "log_limit", None)
    left_out = 0 if limit is None else limit.take()
    if left_out is None:
        return
    more = f" (and {left_out} more before, not logged)" if left_out else ""
    _log.error(
        "Message {name} from queue {queue!r} cannot be decoded; {fate}: {error}{more}",
        name=_name(message),
        message_id=message.properties_or_empty.get("message_id"),
        queue=message.queue_name,
        fate=fate,
        error=failure.getErrorMessage(),
        more=more,
    )


def _name(message: Message) -> str:
    """Its message_id, or what else tells it from others."""
    message_id = message.properties_or_empty.get("message_id")
    if message_id is not None:
        return shown(message_id)
    delivery = message.delivery_info
    exchange, key = shown(delivery["exchange"]), shown(delivery["routing_key"])
    return f"{message.delivery_tag} ({exchange}, {key})"


def _fate(message: Message) -> str:
    if message.no_ack:
        return "dropped, its consumer needs no acks"
    if message.dead_letter_exchange is None:
        # Of those that the broker's administrator sets we know nothing.
        return (
            "dropped, no dead letter exchange, unless the broker's own policies keep it"
        )
    return f"rejected to the dead letter exchange {message.dead_letter_exchange!r}"
