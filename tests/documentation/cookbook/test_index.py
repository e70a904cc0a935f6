"""The cookbook as a whole."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.documentation.cookbook.recipe import COOKBOOK, recipe_text
from tests.support.snippets import files_of, links_of, parse, snippets_of

RECIPES = sorted(path.name for path in COOKBOOK.glob("*.rst"))
INDEX = "index.rst"


class IndexTests(SynchronousTestCase):
    """docs/howto/cookbook"""

    def test_listed(self) -> None:
        """The index lists every recipe once."""
        listed = [*links_of(COOKBOOK / INDEX)]
        self.assertEqual(sorted([*listed, INDEX]), RECIPES)

    def test_sections(self) -> None:
        """Each recipe says how to run it, how one knows, and what can go wrong."""
        wanted = [
            "run-it",
            "how-you-know-that-it-works",
            "what-can-go-wrong",
            "more",
        ]
        for page in RECIPES:
            if page != INDEX:
                ids = parse(recipe_text(page)).ids
                self.assertEqual([each for each in ids if each in wanted], wanted, page)

    def test_files(self) -> None:
        """Each program of a recipe has a name, by which its test finds it."""
        for page in RECIPES:
            text = recipe_text(page)
            named = [each.strip() for each in files_of(text).values()]
            programs = [each for each in snippets_of(text) if each.kind == "program"]
            for each in programs:
                self.assertIn(each.text.strip(), named, f"{page}, line {each.line}")
