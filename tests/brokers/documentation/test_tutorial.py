"""docs/start/tutorial.rst, from an empty folder on, in a fresh environment."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from twisted.trial.unittest import SynchronousTestCase

from tests.support.fresh_environment import FreshEnvironment, only
from tests.support.paths import DOCS
from tests.support.processes import Guard
from tests.support.rabbitmq import free_ports, rabbitmq

PAGE = DOCS / "start" / "tutorial.rst"
VIRTUAL_HOST = "tutorial"
SECONDS = 60.0
LATER = ("grep", "curl", "txkombu peek", "txkombu move")
"""Commands that show what a reader waits for."""


def steps() -> Iterator[tuple[str, str, str]]:
    """Give each block of the page: its kind, its text, the paragraph before it."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.finditer(
        r"(?ms)(?:^(?P<before>\S[^\n]*)\n\n)?^\.\. code-block:: (?P<kind>\w+)\n\n"
        r"(?P<block>(?:   [^\n]*\n|\n)+)",
        text,
    )
    for each in found:
        block = re.sub("(?m)^   ", "", each["block"]).strip() + "\n"
        yield each["kind"], block, each["before"] or ""


class Shell:
    """A shell to which the commands of the page are typed."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "-m"],
            cwd=home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._guard = Guard(self._process.pid)
        self._lines: list[str] = []
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._read, args=[self._process.stdout], daemon=True
        )
        self._reader.start()

    def _read(self, output: IO[str]) -> None:
        self._lines.extend(iter(output.readline, ""))

    def type(self, commands: str) -> str:
        """Run commands; return what they print."""
        begins = len(self._lines)
        assert self._process.stdin is not None
        self._process.stdin.write(f"{commands}\necho done-with-it\n")
        self._process.stdin.flush()
        limit = time.monotonic() + SECONDS
        while "done-with-it\n" not in self._lines[begins:]:
            if time.monotonic() > limit:
                raise AssertionError(f"{commands}: {self._lines[begins:]}")
            time.sleep(0.01)
        return "".join(self._lines[begins:])

    def close(self) -> None:
        """End it, and what it has started."""
        assert self._process.stdin is not None
        self._process.stdin.write("kill $(jobs -p) 2>/dev/null; wait; exit\n")
        self._process.stdin.close()
        self._process.wait(SECONDS)
        self._reader.join(SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._guard.leave()


class TutorialTests(SynchronousTestCase):
    """The page, as a reader works through it."""

    def setUp(self) -> None:
        fresh = FreshEnvironment(Path(self.mktemp()).absolute())
        fresh.pip(only("*.whl"))
        self.home = fresh.elsewhere
        broker = rabbitmq()
        broker.add_vhost(VIRTUAL_HOST)  # whose queues no other test has
        self.addCleanup(broker.delete_vhost, VIRTUAL_HOST)
        url = f"{broker.url}/{VIRTUAL_HOST}"
        ports = free_ports(2)
        self.replaced = {
            "amqp://guest:guest@localhost//": url,
            "8001": str(ports[0]),
            "8002": str(ports[1]),
        }
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("PYTHON", "TXKOMBU", "VIRTUAL_ENV"))
        }
        path = f"{fresh.python.parent}{os.pathsep}{kept['PATH']}"
        self.shell = Shell(self.home, {**kept, "PATH": path})
        self.addCleanup(self.shell.close)

    def test_page(self) -> None:
        """Each command prints what the page shows after it."""
        said, commands = "", ""
        shown = 0
        for kind, block, before in steps():
            text = block
            for old, new in self.replaced.items():
                text = text.replace(old, new)
            if kind in ("python", "yaml"):
                (name,) = re.findall(r"``([\w.]+)``:?$", before)
                (self.home / name).write_text(text)
            elif kind == "sh" and "pip install" not in text:
                commands = text
                said = self.shell.type(text)
                self.wait_for_starts(text)
            elif kind == "output":
                self.check(commands, said, text)
                shown += 1
        self.assertGreater(shown, 7)

    def wait_for_starts(self, commands: str) -> None:
        """Wait until the services that were started consume."""
        for log in re.findall(r"2>(\w+\.log) &", commands):
            limit = time.monotonic() + SECONDS
            path = self.home / log
            while not (path.exists() and "consumes" in path.read_text()):
                self.assertLess(time.monotonic(), limit, log)
                time.sleep(0.05)

    def check(self, commands: str, said: str, shown: str) -> None:
        """Each line that is shown was printed, perhaps a little later."""
        limit = time.monotonic() + SECONDS
        missing = [each for each in shown.splitlines() if each not in said]
        while missing and commands.startswith(LATER) and time.monotonic() < limit:
            time.sleep(0.1)
            said = self.shell.type(commands)
            missing = [each for each in shown.splitlines() if each not in said]
        self.assertEqual(missing, [], said)
