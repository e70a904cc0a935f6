"""
The errors of operations that a channel or a session took with it.
"""

from __future__ import annotations

from typing import Final, TypeVar

from ..exceptions import (
    BrokerError,
    ChannelClosed,
    NotSent,
    OutcomeUnknown,
    SessionLost,
)

_PROTOCOLS: Final = (
    (b"HTTP/", "HTTP"),
    (b"<", "HTTP"),
    (b"AMQP", "AMQP"),
    (b"ERROR\n", "STOMP"),
    (b"ERROR\r\n", "STOMP"),
    (b"CONNECTED", "STOMP"),
)
"""How what speaks another protocol may answer us."""

_E = TypeVar("_E", bound=Exception)


def spoken_in(begin: bytes) -> str:
    """
    Name the protocol that an answer which is not understood is in.

    @param begin: the first bytes of it.
    @return: to end a sentence with; C{""} if it is not known.
    """
    for start, name in _PROTOCOLS:
        if begin.startswith(start):
            return f", which is {name}: that is the port of another protocol"
    return ""


def with_cause(error: _E, cause: BaseException | None) -> _E:
    """Attach what led to an error."""
    error.__cause__ = cause
    return error


def copy_error(error: BrokerError, about: str = "") -> BrokerError:
    """
    The same error, for one more who waits.

    @param about: the name of the object, if the error does not say.
    """
    return type(error)(
        error.text,
        code=error.code,
        class_id=error.class_id,
        method_id=error.method_id,
        about=error.about or about,
    )


def lost_by(reason: BaseException, note: str = "") -> SessionLost:
    """
    For a connection that went away by itself.

    @param note: what else is known, to end the sentence with.
    """
    why = str(reason).rstrip(".")
    return with_cause(SessionLost(f"the connection was lost: {why}{note}"), reason)


def ended(reason: Exception) -> ChannelClosed | SessionLost:
    """For an operation that had no reply when its channel ended."""
    if isinstance(reason, SessionLost):
        return with_cause(SessionLost(*reason.args), reason.__cause__)
    return closed(reason)


def closed(reason: Exception) -> ChannelClosed:
    """For an operation that was begun after its channel had ended."""
    return with_cause(ChannelClosed(f"the channel is closed: {reason}"), reason)


def not_sent(reason: Exception) -> NotSent:
    """For a publish after the end."""
    return with_cause(NotSent(f"not sent, the channel is closed: {reason}"), reason)


def outcome_unknown(reason: Exception) -> OutcomeUnknown:
    """For a publish that had no verdict at the end."""
    return with_cause(
        OutcomeUnknown(f"sent, but the channel ended before the verdict: {reason}"),
        reason,
    )
