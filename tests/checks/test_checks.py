"""Style, types, and imports between layers."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.support.paths import CHECKOUT
from tests.support.processes import environment

TYPED = ("txkombu", "twisted/plugins", "examples", "tests", "benchmarks", "docs")


class CheckTests(TestCase):
    """Each program finds nothing."""

    timeout = 400

    async def run_program(
        self, *arguments: str | Path, cwd: Path = CHECKOUT, **changes: str
    ) -> None:
        """Run a program, which has to succeed."""
        texts = [str(each) for each in arguments]
        out, err, code = await getProcessOutputAndValue(
            texts[0], texts[1:], environment(**changes), str(cwd)
        )
        self.assertEqual(code, 0, b"\n".join([out, err]).decode("utf-8", "replace"))

    async def test_ruff(self) -> None:
        """Ruff finds nothing to mend."""
        await self.run_program(sys.executable, "-m", "ruff", "check", "-q", ".")

    async def test_format(self) -> None:
        """All is formatted."""
        arguments = ("-m", "ruff", "format", "-q", "--check", ".")
        await self.run_program(sys.executable, *arguments)

    async def test_mypy(self) -> None:
        """The types are right."""
        arguments = ("-m", "mypy", "--no-error-summary", *TYPED)
        await self.run_program(sys.executable, *arguments, PYTHONPATH="")

    async def test_imports(self) -> None:
        """Imports only point down, without circles: the rules of .importlinter."""
        lint = Path(sys.executable).with_name("lint-imports")
        await self.run_program(lint, "--no-logo", PYTHONPATH=str(CHECKOUT))
