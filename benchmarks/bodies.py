"""
The bodies of the messages: JSON, each different from the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

WARM_UP = 2000
"""
Messages that are handled before the stopwatch starts.
"""
TURN = 100
"""
Messages that a program publishes before it consumes them, if it does both and is not
told another number.
"""

_LETTERS = "abcdefghijklmnopqrstuvwxyz "


def body(number: int) -> dict[str, object]:
    """Return an object of about 160 bytes of JSON."""
    return {
        "action": "import_feed",
        "feed_url": f"http://example.org/feeds/{number}/edition.rss",
        "attempt": number % 7,
        "tags": ["news", f"section-{number % 31}"],
        "weight": number / 8,
    }


def compact(value: object) -> bytes:
    """Write JSON without blanks, as txkombu does."""
    return json.dumps(value, separators=(",", ":")).encode()


def sized(number: int, size: int) -> dict[str, object]:
    """
    Return an object of exactly C{size} bytes of JSON.

    @param number: below 100,000.
    @param size: at least 100.  With less than 200 it has fewer keys.
    """
    known = {**(body(number) if size >= 200 else {"number": number}), "text": ""}
    left = size - len(compact(known))
    start = number % len(_LETTERS)
    known["text"] = (_LETTERS * (left // len(_LETTERS) + 2))[start : start + left]
    return known


def turns(count: int, depth: int) -> Iterator[tuple[bool, range]]:
    """
    Divide messages into turns of C{depth} messages, after those to warm up.

    @return: for each turn whether it is the first that counts, and the numbers of its
        messages.
    """
    for first in range(-WARM_UP, 0, TURN):
        yield False, range(first, first + TURN)
    for first in range(0, count, depth):
        yield not first, range(first, min(first + depth, count))
