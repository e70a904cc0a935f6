"""The broker's errors, and which publish a refusal is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
_NAMES: Final = re.compile(
    r"(?:[A-Z_]+ - )?"
    r"(?:access to (topic)|(?:no|access to|cannot publish to internal) exchange) '"
)
"""How RabbitMQ begins the refusal of a publish in which it names its exchange."""
_IN_VHOST: Final = "' in vhost '"
_IN_EXCHANGE: Final = "' in exchange '"
_CUT: Final = "..."
"""How a text ends that would have more than 255 bytes."""
_CUT_CHARACTER: Final = "\N{REPLACEMENT CHARACTER}"

Target = tuple[str, str]
"""Where a publish goes: the name of the exchange, and the routing key."""


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


def refused_targets(
    error: Exception, publishes: Sequence[Target], all_known: bool
) -> set[Target]:
    """
    Return where those publishes go that the broker has certainly refused.

    It names the exchange, or also the routing key if that is what the user may not
    write to, or nothing.  Of a long name it gives the beginning only.

    @param error: why the channel ended.
    @param publishes: those that await their verdict, one for each.
    @param all_known: whether the broker can have refused no other.
    """
    if not isinstance(error, BrokerError) or not is_about_publish(error):
        return set()
    alone = set(publishes) if all_known and len(publishes) == 1 else set()
    found = _NAMES.match(error.text)
    if found is None:
        return alone
    is_topic = found[1] is not None
    hides_default = error.code == AccessRefused.default_code

    def named(target: Target) -> str:
        exchange, routing_key = target
        if hides_default and not exchange:
            exchange = _DEFAULT_EXCHANGE
        return f"{routing_key}{_IN_EXCHANGE}{exchange}" if is_topic else exchange

    said = error.text[found.end() :]
    name, whole, _ = said.rpartition(_IN_VHOST)
    if whole:
        exact = {each for each in publishes if named(each) == name}
        if is_topic and not exact:  # the key may be one of its header CC
            return {each for each in alone if name.endswith(_IN_EXCHANGE + each[0])}
        return exact
    begin = said.removesuffix(_CUT).rstrip(_CUT_CHARACTER)
    alike = {each for each in publishes if (named(each) + _IN_VHOST).startswith(begin)}
    certain = all_known and len({named(each) for each in alike}) == 1
    return alike if certain else set()


def exchange_of(method: Any) -> str:
    """Return the exchange of a refused publish; C{""} if the error does not say."""
    error = error_of(method)
    found = _NAMES.match(error.text) if is_about_publish(error) else None
    if found is None:
        return ""
    name = error.text[found.end() :].rpartition(_IN_VHOST)[0]
    return name.rpartition(_IN_EXCHANGE)[2] if found[1] else name


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
