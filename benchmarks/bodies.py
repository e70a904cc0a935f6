"""
The bodies that are sent: JSON, each different from the others.
"""

from __future__ import annotations

import json

WARM_UP = 2000
"""Messages that go through before the stopwatch starts."""
TURN = 100
"""Messages published before those are consumed, in a program that does both."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz "


def body(number: int) -> dict[str, object]:
    """@return: about 160 bytes of JSON."""
    return {
        "action": "import_feed",
        "feed_url": f"http://example.org/feeds/{number}/edition.rss",
        "attempt": number % 7,
        "tags": ["news", f"section-{number % 31}"],
        "weight": number / 8,
    }


def sized(number: int, size: int) -> dict[str, object]:
    """@return: exactly C{size} bytes of JSON, at least 200, if number < 100,000."""
    known = {**body(number), "text": ""}
    left = size - len(json.dumps(known))
    start = number % len(_LETTERS)
    known["text"] = (_LETTERS * (left // len(_LETTERS) + 2))[start : start + left]
    return known
