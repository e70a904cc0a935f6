"""
The pages for people who change the library name things that exist.
"""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.documentation import states, tower
from tests.support.paths import CHECKOUT

LIBRARY = CHECKOUT / "txkombu"


def text_of(page: str) -> str:
    """Return the text of a page."""
    return CHECKOUT.joinpath("docs", page).read_text(encoding="utf-8")


def names_in(path: Path) -> set[str]:
    """Return the functions and classes of a module, methods as C{Class.method}."""
    found: set[str] = set()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, functions)]
            found |= {f"{node.name}.{each.name}" for each in methods}
            found |= {each.name for each in methods}
    return found


class ArchitectureTests(SynchronousTestCase):
    """docs/explained/architecture.rst"""

    def test_drawing(self) -> None:
        """The drawing is what the import rules say."""
        drawn = tower.DRAWING.read_text(encoding="utf-8")
        self.assertEqual(drawn, tower.draw(), "python -m tests.documentation.tower")

    def test_states(self) -> None:
        """The state tables are those of the code."""
        shown = f".. begin states\n\n{states.text()}\n\n.. end states\n"
        wrong = "python -m tests.documentation.states writes them"
        self.assertIn(shown, text_of("explained/architecture.rst"), wrong)
        paths = [path for path, _ in states.state_tables()]
        self.assertIn("core/lifecycle.py", paths)

    def test_layers(self) -> None:
        """Each module and package at the top of the library is in one layer."""
        named = [each for layer in tower.layers() for each in layer]
        there = {
            f"txkombu.{path.stem}"
            for path in LIBRARY.iterdir()
            if path.suffix == ".py" or (path / "__init__.py").exists()
        }
        self.assertEqual(sorted(named), sorted(there - {"txkombu.__init__"}))

    def test_files(self) -> None:
        """Each file and folder that the page names is there."""
        found = re.findall(
            r"``((?:\w+/)*\w+(?:\.py|/\w+))``", text_of("explained/architecture.rst")
        )
        self.assertGreater(len(found), 25)
        missing = [each for each in found if not (LIBRARY / each).exists()]
        missing = [each for each in missing if not (CHECKOUT / each).exists()]
        self.assertEqual(missing, [])

    def test_names(self) -> None:
        """Each function that the page names is in the file named before it."""
        found = re.findall(
            r"``([\w/]+\.py)``[,:]\s+``([\w.]+)``",
            text_of("explained/architecture.rst"),
        )
        self.assertGreater(len(found), 15)
        missing = [
            (path, name) for path, name in found if name not in names_in(LIBRARY / path)
        ]
        self.assertEqual(missing, [])


class GlossaryTests(SynchronousTestCase):
    """docs/reference/glossary.rst"""

    def test_once(self) -> None:
        """The terms are in order, each once, each with a text."""
        lines = (
            text_of("reference/glossary.rst")
            .partition("use it.\n")[2]
            .strip()
            .split("\n")
        )
        terms = [line for line in lines if not line.startswith("  ")]
        self.assertEqual(terms, sorted(set(terms)))
        for term, after in pairwise(lines):
            if not term.startswith("  "):
                self.assertTrue(after.startswith("  "), term)
