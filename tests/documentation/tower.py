"""
Draw the layers of the library, from the import rules.

C{python -m tests.documentation.tower} writes C{docs/explained/architecture.svg}; a test
checks that it is what the rules in C{.importlinter} say.
"""

from __future__ import annotations

import ast
from configparser import ConfigParser
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from tests.support.paths import CHECKOUT

RULES: Final = CHECKOUT / ".importlinter"
DRAWING: Final = CHECKOUT / "docs" / "explained/architecture.svg"

WIDTH: Final = 840
ROW: Final = 46
GAP: Final = 8
NESTED: Final = 40
"""Sizes, in pixels."""

_BOX: Final = (
    '<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" '
    'fill="{fill}" stroke="#456"/>'
)
_TEXT: Final = (
    '<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" '
    'fill="#123">{text}</text>'
)


def layers() -> list[list[str]]:
    """Return the layers from the top down; those beside each other in one list."""
    lines = _rules()["importlinter:contract:layers"]["layers"].split("\n")
    return [[each.strip() for each in line.split("|")] for line in lines if line]


def independent() -> list[str]:
    """Return the packages that know nothing of each other."""
    text = _rules()["importlinter:contract:transports"]["modules"]
    return [line for line in text.split("\n") if line]


def _rules() -> ConfigParser:
    rules = ConfigParser()
    rules.read(RULES, encoding="utf-8")
    return rules


def purpose(module: str) -> str:
    """Return the first sentence of a module's docstring."""
    path = CHECKOUT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = " ".join(text.split("\n\n")[0].split())
    for old, new in (("C{", ""), ("L{", ""), ("}", "")):
        first = first.replace(old, new)
    return first.partition("; see")[0].rstrip(".")


class _Drawing:
    """Shapes, from the top down."""

    def __init__(self) -> None:
        self.y = GAP
        self._shapes: list[str] = []

    def row(self, modules: list[str]) -> None:
        """Draw the modules of one layer beside each other."""
        nested = independent() if modules == ["txkombu.transport"] else []
        height = ROW + (NESTED + GAP if nested else 0)
        width = (WIDTH - GAP * (len(modules) + 1)) // len(modules)
        for number, module in enumerate(modules):
            x = GAP + number * (width + GAP)
            self._box(x, self.y, width, height, "#e8eef4")
            self._label(x, self.y, module.removeprefix("txkombu."), purpose(module))
        if nested:
            self._inside(nested)
        self.y += height + GAP

    def _inside(self, modules: list[str]) -> None:
        width = (WIDTH - GAP * (len(modules) + 3)) // len(modules)
        for number, module in enumerate(modules):
            x = 2 * GAP + number * (width + GAP)
            self._box(x, self.y + ROW, width, NESTED, "#fff")
            name = module.rpartition(".")[2]
            self._label(x, self.y + ROW - 3, name, purpose(module))

    def _box(self, x: int, y: int, width: int, height: int, fill: str) -> None:
        shape = _BOX.format(x=x, y=y, width=width, height=height, fill=fill)
        self._shapes.append(shape)

    def _label(self, x: int, y: int, name: str, text: str) -> None:
        self._text(x + 8, y + 19, 14, "bold", name)
        self._text(x + 8, y + 36, 11, "normal", text)

    def _text(self, x: int, y: int, size: int, weight: str, text: str) -> None:
        self._shapes.append(
            _TEXT.format(x=x, y=y, size=size, weight=weight, text=escape(text))
        )

    def svg(self) -> str:
        """Return the whole drawing."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
            f'height="{self.y}" font-family="sans-serif">'
        )
        title = "<title>The layers of txkombu; an import only points down</title>"
        return "\n".join([head, title, *self._shapes, "</svg>", ""])


def draw() -> str:
    """Return the drawing of the layers as SVG."""
    drawing = _Drawing()
    for modules in layers():
        drawing.row(modules)
    return drawing.svg()


def write(path: Path = DRAWING) -> None:
    """Write the drawing into the documents."""
    path.write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    write()
