"""
Compare txkombu's AMQP transport with other clients, on one RabbitMQ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.admin import QUEUE, Admin
from benchmarks.clients import CLIENTS, MODES, Commands
from benchmarks.gates import judge
from benchmarks.job import Job
from benchmarks.report import Figures, Samples, paired, run
from benchmarks.tables import number, rates, table
from tests.support.rabbitmq import RabbitMQ

SIZES = (200, 4096)
_REQUESTS = 10
"""
The other modes have this many times more messages: a request takes longer.
"""
_TITLES = {
    "publish": "Publishing without confirms, until the broker has them:",
    "confirm": "Publishing with confirms, 200 in flight:",
    "consume": "Consuming, acking each, 200 unacked:",
    "request": "Publishing one and getting it back, one at a time:",
}

Taken = dict[tuple[str, int], Samples]


class Comparison:
    """Measures each client in each mode with each size of body."""

    def __init__(self, admin: Admin, port: int, messages: int) -> None:
        self._admin = admin
        self._port = port
        self._messages = messages

    def take(self, commands: Commands, rounds: int) -> Taken:
        """Measure all; print the progress to stderr."""
        taken: Taken = {}
        for mode in MODES:
            for size in SIZES:
                print(f"{mode}, {size} bytes ...", file=sys.stderr, flush=True)
                taken[mode, size] = self._rounds(commands.of(mode), mode, size, rounds)
        return taken

    def _rounds(
        self, commands: dict[str, list[str]], mode: str, size: int, rounds: int
    ) -> Samples:
        count = self._messages
        if mode == "request":
            count = max(count // _REQUESTS, 2)

        def take(name: str) -> Figures:
            *command, program_mode = commands[name]
            job = Job(program_mode, self._port, QUEUE, size, count)
            self._admin.prepare(job)
            figures = run([*command, *job.arguments])
            self._admin.check(job)
            return figures

        return paired(commands, rounds, take)


def compare(messages: int, rounds: int) -> str:
    """
    Measure on a RabbitMQ that is started for it; this takes minutes.

    @return: the results as reStructuredText.
    """
    broker = RabbitMQ()
    try:
        broker.start()
        with TemporaryDirectory() as folder, Admin(broker.amqp_port) as admin:
            commands = Commands(CLIENTS, Path(folder))
            comparison = Comparison(admin, broker.amqp_port, messages)
            taken = comparison.take(commands, rounds)
            versions = {"RabbitMQ": broker.ctl("version").strip(), **commands.versions}
    finally:
        broker.stop()
    return "\n".join(_report(taken, commands.missing, versions, messages, rounds))


def _report(
    taken: Taken,
    missing: dict[str, str],
    versions: dict[str, str],
    messages: int,
    rounds: int,
) -> Iterator[str]:
    yield f"{messages:,} messages, {rounds} paired rounds;"
    yield ", ".join(f"{name} {version}" for name, version in versions.items()) + "."
    for mode in MODES:
        yield from ("", _TITLES[mode], "")
        yield _requests(taken) if mode == "request" else rates(taken, mode)
    yield from ("", "The goals of the transport:", "")
    found = [part for size in SIZES for part in (f"{size} B", "")]
    yield table(("goal", "bound", *found), judge(taken))
    for name, why in missing.items():
        yield from ("", f"Not measured: {name}, since {why}.")


def _requests(taken: Taken) -> str:
    return table(
        ("client", "bytes", "requests/s", "CPU µs", "p50 µs", "p99 µs"),
        (
            (name, str(size), *map(number, samples.median(name)))
            for size in SIZES
            for samples in [taken["request", size]]
            for name in samples.taken
        ),
    )
