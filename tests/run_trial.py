"""
Trial with three rules more: a warning is an error, an error of a Deferred that
nobody handled fails the run, and with C{CI=true} a skipped test fails it too.

C{python -m tests.run_trial tests}; the last line says how many passed, failed
and were skipped.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections import Counter
from typing import Any

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.reporter import TreeReporter
from twisted.trial.runner import TestLoader, TrialRunner
from zope.interface import implementer

ALLOWED: tuple[tuple[str, type[Warning]], ...] = (
    # pamqp says so of each such class that is made, and a test makes them all.
    ("This command is deprecated in AMQP 0-9-1$", DeprecationWarning),
)
"""
Warnings of dependencies that we cannot mend: a pattern for the beginning of
the text, and the category.
"""

REASON = 3000
"""Characters of a failure's reason that are shown again at the end."""


@implementer(ILogObserver)
class Unhandled:
    """
    Counts the errors of Deferreds that nobody handled.

    @ivar seen: the text of each.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        """Look at an event of the log."""
        text = formatEvent(event)
        if "Unhandled error in Deferred" in text:
            failure = event.get("log_failure")
            self.seen.append(
                failure.getTraceback() if isinstance(failure, Failure) else text
            )


def strict_warnings() -> None:
    """Make errors of all warnings but those allowed."""
    warnings.resetwarnings()
    warnings.simplefilter("error")
    for text, category in ALLOWED:
        warnings.filterwarnings("ignore", text, category)


class Reporter(TreeReporter):
    """
    Trial's tree, which also remembers what succeeded: a test that leaves a
    warning behind is reported as an error and then as a success.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.succeeded: set[str] = set()

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self.succeeded.add(test.id())


def run(names: list[str]) -> Any:
    """Run the tests of these modules, and give trial's result."""
    suite = TestLoader().loadByNames(names, recurse=True)
    return TrialRunner(Reporter, workingDirectory="_trial_temp").run(suite)


def failed(result: Any) -> set[str]:
    """Which tests failed; one with several errors is one test."""
    bad = [*result.failures, *result.errors, *result.unexpectedSuccesses]
    return {test.id() for test, *_ in bad}


def summary(result: Any) -> str:
    """The counts, in one line."""
    bad = failed(result)
    good = len(result.succeeded - bad) + len(result.expectedFailures)
    return f"{good} passed, {len(bad)} failed, {len(result.skips)} skipped"


def list_skips(result: Any) -> None:
    """Say which reasons there were to skip, and how often."""
    reasons = Counter(str(reason) for _, reason in result.skips)
    for reason, times in reasons.most_common():
        print(f"skipped {times}: {reason}")


def list_failures(result: Any) -> None:
    """Say what failed and why, once for each reason: the end is what is read."""
    reasons: dict[str, list[str]] = {}
    for test, failure in (*result.failures, *result.errors):
        reasons.setdefault(failure.getErrorMessage(), []).append(test.id())
    for reason, tests in reasons.items():
        more = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
        print(f"failed: {tests[0]}{more}: {reason[-REASON:]}")


def main(names: list[str]) -> int:
    """Run, report, and give the exit code."""
    strict_warnings()
    unhandled = Unhandled()
    globalLogPublisher.addObserver(unhandled)
    result = run(names or ["tests"])
    gc.collect()
    for text in unhandled.seen:
        print(f"Unhandled error in Deferred:\n{text}")
    list_skips(result)
    list_failures(result)
    in_ci = os.environ.get("CI") == "true"
    if in_ci and result.skips:
        print("with CI=true no test may be skipped")
    print(summary(result))
    good = result.wasSuccessful() and not unhandled.seen
    return 0 if good and not (in_ci and result.skips) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
