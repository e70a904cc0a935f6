"""docs/howto/moving.rst is so; with brokers that speak STOMP it runs elsewhere, too."""

from __future__ import annotations

from tests.support.paths import DOCS
from tests.support.snippets import PageTestCase

PAGE = DOCS / "howto" / "moving.rst"
STOMP = "stomp://guest:guest@localhost:61613"


class MovingPageTests(PageTestCase):
    """The snippets of the page."""

    async def test_snippets(self) -> None:
        """Those for each library run on the memory broker."""
        text = PAGE.read_text(encoding="utf-8")
        replace = {STOMP: "memory://moving-stomp"}
        self.assertGreater(await self.run_text(text, replace=replace), 25)
