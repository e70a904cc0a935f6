"""The broker's errors, and which publish a refusal is about."""

from __future__ import annotations

import re
from typing import Any, Final

from pamqp import commands

from ....exceptions import (
    AccessRefused,
    BrokerError,
    ProtocolError,
    broker_error,
)
from ...errors import spoken_in

_PUBLISH: Final = commands.Basic.Publish.index


_TLS_ALERT: Final = b"\x15\x03"
_SHOWN: Final = 16
_DEFAULT_EXCHANGE: Final = "amq.default"
"""What RabbitMQ calls the default exchange where it refuses access to it."""
_EXCHANGE: Final = re.compile(r"exchange '(.*?)(' in vhost |\.\.\.$|$)", re.DOTALL)


def error_of(method: Any, about: str = "") -> BrokerError:
    """
    Return the error with which a broker closes a channel or connection.

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


def is_about_publish(error: BrokerError) -> bool:
    """Tell whether it was a publish that the broker refused."""
    return error.class_id << 16 | error.method_id == _PUBLISH


def exchange_named_in(text: str) -> tuple[str, bool] | None:
    """
    Find the exchange that a refusal is about.

    @param text: the broker's words.
    @return: its name, and whether that is only the beginning of it, as the text has at
        most 255 bytes; C{None} if no exchange is named.
    """
    found = _EXCHANGE.search(text)
    if found is None:
        return None
    return found[1], not found[2].startswith("'")


def refuses(error: BrokerError, exchange: str, alone: bool) -> bool:
    """
    Tell whether a refused publish was one to this exchange.

    @param alone: no other publish can have been meant.
    """
    if not is_about_publish(error):
        return False
    named = exchange_named_in(error.text)
    if named is None:
        return alone
    name, cut = named
    if name == _DEFAULT_EXCHANGE and error.code == AccessRefused.default_code:
        return exchange in ("", name)
    return exchange.startswith(name) if cut else exchange == name


def exchange_of(method: Any) -> str:
    """Return the exchange of a refused publish; C{""} if the error does not say."""
    error = error_of(method)
    named = exchange_named_in(error.text) if is_about_publish(error) else None
    return named[0] if named else ""


def no_frame(data: bytes) -> ProtocolError:
    """Return the error for bytes that begin no frame of AMQP 0-9-1."""
    head = data[:_SHOWN]
    text = f"no frame of AMQP 0-9-1 begins with {head!r}"
    if head.startswith(b"AMQP"):
        text += ", which asks for another version of the protocol"
    elif head.startswith(_TLS_ALERT):
        text += ", which is TLS: use a scheme that has it, such as amqps://"
    else:
        text += spoken_in(head)
    return ProtocolError(text)
