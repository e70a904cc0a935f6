"""What programs log to standard error: text, or a line of JSON for each event."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from typing import Any, TextIO

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from .._util.debug_log import debug_log


def log_to_stderr(minimum: str, format: str = "text") -> None:
    """
    Log to standard error from a level on; do not capture what programs print.

    @param minimum: the name of the level.
    @param format: C{"text"} or C{"json"}.
    """
    debug_log.want(minimum == "debug")
    wanted = LogLevelFilterPredicate(LogLevel.levelWithName(minimum))
    lines: Any = (
        JSONLines(sys.stderr) if format == "json" else textFileLogObserver(sys.stderr)
    )
    observer = FilteringLogObserver(lines, [wanted])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


@implementer(ILogObserver)
class JSONLines:
    """
    Writes each event as one line of JSON: C{time}, C{level}, C{logger}, C{message}, and
    C{traceback} if there is one.

    @param file: where to.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __call__(self, event: LogEvent) -> None:
        """Write an event."""
        level, failure = event.get("log_level"), event.get("log_failure")
        seconds = event.get("log_time", 0.0)
        told = {
            "time": datetime.fromtimestamp(seconds, timezone.utc).isoformat(),
            "level": getattr(level, "name", "info"),
            "logger": event.get("log_namespace", ""),
            "message": formatEvent(event),
        }
        if isinstance(failure, Failure):
            told["traceback"] = failure.getTraceback()
        self._file.write(json.dumps(told) + "\n")
        self._file.flush()
