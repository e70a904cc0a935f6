"""
Make a site of pages that are written for forges, without directives of Sphinx.

- A link has the path of a file: C{`Errors <errors.rst>`__}.  Sphinx takes that for an
  address, and leaves it; here it becomes the address of the page in the site.  Other
  files that are linked are put into the site.  A file that is not there is warned of.
- What an C{index.rst} links to, of its own folder and of the indexes below, is its
  table of contents.
- A drawing gets a box, in which it can be moved sideways.

A page of the checkout's root, such as CHANGELOG.rst, is shown by a page that includes
it; C{root_pages} of the configuration names that.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from os.path import normpath, relpath
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

_logger = logging.getLogger(__name__)


def _links(app: Sphinx, tree: nodes.document, page: str) -> Iterator[tuple[Any, Path]]:
    """Give each link of a page to a file, and the file."""
    docs = Path(app.srcdir)
    is_included = page in app.config.root_pages.values()
    folder = docs.parent if is_included else docs.joinpath(page).parent
    for node in tree.findall(nodes.reference):
        name = str(node.get("refuri", "")).partition("#")[0]
        if name and ":" not in name and not node.get("internal"):
            yield node, Path(normpath(folder / name))


def _page(app: Sphinx, path: Path) -> str | None:
    """Return Sphinx's name of the page that shows a file, or None if none does."""
    docs = Path(app.srcdir)
    if path.parent == docs.parent:
        return app.config.root_pages.get(path.name)  # type: ignore[no-any-return]  # a str
    if path.suffix != ".rst" or not path.is_relative_to(docs) or not path.exists():
        return None
    return path.relative_to(docs).with_suffix("").as_posix()


def _add_contents(app: Sphinx, tree: nodes.document) -> None:
    """Add a table of contents to an index."""
    name = app.env.docname
    folder, _, stem = name.rpartition("/")
    if stem != "index":
        return
    found = [_page(app, path) for _, path in _links(app, tree, name)]
    pages = [
        each
        for each in dict.fromkeys(found)
        if each not in (None, name) and folder in _folders(each)
    ]
    if not pages:
        return
    contents = addnodes.toctree(
        parent=name,
        entries=[(None, each) for each in pages],
        includefiles=pages,
        caption=None,
        glob=False,
        hidden=True,
        includehidden=False,
        maxdepth=-1,
        numbered=0,
        titlesonly=False,
    )
    section = next(tree.findall(nodes.section))
    section += nodes.compound("", contents, classes=["toctree-wrapper"])


def _folders(page: str) -> set[str]:
    """Return the folder of a page, and for an index also the one above."""
    return {each.rpartition("/")[0] for each in (page, page.removesuffix("/index"))}


def _add_boxes(app: Sphinx, tree: nodes.document) -> None:
    """Put each drawing into a box; site.css says of what kind."""
    for node in list(tree.findall(nodes.image)):
        if isinstance(node.parent, nodes.section):
            box = nodes.container("", classes=["drawing"])
            node.replace_self(box)
            box += node


def _resolve(app: Sphinx, tree: nodes.document, name: str) -> None:
    """Make the links of a page those of the site."""
    for node, path in _links(app, tree, name):
        page = _page(app, path)
        mark = "".join(node["refuri"].partition("#")[1:])
        if page:
            node["refuri"] = app.builder.get_relative_uri(name, page) + mark
        elif path.is_relative_to(app.srcdir) and path.is_file():
            node["refuri"] = _copy(app, path, name) + mark
        else:
            _logger.warning("%s is not there", node["refuri"], location=node)


def _copy(app: Sphinx, path: Path, page: str) -> str:
    """Put a file into the site, and return its address for links of a page."""
    inside = path.relative_to(app.srcdir)
    copy = Path(app.outdir, inside)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, copy)
    return relpath(inside, Path(app.builder.get_target_uri(page)).parent)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add this to Sphinx."""
    app.add_config_value("root_pages", {}, "env")
    app.connect("doctree-read", _add_contents, priority=400)  # before contents are read
    app.connect("doctree-read", _add_boxes)
    app.connect("doctree-resolved", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
