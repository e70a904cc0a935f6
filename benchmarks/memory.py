"""
Our memory transport beside Kombu's.
"""

from __future__ import annotations

from benchmarks.report import module, paired, run
from benchmarks.tables import number, table

OURS = "txkombu memory://"
KOMBU = "kombu memory://"
PROGRAMS = {KOMBU: "benchmarks.memory_kombu", OURS: "benchmarks.memory_txkombu"}
WANTED = 2.0
"""Times Kombu's rate."""


def compare(messages: int, rounds: int) -> str:
    """
    Measure, which takes some seconds per round.

    @return: what was found, as reStructuredText.
    """
    samples = paired(
        PROGRAMS, rounds, lambda name: run([*module(PROGRAMS[name]), str(messages)])
    )
    rows = []
    for name in PROGRAMS:
        figures = samples.median(name)
        ratio = samples.ratio("rate", OURS, name)
        rows.append((name, number(figures.rate), number(figures.cpu), number(ratio)))
    return "\n".join(
        [
            f"{messages:,} messages of JSON through, {rounds} paired rounds; "
            f"at least {WANTED:g} times Kombu's rate are wanted.",
            "",
            table(("client", "messages/s", "CPU µs", "ours ÷ its rate"), rows),
        ]
    )
