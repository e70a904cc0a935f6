"""The benchmark of growth does each kind of work, and fails if one grows too fast."""

from __future__ import annotations

import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from time import process_time

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import __main__ as command
from benchmarks import growth
from benchmarks.growth import KINDS, LIMIT, Kind, check
from benchmarks.growth_kinds import Work
from benchmarks.memory import MOST_BYTES, live_bytes
from tests.support.steps import growth_of, steps_of


def _linear(count: int) -> Work:
    """Take a time that grows as the work does."""
    return lambda: _wait(count * 1e-5)


def _quadratic(count: int) -> Work:
    """Take a time that grows faster."""
    return lambda: _wait(count * count * 1e-6)


def _wait(seconds: float) -> None:
    end = process_time() + seconds
    while process_time() < end:
        pass


class KindsTests(SynchronousTestCase):
    """The kinds of work."""

    def test_each_works(self) -> None:
        """Each kind of work can be prepared and done, in any amount."""
        for kind in KINDS:
            for count in (1, 60):
                kind.prepare(count)()

    def test_steps(self) -> None:
        """Ten times as much of each kind takes about ten times the steps."""
        for kind in KINDS:
            self.assertLessEqual(growth_of(kind.prepare), LIMIT, kind.what)

    def test_names(self) -> None:
        """Each kind is named once."""
        self.assertEqual(len({kind.what for kind in KINDS}), len(KINDS))

    def test_steps_are_counted(self) -> None:
        """A search through all items for each of them is seen in the steps."""

        def searching(count: int) -> Work:
            return lambda: [
                [each for each in range(count) if each == wanted]
                for wanted in range(count)
            ]

        self.assertGreater(growth_of(searching), LIMIT)
        self.assertGreater(steps_of(searching(10)), 100)


class CheckTests(SynchronousTestCase):
    """What the benchmark says of growth."""

    kinds = (Kind("a fine kind", 20, _linear), Kind("a slow kind", 20, _quadratic))

    def test_fault(self) -> None:
        """A kind that grows too fast is marked in the table, and told in a line."""
        found = check(1, self.kinds)
        rows = [line.split() for line in found.text.splitlines() if "kind" in line]
        self.assertEqual([row[-1] for row in rows], ["met", "missed"])
        self.assertFalse(found.is_fine)
        [fault] = found.faults
        self.assertRegex(
            fault,
            r"^a slow kind: ten times as many \(200\) took [\d.]+ times as long; at "
            r"most 12 times are allowed$",
        )

    def run_command(self, *kinds: Kind) -> tuple[object, str, str]:
        """
        Run the command for these kinds only.

        @return: its exit code, and what it prints to standard output and error.
        """
        self.patch(growth, "check", lambda rounds: check(rounds, kinds))
        self.patch(sys, "argv", ["bench", "growth", "--rounds", "1"])
        printed, told = StringIO(), StringIO()
        with redirect_stdout(printed), redirect_stderr(told):
            ended = self.assertRaises(SystemExit, command.main)
        return ended.code, printed.getvalue(), told.getvalue()

    def test_command_fails(self) -> None:
        """The command fails with a line that names the kind and its growth."""
        code, _, told = self.run_command(*self.kinds)
        self.assertEqual(code, 1)
        [line] = told.splitlines()
        self.assertTrue(line.startswith("failed: a slow kind: ten times as many"))

    def test_command_succeeds(self) -> None:
        """Without such a kind the command prints the table and succeeds."""
        code, printed, told = self.run_command(self.kinds[0])
        self.assertEqual((code, told), (0, ""))
        self.assertIn("a fine kind", printed)


class MemoryTests(SynchronousTestCase):
    """What messages that wait in the memory broker take."""

    def test_live_bytes(self) -> None:
        """A message with a body of 123 bytes takes less than 256."""
        self.assertLess(live_bytes(1000), MOST_BYTES)
