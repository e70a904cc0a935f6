"""
Make the site: the pages of docs by Sphinx, and the reference by pydoctor.

C{python -m tests.documentation.site FOLDER [PAGES [PACKAGE]]}; C{./run docs} does so.
Each warning of either is an error.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen
from tempfile import TemporaryDirectory
from typing import Final

from tests.documentation.reference import pydoctor_options
from tests.packaging.test_layout import LIBRARY
from tests.support.paths import CHECKOUT

_SPHINX: Final = ("--quiet", "--fail-on-warning", "--keep-going", "--jobs=auto")


def write(
    folder: Path, pages: Path = CHECKOUT / "docs", library: Path = LIBRARY
) -> bool:
    """
    Make the site, by both programs at the same time.

    @param folder: where to; what was there before goes.
    @param pages: the folder of the pages, with Sphinx's C{conf.py}.
    @param library: the folder of the package to read.
    @return: whether all is well.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with TemporaryDirectory() as work:
        reference, read = Path(work, "api"), Path(work, "read")
        running = [
            _start(
                "pydoctor", *pydoctor_options(), f"--html-output={reference}", library
            ),
            _start("sphinx", *_SPHINX, f"--doctree-dir={read}", pages, folder),
        ]
        codes = [each.wait() for each in running]
        # In place of the page that leads to it, which is in all tables of contents.
        place = folder / "reference" / "api"
        shutil.rmtree(place, ignore_errors=True)
        if reference.exists():
            shutil.copytree(reference, place)
    return not any(codes)


def _start(module: str, *arguments: str | Path) -> Popen[bytes]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return Popen(command, stdin=DEVNULL, stderr=STDOUT)


if __name__ == "__main__":
    sys.exit(not write(*map(Path, sys.argv[1:])))
