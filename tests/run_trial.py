"""
Run trial with three more rules: a warning is an error; an error of a Deferred that
nobody handled fails the run; with C{CI=true} a skipped test fails it.

The command is C{python -m tests.run_trial tests}.  The last line says how many tests
passed, failed and were skipped.  C{TXKOMBU_TEST_REPORT} names a file for the report.
C{TXKOMBU_TEST_FOLDER} is the folder in which tests run, instead of C{_trial_temp}.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
from twisted.logger import globalLogPublisher
from twisted.trial.reporter import TreeReporter
from twisted.trial.runner import TestLoader, TrialRunner

from tests.support.unhandled import unhandled

ALLOWED: tuple[tuple[str, type[Warning]], ...] = (
    # pamqp warns for each object of such a class, and a test makes one of each.
    ("This command is deprecated in AMQP 0-9-1$", DeprecationWarning),
    # Twisted's own reactor for tests lacks the interface, at least in 24.7.
    (
        r"Passing HostnameEndpoint a reactor that does not provide "
        r"IReactorPluggableNameResolver \(twisted\.internet\.testing\.",
        DeprecationWarning,
    ),
)
"""
Warnings of dependencies that we cannot fix: a pattern for the beginning of the text,
and the category.
"""

REASON = 3000
"""
Characters of a failure's reason that are repeated at the end.
"""


def strict_warnings() -> None:
    """Turn all warnings except the allowed ones into errors."""
    warnings.resetwarnings()
    warnings.simplefilter("error")
    for text, category in ALLOWED:
        warnings.filterwarnings("ignore", text, category)


class Reporter(TreeReporter):
    """
    Trial's tree reporter, which also remembers the tests that succeeded.

    Trial reports a test that leaves a warning behind as an error and as a success.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.succeeded: set[str] = set()

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self.succeeded.add(test.id())


def run(names: list[str]) -> Any:
    """Run the tests of these modules, and return trial's result."""
    suite = TestLoader().loadByNames(names, recurse=True)
    # The collector goes through all that was imported, and finds little.
    gc.set_threshold(10_000, 20, 20)
    folder = os.environ.get("TXKOMBU_TEST_FOLDER", "_trial_temp")
    return TrialRunner(Reporter, workingDirectory=folder).run(suite)


@attrs.frozen
class Report:
    """
    The result of a run.

    @ivar passed: how many tests passed.
    @ivar failed: how many tests failed; one with several errors counts once.
    @ivar skips: how many tests were skipped, by reason.
    @ivar failures: the tests that failed, by reason.
    @ivar unhandled: the errors of Deferreds that nobody handled.
    """

    passed: int = 0
    failed: int = 0
    skips: dict[str, int] = attrs.Factory(dict)
    failures: dict[str, list[str]] = attrs.Factory(dict)
    unhandled: list[str] = attrs.Factory(list)

    @classmethod
    def of(cls, result: Any, unhandled: list[str]) -> Report:
        """Return the report of trial's result."""
        bad = [*result.failures, *result.errors]
        reasons: dict[str, list[str]] = {}
        for test, failure in bad:
            reasons.setdefault(failure.getErrorMessage(), []).append(test.id())
        failed = {test.id() for test, *_ in (*bad, *result.unexpectedSuccesses)}
        return cls(
            len(result.succeeded - failed) + len(result.expectedFailures),
            len(failed),
            dict(Counter(str(reason) for _, reason in result.skips)),
            reasons,
            unhandled,
        )

    @classmethod
    def load(cls, path: Path) -> Report:
        """Read a report that L{save} wrote."""
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path) -> None:
        """Write the report to a file, in one step."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps(attrs.asdict(self)))
        part.rename(path)

    def plus(self, other: Report) -> Report:
        """Return the report of both runs together."""
        failures = {key: [*tests] for key, tests in self.failures.items()}
        for reason, tests in other.failures.items():
            failures.setdefault(reason, []).extend(tests)
        return Report(
            self.passed + other.passed,
            self.failed + other.failed,
            dict(Counter(self.skips) + Counter(other.skips)),
            failures,
            [*self.unhandled, *other.unhandled],
        )

    def show(self) -> int:
        """Print it; the last line counts.  Return the exit code."""
        for text in self.unhandled:
            print(f"Unhandled error in Deferred:\n{text}")
        for reason, times in Counter(self.skips).most_common():
            print(f"skipped {times}: {reason}")
        for reason, tests in self.failures.items():
            more = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
            print(f"failed: {tests[0]}{more}: {reason[-REASON:]}")
        skipped = sum(self.skips.values())
        in_ci = os.environ.get("CI") == "true"
        if in_ci and skipped:
            print("with CI=true no test may be skipped")
        print(f"{self.passed} passed, {self.failed} failed, {skipped} skipped")
        bad = self.failed or self.unhandled or (in_ci and skipped)
        return 1 if bad else 0


def main(names: list[str]) -> int:
    """Run the tests, report, and return the exit code."""
    strict_warnings()
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # As in the background of a shell.  Programs that tests start would ignore it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    globalLogPublisher.addObserver(unhandled)
    result = run(names or ["tests"])
    gc.collect()
    report = Report.of(result, unhandled.seen)
    if path := os.environ.get("TXKOMBU_TEST_REPORT"):
        report.save(Path(path))
    return report.show()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
