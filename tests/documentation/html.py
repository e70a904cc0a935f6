"""
Write the pages as HTML: those of the root and of docs side by side, docs/adr below.

C{python -m tests.documentation.html FOLDER}; C{./run docs} does so.  A fault in the
markup is an error.
"""

from __future__ import annotations

import shutil
import sys
from os.path import relpath
from pathlib import Path
from typing import Final

from docutils import nodes
from docutils.core import publish_doctree, publish_from_doctree

from tests.support.paths import CHECKOUT

FOLDERS: Final = {"": "", "docs": "", "docs/adr": "adr"}
"""Where pages are in the checkout, and where the HTML of each folder goes."""
SETTINGS: Final = {"report_level": 2, "halt_level": 2, "output_encoding": "utf-8"}


def pages() -> dict[Path, Path]:
    """Return the pages, and the file that each becomes in the folder of the HTML."""
    return {
        page: Path(target, f"{page.stem}.html")
        for folder, target in FOLDERS.items()
        for page in sorted(CHECKOUT.joinpath(folder).glob("*.rst"))
    }


def html(page: Path) -> bytes:
    """
    Return a page as HTML, in which links to other pages lead to their HTML.

    @param page: its file in the checkout.
    @raise docutils.utils.SystemMessage: it is not well-formed.
    """
    there = pages()
    tree = publish_doctree(
        page.read_text(encoding="utf-8"),
        source_path=str(page),
        settings_overrides=SETTINGS,
    )
    for node in tree.findall(nodes.reference):
        name, mark, section = str(node.get("refuri", "")).partition("#")
        target = there.get(page.parent.joinpath(name).resolve())
        if target is not None and name:
            node["refuri"] = relpath(target, there[page].parent) + mark + section
    written: bytes = publish_from_doctree(
        tree, writer="html5", settings_overrides=SETTINGS
    )
    return written


def write(folder: Path) -> None:
    """
    Write all pages, and the drawings that they show.

    @param folder: where to; what was there before goes.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for page, target in pages().items():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(html(page))
    for kind in ("svg", "json"):
        for file in CHECKOUT.glob(f"docs/*.{kind}"):
            shutil.copy(file, folder)
    for name in ("deploy", "plots"):
        if (CHECKOUT / "docs" / name).exists():
            shutil.copytree(CHECKOUT / "docs" / name, folder / name)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
