"""
One command writes all that the docs have from the code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.documentation.__main__ import WRITERS

OTHERS: Final = {"__main__", "site"}
"""Modules that are run, and write nothing into the pages."""


class WritersTests(SynchronousTestCase):
    """C{python -m tests.documentation}"""

    def test_complete(self) -> None:
        """Every module that writes into the docs is among those that are run."""
        run = {
            path.stem
            for path in Path(__file__).parent.glob("*.py")
            if '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8")
        }
        self.assertEqual(run - OTHERS, set(WRITERS))
