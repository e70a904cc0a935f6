"""
The end of a process that something keeps from ending.

Twisted waits for the threads of its pool, and Python for all others, without a
limit: a handler that was left behind in one would hold the process up.
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
"""Seconds to write out what was printed, as a full pipe may take it never."""


class LastResort:
    """
    Ends the process at a deadline, in a thread that nobody waits for.

    @param exit_code: tells with what; called in that thread.
    """

    _log = Logger()

    def __init__(self, exit_code: Callable[[], int]) -> None:
        self._exit_code = exit_code
        self._deadlines: SimpleQueue[float] = SimpleQueue()

    def start(self) -> None:
        """Begin to wait for a deadline."""
        threading.Thread(target=self._wait, name="last resort", daemon=True).start()

    def end_at(self, deadline: float) -> None:
        """
        Set the deadline, instead of what was set before; also for signal handlers.

        @param deadline: as C{time.monotonic()} counts.
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
        telling = threading.Thread(target=self._tell, daemon=True)
        telling.start()
        telling.join(_FLUSH_TIMEOUT)
        os._exit(self._exit_code())

    def _tell(self) -> None:
        self._log.warn(
            "Ending without {threads}, still at work", threads=", ".join(_at_work())
        )
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()


def _at_work() -> list[str]:
    """The threads that Python would wait for, or the main one if it is alone."""
    main = threading.main_thread()
    kept = [each for each in threading.enumerate() if not each.daemon]
    return [each.name for each in kept if each is not main] or [main.name]
