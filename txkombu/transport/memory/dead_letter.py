"""What becomes of messages that a queue drops (RabbitMQ, "Dead Letter Exchanges")."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from ..._util.failures import without_frames
from .arguments import QueueArguments
from .interfaces import QueueHost
from .message import BrokerMessage, Envelope
from .tables import Table

_log = Logger()

REJECTED: Final = "rejected"
EXPIRED: Final = "expired"
MAXLEN: Final = "maxlen"
DELIVERY_LIMIT: Final = "delivery_limit"


class Dropping(Protocol):
    """A queue that drops messages."""

    name: str
    meaning: QueueArguments
    vhost: QueueHost


def dead_letter(queue: Dropping, message: BrokerMessage, reason: str) -> None:
    """
    Route a dropped message through its queue's dead letter exchange, if there is one.

    @param reason: C{REJECTED}, C{EXPIRED}, C{MAXLEN} or C{DELIVERY_LIMIT}.
    """
    name = queue.meaning.dead_letter_exchange
    exchange = None if name is None else queue.vhost.exchanges.get(name)
    if exchange is None:
        return
    envelope = message.envelope
    headers: Table = dict(envelope.headers)
    properties: Table = {**envelope.properties, "headers": headers}
    _note_death(headers, _death(queue, message, reason, properties))
    key, copies = envelope.routing_key, envelope.copies
    if queue.meaning.dead_letter_key is not None:
        key, copies = queue.meaning.dead_letter_key, ()
        headers.pop("CC", None)
    try:
        targets = queue.vhost.route(exchange, (key, *copies), properties)
    except Exception:  # of a registered exchange type; no publisher can be told
        _log.failure(
            "exchange {exchange!r} cannot route what queue {queue!r} drops; it is lost",
            without_frames(Failure()),
            exchange=exchange.name,
            queue=queue.name,
        )
        return
    for target in targets:
        if not _goes_round(target.name, headers["x-death"], reason):
            dead = Envelope(properties, exchange.name, key, copies=copies)
            target.publish(BrokerMessage(message.body, dead))


def _death(
    queue: Dropping, message: BrokerMessage, reason: str, properties: Table
) -> Table:
    """Describe why it was dropped, and take its expiration out of its properties."""
    envelope = message.envelope
    copies = envelope.headers.get("CC")
    keys = copies if isinstance(copies, list) else []
    death: Table = {
        "count": 1,
        "reason": reason,
        "queue": queue.name,
        "time": datetime.fromtimestamp(int(queue.vhost.deadlines.date()), timezone.utc),
        "exchange": envelope.exchange,
        "routing-keys": [
            envelope.routing_key,
            *(each for each in keys if isinstance(each, str)),
        ],
    }
    expiration = properties.pop("expiration", None)
    if expiration is not None:
        death["original-expiration"] = expiration
    return death


def _note_death(headers: Table, death: Table) -> None:
    """Put a death on top of the headers' list, or count the same one up."""
    known = headers.get("x-death")
    if not isinstance(known, list):
        known = []
        for field in ("exchange", "queue", "reason"):
            headers[f"x-first-death-{field}"] = death[field]
    same: list[Table] = [each for each in known if _same_death(each, death)]
    others = [each for each in known if not _same_death(each, death)]
    if same:
        count = same[0].get("count")
        death = {**same[0], "count": count + 1 if isinstance(count, int) else 1}
    headers["x-death"] = [death, *others]


def _same_death(known: object, death: Table) -> bool:
    return isinstance(known, dict) and all(
        known.get(field) == death[field] for field in ("queue", "reason")
    )


def _goes_round(name: str, deaths: object, reason: str) -> bool:
    """
    Return whether a message has been in a queue before and was never rejected since: it
    would go round for ever.
    """
    assert isinstance(deaths, list)
    if reason == REJECTED:
        return False
    for death in deaths:
        if not isinstance(death, dict):
            continue
        if death.get("reason") == REJECTED:
            return False
        if death.get("queue") == name:
            return True
    return False
