"""
Every public name is in the reference.
"""

from __future__ import annotations

from importlib import import_module

from docutils import nodes
from twisted.trial.unittest import SynchronousTestCase

from tests.documentation import names
from tests.packaging.test_layout import LIBRARY, PUBLIC
from tests.support.snippets import links_of, parse


class NamesTests(SynchronousTestCase):
    """docs/reference/names.rst"""

    def test_written(self) -> None:
        """The page is as the modules and their docstrings have it."""
        self.assertIn(
            names.names(),
            names.PAGE.read_text(encoding="utf-8"),
            "python -m tests.documentation.names writes it",
        )

    def test_complete(self) -> None:
        """Each name of each public module has a line, under its module."""
        page = parse(names.PAGE.read_text(encoding="utf-8"))
        listed = {
            str(section["names"][0]): [
                row.next_node(nodes.entry).astext()  # type: ignore[union-attr]
                for body in section.findall(nodes.tbody)
                for row in body.findall(nodes.row)
            ]
            for section in page.findall(nodes.section)
            if section["names"][0].startswith("txkombu")
        }
        wanted = {name: sorted(import_module(name).__all__) for name in PUBLIC}
        self.assertEqual(listed, wanted)

    def test_modules(self) -> None:
        """A module with public names that is not listed is found."""
        packages = {
            ".".join((LIBRARY.name, *path.relative_to(LIBRARY).parts))
            for path in LIBRARY.iterdir()
            if (path / "__init__.py").exists() and not path.name.startswith("_")
        }
        inner = {"txkombu.cli", "txkombu.core"}
        self.assertEqual(packages - set(PUBLIC), inner)

    def test_links(self) -> None:
        """Each link leads to a section."""
        links = set(links_of(names.PAGE))
        wanted: dict[str, set[str]] = {}
        for each in links:
            page, _, section = each.partition("#")
            wanted.setdefault(page, set()).update({section} - {""})
        for page, sections in wanted.items():
            text = names.PAGE.with_name(page).read_text(encoding="utf-8")
            self.assertLessEqual(sections, set(parse(text).ids), page)
        self.assertGreater(len(links), 30)

    def test_values(self) -> None:
        """What is said of values is said of names that exist."""
        known = {
            f"{module}.{each}" for module in PUBLIC for each in PUBLIC[module].split()
        }
        self.assertLessEqual(set(names.VALUES), known)
