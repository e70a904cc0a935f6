"""
Write the pages as HTML: those of docs, and those of the root beside its index.

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

SETTINGS: Final = {"report_level": 2, "halt_level": 2, "output_encoding": "utf-8"}


def pages() -> dict[Path, Path]:
    """Return the pages, and the file that each becomes in the folder of the HTML."""
    docs = CHECKOUT / "docs"
    return {
        **{page: Path(f"{page.stem}.html") for page in sorted(CHECKOUT.glob("*.rst"))},
        **{
            page: page.relative_to(docs).with_suffix(".html")
            for page in sorted(docs.rglob("*.rst"))
        },
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
    docs = CHECKOUT / "docs"
    for file in docs.rglob("*"):
        if file.is_file() and file.suffix != ".rst":
            target = folder / file.relative_to(docs)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
