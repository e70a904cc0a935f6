"""What C{txkombu doctor} finds, one line each."""

from __future__ import annotations

from ..exceptions import printable


class CheckFailed(Exception):
    """A check fails; the text says why, and what to do."""


class Findings:
    """
    Collects lines.

    @ivar lines: the lines.
    @ivar failed: how many checks failed.
    @ivar warned: how many found something to think about.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.failed = 0
        self.warned = 0

    def ok(self, what: str, text: str) -> None:
        """
        Note that something is as it should be.

        @param what: was checked.
        @param text: what was found.
        """
        self._add("ok", what, text)

    def warn(self, what: str, text: str) -> None:
        """
        Note that something works, but should be otherwise.

        @param what: was checked.
        @param text: what was found, and what to do.
        """
        self.warned += 1
        self._add("warning", what, text)

    def fail(self, what: str, text: str) -> None:
        """
        Note that something does not work.

        @param what: was checked.
        @param text: what was found, and what to do.
        """
        self.failed += 1
        self._add("failed", what, text)

    def _add(self, verdict: str, what: str, text: str) -> None:
        self.lines.append(printable(f"{verdict:<8} {what}: {text}"))

    def take_lines(self) -> bytes:
        """Return what was found since the last call."""
        lines, self.lines = self.lines, []
        return "".join(f"{each}\n" for each in lines).encode()
