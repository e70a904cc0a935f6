"""
How much a body may become.
"""

from __future__ import annotations

from typing import Final

MAX_BODY_SIZE: Final = 8 * 1024 * 1024
"""
How many bytes a received body may become, by default: when it is decompressed,
and as a decoded value.  A body that arrives plain is not limited.
"""

CONTAINER_SIZE: Final = 64
"""How many bytes a list or dict of a decoded value counts as."""
ELEMENT_SIZE: Final = 8
"""How many bytes each element, key or value in it counts as, beside itself."""


_FAIR_GROWTH: Final = 16
_MOST_GROWTH: Final = 8


def value_limit(arrived: int, max_body_size: int) -> int:
    """
    Return how many bytes a decoded value may count as: more than C{max_body_size}
    only if much arrived for it.

    @param arrived: how many bytes came over the wire.
    """
    fair = min(_FAIR_GROWTH * arrived, _MOST_GROWTH * max_body_size)
    return max(max_body_size, fair)


def too_many_values(limit: int) -> ValueError:
    """Make the error for a body that would become too large a value."""
    return ValueError(
        f"the lists, dicts and values in it count as more than {limit} "
        "bytes: raise max_body_size to take it"
    )
