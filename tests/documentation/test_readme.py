"""
The README is true.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

import txkombu
from tests.support.paths import CHECKOUT
from tests.support.snippets import broken_link, links_of, parse

BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", re.MULTILINE)


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

    def test_example(self) -> None:
        """Its example runs unchanged, and prints what the text says."""
        (block,) = BLOCK.findall(self.text)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", dedent(block)],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(txkombu.__file__).parent.parent,
            timeout=60,
        )
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        said = re.search(r"It prints ``(.*)``\.", self.text)
        assert said is not None
        self.assertEqual(done.stdout.strip(), said[1])

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
