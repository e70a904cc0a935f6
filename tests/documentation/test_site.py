"""
Faults in pages and docstrings fail the making of the site; links become those of HTML.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.paths import DOCS, TREE
from tests.support.processes import environment

PAGES = {
    "CHANGELOG.rst": "Changes\n=======\n\nSee `one <docs/guide/one.rst>`__.\n",
    "docs/index.rst": (
        "All\n===\n\n`Guide <guide/index.rst>`__, `changes <../CHANGELOG.rst>`__,\n"
        "`again <guide/index.rst>`__ and `none <guide/none.rst>`__.\n"
    ),
    "docs/guide/index.rst": (
        "Guide\n=====\n\n`One <one.rst>`__ of `all <../index.rst>`__\n"
    ),
    "docs/guide/one.rst": (
        "One\n===\n\nSee `data <files/a.json>`__, and `a part <../index.rst#all>`__.\n"
        "\n.. image:: files/line.svg\n"
    ),
    "docs/guide/files/a.json": "{}\n",
    "docs/guide/files/line.svg": '<svg xmlns="http://www.w3.org/2000/svg"/>\n',
    "docs/project/index.rst": "Project\n=======\n\n`News <../../CHANGELOG.rst>`__\n",
    "docs/project/changelog.rst": ".. include:: ../../CHANGELOG.rst\n",
    "sample/__init__.py": '"""See L{nothing}."""\n',
}
"""A small project with three faults: two in pages, and one in a docstring."""


class SiteTests(SynchronousTestCase):
    """What is made of a small project by the configuration of this one."""

    def setUp(self) -> None:
        """Make the site of the project."""
        home = Path(self.mktemp()).absolute()
        for name, text in PAGES.items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for name in ("conf.py", "plain_pages.py"):
            shutil.copy(DOCS / name, home / "docs")
        shutil.copytree(DOCS / "_static", home / "docs" / "_static")
        self.site = home / "site"
        places = (self.site, home / "docs", home / "sample")
        self.done = subprocess.run(
            [sys.executable, "-m", "tests.documentation.site", *map(str, places)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd=TREE,
            env=environment(),
        )

    def read(self, name: str) -> str:
        """Return the text of a page of the site."""
        return self.site.joinpath(name).read_text(encoding="utf-8")

    def test_site(self) -> None:
        """The faults are named with their lines, fail it, and do not stop it."""
        said = self.done.stdout
        self.assertEqual(self.done.returncode, 1, said)
        self.assertIn("index.rst:4: WARNING: guide/none.rst is not there", said)
        self.assertRegex(said, r"project/index.rst: WARNING: .* any toctree")
        self.assertIn('__init__.py:1: Cannot find link target for "nothing"', said)
        self.assertEqual(said.count("WARNING"), 2, said)
        self._check_links()
        self.assertIn("sample", self.read("reference/api/index.html"))

    def _check_links(self) -> None:
        first, one = self.read("index.html"), self.read("guide/one.html")
        self.assertIn('href="guide/index.html">Guide</a>', first)
        self.assertIn('href="project/changelog.html">changes</a>', first)
        self.assertIn('href="files/a.json">data</a>', one)
        self.assertTrue((self.site / "guide" / "files" / "a.json").exists())
        self.assertIn('href="../index.html#all">a part</a>', one)
        self.assertRegex(
            one, r'class="drawing [^"]*">\s*<img [^>]*src="../_images/line.svg'
        )
        self.assertIn(
            'href="../guide/one.html">one</a>', self.read("project/changelog.html")
        )
        entries = first[first.index("sidebar-tree") :]
        self.assertIn('href="guide/one.html">One</a>', entries)
