"""
The command C{python -m benchmarks}: measure txkombu beside other clients.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from platform import machine, python_version

import twisted

from benchmarks import amqp, amqp_growing, growth, memory, rss, stomp, tables
from benchmarks.costs import write_costs
from benchmarks.found import Found
from benchmarks.plots import can_draw, draw

KINDS: Mapping[str, Callable[[argparse.Namespace], Found]] = {
    "memory": lambda options: memory.compare(options.messages, options.rounds),
    "amqp": lambda options: amqp.compare(options.messages, options.rounds),
    "sizes": lambda options: amqp_growing.compare_sizes(
        options.messages, options.rounds
    ),
    "consumers": lambda options: amqp_growing.compare_consumers(
        options.messages, options.rounds
    ),
    "stomp": lambda options: stomp.compare(options.messages, options.rounds),
    "rss": lambda options: rss.check(options.rss_messages),
    "growth": lambda options: growth.check(options.rounds),
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="./run bench",
        description="Measure txkombu beside other clients, and print the results.",
    )
    parser.add_argument(
        "kinds",
        nargs="*",
        metavar="KIND",
        help="memory: the memory transports of txkombu and Kombu; "
        "amqp: clients on RabbitMQ; sizes and consumers: the same with bodies of "
        "100 bytes to 1 MiB, and 1 to 1,000 consumers; "
        "stomp: clients on RabbitMQ and ActiveMQ; "
        "rss: the memory of a process that publishes many messages; "
        "growth: how the cost of work grows, which fails if one grows too fast; "
        "default: all",
    )
    parser.add_argument(
        "--messages",
        type=int,
        default=20_000,
        help="for each round; default: %(default)s",
    )
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--rss-messages",
        type=int,
        default=1_000_000,
        help="for rss; default: %(default)s",
    )
    parser.add_argument(
        "--write-docs",
        action="store_true",
        help="also write tables and plots to docs/, unless the run was noisy",
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.kinds) - set(KINDS))
    if unknown:
        parser.error(
            f"no such kind: {', '.join(unknown)}; there are {', '.join(KINDS)}"
        )
    options.kinds = options.kinds or list(KINDS)
    if options.write_docs and not can_draw():
        parser.error("--write-docs needs matplotlib: pip install 'txkombu[bench]'")
    return options


def main() -> None:
    """Run the benchmarks that the command line asks for."""
    options = parse()
    found = [_run(kind, options) for kind in options.kinds]
    sys.exit(0 if all(found) else 1)


def _run(kind: str, options: argparse.Namespace) -> bool:
    """Run one kind, and return whether it can be relied on."""
    found = KINDS[kind](options)
    text = f"{found.text}\n\n{_machine()}"
    print(f"\n{kind}\n\n{text}", flush=True)
    for line in found.noise:
        print(f"noisy: paired rounds disagree: {line}", file=sys.stderr)
    for line in found.faults:
        print(f"failed: {line}", file=sys.stderr)
    if options.write_docs and not found.noise:
        _write(kind, text, found)
    elif options.write_docs:
        print(f"not written: {kind} was noisy; run it again", file=sys.stderr)
    return found.is_fine and not found.noise


def _write(kind: str, text: str, found: Found) -> None:
    pictures = [
        f"\n\n.. image:: plots/{draw(plot).name}\n   :alt: {plot.title}"
        for plot in found.plots
    ]
    tables.write(kind, "".join([text, *pictures]))
    if kind == "amqp":
        write_costs()
    print(f"written to {tables.PAGE}", file=sys.stderr)


def _machine() -> str:
    return (
        f"Python {python_version()}, Twisted {twisted.__version__}, "
        f"{os.cpu_count()} cores of {machine()}."
    )


if __name__ == "__main__":
    main()
