"""
Run the test suite in lanes: parallel processes, each with brokers of its own.

The command is C{python -m tests.run_lanes [NAME …]}.  Without a name it runs all lanes.
A name is C{unit} (the tests that need no broker), C{brokers}, or a name that trial
accepts, such as C{tests.core.test_reconnector}; such tests run in one process.

Each lane writes to its own file, which is printed when the lane has ended.  The last
line has the counts of all lanes.

If C{TXKOMBU_TEST_COVERAGE} is the path of a configuration file for coverage.py, the
lanes record which lines they reach.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from tests.run_trial import Report

LANES: Final[Mapping[str, Sequence[str]]] = {
    "checks": ("tests.checks",),
    "unit": (
        "tests.configuration",
        "tests.conformance",
        "tests.contract",
        "tests.core",
        "tests.entity",
        "tests.messaging",
        "tests.monitoring",
        "tests.rpc",
        "tests.scenarios",
        "tests.serialization",
        "tests.service",
        "tests.support",
        "tests.test_exceptions",
        "tests.test_message",
        "tests.testing",
        "tests.transport",
        "tests.url",
        "tests.util",
    ),
    "processes": (
        "tests.benchmarks",
        "tests.cli",
        "tests.documentation",
        "tests.packaging",
    ),
    "amqp": (
        "tests.brokers.amqp",
        "tests.brokers.cli",
        "tests.brokers.conformance.test_rabbitmq",
        "tests.brokers.conformance.test_txamqp",
        "tests.brokers.contract.test_rabbitmq",
        "tests.brokers.contract.test_txamqp",
        "tests.brokers.rpc.test_rabbitmq",
    ),
    "recovery": ("tests.brokers.recovery",),
    "stomp-rabbitmq": (
        "tests.brokers.conformance.test_stomp_rabbitmq",
        "tests.brokers.contract.test_stomp_rabbitmq",
        "tests.brokers.documentation",
        "tests.brokers.interop",
        "tests.brokers.stomp.rabbitmq",
        "tests.brokers.stomp.test_forced_publishes",
        "tests.brokers.test_benchmarks",
    ),
    "activemq": (
        "tests.brokers.conformance.test_failure_policies",
        "tests.brokers.conformance.test_pika",
        "tests.brokers.conformance.test_stomp_activemq",
        "tests.brokers.contract.test_pika",
        "tests.brokers.contract.test_stomp_activemq",
        "tests.brokers.rpc.test_stomp",
        "tests.brokers.stomp.activemq",
        "tests.brokers.stomp.test_busy",
        "tests.brokers.stomp.test_cancelling",
        "tests.brokers.stomp.test_connector",
        "tests.brokers.stomp.test_ended_consumers",
        "tests.brokers.stomp.test_neighbours",
        "tests.brokers.stomp.test_tls",
        "tests.brokers.test_activemq_process",
        "tests.brokers.test_scenarios",
    ),
}
"""
The tests that each lane runs; together they are all tests except
C{tests.further_brokers}.
"""

GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "unit": ["unit", "processes"],
    "brokers": ["amqp", "recovery", "stomp-rabbitmq", "activemq"],
}
"""
Names for several lanes together.
"""


@attrs.define
class Lane:
    """
    One process that runs tests.

    @ivar name: the name of the lane.
    @ivar folder: the folder of its output, its report and its temporary files.
    """

    name: str
    folder: Path
    _process: subprocess.Popen[bytes] = attrs.field(init=False)

    def start(self, tests: Sequence[str]) -> None:
        """Start the process."""
        self.folder.mkdir()
        number = list(LANES).index(self.name)
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-u", *measured(), "-m", "tests.run_trial", *tests],
                env={
                    **os.environ,
                    "TXKOMBU_TEST_FOLDER": str(self.folder / "trial"),
                    "TXKOMBU_TEST_LANE": f"{number}/{len(LANES)}",
                    "TXKOMBU_TEST_REPORT": str(self._report),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> Path:
        """The file with the output of the process."""
        return self.folder / "output"

    @property
    def _report(self) -> Path:
        return self.folder / "report"

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    def report(self) -> Report:
        """Return what it reported; a lane that did not get so far has failed."""
        if self._report.exists():
            return Report.load(self._report)
        reason = f"the process ended with {self._process.returncode}, without a report"
        return Report(failures={reason: [f"lane {self.name}"]}, failed=1)

    def stop(self) -> None:
        """Kill the process if it still runs; its brokers end with it."""
        if self.is_running:
            self._process.kill()
            self._process.wait()


def measured() -> list[str]:
    """Return the arguments that make Python record which lines run, if wanted."""
    configuration = os.environ.get("TXKOMBU_TEST_COVERAGE")
    if not configuration:
        return []
    return ["-m", "coverage", "run", f"--rcfile={configuration}"]


def run_lanes(names: Sequence[str], folder: Path) -> Report:
    """Run these lanes in parallel, and return their reports as one."""
    lanes = [Lane(name, folder / name) for name in names]
    report = Report()
    began = time.monotonic()
    try:
        for lane in lanes:
            lane.start(LANES[lane.name])
        running = list(lanes)
        while running:
            time.sleep(0.1)
            for lane in [each for each in running if not each.is_running]:
                running.remove(lane)
                _print_output(lane, time.monotonic() - began)
                report = report.plus(lane.report())
    finally:
        for lane in lanes:
            lane.stop()
    return report


def _print_output(lane: Lane, seconds: float) -> None:
    sys.stdout.write(f"\n=== {lane.name}, {seconds:.0f} s\n\n")
    sys.stdout.flush()
    with lane.output.open("rb") as output:
        sys.stdout.buffer.write(output.read())
    sys.stdout.buffer.flush()


def main(arguments: Sequence[str]) -> int:
    """Run the named tests, report, and return the exit code."""
    if len(arguments) > 1 or (arguments and arguments[0] not in GROUPS):
        return subprocess.call([sys.executable, "-m", "tests.run_trial", *arguments])
    lanes = GROUPS[arguments[0]] if arguments else list(LANES)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stops the lanes, too
    with tempfile.TemporaryDirectory(prefix="txkombu-tests-") as folder:
        report = run_lanes(lanes, Path(folder))
    print("\n=== all\n")
    return report.show()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
