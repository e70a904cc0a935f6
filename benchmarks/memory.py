"""
Compare txkombu's memory transport with Kombu's.
"""

from __future__ import annotations

from benchmarks.found import Found, noise
from benchmarks.report import module, paired, run
from benchmarks.tables import number, table

OURS = "txkombu memory://"
KOMBU = "kombu memory://"
PROGRAMS = {KOMBU: "benchmarks.memory_kombu", OURS: "benchmarks.memory_txkombu"}
WANTED = 2.0
"""
The goal, as a multiple of Kombu's rate.
"""


def compare(messages: int, rounds: int) -> Found:
    """Measure; this takes some seconds per round."""
    samples = paired(
        PROGRAMS, rounds, lambda name: run([*module(PROGRAMS[name]), str(messages)])
    )
    rows = []
    for name in PROGRAMS:
        figures = samples.median(name)
        ratio = samples.ratio("rate", OURS, name)
        rows.append((name, number(figures.rate), number(figures.cpu), number(ratio)))
    text = "\n".join(
        [
            f"{messages:,} JSON messages per round, {rounds} paired rounds; "
            f"the goal is {WANTED:g} times Kombu's rate.",
            "",
            table(("client", "messages/s", "CPU µs", "rate ratio"), rows),
        ]
    )
    return Found(text, [*noise({("memory", messages): samples}, OURS)])
