"""
C{python -m benchmarks}: our memory transport beside Kombu's.
"""

from __future__ import annotations

import argparse

from benchmarks.report import paired

OURS = "benchmarks.memory_txkombu"
KOMBU = "benchmarks.memory_kombu"
NAMES = {OURS: "txkombu memory://", KOMBU: "kombu memory://"}


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found = paired([KOMBU, OURS], options.rounds, str(options.messages))
    print(
        f"{options.messages} messages of JSON through, {options.rounds} paired rounds"
    )
    print(f"{'':24}{'messages/s':>12}{'µs CPU':>10}{'ratio':>8}")
    for module, figures in found.items():
        ratio = figures.rate / found[KOMBU].rate
        print(f"{NAMES[module]:24}{figures.rate:12,.0f}{figures.cpu:10.1f}{ratio:8.2f}")


if __name__ == "__main__":
    main()
