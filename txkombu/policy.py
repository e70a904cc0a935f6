"""Policies: how long to wait before a retry, what becomes of a failed message."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
Called with an unsettled message whose handling failed, and the failure.  It settles
the message, or leaves it unsettled on purpose; it may return a Deferred.
"""

_log = Logger()


def requeue_once(message: Message, failure: Failure) -> None:
    """
    Requeue the message once; reject it if it is redelivered and fails again.

    @param message: the message whose handling failed.
    @param failure: why.
    """
    if message.redelivered or message.no_ack:
        reject(message, failure)
        return
    _log_failure(message, failure, "it is requeued once")
    message.reject(requeue=True)


def reject(message: Message, failure: Failure) -> None:
    """
    Reject the message: to the dead letter exchange if there is one.

    @param message: the message whose handling failed.
    @param failure: why.
    """
    _log_failure(message, failure, _fate(message))
    message.reject()


def drop(message: Message, failure: Failure) -> None:
    """
    Acknowledge the message, although it was not handled.

    @param message: the message whose handling failed.
    @param failure: why.
    """
    _log_failure(message, failure, "it is dropped")
    message.ack()


def _log_failure(message: Message, failure: Failure, fate: str) -> None:
    """
    Log why handling a message failed, and its fate.

    One that cannot be decoded is no fault of this program: it gets one line, without
    traceback, and only some of many such messages do.
    """
    message_id = message.properties_or_empty.get("message_id")
    fields: dict[str, Any]
    fields = {"message_id": message_id, "queue": message.queue_name, "fate": fate}
    if message_id is None:
        delivery = message.delivery_info
        exchange, key = shown(delivery["exchange"]), shown(delivery["routing_key"])
        fields["name"] = f"{message.delivery_tag} ({exchange}, {key})"
    else:
        fields["name"] = shown(message_id)
    if not failure.check(DecodeError):
        text = "Handling message {name} from queue {queue!r} failed; {fate}"
        _log.failure(text, without_frames(failure), **fields)
        return
    limit: LogLimit | None = getattr(message, "log_limit", None)
    left_out = 0 if limit is None else limit.take()
    if left_out is None:
        return
    _log.error(
        "Message {name} from queue {queue!r} cannot be decoded; {fate}: {error}{more}",
        error=failure.getErrorMessage(),
        more=f" (and {left_out} more before, not logged)" if left_out else "",
        **fields,
    )


def _fate(message: Message) -> str:
    if message.no_ack:
        return "dropped, its consumer needs no acks"
    if message.dead_letter_exchange is None:
        # A policy of the broker may set one, which clients cannot see.
        return (
            "dropped, no dead letter exchange, unless the broker's own policies keep it"
        )
    return f"rejected to the dead letter exchange {message.dead_letter_exchange!r}"
