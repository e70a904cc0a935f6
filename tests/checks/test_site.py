"""The site: the pages and the reference, as C{./run docs} makes them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from os.path import normpath
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.test_layout import PUBLIC
from tests.support.paths import DOCS, TREE
from tests.support.processes import environment

API = Path("reference", "api")


@cache
def made() -> tuple[Path, int, str]:
    """Make the site once, and return its folder, the exit code and what was said."""
    folder = Path("site").absolute()
    done = subprocess.run(
        [sys.executable, "-m", "tests.documentation.site", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=TREE,
        env=environment(),
    )
    return folder, done.returncode, done.stdout


def broken_links(folder: Path) -> Iterator[str]:
    """Name each link between pages of a site that leads nowhere."""
    pages = [each for each in folder.rglob("*.html") if API.name not in each.parts]
    texts = {str(page): page.read_text(encoding="utf-8") for page in pages}
    for name, text in texts.items():
        for link in re.findall(r'(?:href|src)="([^":?]+)[?"]', text):
            file, _, section = link.partition("#")
            target = normpath(Path(name).parent / file) if file else name
            if not Path(target).exists() or (
                section and target in texts and f'id="{section}"' not in texts[target]
            ):
                yield f"{name}: {link}"


class SiteTests(SynchronousTestCase):
    """What C{./run docs} makes."""

    def test_made(self) -> None:
        """Neither a page nor a docstring has a fault, and each page is there."""
        folder, code, said = made()
        self.assertEqual((code, said), (0, ""))
        pages = [page.relative_to(DOCS) for page in DOCS.rglob("*.rst")]
        missing = [
            page for page in pages if not (folder / page.with_suffix(".html")).exists()
        ]
        self.assertEqual(missing, [])

    def test_links(self) -> None:
        """Links lead to a page or a file of the site, and to a section of it."""
        self.assertEqual([*broken_links(made()[0])], [])

    def test_reference(self) -> None:
        """Each public module has its page, and what is not public has none."""
        names = {page.stem for page in (made()[0] / API).glob("txkombu*.html")}
        self.assertEqual(set(PUBLIC) - names, set())
        owners = {name.rpartition(".")[0] for name in names - set(PUBLIC)}
        self.assertEqual(owners - names, set())
