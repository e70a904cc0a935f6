"""
Take times in one process, and report them to the process that compares.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, process_time
from typing import NamedTuple

TREE = Path(__file__).parent.parent
"""
The folder in which programs run, so that they find this package.
"""
LIMIT = 600.0
"""Seconds that one round of one program may take."""


class Figures(NamedTuple):
    """The figures of one round."""

    rate: float
    """Messages per second."""
    cpu: float
    """CPU time of this process per message, in microseconds."""
    p50: float = 0.0
    """Microseconds within which half of the requests were answered."""
    p99: float = 0.0
    """Microseconds within which 99 % of the requests were answered."""


class Stopwatch:
    """
    A stopwatch that starts when it is made.

    It collects garbage first.  Otherwise one collection of everything that was imported
    could fall into the time of a client; it takes as long as a thousand messages.
    """

    def __init__(self) -> None:
        gc.collect()
        self._wall = perf_counter()
        self._cpu = process_time()

    def report(self, count: int, seconds: Sequence[float] = ()) -> None:
        """
        Print the figures for C{count} messages, as one line of JSON.

        @param seconds: how long each request took, in the mode C{request}.
        """
        wall = perf_counter() - self._wall
        cpu = process_time() - self._cpu
        figures = Figures(count / wall, cpu / count * 1e6)
        if len(seconds) > 1:
            cuts = quantiles(seconds, n=100)
            figures = figures._replace(p50=cuts[49] * 1e6, p99=cuts[98] * 1e6)
        print(json.dumps(figures._asdict()))


class ProgramFailed(Exception):
    """A program of a benchmark failed; the text has its output on stderr."""


def module(name: str) -> list[str]:
    """Return the command that runs a module with this Python."""
    return [sys.executable, "-m", name]


def run(command: Sequence[str]) -> Figures:
    """
    Run one round of a program in its own process.

    @raise ProgramFailed: the program failed.
    """
    done = subprocess.run(
        command,
        cwd=TREE,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    if done.returncode:
        raise ProgramFailed(f"{' '.join(command)}: {done.stderr}")
    return Figures(**json.loads(done.stdout.splitlines()[-1]))


class Samples:
    """The figures of several programs, by round."""

    def __init__(self) -> None:
        self.taken: dict[str, list[Figures]] = {}

    def add(self, name: str, figures: Figures) -> None:
        self.taken.setdefault(name, []).append(figures)

    def median(self, name: str) -> Figures:
        """Return the median of each figure of a program."""
        return Figures(*map(median, zip(*self.taken[name], strict=True)))

    def ratio(self, field: str, ours: str, theirs: str) -> float:
        """Return the median of the ratios of each round."""
        return median(self._ratios(field, ours, theirs))

    def disagreement(self, field: str, ours: str, theirs: str) -> float:
        """
        Return how far the ratios of the rounds are apart, as a part of their median.
        A fifth of the rounds at either end is left out.
        """
        ratios = sorted(self._ratios(field, ours, theirs))
        out = len(ratios) // 5
        kept = ratios[out : len(ratios) - out]
        return (kept[-1] - kept[0]) / median(ratios)

    def _ratios(self, field: str, ours: str, theirs: str) -> list[float]:
        place = Figures._fields.index(field)
        pairs = zip(self.taken[ours], self.taken[theirs], strict=True)
        return [mine[place] / other[place] for mine, other in pairs]


def paired(
    names: Iterable[str], rounds: int, take: Callable[[str], Figures]
) -> Samples:
    """Run all programs in turn in each round, every other round in reverse order."""
    samples = Samples()
    order = list(names)
    for _ in range(rounds):
        for name in order:
            samples.add(name, take(name))
        order.reverse()
    return samples
