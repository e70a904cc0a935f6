"""Log why handling a message failed, and what becomes of the message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from .._util.failures import without_frames
from .._util.shown import shown
from ..exceptions import DecodeError
from .hosting import Verdict, record_of

if TYPE_CHECKING:
    from ..message import Message


_log = Logger()


def log_failure(
    message: Message,
    failure: Failure,
    fate: str,
    repeats: bool = False,
    about: str = "",
) -> None:
    """
    Log why handling a message failed, and its fate.

    One that cannot be decoded is no fault of this program: it gets one line, without
    traceback.

    @param repeats: whether the same is likely to be logged often: then, as for what
        cannot be decoded, one line in ten seconds is logged for each consumer.
    @param about: what the line is about, if not the handling: one line in ten seconds
        is logged for each.
    """
    record = record_of(message)
    is_limited = repeats or failure.check(DecodeError)
    left_out = record.take_line(about) if record is not None and is_limited else 0
    if left_out is None:
        return
    if message.is_back:
        fate = "the broker delivers it again"
    message_id = message.properties_or_empty.get("message_id")
    fields: dict[str, Any] = {
        "message_id": message_id,
        "queue": message.queue_name,
        "fate": fate,
        "more": f" (and {left_out} more before, not logged)" if left_out else "",
    }
    if message_id is None:
        delivery = message.delivery_info
        exchange, key = shown(delivery["exchange"]), shown(delivery["routing_key"])
        fields["name"] = f"{message.delivery_tag} ({exchange}, {key})"
    else:
        fields["name"] = shown(message_id)
    if isinstance(failure.value, Verdict):
        text = "Message {name} from queue {queue!r}: {verdict!r}; {fate}{more}"
        _log.info(text, verdict=failure.value, **fields)
    elif failure.check(DecodeError):
        text = "Message {name} from queue {queue!r} cannot be decoded; {fate}: {error}"
        _log.error(text + "{more}", error=failure.getErrorMessage(), **fields)
    else:
        text = "Handling message {name} from queue {queue!r} failed; {fate}{more}"
        _log.failure(text, without_frames(failure), **fields)


def fate_of(message: Message) -> str:
    if message.no_ack:
        return "dropped, its consumer needs no acks"
    if message.dead_letter_exchange is None:
        # A policy of the broker may set one, which clients cannot see.
        return (
            "dropped, no dead letter exchange, unless the broker's own policies keep it"
        )
    return f"rejected to the dead letter exchange {message.dead_letter_exchange!r}"
