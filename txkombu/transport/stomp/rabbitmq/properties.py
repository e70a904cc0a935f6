"""
The properties of messages as RabbitMQ's STOMP plugin writes them.
"""

from __future__ import annotations

from typing import Final

from ...._util.validation import check_short_string
from ..wire.properties import (
    COMMON_FIELDS,
    Field,
    Vocabulary,
    check_digits,
    number,
    seconds_of,
    time_of,
)

ROUTING_HEADERS: Final = ("CC", "BCC")
"""Headers by which RabbitMQ routes; it takes nothing but lists for them."""

_REPLY_QUEUE: Final = "/reply-queue/"
_MOST_MILLISECONDS: Final = 2**32 - 1
_MOST_PRIORITY: Final = 255


def vocabulary(userid: str) -> Vocabulary:
    """
    How a session of some user writes properties.

    @param userid: the login; C{""} if it is not known.
    """

    def user(value: object, _: float) -> str:
        name = check_short_string("property user_id", value)
        if userid and name != userid:
            raise ValueError(
                f"property user_id must be the login, {userid!r}, not {name!r}: "
                "RabbitMQ closes the connection otherwise"
            )
        return name

    return Vocabulary(
        {
            **COMMON_FIELDS,
            "priority": number("priority", "priority", _MOST_PRIORITY),
            "reply_to": Field("reply-to", _write_reply_to, _read_reply_to),
            "expiration": Field("expiration", _write_expiration),
            "timestamp": Field("timestamp", _write_timestamp, time_of),
            "user_id": Field("user-id", user),
        },
        ROUTING_HEADERS,
    )


def _write_reply_to(value: object, _: float) -> str:
    name = check_short_string("property reply_to", value)
    if "/" in name:
        raise ValueError(
            f"property reply_to cannot be {name!r}: RabbitMQ's STOMP plugin takes "
            "what has a slash for a destination"
        )
    return name


def _read_reply_to(text: str) -> str:
    return text.removeprefix(_REPLY_QUEUE)


def _write_expiration(value: object, _: float) -> str:
    return check_digits("property expiration", value, _MOST_MILLISECONDS)


def _write_timestamp(value: object, _: float) -> str:
    return str(seconds_of(value))
