"""
Write the state tables of the library into docs/explained/architecture.rst: C{python -m
tests.documentation.states}.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from importlib import import_module
from typing import Final

from benchmarks import tables
from tests.documentation.capabilities_table import aligned
from tests.packaging.test_layout import LIBRARY
from tests.support.paths import CHECKOUT

PAGE: Final = CHECKOUT / "docs" / "explained" / "architecture.rst"
_TABLE: Final = re.compile(r"^(_?TABLE)\b.*= \{$", re.MULTILINE)

Steps = Mapping[tuple[Enum, Enum], Enum]


def state_tables() -> Iterator[tuple[str, Steps]]:
    """Give each file of the library that has a state table, and the table."""
    for path in sorted(LIBRARY.rglob("*.py")):
        found = _TABLE.search(path.read_text(encoding="utf-8"))
        if found is not None:
            name = path.relative_to(CHECKOUT).with_suffix("")
            table = getattr(import_module(".".join(name.parts)), found[1])
            if all(isinstance(each, Enum) for each in table.values()):
                yield str(path.relative_to(LIBRARY)), table


def rows(steps: Steps) -> Iterator[list[str]]:
    """Give an event, the states that it comes in, and the state it leads to."""
    sources: dict[tuple[Enum, Enum], list[Enum]] = {}
    for (state, event), after in steps.items():
        sources.setdefault((event, after), []).append(state)
    for (event, after), states in sources.items():
        every = len(states) == len(type(states[0]))
        names = "any" if every else ", ".join(str(each.value) for each in states)
        yield [str(event.value), names, str(after.value)]


def text() -> str:
    """Return the tables as reStructuredText."""
    head = ["event", "in state", "leads to"]
    return "\n\n".join(
        f"``{path}``:\n\n{aligned([head, *rows(steps)])}"
        for path, steps in state_tables()
    )


if __name__ == "__main__":
    tables.write("states", text(), PAGE)
