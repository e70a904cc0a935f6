"""
Events for debugging, which are logged only where somebody asked for them.

twistd's log has no levels: it would show them to everybody.
"""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger


class DebugLog:
    """
    Logs events of the level debug, or not.

    @ivar wanted: whether to log them.
    """

    def __init__(self) -> None:
        self.wanted = False

    def want(self, wanted: bool = True) -> None:
        """Log them from now on, or not."""
        self.wanted = wanted

    def tell(self, log: Logger, format: str, **fields: object) -> None:
        """
        Log an event if that is wanted.

        @param log: who tells it.
        @param format: what, with the names of fields.
        @param fields: the fields.
        """
        if self.wanted:
            log.debug(format, **fields)


debug_log: Final = DebugLog()
"""That of this process."""
