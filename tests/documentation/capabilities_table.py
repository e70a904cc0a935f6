"""
Write what transports can do into the docs: C{python -m
tests.documentation.capabilities_table}.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from tests.contract.capabilities import TABLE, Abilities, Ability, Nature
from tests.support.paths import DOCS
from txkombu.interfaces import Capability

PAGE = DOCS / "explained" / "transports.rst"
_BEGIN, _END = ".. begin abilities\n", ".. end abilities\n"
_WIDTH = 88


def table() -> str:
    """Return the text between the two comments of the page, as reStructuredText."""
    reasons: dict[str, int] = {}
    parts = [
        _rows("operation", Capability, reasons),
        "Beyond operations, brokers differ in these points:",
        _rows("what", Nature, reasons),
        "\n".join(_footnotes(reasons)),
    ]
    return "\n" + "\n\n".join(parts) + "\n\n"


def _rows(first: str, abilities: Iterable[Ability], reasons: dict[str, int]) -> str:
    lines = [[first, *(column.title for column in TABLE)]]
    for each in abilities:
        lines.append([each.value, *(_cell(each, column, reasons) for column in TABLE)])
    return aligned(lines)


def _cell(ability: Ability, column: Abilities, reasons: dict[str, int]) -> str:
    why = column.lacks.get(ability)
    if why is None:
        return "yes"
    return f"no [{reasons.setdefault(why, len(reasons) + 1)}]_"


def aligned(lines: list[list[str]]) -> str:
    """Return a simple table; the first line is its head."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    texts = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    head, *rest = (text.rstrip() for text in texts)
    return "\n".join([rule, head, rule, *rest, rule])


def _footnotes(reasons: dict[str, int]) -> Iterator[str]:
    for why, number in reasons.items():
        text = f".. [{number}] {why[0].upper()}{why[1:]}."
        yield textwrap.fill(text, _WIDTH, subsequent_indent="   ")


def written() -> str:
    """Return the present text between the two comments."""
    return _parts()[1]


def write() -> None:
    """Write the table into the page."""
    before, _, after = _parts()
    text = f"{before}{_BEGIN}{table()}{_END}{after}"
    PAGE.write_text(text, encoding="utf-8")


def _parts() -> tuple[str, str, str]:
    """Return the page before the table's place, in it, and after it."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    inside, _, after = rest.partition(_END)
    return before, inside, after


if __name__ == "__main__":
    write()
