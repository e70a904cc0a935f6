"""
The records of decisions have one form, and the index lists each.
"""

from __future__ import annotations

from typing import Final

from docutils import nodes
from twisted.trial.unittest import SynchronousTestCase

from tests.support.paths import CHECKOUT
from tests.support.snippets import broken_link, links_of, parse

FOLDER: Final = CHECKOUT / "docs" / "project" / "adr"
RECORDS: Final = sorted(FOLDER.glob("[0-9]*.rst"))
SECTIONS: Final = ["status", "context", "decision", "consequences"]


class RecordTests(SynchronousTestCase):
    """docs/project/adr"""

    def test_sections(self) -> None:
        """Each has the same four sections, in order."""
        for path in RECORDS:
            tree = parse(path.read_text(encoding="utf-8"))
            names = [node["names"][0] for node in tree.findall(nodes.section)]
            self.assertEqual(names, SECTIONS, path.name)

    def test_short(self) -> None:
        """None is longer than a page."""
        for path in RECORDS:
            lines = path.read_text(encoding="utf-8").count("\n")
            self.assertLess(lines, 90, path.name)

    def test_numbers(self) -> None:
        """They are numbered from 1 on, and each number is there once."""
        numbers = [int(path.name[:4]) for path in RECORDS]
        self.assertEqual(numbers, list(range(1, len(RECORDS) + 1)))

    def test_index(self) -> None:
        """The index links to all of them, in order, and to nothing else."""
        names = [path.name for path in RECORDS]
        self.assertEqual([*links_of(FOLDER / "index.rst")], names)

    def test_links(self) -> None:
        """What they link to is there."""
        for path in RECORDS:
            for target in links_of(path):
                self.assertEqual(broken_link(path, target), "")
