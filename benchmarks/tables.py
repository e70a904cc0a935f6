"""
Results as reStructuredText, for a terminal and for docs/.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.clients import OURS
from benchmarks.report import Samples

PAGE = Path(__file__).parent.parent / "docs" / "explained" / "benchmarks.rst"
"""
The page with a section for each kind of benchmark.
"""


def number(value: float) -> str:
    """Return a number as text, with at least three digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a simple table; the first column is text, the others are numbers."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    shown = ["  ".join(_cells(line, widths)).rstrip() for line in lines]
    return "\n".join([rule, shown[0], rule, *shown[1:], rule])


def rates(taken: Mapping[tuple[str, int], Samples], mode: str) -> str:
    """Return the table of one mode, with the ratios of txkombu to each client."""
    sizes = sorted({size for known, size in taken if known == mode})
    return table(
        ("client", "bytes", "messages/s", "CPU µs", "rate ratio", "CPU ratio"),
        (
            (
                name,
                str(size),
                number(samples.median(name).rate),
                number(samples.median(name).cpu),
                number(samples.ratio("rate", OURS, name)),
                number(samples.ratio("cpu", OURS, name)),
            )
            for size in sizes
            for samples in [taken[mode, size]]
            for name in samples.taken
        ),
    )


def _cells(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = line
    cells = [first.ljust(widths[0])]
    return cells + [
        cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)
    ]


def write(kind: str, text: str, page: Path = PAGE) -> None:
    """
    Write results between the comments that mark their place in the page.

    @raise ValueError: the page has no such comments.
    """
    begin, end = f".. begin {kind}", f".. end {kind}"
    old = page.read_text(encoding="utf-8")
    place = re.compile(f"(?<={re.escape(begin)}\n).*?(?={re.escape(end)}\n)", re.DOTALL)
    new, found = place.subn(lambda _: f"\n{text}\n\n", old)
    if not found:
        raise ValueError(f"{page} has no lines {begin!r} and {end!r}")
    page.write_text(new, encoding="utf-8")
