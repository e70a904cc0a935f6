"""
Taking times, and telling them to the process that compares.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple


class Figures(NamedTuple):
    """What one round took."""

    rate: float
    """Messages per second."""
    cpu: float
    """Microseconds of this process's CPU time per message."""


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._wall = perf_counter()
        self._cpu = process_time()

    def report(self, count: int) -> None:
        """Print the figures for C{count} messages, as one line of JSON."""
        wall = perf_counter() - self._wall
        cpu = process_time() - self._cpu
        print(json.dumps({"rate": count / wall, "cpu": cpu / count * 1e6}))


def run(module: str, *arguments: str) -> Figures:
    """Run one round in a process of its own."""
    command = [sys.executable, "-m", module, *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    return Figures(**json.loads(output.stdout.splitlines()[-1]))


def paired(modules: list[str], rounds: int, *arguments: str) -> dict[str, Figures]:
    """Run all in turn, several times over; @return: the medians."""
    taken: dict[str, list[Figures]] = {module: [] for module in modules}
    for _ in range(rounds):
        for module in modules:
            taken[module].append(run(module, *arguments))
    return {module: _medians(figures) for module, figures in taken.items()}


def _medians(figures: list[Figures]) -> Figures:
    return Figures(
        median(each.rate for each in figures), median(each.cpu for each in figures)
    )
