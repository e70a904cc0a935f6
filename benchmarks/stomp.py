"""
Compare txkombu's STOMP transport with other clients, on a RabbitMQ and an ActiveMQ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.admin import Admin
from benchmarks.clients import STOMP_CLIENTS, Commands
from benchmarks.found import Found, measured_again, noise
from benchmarks.gates import STOMP_GATES, judge
from benchmarks.job import Job
from benchmarks.report import Figures, Samples, paired, run
from benchmarks.stomp_admin import ActiveMQAdmin
from benchmarks.stomp_job import DESTINATIONS
from benchmarks.tables import rates, table
from tests.support.activemq import ActiveMQ
from tests.support.rabbitmq import RabbitMQ

SIZES = {200: 1, 20_000: 5}
"""
The sizes of bodies; of each there are this many times fewer messages.
"""
_TITLES = {
    "confirm": "publishing with receipts, 200 in flight:",
    "consume": "consuming, acking each, 200 unacked:",
}

Taken = dict[tuple[str, int], Samples]


class Comparison:
    """Measures each client in each mode with each size of body, on one broker."""

    def __init__(self, admin: Admin | ActiveMQAdmin, broker: str, port: int) -> None:
        self._admin = admin
        self._broker = broker
        self._port = port

    def take(self, commands: Commands, messages: int, rounds: int) -> Taken:
        """Measure all; print the progress to stderr."""
        taken: Taken = {}
        for mode in _TITLES:
            for size, fewer in SIZES.items():
                said = f"{self._broker}: {mode}, {size} bytes ..."
                print(said, file=sys.stderr, flush=True)
                count = max(messages // fewer, 2)
                taken[mode, size] = self._rounds(commands, mode, size, count, rounds)
        return taken

    def _rounds(
        self, commands: Commands, mode: str, size: int, count: int, rounds: int
    ) -> Samples:
        programs = commands.of(mode)

        def take(name: str) -> Figures:
            *command, program_mode = programs[name]
            destination = DESTINATIONS[self._broker]
            job = Job(program_mode, self._port, destination, size, count)
            self._admin.prepare(job)
            figures = run([*command, *job.arguments])
            self._admin.check(job)
            return figures

        return measured_again(lambda: paired(programs, rounds, take))


def compare(messages: int, rounds: int) -> Found:
    """
    Measure on brokers that are started for it, one after the other; this takes minutes.
    """
    commands = Commands(STOMP_CLIENTS, Path())
    versions: dict[str, str] = {}
    found = {
        "RabbitMQ": _on_rabbitmq(commands, messages, rounds, versions),
        "ActiveMQ": _on_activemq(commands, messages, rounds, versions),
    }
    versions |= commands.versions
    text = "\n".join(_report(found, commands.missing, versions, messages, rounds))
    noisy = [
        f"{broker}, {line}" for broker, taken in found.items() for line in noise(taken)
    ]
    return Found(text, noisy)


def _on_rabbitmq(
    commands: Commands, messages: int, rounds: int, versions: dict[str, str]
) -> Taken:
    broker = RabbitMQ()
    try:
        broker.start()
        versions["RabbitMQ"] = broker.ctl("version").strip()
        with Admin(broker.amqp_port) as admin:
            comparison = Comparison(admin, "RabbitMQ", broker.stomp_port)
            return comparison.take(commands, messages, rounds)
    finally:
        broker.stop()


def _on_activemq(
    commands: Commands, messages: int, rounds: int, versions: dict[str, str]
) -> Taken:
    broker = ActiveMQ()
    try:
        broker.start()
        admin = ActiveMQAdmin(broker.stomp_port)
        versions["ActiveMQ"] = admin.version()
        comparison = Comparison(admin, "ActiveMQ", broker.stomp_port)
        return comparison.take(commands, messages, rounds)
    finally:
        broker.stop()


def _report(
    found: dict[str, Taken],
    missing: dict[str, str],
    versions: dict[str, str],
    messages: int,
    rounds: int,
) -> Iterator[str]:
    few = " and ".join(
        f"{max(messages // fewer, 2):,} messages of {size:,} bytes"
        for size, fewer in SIZES.items()
    )
    yield f"{few}, {rounds} paired rounds;"
    yield ", ".join(f"{name} {version}" for name, version in versions.items()) + "."
    for broker, taken in found.items():
        for mode, title in _TITLES.items():
            yield from ("", f"{broker}, {title}", "", rates(taken, mode))
    for broker, taken in found.items():
        yield from ("", f"The goals of the transport on {broker}:", "")
        sizes = [part for size in SIZES for part in (f"{size} B", "")]
        header = ("goal", "bound", *sizes)
        yield table(header, judge(taken, STOMP_GATES))
    for name, why in missing.items():
        yield from ("", f"Not measured: {name}, since {why}.")
