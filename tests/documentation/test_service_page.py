"""docs/howto/service.rst is so."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.paths import DOCS
from tests.support.processes import TWIST, TWISTD, Running
from tests.support.snippets import PageTestCase, snippets_of
from txkombu._util.timeouts import CLOSE_TIMEOUT
from txkombu.cli.tap import Options
from txkombu.service.broker_service import SHUTDOWN_TIMEOUT

PAGE = DOCS / "howto" / "service.rst"
PROGRAMS = {"twistd": ["-c", TWISTD], "twist": ["-c", TWIST], "python": []}


def write_feeds() -> str:
    """Write the module that the page begins with; gives its folder."""
    text = PAGE.read_text(encoding="utf-8")
    first = next(each for each in snippets_of(text) if each.kind == "program")
    home = os.path.abspath("service-page")
    os.makedirs(home, exist_ok=True)
    Path(home, "feeds.py").write_text(first.text)
    return home


class ServicePageTests(PageTestCase):
    """The snippets of the page."""

    async def test_snippets(self) -> None:
        """They do what the page shows, the C{.tac} file included."""
        self.patch(sys, "path", [write_feeds(), *sys.path])
        self.addCleanup(sys.modules.pop, "feeds", None)
        self.patch(os, "environ", {**os.environ, "TXKOMBU_BROKER": "memory://service"})
        self.assertGreater(await self.run_text(PAGE.read_text(encoding="utf-8")), 10)


class ServicePageTextTests(SynchronousTestCase):
    """The rest of the page."""

    def setUp(self) -> None:
        self.text = PAGE.read_text(encoding="utf-8")

    def test_commands(self) -> None:
        """Each command hosts the consumer of the page's module, from its folder."""
        home = write_feeds()
        commands = re.findall(r"(?m)^    ((?:twistd?|python) .*)$", self.text)
        self.assertEqual(len(commands), 3)
        for command in commands:
            program, *arguments = shlex.split(command)
            arguments[arguments.index("--broker") + 1] = "memory://service"
            running = Running(*PROGRAMS[program], *arguments, cwd=home)
            self.addCleanup(running.close)
            running.wait_for("consumes")
            running.process.terminate()
            running.wait()

    def test_options(self) -> None:
        """The page tells of every option, and of no other."""
        known = {each.rstrip("=") for each in Options().longOpt}
        told = set(re.findall(r"``--([a-z-]+)``", self.text))
        self.assertEqual(told, known - {"help", "version"})

    def test_times(self) -> None:
        """The times that the page tells are those of the code."""
        self.assertEqual((SHUTDOWN_TIMEOUT, CLOSE_TIMEOUT), (30, 5))
        self.assertIn("by default 30\n   seconds;", self.text)
        self.assertIn("more than five seconds.", self.text)
