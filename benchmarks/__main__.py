"""
The command C{python -m benchmarks}: measure txkombu beside other clients.
"""

from __future__ import annotations

import argparse
import os
import sys
from platform import machine, python_version

import twisted

from benchmarks import amqp, growth, memory, rss, stomp, tables
from benchmarks.costs import write_costs

KINDS = ("memory", "amqp", "stomp", "rss", "growth")


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
        "amqp: clients on RabbitMQ; stomp: clients on RabbitMQ and ActiveMQ; "
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
        help="also write the results to docs/benchmarks.rst",
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.kinds) - set(KINDS))
    if unknown:
        parser.error(
            f"no such kind: {', '.join(unknown)}; there are {', '.join(KINDS)}"
        )
    options.kinds = options.kinds or KINDS
    return options


def main() -> None:
    """Run the benchmarks that the command line asks for."""
    options = parse()
    grows_too_fast = False
    for kind in options.kinds:
        if kind == "memory":
            found = memory.compare(options.messages, options.rounds)
        elif kind == "amqp":
            found = amqp.compare(options.messages, options.rounds)
        elif kind == "stomp":
            found = stomp.compare(options.messages, options.rounds)
        elif kind == "growth":
            found, is_fine = growth.check(options.rounds)
            grows_too_fast = not is_fine
        else:
            found = rss.check(options.rss_messages)
        text = f"{found}\n\n{_machine()}"
        print(f"\n{kind}\n\n{text}", flush=True)
        if options.write_docs:
            tables.write(kind, text)
            write_costs()
            print(f"written to {tables.PAGE}", file=sys.stderr)
    if grows_too_fast:
        sys.exit(1)


def _machine() -> str:
    return (
        f"Python {python_version()}, Twisted {twisted.__version__}, "
        f"{os.cpu_count()} cores of {machine()}."
    )


if __name__ == "__main__":
    main()
