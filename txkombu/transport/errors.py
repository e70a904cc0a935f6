"""The errors of operations that end with their channel or session."""

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
"""How answers in other protocols begin."""

_E = TypeVar("_E", bound=Exception)


def spoken_in(begin: bytes) -> str:
    """
    Name the protocol of an answer that is not understood.

    @param begin: the first bytes of the answer.
    @return: the end of a sentence; C{""} if the protocol is not known.
    """
    for start, name in _PROTOCOLS:
        if begin.startswith(start):
            return f", which is {name}: that is the port of another protocol"
    return ""


def with_cause(error: _E, cause: BaseException | None) -> _E:
    """Set the cause of an error, and return it."""
    error.__cause__ = cause
    return error


def copy_error(error: BrokerError, about: str = "") -> BrokerError:
    """
    Return a copy of an error, for another Deferred.

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
    Return the error for a connection that went away by itself.

    @param note: what else is known, as the end of a sentence.
    """
    why = str(reason).rstrip(".")
    return with_cause(SessionLost(f"the connection was lost: {why}{note}"), reason)


def ended(reason: Exception) -> ChannelClosed | SessionLost:
    """Return the error for an operation without a reply when its channel ended."""
    if isinstance(reason, SessionLost):
        return with_cause(SessionLost(*reason.args), reason.__cause__)
    return closed(reason)


def closed(reason: Exception) -> ChannelClosed:
    """Return the error for an operation that was begun after its channel ended."""
    return with_cause(ChannelClosed(f"the channel is closed: {reason}"), reason)


def not_sent(reason: Exception) -> NotSent:
    """Return the error for a publish after its channel ended."""
    return with_cause(NotSent(f"not sent, the channel is closed: {reason}"), reason)


def outcome_unknown(reason: Exception) -> OutcomeUnknown:
    """Return the error for a publish without a verdict when its channel ended."""
    return with_cause(
        OutcomeUnknown(f"sent, but the channel ended before the verdict: {reason}"),
        reason,
    )
