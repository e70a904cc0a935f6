"""The properties of a message, as AMQP 0-9-1 lists them (section 1.8, basic)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from .._util.suggestions import did_you_mean
from .._util.validation import check_arguments, check_short_string
from ..entity import Queue
from ..message import Message

SHORT_STRINGS = frozenset(
    {
        "correlation_id",
        "reply_to",
        "expiration",
        "message_id",
        "type",
        "user_id",
        "app_id",
        "cluster_id",
    }
)
"""Those that are short strings, beyond what has an argument of its own."""

_ARGUMENTS = [
    "compression",
    "confirm",
    "content_encoding",
    "content_type",
    "declare",
    "delivery_mode",
    "exchange",
    "expiration",
    "headers",
    "mandatory",
    "priority",
    "retry",
    "retry_policy",
    "routing_key",
    "serializer",
    "timeout",
]
"""The arguments of publish, for suggestions."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TIMESTAMP_LIMIT = 253_402_300_800
"""The year 10000 in seconds since 1970."""


def check_properties(properties: dict[str, object]) -> None:
    """
    Check further properties in place: None is taken out, a queue as
    C{reply_to} stands for its name, a timestamp becomes a datetime in UTC.

    @raise TypeError: one is not known, or of a wrong type.
    @raise ValueError: one is too long, or out of range; or the queue has no
        name, as it was not declared yet.
    """
    for name, value in list(properties.items()):
        if value is None and (name in SHORT_STRINGS or name == "timestamp"):
            del properties[name]
        elif name == "reply_to" and isinstance(value, Queue):
            properties[name] = _name_of(value)
        elif name in SHORT_STRINGS:
            check_short_string(name, value)
        elif name == "timestamp":
            properties[name] = _timestamp(value)
        else:
            raise TypeError(_unknown(name))


def _name_of(queue: Queue) -> str:
    if not queue.name:
        raise ValueError(
            f"reply_to is {queue!r}, which has no name yet: declare it before, on "
            "a bound copy, and pass that; the broker then has named it"
        )
    return check_short_string("reply_to", queue.name)


def _timestamp(value: object) -> datetime:
    """Whole seconds in UTC, which is what the wire can carry."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        if aware < _EPOCH:
            raise ValueError(f"timestamp is before 1970: {value}")
        try:
            return aware.astimezone(timezone.utc).replace(microsecond=0)
        except OverflowError as error:
            raise ValueError(f"timestamp is out of range: {value}") from error
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"timestamp must be a datetime or whole seconds since 1970, not {value!r}"
        )
    if not 0 <= value < _TIMESTAMP_LIMIT:
        raise ValueError(f"timestamp is out of range: {value}")
    return datetime.fromtimestamp(value, timezone.utc)


def _unknown(name: str) -> str:
    known = sorted(SHORT_STRINGS | {"timestamp"})
    hint = did_you_mean(name, [*known, *_ARGUMENTS]) or f"AMQP has {', '.join(known)}"
    return f"publish has no argument or property {name!r}; {hint}"


_DEATHS = ("x-death", "x-first-death-", "x-last-death-")
"""The headers in which a broker tells why it dead-lettered a message."""


def forwarded_properties(
    message: Message,
    headers: Mapping[str, object] | None,
    with_deaths: bool,
    with_expiration: bool,
) -> dict[str, object]:
    """
    Return the properties with which a received message is published again.

    @param headers: see L{txkombu.Producer.forward}, as for the rest.
    """
    properties = dict(message.properties)
    properties.pop("user_id", None)
    if not with_expiration:
        properties.pop("expiration", None)
    own = properties.get("headers")
    kept = dict(own) if isinstance(own, Mapping) else {}
    kept.pop("CC", None)
    if not with_deaths:
        kept = {key: kept[key] for key in kept if not key.startswith(_DEATHS)}
    given = check_arguments("headers", headers)
    kept.update(given)
    for key in [key for key in given if given[key] is None]:
        del kept[key]
    properties["headers"] = kept
    return properties
