"""What is wrong with a configuration file: one line for each fault."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

Path = tuple[str | int, ...]
"""The keys and positions that lead to a value."""


@attrs.frozen
class Problem:
    """
    One fault of a file.

    @ivar path: the keys and positions that lead to the value at fault.
    @ivar text: what is wrong, and what is allowed.
    @ivar line: its line, from 1 on; 0 if the file cannot be read at all.
    """

    path: Path
    text: str
    line: int = 0

    def shown(self, file: str) -> str:
        """
        Return the fault as one line.

        @param file: the name of the file.
        """
        place = f"{file}:{self.line}" if self.line else file
        key = shown_path(self.path)
        return f"{place}: {key}: {self.text}" if key else f"{place}: {self.text}"


class ConfigurationError(ValueError):
    """
    A configuration file is wrong; the text has a line for each fault.

    @ivar file: the name of the file.
    @ivar problems: its faults, in the order of their lines.
    """

    file: str
    problems: list[Problem]

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = sorted(problems, key=lambda each: each.line)
        super().__init__(file, self.problems)

    def __str__(self) -> str:
        return "\n".join(each.shown(self.file) for each in self.problems)


def shown_path(path: Path) -> str:
    """Return a path as people write it: C{consumers[0].queues}."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")
