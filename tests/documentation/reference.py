"""
Write the reference of the public modules, with pydoctor.

C{python -m tests.documentation.reference FOLDER}; C{./run docs} does so.  A fault in
the markup of a docstring, such as a link to what does not exist, is an error.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.packaging.test_layout import LIBRARY, PUBLIC

OPTIONS: Final = (
    "--quiet",
    "--warnings-as-errors",
    "--docformat=epytext",
    "--project-name=txkombu",
    "--project-url=../index.html",
    "--cls-member-order=source",
)


_UNHIDDEN: Final = ("__init__", "__main__")
"""The package itself, and what pydoctor shows as private whatever it is told."""


def hidden(package: Path, name: str = "") -> Iterator[str]:
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
                yield from hidden(path, found)
        elif is_package or (path.suffix == ".py" and path.stem not in _UNHIDDEN):
            yield found


def write(folder: Path, package: Path = LIBRARY) -> tuple[int, str]:
    """
    Write the reference.

    @param folder: where to write it.
    @param package: the folder of the package to read.
    @return: pydoctor's exit code, 0 if all is well, and what it said.
    """
    privacy = [f"--privacy=HIDDEN:{name}" for name in hidden(package)]
    arguments = [*OPTIONS, *privacy, f"--html-output={folder}", str(package)]
    done = subprocess.run(
        [sys.executable, "-m", "pydoctor", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


if __name__ == "__main__":
    exit_code, output = write(Path(sys.argv[1]))
    sys.stderr.write(output)
    sys.exit(exit_code)
