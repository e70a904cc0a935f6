"""Where a dead-lettered or parked message came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..message import Message
from ..policy.parking import ERROR_HEADER, ORIGIN_HEADER

_REJECTIONS: Final = ("rejected", "delivery_limit")

PARKING_HEADERS: Final[Mapping[str, None]] = {ERROR_HEADER: None, ORIGIN_HEADER: None}
"""What C{Producer.forward} leaves out when a message goes back."""


def origin_of(message: Message, source: str) -> str:
    """
    Return the queue that a message came from, or C{""} if its headers do not tell.

    That is the queue from which a failure policy parked it; or which rejected it last,
    as queues in which it only waited for a retry do not count; or in which it died
    first.

    @param message: the message.
    @param source: the queue where it is now.
    """
    parked_from = message.headers_or_empty.get(ORIGIN_HEADER)
    if isinstance(parked_from, str) and parked_from not in ("", source):
        return parked_from
    deaths = [each for each in _deaths_of(message) if each.get("queue") != source]
    rejections = [each for each in deaths if each.get("reason") in _REJECTIONS]
    # A broker tells the last death first.
    found = rejections[0] if rejections else deaths[-1] if deaths else {}
    queue = found.get("queue")
    return queue if isinstance(queue, str) else ""


def routing_keys_of(message: Message) -> Iterator[str]:
    """
    Give the routing keys that a message has, and had before it died.

    @param message: the message.
    """
    yield message.routing_key
    for death in _deaths_of(message):
        keys = death.get("routing-keys")
        if isinstance(keys, list):
            yield from map(str, keys)


def _deaths_of(message: Message) -> list[Mapping[str, Any]]:
    deaths = message.headers_or_empty.get("x-death")
    if not isinstance(deaths, list):
        return []
    return [each for each in deaths if isinstance(each, Mapping)]
