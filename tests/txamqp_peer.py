"""
What the tests of txAMQP's client share.
"""

from __future__ import annotations


def through_txamqp(url: str) -> str:
    """The URL of the same broker, by way of txAMQP's client."""
    return f"tx{url}"
