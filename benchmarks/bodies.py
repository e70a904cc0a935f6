"""
The bodies that are sent: JSON, each different from the others.
"""

from __future__ import annotations

TURN = 100
"""Messages published before those are consumed, in a program that does both."""


def body(number: int) -> dict[str, object]:
    """@return: about 160 bytes of JSON."""
    return {
        "action": "import_feed",
        "feed_url": f"http://example.org/feeds/{number}/edition.rss",
        "attempt": number % 7,
        "tags": ["news", f"section-{number % 31}"],
        "weight": number / 8,
    }
