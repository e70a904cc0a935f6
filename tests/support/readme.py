"""The programs that README.rst shows."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent
from typing import Final

from tests.support.paths import CHECKOUT

README: Final = CHECKOUT / "README.rst"
BROKER: Final = "amqp://guest:guest@localhost//"
"""The URL in the README."""

_PROGRAM: Final = re.compile(
    r"^``(\w+\.py)`` (?:.+\n)+\n\.\. code-block:: python\n\n((?:    .*\n|\n)+)",
    re.MULTILINE,
)
"""A paragraph that begins with the name of a file, and the block after it."""


def write_programs(folder: Path, broker: str) -> None:
    """
    Write the files that the README shows.

    @param folder: where to; it is made.
    @param broker: the URL to use instead of the README's.
    """
    text = README.read_text(encoding="utf-8")
    folder.mkdir()
    for name, program in _PROGRAM.findall(text.replace(BROKER, broker)):
        folder.joinpath(name).write_text(dedent(program), encoding="utf-8")
