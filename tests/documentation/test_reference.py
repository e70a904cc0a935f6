"""
The reference of the public modules can be written.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.documentation.reference import hidden, write
from tests.packaging.test_layout import LIBRARY, PUBLIC


class ReferenceTests(SynchronousTestCase):
    """What C{./run docs} writes with pydoctor."""

    def test_written(self) -> None:
        """No docstring has a fault, and each public module has a page."""
        folder = Path(self.mktemp()).absolute()
        code, said = write(folder)
        self.assertEqual((code, said), (0, ""))
        missing = [name for name in PUBLIC if not (folder / f"{name}.html").exists()]
        self.assertEqual(missing, [])
        found = [name for name in hidden(LIBRARY) if (folder / f"{name}.html").exists()]
        self.assertEqual(found, [])

    def test_fault(self) -> None:
        """A link that leads nowhere is an error, which names the line."""
        package = Path(self.mktemp()).absolute() / "sample"
        package.mkdir(parents=True)
        package.joinpath("__init__.py").write_text('"""See L{nothing}."""\n')
        code, said = write(package.parent / "written", package)
        self.assertNotEqual(code, 0)
        self.assertIn('__init__.py:1: Cannot find link target for "nothing"', said)
