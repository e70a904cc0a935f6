"""
Write all tables and drawings that the docs have from the code: C{python -m
tests.documentation}.  C{./run bench --write-docs} writes those that are measured.
"""

from __future__ import annotations

import runpy
import warnings
from typing import Final

WRITERS: Final = (
    "tower",
    "states",
    "capabilities_table",
    "metrics_table",
    "configuration_schema",
    "entities",
    "names",
    "supported",
    "url_options",
    "mistakes",
)
"""The modules that write, in an order in which each finds what it reads."""


def write() -> None:
    """Run all of them."""
    for name in WRITERS:
        with warnings.catch_warnings():
            # Some are imported by others before, which does no harm.
            warnings.simplefilter("ignore", RuntimeWarning)
            _run(f"tests.documentation.{name}")


def _run(module: str) -> None:
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as end:  # of the reactor
        if end.code:
            raise


if __name__ == "__main__":
    write()
