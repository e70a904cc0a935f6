"""
The pages as HTML link to each other.
"""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.documentation.html import pages, write


class HtmlTests(SynchronousTestCase):
    """What C{./run docs} writes of the pages."""

    def test_links(self) -> None:
        """Each page is there, and what links to a page leads to its HTML."""
        folder = Path(self.mktemp()).absolute()
        write(folder)
        checked = 0
        for target in pages().values():
            page = folder / target
            text = page.read_text(encoding="utf-8")
            self.assertIn('charset="utf-8"', text)
            for link in re.findall(r'(?:href|src|data)="([^":#]+)[#"]', text):
                self.assertNotIn(".rst", link, page.name)
                if "." in link:
                    self.assertTrue((page.parent / link).exists(), f"{page}: {link}")
                    checked += 1
        self.assertGreater(checked, 50)
