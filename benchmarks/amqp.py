"""
Compare txkombu's AMQP transport with other clients, on one RabbitMQ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.admin import QUEUE, Admin
from benchmarks.clients import CLIENTS, MODES, Client, Commands
from benchmarks.found import Found, measured_again, noise
from benchmarks.gates import judge
from benchmarks.job import Job
from benchmarks.report import Figures, Samples, paired, run
from benchmarks.tables import number, rates, table
from tests.support.rabbitmq import RabbitMQ

SIZES = (200, 4096)
_REQUESTS = 4
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
    """
    Measures clients, on a RabbitMQ that is started for it; a context manager.

    @ivar commands: the clients.
    """

    def __init__(self, clients: Sequence[Client], rounds: int) -> None:
        self._clients = clients
        self._rounds = rounds

    def __enter__(self) -> Comparison:
        with ExitStack() as stack:
            folder = stack.enter_context(TemporaryDirectory())
            broker = RabbitMQ()
            stack.callback(broker.stop)
            broker.start()
            self._port = broker.amqp_port
            self._admin = stack.enter_context(Admin(self._port))
            self.commands = Commands(self._clients, Path(folder))
            self._version = broker.ctl("version").strip()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()

    @property
    def versions(self) -> str:
        """The versions of the broker and the clients, as a sentence's end."""
        versions = {"RabbitMQ": self._version, **self.commands.versions}
        return ", ".join(f"{name} {version}" for name, version in versions.items())

    def take(self, mode: str, size: int, messages: int, consumers: int = 1) -> Samples:
        """
        Measure one job by each client that knows its mode; print it to stderr.

        @param size: bytes of a body.
        """
        commands = self.commands.of(mode)
        many = f" by {consumers} consumers" if consumers > 1 else ""
        print(f"{mode}, {size} bytes{many} ...", file=sys.stderr, flush=True)

        def take(name: str) -> Figures:
            *command, program_mode = commands[name]
            job = Job(program_mode, self._port, QUEUE, size, messages, consumers)
            self._admin.prepare(job)
            figures = run([*command, *job.arguments])
            self._admin.check(job)
            return figures

        return measured_again(lambda: paired(commands, self._rounds, take))


def compare(messages: int, rounds: int) -> Found:
    """Measure all clients; this takes minutes."""
    taken: Taken = {}
    with Comparison(CLIENTS, rounds) as comparison:
        for mode in MODES:
            count = max(messages // _REQUESTS, 2) if mode == "request" else messages
            for size in SIZES:
                taken[mode, size] = comparison.take(mode, size, count)
    head = f"{messages:,} messages, {rounds} paired rounds;\n{comparison.versions}."
    lines = [head, *_report(taken, comparison.commands.missing)]
    return Found("\n".join(lines), [*noise(taken)])


def _report(taken: Taken, missing: dict[str, str]) -> Iterator[str]:
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
