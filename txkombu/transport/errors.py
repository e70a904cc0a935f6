"""
The errors of operations that a channel or a session took with it.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

from pamqp import commands

from ..exceptions import (
    BrokerError,
    ChannelClosed,
    NotSent,
    OutcomeUnknown,
    ProtocolError,
    SessionLost,
    broker_error,
)

_E = TypeVar("_E", bound=Exception)
_PUBLISH: Final = commands.Basic.Publish.index
_TLS_ALERT: Final = b"\x15\x03"
_SHOWN: Final = 16
_EXCHANGE: Final = re.compile(r"exchange '(.*?)(' in vhost |\.\.\.$|$)", re.DOTALL)


def caused(error: _E, cause: BaseException | None) -> _E:
    """Attach what led to an error."""
    error.__cause__ = cause
    return error


def error_of(method: Any, about: str = "") -> BrokerError:
    """
    The error that a broker closes a channel or connection with.

    @param method: channel.close or connection.close.
    @param about: the name of the object the operation was about.
    """
    return broker_error(
        method.reply_code,
        method.reply_text,
        method.class_id,
        method.method_id,
        about,
    )


def again(error: BrokerError, about: str = "") -> BrokerError:
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
    return caused(SessionLost(f"the connection was lost: {why}{note}"), reason)


def ended(reason: Exception) -> ChannelClosed | SessionLost:
    """For an operation that had no reply when its channel ended."""
    if isinstance(reason, SessionLost):
        return caused(SessionLost(*reason.args), reason.__cause__)
    return closed(reason)


def closed(reason: Exception) -> ChannelClosed:
    """For an operation that was begun after its channel had ended."""
    return caused(ChannelClosed(f"the channel is closed: {reason}"), reason)


def not_sent(reason: Exception) -> NotSent:
    """For a publish after the end."""
    return caused(NotSent(f"not sent, the channel is closed: {reason}"), reason)


def outcome_unknown(reason: Exception) -> OutcomeUnknown:
    """For a publish that had no verdict at the end."""
    return caused(
        OutcomeUnknown(f"sent, but the channel ended before the verdict: {reason}"),
        reason,
    )


def is_about_publish(error: BrokerError) -> bool:
    """Whether it was a publish that the broker refused."""
    return error.class_id << 16 | error.method_id == _PUBLISH


def exchange_named_in(text: str) -> tuple[str, bool] | None:
    """
    The exchange that a refusal is about.

    @return: its name, and whether that is only the beginning of it: the text
        of a reply has at most 255 bytes.
    """
    found = _EXCHANGE.search(text)
    if found is None:
        return None
    return found[1], not found[2].startswith("'")


def refuses(error: BrokerError, exchange: str, alone: bool) -> bool:
    """
    Whether a refused publish was one to this exchange.

    @param alone: no other publish can have been meant.
    """
    if not is_about_publish(error):
        return False
    named = exchange_named_in(error.text)
    if named is None:
        return alone
    name, cut = named
    return exchange.startswith(name) if cut else exchange == name


def exchange_of(method: Any) -> str:
    """The exchange that a refused publish went to, as far as its error says."""
    error = error_of(method)
    named = exchange_named_in(error.text) if is_about_publish(error) else None
    return named[0] if named else ""


def no_frame(data: bytes) -> ProtocolError:
    """For what came where a frame of AMQP 0-9-1 was due, and is none."""
    head = data[:_SHOWN]
    text = f"no frame of AMQP 0-9-1 begins with {head!r}"
    if head.startswith(b"AMQP"):
        text += ", which asks for another version of the protocol"
    elif head.startswith(_TLS_ALERT):
        text += ", which is TLS: use a scheme that has it, such as amqps://"
    return ProtocolError(text)
