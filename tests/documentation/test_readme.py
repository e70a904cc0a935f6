"""
The README is true.
"""

from __future__ import annotations

import re
import sys
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path

from twisted.trial.reporter import TestResult
from twisted.trial.runner import TestLoader
from twisted.trial.unittest import SynchronousTestCase

from tests.support.paths import CHECKOUT
from tests.support.processes import run_python
from tests.support.readme import write_programs
from tests.support.snippets import broken_link, links_of, parse

PAGES = ("README.rst", "CHANGELOG.rst", "CONTRIBUTING.rst", "SECURITY.rst")
"""The pages at the root of the checkout."""


class ReadmeTests(SynchronousTestCase):
    """README.rst"""

    def setUp(self) -> None:
        self.text = CHECKOUT.joinpath("README.rst").read_text(encoding="utf-8")

    def test_begins_with_the_commands(self) -> None:
        """It opens with the two commands of the checkout."""
        commands = re.findall(r"^ +(\./run \w+) ", self.text, re.MULTILINE)
        self.assertEqual(commands, ["./run demo", "./run test"])
        self.assertLess(self.text.index("./run test"), 200)

    def test_publish(self) -> None:
        """Its program publishes, to the broker in memory, too."""
        folder = Path(self.mktemp())
        write_programs(folder, "memory://readme")
        done = run_python("-W", "error", "publish.py", cwd=folder)
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertEqual(done.stdout, "The broker has it\n")

    def test_test(self) -> None:
        """The test that it shows passes, and fails with a consumer that is wrong."""
        for ack, passes in (("await message.ack()", True), ("pass", False)):
            folder = Path(self.mktemp())
            write_programs(folder, "memory://readme")
            feeds = folder / "feeds.py"
            feeds.write_text(feeds.read_text().replace("await message.ack()", ack))
            with redirect_stdout(StringIO()):
                result = self._run_test(folder)
            self.assertEqual(result.testsRun, 2)
            self.assertEqual(result.wasSuccessful(), passes, result)

    def _run_test(self, folder: Path) -> TestResult:
        self.patch(sys, "path", [str(folder), *sys.path])
        try:
            suite = TestLoader().loadModule(import_module("test_feeds"))
            result = TestResult()
            suite.run(result)
        finally:
            for name in ("feeds", "test_feeds"):
                sys.modules.pop(name, None)
        return result

    def test_commands(self) -> None:
        """The commands that CONTRIBUTING names are those of C{run}."""
        text = CHECKOUT.joinpath("CONTRIBUTING.rst").read_text(encoding="utf-8")
        script = CHECKOUT.joinpath("run").read_text(encoding="utf-8")
        there = set(re.findall(r"(?m)^([a-z-]+)\)$", script))
        self.assertEqual(set(re.findall(r"\./run ([a-z-]+)", text)) - there, set())
        self.assertGreater(len(there), 8)

    def test_well_formed(self) -> None:
        """It and its neighbours have no fault that docutils finds."""
        for name in PAGES:
            parse(CHECKOUT.joinpath(name).read_text(encoding="utf-8"))

    def test_links(self) -> None:
        """What they link to in the checkout exists, sections included."""
        checked = 0
        for name in PAGES:
            for target in links_of(CHECKOUT / name):
                self.assertEqual(broken_link(CHECKOUT / name, target), "")
                checked += 1
        self.assertGreater(checked, 12)
