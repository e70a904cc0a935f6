"""The tests that examples have of their own, run as those of this suite."""

from __future__ import annotations

import unittest
from pathlib import Path

from twisted.trial.runner import TestLoader, TestSuite
from twisted.trial.unittest import SynchronousTestCase

from tests.support.examples import importable
from tests.support.paths import EXAMPLES

FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/README.rst"))


def test_files() -> list[Path]:
    """Return the files with tests of examples."""
    return [path for folder in FOLDERS for path in sorted(folder.glob("test_*.py"))]


class FolderTests(SynchronousTestCase):
    """What a folder with an example has."""

    def test_readme(self) -> None:
        """A few lines say what it is, how to run and test it, and what to change."""
        self.assertGreater(len(FOLDERS), 1)
        for folder in FOLDERS:
            text = (folder / "README.rst").read_text(encoding="utf-8")
            self.assertLess(len([line for line in text.splitlines() if line]), 20)
            for each in ("Run", "Test it::", "Change first:"):
                self.assertIn(each, text, folder.name)

    def test_tests(self) -> None:
        """Each has tests, and its README says how to run them."""
        self.assertEqual({path.parent for path in test_files()}, set(FOLDERS))
        for path in test_files():
            text = (path.parent / "README.rst").read_text(encoding="utf-8")
            self.assertIn(f"    python -m twisted.trial {path.stem}\n", text)


class FolderSuite(TestSuite):
    """
    The tests of one file of an example, which find the modules beside it.

    @param path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        with importable(self._folder):
            super().__init__([TestLoader().loadByName(path.stem)])

    def run(self, result: unittest.TestResult) -> unittest.TestResult:  # type: ignore[override]  # as trial's
        """Run them."""
        with importable(self._folder):
            return super().run(result)


def testSuite() -> unittest.TestSuite:
    """Return the tests of this module, and those of all examples."""
    own = TestLoader().loadClass(FolderTests)
    return TestSuite([own, *(FolderSuite(path) for path in test_files())])
