"""
The README is true.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from docutils.core import publish_doctree
from twisted.trial.unittest import SynchronousTestCase

import txkombu
from tests.support.paths import CHECKOUT

BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", re.MULTILINE)


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

    def test_links(self) -> None:
        """The files in the checkout that it links to exist."""
        links = re.findall(r"<([^>:]+)>`_", self.text)
        self.assertGreater(len(links), 4)
        self.assertEqual([each for each in links if not (CHECKOUT / each).exists()], [])

    def test_markup(self) -> None:
        """It and the list of changes are well-formed reStructuredText."""
        for name in ("README.rst", "CHANGELOG.rst"):
            publish_doctree(
                CHECKOUT.joinpath(name).read_text(encoding="utf-8"),
                settings_overrides={
                    "halt_level": 2,
                    "report_level": 2,
                    "syntax_highlight": "none",
                },
            )
