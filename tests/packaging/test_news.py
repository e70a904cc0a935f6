"""
News fragments: what a release's list of changes will be made of.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.support.paths import CHECKOUT
from tests.support.snippets import parse

FRAGMENTS: Final = CHECKOUT / "newsfragments"


def draft(project: Path) -> subprocess.CompletedProcess[str]:
    """
    Have towncrier show what it would write for a release.

    @param project: the folder with C{pyproject.toml} and the fragments.
    """
    return subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "next"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )


class NewsTests(SynchronousTestCase):
    """C{newsfragments}"""

    def copy(self) -> Path:
        """Return the folder of a copy of what towncrier reads."""
        project = Path(self.mktemp()).absolute()
        shutil.copytree(FRAGMENTS, project / FRAGMENTS.name)
        for name in ("CHANGELOG.rst", "pyproject.toml"):
            shutil.copy(CHECKOUT / name, project)
        return project

    def test_all_taken(self) -> None:
        """Each fragment becomes a line of a list of changes without faults."""
        project = self.copy()
        project.joinpath("newsfragments", "+last.added.rst").write_text("The last.\n")
        done = draft(project)
        self.assertEqual(done.returncode, 0, done.stderr)
        parse(done.stdout)
        entries = re.findall(r"(?m)^- ", done.stdout)
        self.assertEqual(len(entries), len([*FRAGMENTS.glob("*.rst")]) + 1)
        self.assertIn("- The last.\n", done.stdout)

    def test_unknown(self) -> None:
        """A fragment of another type, or with another name, is refused."""
        for name in ("+words.mended.rst", "words.rst"):
            project = self.copy()
            project.joinpath("newsfragments", name).write_text("It is mended.\n")
            done = draft(project)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(name, done.stderr)

    def test_sentences(self) -> None:
        """Each is one paragraph, of sentences."""
        for path in FRAGMENTS.glob("*.rst"):
            text = path.read_text(encoding="utf-8")
            self.assertRegex(text, r"\A\S(?:.+\n)+\Z", path.name)
            self.assertRegex(text, r"[.)`]\n\Z", path.name)
