"""Limits on the size of received bodies and their values."""

from __future__ import annotations

from typing import Final

MAX_BODY_SIZE: Final = 8 * 1024 * 1024
"""
The default limit, in bytes, of a received body once it is decompressed, and of the
value that it is decoded to.  A body that is not compressed is not limited.
"""

CONTAINER_SIZE: Final = 64
"""Bytes that a list or dict in a decoded value counts as."""
ELEMENT_SIZE: Final = 8
"""Bytes that each element, key or value in a list or dict counts as."""

_FAIR_GROWTH: Final = 16
"""How many times the received bytes a value may count as, even beyond the limit."""
_MAXIMUM_GROWTH: Final = 8
"""How many times the limit a value may count as, however many bytes arrived."""


def value_limit(arrived: int, max_body_size: int) -> int:
    """
    Return how many bytes a decoded value may count as: more than C{max_body_size}
    only if its body was large on arrival.

    @param arrived: the bytes that were received.
    """
    fair = min(_FAIR_GROWTH * arrived, _MAXIMUM_GROWTH * max_body_size)
    return max(max_body_size, fair)


def too_many_values(limit: int) -> ValueError:
    """Make the error for a body that would be decoded to too large a value."""
    return ValueError(
        f"the lists, dicts and values in it count as more than {limit} "
        "bytes: raise max_body_size to take it"
    )
