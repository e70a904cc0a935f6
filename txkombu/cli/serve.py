"""
C{python -m txkombu serve}: a service in a process that is its own.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

from twisted.internet.error import ReactorNotRunning
from twisted.logger import (
    FilteringLogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)

from ..service import ConsumerService
from .tap import Options, makeService


def serve(options: Options) -> int:
    """
    Run the service that the options ask for until it stops.

    @return: the exit code: 0 after a signal, 1 if an error halted it.
    """
    from twisted.internet import reactor

    log_to_stderr("info")
    return Server(makeService(options), reactor).run()


def log_to_stderr(least: str) -> None:
    """Log there from the level of this name; leave what programs print alone."""
    wanted = LogLevelFilterPredicate(LogLevel.levelWithName(least))
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [wanted])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


class Server:
    """
    Runs the reactor as long as a service runs.

    The first SIGTERM or SIGINT stops the service in order; the second ends the
    process at once, and the broker takes back what was not settled.
    """

    _log = Logger()

    def __init__(self, service: ConsumerService, reactor: Any) -> None:
        self._service = service
        self._reactor = reactor
        self._signalled = False

    def run(self) -> int:
        """@return: the exit code."""
        self._reactor.callWhenRunning(self._begin)
        self._reactor.run()
        return 0 if self._service.halted is None else 1

    def _begin(self) -> None:
        # The reactor has installed its own by now.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._reactor.addSystemEventTrigger(
            "before", "shutdown", self._service.stopService
        )
        self._service.startService()
        self._service.when_stopped().addCallback(lambda _: self._stop_reactor())

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            _die_of(number)
        self._signalled = True
        self._reactor.callFromThread(self._stop, signal.Signals(number).name)

    def _stop(self, name: str) -> None:
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
