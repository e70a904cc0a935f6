"""
Count what work does, so that a test sees how it grows without measuring time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def steps_of(work: Callable[[], object]) -> int:
    """Do some work, and return how many lines and calls of Python it took."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def growth_of(prepare: Callable[[int], Callable[[], object]], count: int = 20) -> float:
    """
    Return how many times the steps work takes if there is ten times as much of it.

    @param prepare: given how much there is, returns the work.
    """
    small = steps_of(prepare(count))
    return steps_of(prepare(10 * count)) / small
