"""
Memory for large bodies.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Final

LARGE: Final = 64 * 1024
"""Bytes of a body from which L{keep_freed_memory} is worth its while."""

_KEPT: Final = 4 * 1024 * 1024


@cache
def keep_freed_memory() -> None:
    """
    Let the process use the memory of one large body for the next one.

    By default malloc of the GNU C library gives memory back to the system as soon as
    128 KiB are free at the end of the heap.  A body that is received, decoded and
    forgotten does that each time, and the page faults of the next one may cost more
    than all else.  Both bounds of malloc grow if a block is freed that the system had
    mapped for it (mallopt(3), C{M_MMAP_THRESHOLD}).  So this asks for one block of
    4 MiB, and frees it without having touched it: up to 8 MiB stay with the process
    from then on.  A process in which bounds are set by environment variables keeps
    those, and other C libraries have no such bounds.
    """
    with suppress(MemoryError):
        bytes(_KEPT)
