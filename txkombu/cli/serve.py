"""C{python -m txkombu serve}: a service in a process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from types import FrameType
from typing import Any, Final, NoReturn

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

from .._util.timeouts import CLOSE_TIMEOUT
from ..policy import Halt
from ..service import ConsumerService
from .companions import companions_of
from .last_resort import LastResort, flush_output
from .logs import log_to_stderr
from .tap import Options, service_of

_CLOSING: Final = 3 * CLOSE_TIMEOUT
"""Seconds, after the shutdown_timeout, in which everything has to be closed."""

_ENDING: Final = 0.5
"""Seconds that the process has to end after that, at least."""

_TOGETHER: Final = 0.1
"""Seconds in which a repeated signal counts as one: C{timeout} sends each twice."""


def serve(options: Options) -> int:
    """
    Run the service of the options until it stops.

    @return: the exit code: 0 after a signal, that of a L{Halt} which a handler raised,
        and 1 if another error halted the service.
    """
    from twisted.internet import reactor

    log_to_stderr(options.log.level, options.log.format)
    service = service_of(options)
    companions = companions_of(service, options.http)
    return Server(service, reactor, options.shutdown_timeout, companions).run()


class Server:
    """
    Runs the reactor while a service runs.

    The first SIGTERM, SIGINT or SIGHUP stops the service in order; the second ends the
    process at once, and the broker requeues unsettled messages.  Threads of handlers
    have no more time to finish than handlers have.

    @param shutdown_timeout: seconds, the same as the service has.
    @param companions: what is started after the service, and stopped with it.
    """

    _log = Logger()

    def __init__(
        self,
        service: ConsumerService,
        reactor: Any,
        shutdown_timeout: float,
        companions: Iterable[Service] = (),
    ) -> None:
        self._service = service
        self._companions = list(companions)
        self._reactor = reactor
        self._timeout = shutdown_timeout
        self._last_resort = LastResort(self._exit_code)
        self._ends_since: float | None = None

    def run(self) -> int:
        """Run the reactor; return the exit code."""
        self._last_resort.start()
        # Before the trigger of the thread pool, which waits for its threads.
        self._reactor.addSystemEventTrigger("during", "shutdown", self._all_closed)
        self._reactor.callWhenRunning(self._begin)
        self._reactor.run()
        return self._exit_code()

    def _exit_code(self) -> int:
        halted = self._service.halted
        if isinstance(halted, Halt):
            return halted.exit_code
        return 0 if halted is None else 1

    def _begin(self) -> None:
        # By now the reactor has installed its own handlers, which these replace.
        handle_signals(self._on_signal)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._shut_down)
        try:
            self._service.startService()
            for each in self._companions:
                each.startService()
        finally:
            self._service.when_stopped().addCallback(lambda _: self._stop_reactor())

    def _shut_down(self) -> Deferred[Any]:
        self._limit_end()
        return self._stop_services()

    def _stop_services(self) -> Deferred[Any]:
        stops = [each.stopService() for each in self._companions if each.running]
        return DeferredList([self._service.stopService(), *filter(None, stops)])

    def _limit_end(self) -> float:
        """Limit how long the process may take to end; return when it began to."""
        if self._ends_since is None:
            self._ends_since = monotonic()
        self._last_resort.end_at(self._ends_since + self._timeout + _CLOSING)
        return self._ends_since

    def _all_closed(self) -> None:
        since = self._limit_end()
        self._last_resort.end_at(max(since + self._timeout, monotonic() + _ENDING))

    def _on_signal(self, number: int) -> None:
        if self._ends_since is None:
            # At once, as a handler may block the reactor.
            self._ends_since = monotonic()
            self._last_resort.end_at(self._ends_since + self._timeout + CLOSE_TIMEOUT)
        self._reactor.callFromThread(self._stop, signal.Signals(number).name)

    def _stop(self, name: str) -> None:
        self._limit_end()
        text = "Received {name}: stopping; a second one ends the process at once"
        self._log.info(text, name=name)
        self._stop_services()

    def _stop_reactor(self) -> None:
        with suppress(ReactorNotRunning):
            self._reactor.stop()


def handle_signals(end: Callable[[int], None]) -> None:
    """
    Handle the signals that end a program: the second ends it at once.

    @param end: is called with the first.  SIGHUP stays ignored if it is, as under
        C{nohup}.
    """
    first = 0
    since = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first, since
        if not first:
            first, since = number, monotonic()
            end(number)
        elif number != first or monotonic() - since > _TOGETHER:
            die_of(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handle)


def die_of(number: int) -> NoReturn:
    """End this process as the signal does if it has no handler."""
    flush_output()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # not reached
