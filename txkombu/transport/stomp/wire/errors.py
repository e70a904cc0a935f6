"""
ERROR frames as exceptions.

RabbitMQ names the reply code of AMQP in the C{message} header and says more in the
body.  ActiveMQ has the text in the header, and in the body mostly a stack trace of
Java, of which only the name of the exception tells something: the kind of error.
"""

from __future__ import annotations

from re import compile as pattern
from typing import TYPE_CHECKING, Final

from ....exceptions import (
    AccessRefused,
    AuthenticationFailed,
    BrokerError,
    ConnectError,
    ConnectionForced,
    ConsumerCancelled,
    ContentTooLarge,
    NotFound,
    broker_error,
)
from ...errors import with_cause
from .parser import Frame

if TYPE_CHECKING:
    from ....url.parameters import Parameters

_CODES: Final = {
    "content_too_large": 311,
    "no_consumers": 313,
    "connection_forced": 320,
    "invalid_path": 402,
    "access_refused": 403,
    "not_found": 404,
    "resource_locked": 405,
    "precondition_failed": 406,
    "frame_error": 501,
    "syntax_error": 502,
    "command_invalid": 503,
    "channel_error": 504,
    "unexpected_frame": 505,
    "resource_error": 506,
    "not_allowed": 530,
    "not_implemented": 540,
    "internal_error": 541,
}
_JAVA_CODES: Final = {
    "SecurityException": AccessRefused.default_code,
    "JMSSecurityException": AccessRefused.default_code,
    "InvalidDestinationException": NotFound.default_code,
    "DestinationDoesNotExistException": NotFound.default_code,
    "BrokerStoppedException": ConnectionForced.default_code,
    "ServiceStoppedException": ConnectionForced.default_code,
    "TransportDisposedIOException": ConnectionForced.default_code,
    "InactivityIOException": ConnectionForced.default_code,
}
_ACTIVEMQ_REFUSES: Final = pattern(r"User \S* ?is not authori[sz]ed to ")
_ACTIVEMQ_LOGIN: Final = pattern(r"User name \[.*\] or password is invalid", 16)
_ACTIVEMQ_TOO_LARGE: Final = "The maximum data length was exceeded"
_RABBITMQ_LOGIN: Final = "Bad CONNECT"
_PROVISIONAL: Final = "Processing error"
_CANCELLED: Final = "Server cancelled subscription"
_CHANNEL_DIED: Final = pattern(
    r'\{server_initiated_close, ?([0-9]{3}), ?(?:<<)?((?:"(?:[^"\\]|\\.)*" ?)+)'
)
_ERLANG_TEXT: Final = pattern(r'"((?:[^"\\]|\\.)*)"')
_JAVA: Final = pattern(r"(?:[\w$]+\.)+([\w$]+(?:Exception|Error))\b")
_TEXT_MOST: Final = 500


def error_of(frame: Frame, about: str = "") -> BrokerError:
    """Return the exception for an ERROR; C{about} names the object of the operation."""
    message = _shown(frame.headers.get("message", ""))
    body = frame.body[: 4 * _TEXT_MOST].decode("utf-8", "replace")
    java = _JAVA.match(body)
    died = _CHANNEL_DIED.search(" ".join(body.split()))
    text = _shown(body)
    if java is not None:
        code, text = _JAVA_CODES.get(java[1]) or _code_of(message), message or java[1]
    elif died is not None:
        code, literals = int(died[1]), "".join(_ERLANG_TEXT.findall(died[2]))
        text = _shown(literals.replace("\\n", " ").replace('\\"', '"'))
    elif message in _CODES:
        code, text = _CODES[message], text or message
    else:
        code = _code_of(message)
        if text and text != message:
            text = f"{message}: {text}" if message else text
    text = text or message or "no reason"
    if not code:
        # What it ends is not known either.
        return BrokerError(text, about=about)
    return broker_error(code, text, about=about)


def _code_of(message: str) -> int:
    """Return the reply code that a text stands for; 0 if that is not known."""
    if message == _ACTIVEMQ_TOO_LARGE:
        return ContentTooLarge.default_code
    refused = (
        message == _RABBITMQ_LOGIN
        or _ACTIVEMQ_LOGIN.match(message)
        or _ACTIVEMQ_REFUSES.match(message)
    )
    return AccessRefused.default_code if refused else 0


def _shown(text: str) -> str:
    """Put a text in one line, and cut it."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= _TEXT_MOST else f"{line[:_TEXT_MOST]}..."


def login_error(frame: Frame, parameters: Parameters, place: str) -> ConnectError:
    """Return the exception for a login that was answered with an ERROR."""
    cause = error_of(frame)
    if isinstance(cause, AccessRefused):
        error: ConnectError = AuthenticationFailed(
            f"{place} refuses user {parameters.userid!r} for virtual host "
            f"{parameters.virtual_host!r}: {cause}"
        )
    else:
        error = ConnectError(f"{place} refuses the connection: {cause}")
    return with_cause(error, cause)


def cancellation_of(frame: Frame) -> tuple[str, ConsumerCancelled] | None:
    """
    Return the id of the subscription that an ERROR ends, and why, if it ends only that.
    """
    if frame.headers.get("message") != _CANCELLED:
        return None
    subscription = frame.headers.get("subscription", "")
    text = _shown(frame.body[: 4 * _TEXT_MOST].decode("utf-8", "replace"))
    return subscription, ConsumerCancelled(text or _CANCELLED)


def is_provisional(frame: Frame) -> bool:
    """
    Tell whether another ERROR may follow that names the cause.

    RabbitMQ answers so each frame behind one that failed, then tells why that failed,
    and closes.  For some headers it says no more, and leaves the connection open.
    """
    return frame.headers.get("message") == _PROVISIONAL
