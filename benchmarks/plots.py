"""
Draw what was measured as pictures for docs/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from benchmarks.tables import PAGE

FOLDER = PAGE.parent / "plots"
"""
The place of the pictures.
"""
_INCHES = (7.0, 4.2)
_DOTS_PER_INCH = 110
_MARKS = "os^Dv"
_WIDE = 10
"""
The largest value over the least from which on an axis is logarithmic.
"""


class Plot(NamedTuple):
    """
    A picture with a line for each client.

    The x axis is logarithmic.  So is the y axis if its values are far apart; otherwise
    it begins at 0.
    """

    name: str
    """The name of its file, without its ending."""
    title: str
    x: str
    """What the x axis shows, with its unit."""
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    """The points of each client."""


def can_draw() -> bool:
    """Return whether matplotlib is installed: the extra C{bench} has it."""
    return find_spec("matplotlib") is not None


def draw(plot: Plot, folder: Path = FOLDER) -> Path:
    """
    Draw a picture as PNG.

    @param folder: made, if it does not exist.
    @return: its file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    for (client, points), mark in zip(plot.lines.items(), _MARKS, strict=False):
        axes.plot(*zip(*points, strict=True), marker=mark, label=client)
    axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y, xscale="log")
    amounts, values = zip(*chain(*plot.lines.values()), strict=True)
    axes.set_xticks(sorted(set(amounts)), minor=False)
    axes.set_xticks([], minor=True)
    if max(values) > _WIDE * min(values):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(True, alpha=0.25)
    axes.legend()
    folder.mkdir(exist_ok=True)
    path = folder / f"{plot.name}.png"
    # Without its version and date, the same figures give the same file.
    figure.savefig(path, metadata={"Software": None})
    return path
