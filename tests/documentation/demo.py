"""
Run the demo, and read what it prints.
"""

from __future__ import annotations

from subprocess import CompletedProcess

from twisted.trial.unittest import SynchronousTestCase

from tests.support.paths import EXAMPLES
from tests.support.processes import run_python

DEMO = EXAMPLES / "demo.py"


GOT = "Got feed import message for: "


class DemoCase(SynchronousTestCase):
    """Runs C{examples/demo.py}, and checks what it prints."""

    def run_demo(self, **changes: str) -> CompletedProcess[str]:
        """Run the demo, in another folder than its own."""
        return run_python(str(DEMO), cwd="/", **changes)

    def assert_shows(self, done: CompletedProcess[str], feeds: int) -> list[str]:
        """Check that the demo succeeded; return what it printed."""
        lines = done.stdout.splitlines()
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        got = [line.removeprefix(GOT) for line in lines if line.startswith(GOT)]
        self.assertEqual(got[0], "http://cnn.com/rss/edition.rss")
        self.assertEqual(len(set(got)), feeds)
        self.assertEqual(
            lines.count("Rejected a message: Unknown action: paint_feed"), 1
        )
        [reconnected] = [n for n, line in enumerate(lines) if "reconnected in" in line]
        self.assertRegex(lines[reconnected], r"reconnected in \d+\.\d+ s")
        after = [line for line in lines[reconnected:] if line.startswith(GOT)]
        self.assertGreater(len(after), 0)
        self.assertLess(len(after), feeds)
        self.assertRegex(
            lines[-1],
            f"^{feeds} feeds asked for, {feeds} received, 0 lost, \\d+ received twice, "
            "1 unknown message rejected$",
        )
        return lines
