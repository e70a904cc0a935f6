"""
What becomes of messages that a queue drops (RabbitMQ, "Dead Letter Exchanges").
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final, Protocol

from .arguments import QueueArguments
from .interfaces import QueueHost
from .message import BrokerMessage
from .tables import Table

REJECTED: Final = "rejected"
EXPIRED: Final = "expired"
MAXLEN: Final = "maxlen"
DELIVERY_LIMIT: Final = "delivery_limit"


class Dropping(Protocol):
    """A queue that drops messages."""

    name: str
    meaning: QueueArguments
    vhost: QueueHost


def _dead(queue: Dropping, message: BrokerMessage, reason: str) -> BrokerMessage:
    arguments = queue.meaning
    properties = dict(message.properties)
    expiration = properties.pop("expiration", None)
    headers: Table = dict(message.headers)
    event: Table = {
        "count": 1,
        "reason": reason,
        "queue": queue.name,
        "time": datetime.fromtimestamp(int(queue.vhost.now()), timezone.utc),
        "exchange": message.exchange,
        "routing-keys": [message.routing_key, *copies_in(headers)],
    }
    if expiration is not None:
        event["original-expiration"] = expiration
    _note(headers, event)
    key, copies = message.routing_key, message.copies
    if arguments.dead_letter_key is not None:
        key, copies = arguments.dead_letter_key, ()
        headers.pop("CC", None)
    properties["headers"] = headers
    return BrokerMessage(
        message.body,
        properties,
        arguments.dead_letter_exchange or "",
        key,
        None,
        copies,
    )


def _note(headers: Table, event: Table) -> None:
    """Put a death on top of the headers' list, or count the same one up."""
    known = headers.get("x-death")
    if not isinstance(known, list):
        known = []
        for field in ("exchange", "queue", "reason"):
            headers[f"x-first-death-{field}"] = event[field]
    same: list[Table] = [each for each in known if _same_death(each, event)]
    others = [each for each in known if not _same_death(each, event)]
    if same:
        count = same[0].get("count")
        event = {**same[0], "count": count + 1 if isinstance(count, int) else 1}
    headers["x-death"] = [event, *others]


def _same_death(known: object, event: Table) -> bool:
    return isinstance(known, dict) and all(
        known.get(field) == event[field] for field in ("queue", "reason")
    )


def copies_in(headers: Table, *names: str) -> list[str]:
    """The further routing keys that headers ask for."""
    keys: list[str] = []
    for name in names or ("CC",):
        value = headers.get(name)
        if isinstance(value, list):
            keys += [key for key in value if isinstance(key, str)]
    return keys


def _deaths(properties: Table) -> list[Table]:
    headers = properties["headers"]
    assert isinstance(headers, dict)
    return [each for each in headers["x-death"] if isinstance(each, dict)]


def _goes_round(name: str, deaths: list[Table], reason: str) -> bool:
    """
    Whether a message has been in this queue before, and no one ever rejected
    it since: it would go round for ever.
    """
    if reason == REJECTED:
        return False
    for at, death in enumerate(deaths):
        if death.get("queue") == name:
            return all(each.get("reason") != REJECTED for each in deaths[: at + 1])
    return False
