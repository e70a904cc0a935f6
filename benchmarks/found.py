"""
What a benchmark has found, and whether the run was too noisy to say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.clients import OURS
from benchmarks.plots import Plot
from benchmarks.report import Samples

NOISE = 0.15
"""
How far the ratios of the rounds may be apart, as a part of their median.
"""
_FIELDS = ("cpu", "rate")


class Found(NamedTuple):
    """The result of one kind of benchmark."""

    text: str
    """The tables, as reStructuredText."""
    noise: Sequence[str] = ()
    """Where paired rounds disagreed: nothing is written to docs/ then."""
    plots: Sequence[Plot] = ()
    is_fine: bool = True
    """Whether what must hold on any machine does hold."""
    faults: Sequence[str] = ()
    """What does not hold, a line each."""


Taken = Mapping[tuple[str, int], Samples]
"""Samples by mode and size of body, or another number; those of a mode are a table."""


def noise(taken: Taken, ours: str = OURS) -> Iterator[str]:
    """
    Say which tables are noisy: in half of the ratios to other clients, paired rounds
    disagreed by more than 15 %.

    @param ours: the client that the others are compared with.
    """
    for mode in dict.fromkeys(mode for mode, _ in taken):
        table = [each for key, each in taken.items() if key[0] == mode]
        apart = [ratio for samples in table for ratio in _disagreements(samples, ours)]
        if apart and median(apart) > NOISE:
            yield f"{mode}: {median(apart):.0%}"


def unsteady(taken: Taken, ours: str = OURS) -> str:
    """Name the rows of the tables for which L{noise} would say the same."""
    rows = [
        f"{mode} {size:,} ({median(apart):.0%})"
        for (mode, size), samples in taken.items()
        for apart in [_disagreements(samples, ours)]
        if apart and median(apart) > NOISE
    ]
    if not rows:
        return "In every row the rounds agreed within 15 %."
    return f"Rounds disagreed by more than 15 % in: {', '.join(rows)}."


def _disagreements(samples: Samples, ours: str) -> list[float]:
    return [
        samples.disagreement(field, ours, other)
        for other in samples.taken
        if other != ours
        for field in _FIELDS
    ]
