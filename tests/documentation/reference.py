"""
What the reference shows, which pydoctor makes of docstrings: the public modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.packaging.test_layout import LIBRARY, PUBLIC
from tests.support.paths import CHECKOUT

_OPTIONS: Final = (
    "--quiet",
    "--warnings-as-errors",
    "--docformat=epytext",
    "--project-name=txkombu",
    "--project-url=../../index.html",
    "--cls-member-order=source",
    f"--template-dir={CHECKOUT / 'docs' / '_pydoctor'}",
)
_UNHIDDEN: Final = ("__init__", "__main__")
"""The package itself, and what pydoctor shows as private whatever it is told."""


def pydoctor_options() -> list[str]:
    """Return the arguments of pydoctor, without what to read and where to write."""
    return [*_OPTIONS, *(f"--privacy=HIDDEN:{name}" for name in _hidden(LIBRARY))]


def _hidden(package: Path, name: str = "") -> Iterator[str]:
    """
    Name the modules that are not public, but for those inside a package that is not.

    @param package: the folder to search.
    @param name: the package's, if that is not the folder's.
    """
    for path in sorted(package.iterdir()):
        found = f"{name or package.name}.{path.stem}"
        is_package = (path / "__init__.py").exists()
        if found in PUBLIC:
            if is_package:
                yield from _hidden(path, found)
        elif is_package or (path.suffix == ".py" and path.stem not in _UNHIDDEN):
            yield found
