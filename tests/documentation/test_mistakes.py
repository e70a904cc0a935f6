"""
The page of mistakes shows what txkombu says when they are made.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.documentation import mistakes
from tests.documentation.mistakes_list import SECTIONS, Mistake


class MistakesTests(TestCase):
    """docs/reference/mistakes.rst"""

    async def test_written(self) -> None:
        """Each message is what the mistake leads to, on memory or without a broker."""
        made = await mistakes.page(reactor, self.flushLoggedErrors)
        self.assertEqual(
            mistakes.PAGE.read_text(encoding="utf-8"),
            made,
            "python -m tests.documentation.mistakes writes it",
        )

    async def test_no_consequence(self) -> None:
        """Code that is no mistake is found."""
        fine = Mistake("Fine", "1 + 1", "None.", "None.")
        with self.assertRaisesRegex(AssertionError, "'Fine' has no consequence"):
            await mistakes.message_of(fine, reactor)

    def test_titles(self) -> None:
        """No two mistakes have the same title, so that each can be linked to."""
        titles = [each.title for made in SECTIONS.values() for each in made]
        self.assertEqual(len(titles), len(set(titles)))
        self.assertGreaterEqual(len(titles), 25)
