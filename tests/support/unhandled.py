"""Errors of Deferreds that nobody handled, which make a run of the tests fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from twisted.logger import ILogObserver, LogEvent, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(ILogObserver)
class Unhandled:
    """
    Records the errors of Deferreds that nobody handled.

    @ivar seen: the text of each.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._is_wanted = False

    def __call__(self, event: LogEvent) -> None:
        """Check an event of the log."""
        text = formatEvent(event)
        if "Unhandled error in Deferred" in text and not self._is_wanted:
            failure = event.get("log_failure")
            self.seen.append(
                failure.getTraceback() if isinstance(failure, Failure) else text
            )

    @contextmanager
    def wanted(self) -> Iterator[None]:
        """Record none meanwhile: a test looks for them in the log itself."""
        self._is_wanted = True
        try:
            yield
        finally:
            self._is_wanted = False


unhandled: Final = Unhandled()
"""The errors of this run."""
