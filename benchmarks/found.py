"""
What a benchmark has found, and whether the run was too noisy to say so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.clients import OURS
from benchmarks.plots import Plot
from benchmarks.report import Samples

NOISE = 0.15
"""
How far the ratios of the rounds may be apart, as a part of their median.
"""
ATTEMPTS = 3
"""
How often one job is measured at most, until its rounds agree.
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
        apart = _apart(samples, ours)
        if apart > NOISE:
            yield f"{mode}, {size}: {apart:.0%}"


def measured_again(measure: Callable[[], Samples], ours: str = OURS) -> Samples:
    """
    Measure one job, and measure it again while its rounds disagree, as other work of
    the machine may have been the cause.

    @param measure: measures the job in all its rounds.
    @param ours: as of L{noise}.
    @return: what was found last, noisy or not.
    """
    for attempt in range(1, ATTEMPTS + 1):
        samples = measure()
        apart = _apart(samples, ours)
        if apart <= NOISE or attempt == ATTEMPTS:
            break
        print(f"rounds disagree by {apart:.0%}, so again ...", file=sys.stderr)
    return samples


def _apart(samples: Samples, ours: str) -> float:
    """Return by how much half of the ratios differ between rounds, at least."""
    apart = [
        samples.disagreement(field, ours, other)
        for other in samples.taken
        if other != ours
        for field in _FIELDS
    ]
    return median(apart) if apart else 0.0
