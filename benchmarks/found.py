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


def noise(taken: Mapping[tuple[str, int], Samples], ours: str = OURS) -> Iterator[str]:
    """
    Say which comparisons were noisy: in half of the ratios to other clients, paired
    rounds disagreed by more than 15 %.

    @param taken: the samples by mode and size of body, or another number.
    @param ours: the client that the others are compared with.
    """
    for (mode, size), samples in taken.items():
        apart = [
            samples.disagreement(field, ours, other)
            for other in samples.taken
            if other != ours
            for field in _FIELDS
        ]
        if apart and median(apart) > NOISE:
            yield f"{mode}, {size}: {median(apart):.0%}"
