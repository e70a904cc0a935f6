"""
Python programs that tests run in their own processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 60.0
"""
Seconds that a program may take before its test fails.
"""

TWISTD = "from twisted.scripts.twistd import run; run()"
TWIST = "from twisted.application.twist._twist import Twist; Twist.main()"


_GUARD = 'read -r _; kill -9 "$1"; shift; rm -rf "$@"; sleep 1; rm -rf "$@"'


class Guard:
    """Kills a process when this one has ended, in whatever way."""

    def __init__(self, pid: int, *folders: Path) -> None:
        """@param folders: folders to delete with it."""
        self._process = subprocess.Popen(
            ["sh", "-c", _GUARD, "sh", str(pid), *map(str, folders)],
            stdin=subprocess.PIPE,  # whose other end closes with this process
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def leave(self) -> None:
        """Stop guarding: the process has ended, and its id may soon be another's."""
        self._process.kill()
        self._process.communicate()


def environment(**changes: str) -> dict[str, str]:
    """Return the environment in which programs find the same modules as the tests."""
    kept = {key: os.environ[key] for key in os.environ if not key.startswith("DEMO_")}
    kept.pop("FEED_URL", None)
    path = os.pathsep.join(os.path.abspath(each) for each in sys.path if each)
    return {**kept, "PYTHONPATH": path, "PYTHONWARNINGS": "", **changes}


def run_python(
    *arguments: str, cwd: str | Path, stdin: str = "", **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run a Python program to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        input=stdin,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


class Running:
    """A running Python program; all its output goes to one file."""

    def __init__(self, *arguments: str, cwd: str | Path) -> None:
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by close()
        self.process = subprocess.Popen(
            [sys.executable, "-u", *arguments],
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        self._guard = Guard(self.process.pid)

    @property
    def output(self) -> str:
        """Return the output so far."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode()

    def wait_for(self, text: str) -> None:
        """
        Wait until the program has printed that text.

        @raise AssertionError: it ended, or took too long.
        """
        limit = time.monotonic() + SECONDS
        while text not in self.output:
            over = self.process.poll() is not None and text not in self.output
            if over or time.monotonic() > limit:
                raise AssertionError(f"{text!r} was not printed, but {self.output}")
            time.sleep(0.01)

    def wait(self) -> int:
        """
        Wait for the program's end; return the exit code, or minus the signal that ended
        it.
        """
        return self.process.wait(SECONDS)

    def close(self) -> None:
        """Kill the program if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._guard.leave()
        self._output.close()
