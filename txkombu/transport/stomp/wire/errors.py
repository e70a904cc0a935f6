"""
ERROR frames as errors of ours.

RabbitMQ names the reply code of AMQP in the C{message} header, and the body says
more.  ActiveMQ has the text in the header, and mostly a stack trace of Java in the
body, of which only the name of the exception is of use, and that only to tell what
kind of error it is.
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
from .frames import Frame

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
    """
    The error that an ERROR tells.

    @param about: the name of the object the operation was about.
    """
    message = _shown(frame.headers.get("message", ""))
    body = frame.body[: 4 * _TEXT_MOST].decode("utf-8", "replace")
    java = _JAVA.match(body)
    if java is not None:
        code = _JAVA_CODES.get(java[1]) or _code_of(message)
        return broker_error_of(code, message or java[1], about)
    died = _CHANNEL_DIED.search(" ".join(body.split()))
    if died is not None:
        return broker_error_of(int(died[1]), _erlang(died[2]), about)
    text = _shown(body)
    if message in _CODES:
        return broker_error_of(_CODES[message], text or message, about)
    if text and text != message:
        text = f"{message}: {text}" if message else text
    return broker_error_of(_code_of(message), text or message or "no reason", about)


def broker_error_of(code: int, text: str, about: str) -> BrokerError:
    """
    The error of a reply code.

    @param code: 0 if it is not known: what it ends is not known then either.
    """
    if not code:
        return BrokerError(text, about=about)
    return broker_error(code, text, about=about)


def _code_of(message: str) -> int:
    if message == _ACTIVEMQ_TOO_LARGE:
        return ContentTooLarge.default_code
    refused = (
        message == _RABBITMQ_LOGIN
        or _ACTIVEMQ_LOGIN.match(message)
        or _ACTIVEMQ_REFUSES.match(message)
    )
    return AccessRefused.default_code if refused else 0


def _erlang(literals: str) -> str:
    """The text of literals that stand side by side."""
    text = "".join(_ERLANG_TEXT.findall(literals))
    return _shown(text.replace("\\n", " ").replace('\\"', '"'))


def _shown(text: str) -> str:
    """In one line, and not too long."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= _TEXT_MOST else f"{line[:_TEXT_MOST]}..."


def login_error(frame: Frame, parameters: Parameters, place: str) -> ConnectError:
    """
    The error of a login that was answered with an ERROR.

    @param place: what is connected to.
    """
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
    The subscription that an ERROR ends, and why; C{None} if it ends none.

    It is the one ERROR of RabbitMQ after which all goes on.
    """
    if frame.headers.get("message") != _CANCELLED:
        return None
    subscription = frame.headers.get("subscription", "")
    text = _shown(frame.body[: 4 * _TEXT_MOST].decode("utf-8", "replace"))
    return subscription, ConsumerCancelled(text or _CANCELLED)


def is_provisional(frame: Frame) -> bool:
    """
    Whether an ERROR may be followed by one that says why.

    RabbitMQ answers what comes behind a frame that fails in this way, each time,
    and only then tells the reason of the failure and closes.  For some headers
    it says no more than this, and leaves the connection open.
    """
    return frame.headers.get("message") == _PROVISIONAL
