"""The command C{python -m tests.soak}: long runs against brokers that fail."""

from __future__ import annotations

import argparse
from random import SystemRandom
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.soak.client import RECONNECT
from tests.soak.figures import Plan
from tests.soak.reconnects import reconnect
from tests.soak.scenario import Run, Stalled
from tests.soak.targets import TRANSPORTS, target

SHARE: Final = 5
"""All transports but amqp publish one message where it publishes so many."""
RECONNECTS: Final = 200, 1000
"""After how many reconnects to measure what a client holds, twice."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="./run soak",
        description="Publish and consume while connections are cut and brokers are "
        "killed and frozen; print what was counted, and fail if anything was lost.",
    )
    parser.add_argument(
        "transports",
        nargs="*",
        metavar="TRANSPORT",
        help=f"{', '.join(TRANSPORTS)}; default: all",
    )
    parser.add_argument(
        "--messages",
        type=int,
        default=100_000,
        help=f"over amqp; a {SHARE}th of them over each other; default: %(default)s",
    )
    parser.add_argument("--seed", type=int, help="for the faults; default: at random")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.transports) - set(TRANSPORTS))
    if unknown:
        known = ", ".join(TRANSPORTS)
        parser.error(f"no such transport: {', '.join(unknown)}; there are {known}")
    options.transports = options.transports or TRANSPORTS
    return options


def plan_for(transport: str, messages: int) -> Plan:
    """Return what a run over a transport is to do."""
    if transport == "amqp":
        return Plan(messages, cuts=20, kills=2, freezes=1)
    return Plan(messages // SHARE, cuts=10, kills=1, freezes=1)


async def soak(reactor: Any, transport: str, messages: int, seed: int) -> list[str]:
    """Run over one transport, print what was counted, and say what went wrong."""
    plan = plan_for(transport, messages)
    aim = target(transport)
    run = Run(reactor, aim, plan, seed)
    try:
        try:
            wrong = (await run.run()).faults(plan, RECONNECT.max)
        except Stalled as error:
            wrong = [str(error)]
        print(f"{aim.name}: {run.figures}", flush=True)
        growth = await reconnect(reactor, aim, *RECONNECTS)
        print(f"{aim.name}: {growth}", flush=True)
        wrong += growth.faults()
    finally:
        aim.node.stop()
    return [f"{aim.name}: {each}" for each in wrong]


async def main(reactor: Any, options: argparse.Namespace) -> None:
    """Run over all transports, and exit with 1 if anything went wrong."""
    wrong = []
    for transport in options.transports:
        seed = options.seed
        if seed is None:
            seed = SystemRandom().randrange(2**32)
        wrong += await soak(reactor, transport, options.messages, seed)
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    chosen = parse()
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, chosen)))
