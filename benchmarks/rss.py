"""
The memory of a process that publishes more than the broker accepts.

For some seconds the broker is in a memory alarm, and accepts nothing.
"""

from __future__ import annotations

import json
import subprocess
from time import sleep
from typing import IO, Any, NamedTuple

from benchmarks.admin import QUEUE, Admin
from benchmarks.found import Found
from benchmarks.report import LIMIT, TREE, ProgramFailed, module
from benchmarks.tables import number, table
from tests.support.rabbitmq import RabbitMQ

GROWTH = 32 * 2**20
"""
The bytes by which the publisher may grow.
"""
ALARM = 5.0
"""
Seconds that the alarm lasts.
"""
_TENTHS = 3
"""
Tenths of the messages that are published before the alarm.
"""


class Outcome(NamedTuple):
    """The figures that the two processes reported."""

    seconds: float
    """Seconds from the first publish to the last."""
    grown: int
    """The most bytes by which the publisher grew."""
    blocked: float
    """Seconds for which the publisher knew of an alarm."""
    different: int
    """Different messages that were counted."""
    again: int
    """Messages that arrived more than once."""


def publish_and_count(broker: RabbitMQ, messages: int, alarm: float) -> Outcome:
    """
    Run both processes, and block until they end.

    @param alarm: seconds for which the broker is in a memory alarm.
    @raise ProgramFailed: one of them failed, or did not end.
    """
    arguments = [str(broker.amqp_port), QUEUE, str(messages)]
    with (
        Admin(broker.amqp_port) as admin,
        _start("benchmarks.rss_count", arguments) as counter,
        _start("benchmarks.rss_publish", arguments) as publisher,
    ):
        admin.purge()
        try:
            if alarm:
                _wait_for_lines(publisher, _TENTHS + 1)
                _alarm(broker, alarm)
            told = [_result(each) for each in (publisher, counter)]
        finally:
            publisher.kill()
            counter.kill()
    return Outcome(**told[0], **told[1])


def _start(name: str, arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*module(name), *arguments],
        cwd=TREE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for_lines(process: subprocess.Popen[str], count: int) -> None:
    output: IO[str] | None = process.stdout
    assert output is not None
    for _ in range(count):
        output.readline()


def _alarm(broker: RabbitMQ, seconds: float) -> None:
    broker.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        sleep(seconds)
    finally:
        broker.ctl("set_vm_memory_high_watermark", "0.4")


def _result(process: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        output, errors = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired as error:
        raise ProgramFailed(f"{process.args!r} does not end") from error
    if process.returncode:
        raise ProgramFailed(f"{process.args!r}: {errors}")
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def check(messages: int) -> Found:
    """
    Run the benchmark on a RabbitMQ that is started for it.  A million messages take
    minutes.
    """
    broker = RabbitMQ()
    try:
        broker.start()
        found = publish_and_count(broker, messages, ALARM)
    finally:
        broker.stop()
    within = found.grown < GROWTH and found.different == messages
    rows = [
        ("messages of 1 KiB, published", f"{messages:,}"),
        ("counted by the other process", f"{found.different:,}"),
        ("that came more than once", f"{found.again:,}"),
        ("seconds of publishing", number(found.seconds)),
        ("of them in the broker's alarm", number(found.blocked)),
        ("MiB that the publisher grew by, at most", number(found.grown / 2**20)),
        (f"less than {GROWTH // 2**20} MiB, and none lost", "yes" if within else "no"),
    ]
    return Found(table(("what", "found"), rows), is_fine=within)
