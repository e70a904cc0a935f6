"""
C{python -m txkombu serve}: a service in a process that is its own.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from time import monotonic
from types import FrameType
from typing import Any, Final, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import (
    FilteringLogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)

from .._util.timeouts import CLOSE_TIMEOUT
from ..service import ConsumerService
from .last_resort import LastResort
from .tap import Options, service_of

_CLOSING: Final = 3 * CLOSE_TIMEOUT
"""Seconds beyond the shutdown_timeout in which all has to be closed."""

_ENDING: Final = 0.5
"""Seconds for the process to end when all is closed and no time is left."""


def serve(options: Options) -> int:
    """
    Run the service that the options ask for until it stops.

    @return: the exit code: 0 after a signal, 1 if an error halted it.
    """
    from twisted.internet import reactor

    log_to_stderr("info")
    return Server(service_of(options), reactor, options.shutdown_timeout).run()


def log_to_stderr(minimum: str) -> None:
    """Log there from the level of this name; leave what programs print alone."""
    wanted = LogLevelFilterPredicate(LogLevel.levelWithName(minimum))
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [wanted])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


class Server:
    """
    Runs the reactor as long as a service runs.

    The first SIGTERM or SIGINT stops the service in order; the second ends the
    process at once, and the broker takes back what was not settled.  Threads of
    handlers are given no more time than handlers are.

    @param shutdown_timeout: seconds, as the service has it.
    """

    _log = Logger()

    def __init__(
        self, service: ConsumerService, reactor: Any, shutdown_timeout: float
    ) -> None:
        self._service = service
        self._reactor = reactor
        self._timeout = shutdown_timeout
        self._last_resort = LastResort(self._exit_code)
        self._ends_since: float | None = None
        self._signalled = False

    def run(self) -> int:
        """@return: the exit code."""
        self._last_resort.start()
        # Before the pool of threads has its own, which waits for them.
        self._reactor.addSystemEventTrigger("during", "shutdown", self._all_closed)
        self._reactor.callWhenRunning(self._begin)
        self._reactor.run()
        return self._exit_code()

    def _exit_code(self) -> int:
        return 0 if self._service.halted is None else 1

    def _begin(self) -> None:
        # The reactor has installed its own by now.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._shut_down)
        try:
            self._service.startService()
        finally:
            self._service.when_stopped().addCallback(lambda _: self._stop_reactor())

    def _shut_down(self) -> Deferred[None]:
        self._ends()
        return self._service.stopService()

    def _ends(self) -> float:
        """Have a limit to all that may hold the end up; @return: since when it ends."""
        if self._ends_since is None:
            self._ends_since = monotonic()
        self._last_resort.end_at(self._ends_since + self._timeout + _CLOSING)
        return self._ends_since

    def _all_closed(self) -> None:
        since = self._ends()
        self._last_resort.end_at(max(since + self._timeout, monotonic() + _ENDING))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            _die_of(number)
        self._signalled = True
        if self._ends_since is None:
            # Now, as a handler that blocks may keep the reactor.
            self._ends_since = monotonic()
            self._last_resort.end_at(self._ends_since + self._timeout + CLOSE_TIMEOUT)
        self._reactor.callFromThread(self._stop, signal.Signals(number).name)

    def _stop(self, name: str) -> None:
        self._ends()
        self._log.info("Received {name}: stopping; a second one ends it now", name=name)
        self._service.stopService()

    def _stop_reactor(self) -> None:
        with suppress(ReactorNotRunning):
            self._reactor.stop()


def _die_of(number: int) -> NoReturn:
    """End this process as the signal would have, had nobody caught it."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # not reached
