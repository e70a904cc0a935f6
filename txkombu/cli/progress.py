"""How far a command is, on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from .streams import Streams

_INTERVAL: Final = 0.1
_WIDTH: Final = 30
_LEAST_WIDTH: Final = 5
"""A smaller bar is left out."""


class Progress:
    """
    Shows a bar, or a mere count if the total is not known; nothing where no terminal
    is.

    @param streams: where to.
    @param what: what is counted, such as C{"messages published"}.
    @param total: how many there are.
    @param now: the time in seconds.
    """

    def __init__(
        self,
        streams: Streams,
        what: str,
        total: int | None = None,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._streams = streams
        self._what = what
        self._total = total
        self._now = now
        self._since = self._last = now()
        self._width = 0

    def show(self, count: int, part: int | None = None) -> None:
        """
        Show how many there are so far, but not too often.

        @param count: how many.
        @param part: how much of the total that is, if the total counts others.
        """
        now = self._now()
        if not self._streams.shows_progress or now - self._last < _INTERVAL:
            return
        self._last = now
        rate = count / (now - self._since)
        text = f"{count:,} {self._what}, {rate:,.0f} a second"
        fits = self._streams.columns - 1  # in the last column a line may break
        if self._total:
            done = min(1.0, (count if part is None else part) / self._total)
            text = f"{done:4.0%} {text}"
            width = min(_WIDTH, fits - len(text) - len("[] "))
            if width >= _LEAST_WIDTH:
                text = f"[{'#' * round(done * width):<{width}}] {text}"
        text = text[:fits]
        self._streams.tell(f"\r{text:<{min(self._width, fits)}}", end="")
        self._width = len(text)

    def clear(self) -> None:
        """Remove what is shown."""
        if self._width:
            self._streams.tell(f"\r{'':<{self._width}}\r", end="")
            self._width = 0
