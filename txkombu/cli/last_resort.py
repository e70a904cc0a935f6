"""
The end of a process that threads keep running.

Without a limit, Twisted waits for the threads of its pool and Python for all others: a
handler that still runs in one would keep the process from ending.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from twisted.logger import Logger

_FLUSH_TIMEOUT: Final = 1.0
"""Seconds to write out what was printed; a full pipe may block for ever."""


class LastResort:
    """
    Ends the process at a deadline, in a daemon thread.

    @param exit_code: returns the exit code; called in that thread.
    """

    _log = Logger()

    def __init__(self, exit_code: Callable[[], int]) -> None:
        self._exit_code = exit_code
        self._deadlines: SimpleQueue[float] = SimpleQueue()

    def start(self) -> None:
        """Start the thread, which waits for a deadline."""
        threading.Thread(target=self._wait, name="last resort", daemon=True).start()

    def end_at(self, deadline: float) -> None:
        """
        Set the deadline, in place of an earlier one; safe in signal handlers.

        @param deadline: in seconds of C{time.monotonic()}.
        """
        self._deadlines.put(deadline)

    def _wait(self) -> None:
        deadline = self._deadlines.get()
        while True:
            left = min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
            try:
                deadline = self._deadlines.get(timeout=left)
            except Empty:
                break
        logging = threading.Thread(target=self._log_threads, daemon=True)
        logging.start()
        logging.join(_FLUSH_TIMEOUT)
        os._exit(self._exit_code())

    def _log_threads(self) -> None:
        """Log the threads that Python would wait for, or the main one if only that."""
        main = threading.main_thread()
        kept = [each for each in threading.enumerate() if not each.daemon]
        names = [each.name for each in kept if each is not main] or [main.name]
        self._log.warn(
            "Ending without {threads}, still at work", threads=", ".join(names)
        )
        flush_output()


def flush_output() -> None:
    """Write out what was printed, as far as that is possible."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
