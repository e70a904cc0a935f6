"""
The properties of a message on ActiveMQ Classic.

Of what ActiveMQ takes for a number, or for a destination, it makes one, and
closes the connection without a word if it cannot; so all that is checked before.
Every message has a priority and a timestamp there: those without get 4, and the
time at which the broker took them.

A message expires at a time of day, by the broker's clock and the publisher's.  Its
C{expiration} goes along as it was given; for a message of somebody else it is what
its publisher gave it to live, counted from its timestamp, as JMS has it.
"""

from __future__ import annotations

from typing import Final

from ...._util.validation import check_short_string
from ....exceptions import DecodeError
from ....interfaces import Properties
from ..wire.frames import Frame
from ..wire.properties import (
    COMMON_FIELDS,
    Field,
    Vocabulary,
    check_digits,
    number,
    seconds_of,
    short_string,
    time_of,
)
from .mapping import queue_destination, queue_of, unsupported

REDELIVERED: Final = "x-txk-redelivered"
"""A message that was put back; it is a copy, so the broker does not know."""

ORIGINAL: Final = "original-destination"
"""Where a message was sent to that ActiveMQ has put elsewhere."""

MOST_HEADERS: Final = 900
"""ActiveMQ takes a thousand: this leaves room for those of frames and its own."""
_LONGEST_LINE: Final = 10 * 1024
_MOST_PRIORITY: Final = 9
_MOST_EXPIRATION: Final = 0xFFFFFFFF

_EXPIRES: Final = "expires"
_SCHEDULED: Final = "AMQ_SCHEDULED_"
_ACTED_ON: Final = (
    "amq-msg-type",
    "transformation",
    "JMSCorrelationID",
    "JMSDeliveryMode",
    "JMSDestination",
    "JMSExpiration",
    "JMSMessageID",
    "JMSPriority",
    "JMSRedelivered",
    "JMSReplyTo",
    "JMSTimestamp",
    "JMSType",
    "JMSXDeliveryCount",
    "JMSXGroupFirstForConsumer",
    "JMSXGroupID",
    "JMSXGroupSeq",
    "JMSXProducerTXID",
    "JMSXUserID",
)
"""Names by which a header is none, but something that the broker does."""


def _write_reply_to(value: object, _: float) -> str:
    name = check_short_string("property reply_to", value)
    return queue_destination(name) if name else ""


def _write_timestamp(value: object, _: float) -> str:
    return str(seconds_of(value) * 1000)


def _read_timestamp(text: str) -> object:
    return time_of(str(int(text) // 1000))


def _write_expiration(value: object, _: float) -> str:
    return check_digits("property expiration", value, _MOST_EXPIRATION)


_VOCABULARY: Final = Vocabulary(
    {
        **COMMON_FIELDS,
        "priority": number("priority", "priority", _MOST_PRIORITY),
        "reply_to": Field("reply-to", _write_reply_to, queue_of),
        "timestamp": Field("timestamp", _write_timestamp, _read_timestamp),
        "expiration": Field("expiration", _write_expiration),
        "user_id": short_string("user_id", "user-id"),
    },
    reserved=_ACTED_ON,
    longest=_LONGEST_LINE,
    hidden=(_EXPIRES, ORIGINAL),
)


def encode_properties(properties: Properties, now: float) -> bytes:
    """
    The header lines of a SEND.

    @param now: seconds since the epoch.
    @raise ValueError: something is out of range, or too long.
    @raise TypeError: something is not known, or of another type.
    @raise NotSupported: a header asks for a delay.
    """
    headers = properties.get("headers")
    if headers:
        _check_headers(headers)
    lines = _VOCABULARY.encode(properties, now)
    expiration = properties.get("expiration")
    if expiration is not None:
        # Checked by now.
        lines += b"expires:%d\n" % (now * 1000 + int(expiration))  # type: ignore[call-overload]  # a str, as was checked
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
    """
    The properties of a MESSAGE.

    @raise DecodeError: they cannot be understood.
    """
    properties = _VOCABULARY.decode(frame)
    expires = frame.headers.get(_EXPIRES, "0")
    if expires != "0" and "expiration" not in properties:
        properties["expiration"] = _time_to_live(frame, expires)
    return properties


def _time_to_live(frame: Frame, expires: str) -> str:
    try:
        since = int(frame.headers.get("timestamp", "0"))
        return str(max(0, int(expires) - since))
    except ValueError as error:
        raise DecodeError(
            f"a message's expiration cannot be understood: {expires[:40]!r}"
        ) from error


def is_redelivered(frame: Frame) -> bool:
    """Whether a MESSAGE may have been handed out before."""
    headers = frame.headers
    return headers.get("redelivered") == "true" or REDELIVERED in headers
