"""
Where the files of this checkout are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

TREE: Final = Path(__file__).parents[2]
"""
The folder from which tests are run.  C{./run test} makes one of links, without the
library's source, so that tests import the installed library.
"""

CHECKOUT: Final = Path(__file__).resolve().parents[2]
"""The checkout itself, with the library's source."""

DOCS: Final = TREE / "docs"
EXAMPLES: Final = TREE / "examples"
