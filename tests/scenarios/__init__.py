"""
The behaviour of brokers, as small programs with recorded outcomes.

The files C{*.txt} have rows: a sentence, and a program in the language of
L{tests.scenarios.steps}.  The programs run against the contract of
L{txkombu.interfaces}, on any broker.  The expected outcomes, in C{expected.json}, were
recorded from RabbitMQ by L{tests.scenarios.record}.
"""

from __future__ import annotations

import json
from pathlib import Path

import attrs

_FOLDER = Path(__file__).parent
_EXPECTED = _FOLDER / "expected.json"


@attrs.frozen
class Row:
    """
    One row of a file.

    @ivar title: a sentence that says what the broker does.
    @ivar group: the name of its file, without C{.txt}.
    @ivar steps: the lines of its program.
    """

    title: str
    group: str
    steps: tuple[str, ...]


def all_rows() -> list[Row]:
    """Read all rows; their titles are unique."""
    rows = [row for path in sorted(_FOLDER.glob("*.txt")) for row in _read(path)]
    titles = [row.title for row in rows]
    twice = {title for title in titles if titles.count(title) > 1}
    if twice:
        raise ValueError(f"two rows have one title: {twice}")
    return rows


def _read(path: Path) -> list[Row]:
    """
    Read a file: a row begins with C{= title}; a line that begins with C{#} is a
    comment.
    """
    found: list[tuple[str, list[str]]] = []
    for line in path.read_text("utf-8").splitlines():
        text = line.strip()
        if text.startswith("= "):
            found.append((text[2:], []))
        elif text and not text.startswith("#"):
            found[-1][1].append(text)
    return [Row(title, path.stem, tuple(steps)) for title, steps in found]


def expected() -> dict[str, list[str]]:
    """Return the recorded outcomes, by title."""
    outcomes: dict[str, list[str]] = json.loads(_EXPECTED.read_text("utf-8"))["rows"]
    return outcomes


def store(version: str, outcomes: dict[str, list[str]]) -> None:
    """
    Write recorded outcomes.

    @param version: the name and version of the broker that they were recorded from.
    """
    text = json.dumps(
        {"recorded_from": version, "rows": outcomes}, indent=1, ensure_ascii=False
    )
    _EXPECTED.write_text(text + "\n", "utf-8")


def method_name(row: Row, number: int) -> str:
    """Return the name of the test method that runs a row."""
    words = "".join(each if each.isalnum() else " " for each in row.title.lower())
    return f"test_{row.group}_{number:03}_{'_'.join(words.split())}"
