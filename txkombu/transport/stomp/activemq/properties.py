"""
The properties of a message on ActiveMQ Classic.

ActiveMQ turns some headers into numbers or destinations, and closes the connection
without a word if it cannot; so these are checked before.  It gives every message a
priority, 4 by default, and a timestamp, by default the time at which it arrived.

A message expires at a time of day, by the broker's clock and the publisher's.  Its
C{expiration} goes along as it was given.  For a message of another program it is
counted from the message's timestamp, as in JMS.
"""

from __future__ import annotations

from typing import Final

from ...._util.validation import check_short_string
from ....exceptions import DecodeError
from ....interfaces import Properties
from ..wire.parser import Frame
from ..wire.properties import (
    COMMON_FIELDS,
    Field,
    Vocabulary,
    milliseconds,
    number,
    seconds_of,
    short_string,
    time_of,
)
from .mapping import queue_destination, queue_of, unsupported

REDELIVERED: Final = "x-txk-redelivered"
"""Marks the copy of a message that was put back: the broker does not know."""

ORIGINAL: Final = "original-destination"
"""The virtual topic that a message was sent to."""

MOST_HEADERS: Final = 900
"""ActiveMQ takes a thousand: this leaves room for its own and those of frames."""
_LONGEST_LINE: Final = 10 * 1024

_EXPIRES: Final = "expires"
_SCHEDULED: Final = "AMQ_SCHEDULED_"
_JMS: Final = (
    "CorrelationID DeliveryMode Destination Expiration MessageID "
    "Priority Redelivered ReplyTo Timestamp Type XDeliveryCount "
    "XGroupFirstForConsumer XGroupID XGroupSeq XProducerTXID XUserID "
)
_ACTED_ON: Final = (
    "amq-msg-type",
    "transformation",
    *(f"JMS{name}" for name in _JMS.split()),
)
"""Names of headers that the broker acts on."""


def _write_reply_to(value: object, _: float) -> str:
    name = check_short_string("property reply_to", value)
    return queue_destination(name) if name else ""


_VOCABULARY: Final = Vocabulary(
    {
        **COMMON_FIELDS,
        "priority": number("priority", "priority", 9),
        "reply_to": Field("reply-to", _write_reply_to, queue_of),
        "timestamp": Field(
            "timestamp",
            lambda value, _: str(seconds_of(value) * 1000),
            lambda text: time_of(str(int(text) // 1000)),
        ),
        "expiration": milliseconds("expiration", 2**32 - 1),
        "user_id": short_string("user_id", "user-id"),
    },
    reserved=_ACTED_ON,
    longest=_LONGEST_LINE,
    hidden=(_EXPIRES, ORIGINAL),
)


def encode_properties(properties: Properties, now: float) -> bytes:
    """Return the header lines of a SEND; C{now} is in seconds since the epoch."""
    headers = properties.get("headers")
    if headers:
        _check_headers(headers)
    lines = _VOCABULARY.encode(properties, now)
    expiration = properties.get("expiration")
    if expiration is not None:
        lines += b"expires:%d\n" % (now * 1000 + int(str(expiration)))
    return lines


def _check_headers(headers: object) -> None:
    names = list(headers) if hasattr(headers, "__iter__") else []
    if len(names) > MOST_HEADERS:
        raise ValueError(
            f"a message has {len(names)} headers, at most {MOST_HEADERS} can be sent"
        )
    for name in names:
        if isinstance(name, str) and name.startswith(_SCHEDULED):
            raise unsupported(
                f"the header {name!r}",
                "whether it delays messages cannot be asked, and if not it delivers "
                "them at once",
            )


def decode_properties(frame: Frame) -> Properties:
    """Return the properties of a MESSAGE; raise DecodeError if they make no sense."""
    properties = _VOCABULARY.decode(frame)
    expires = frame.headers.get(_EXPIRES, "0")
    if expires != "0" and "expiration" not in properties:
        try:
            since = int(frame.headers.get("timestamp", "0"))
            properties["expiration"] = str(max(0, int(expires) - since))
        except ValueError as error:
            raise DecodeError(
                f"a message's expiration cannot be understood: {expires[:40]!r}"
            ) from error
    return properties


def is_redelivered(frame: Frame) -> bool:
    """Tell whether a MESSAGE may have been handed out before."""
    headers = frame.headers
    return headers.get("redelivered") == "true" or REDELIVERED in headers
