"""
Processes that tests start end with the tests, in whatever way these end.
"""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.processes import SECONDS, Guard, run_python

KILLED = """
import os, signal, subprocess, sys
from pathlib import Path
from tests.support.processes import Guard

child = subprocess.Popen(["sleep", "3600"])
guard = Guard(child.pid, Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""


class GuardTests(SynchronousTestCase):
    """A guard ends its process."""

    def test_killed(self) -> None:
        """A child ends, and its folder is deleted, when its parent is killed."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        # This waits for everything that can still print: for the child, too.
        done = run_python("-c", KILLED, str(folder), cwd=".")
        self.assertEqual((done.returncode, done.stderr), (-signal.SIGKILL, ""))
        limit = time.monotonic() + SECONDS
        while folder.exists():
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.01)

    def test_left(self) -> None:
        """Without its guard a process keeps running."""
        with subprocess.Popen(["sleep", "3600"]) as process:
            guard = Guard(process.pid)
            guard.leave()
            self.assertIsNone(process.poll())
            process.kill()
