"""
Taking times, and telling them to the process that compares.
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
"""Where programs run: the modules of this package are found there."""
LIMIT = 600.0
"""Seconds that one round of one program may take."""


class Figures(NamedTuple):
    """What one round took."""

    rate: float
    """Messages per second."""
    cpu: float
    """Microseconds of this process's CPU time per message."""
    p50: float = 0.0
    """Microseconds in which half of the requests were answered."""
    p99: float = 0.0
    """Microseconds in which 99 % of them were."""


class Stopwatch:
    """
    Runs from when it is made.

    Garbage is collected before: else one collection of all that was imported falls
    into the time of some clients, and takes as long as a thousand messages.
    """

    def __init__(self) -> None:
        gc.collect()
        self._wall = perf_counter()
        self._cpu = process_time()

    def report(self, count: int, seconds: Sequence[float] = ()) -> None:
        """
        Print the figures for C{count} messages, as one line of JSON.

        @param seconds: how long each request took, if these were requests.
        """
        wall = perf_counter() - self._wall
        cpu = process_time() - self._cpu
        figures = Figures(count / wall, cpu / count * 1e6)
        if len(seconds) > 1:
            cuts = quantiles(seconds, n=100)
            figures = figures._replace(p50=cuts[49] * 1e6, p99=cuts[98] * 1e6)
        print(json.dumps(figures._asdict()))


class ProgramFailed(Exception):
    """A program of a benchmark did not do its work; the text has its errors."""


def module(name: str) -> list[str]:
    """@return: the command that runs a module with this Python."""
    return [sys.executable, "-m", name]


def run(command: Sequence[str]) -> Figures:
    """
    Run one round in a process of its own.

    @raise ProgramFailed: it failed.
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
    """The figures of several programs, those of each round belonging together."""

    def __init__(self) -> None:
        self.taken: dict[str, list[Figures]] = {}

    def add(self, name: str, figures: Figures) -> None:
        self.taken.setdefault(name, []).append(figures)

    def median(self, name: str) -> Figures:
        """@return: the median of each figure."""
        return Figures(*map(median, zip(*self.taken[name], strict=True)))

    def ratio(self, field: str, ours: str, theirs: str) -> float:
        """@return: the median of what the rounds gave, ours by theirs."""
        place = Figures._fields.index(field)
        pairs = zip(self.taken[ours], self.taken[theirs], strict=True)
        return median(mine[place] / other[place] for mine, other in pairs)


def paired(
    names: Iterable[str], rounds: int, take: Callable[[str], Figures]
) -> Samples:
    """Take all in turn, several times over, every other time backwards."""
    samples = Samples()
    order = list(names)
    for _ in range(rounds):
        for name in order:
            samples.add(name, take(name))
        order.reverse()
    return samples
