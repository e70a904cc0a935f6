"""Run one command under the reactor: its errors, its signals, its exit code."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    globalLogBeginner,
)
from twisted.python import usage
from zope.interface import implementer

from ..connection import BrokerConnection
from ..exceptions import KombuError, printable
from ..interfaces import Capability
from .options import BrokerOptions, program_name
from .serve import handle_signals
from .streams import Streams, complain, silence_stdout, standard_streams

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2
OF_SIGNAL: Final = 128
"""Added to the number of the signal that ended a command, as shells do."""

_BROKEN_PIPE: Final = OF_SIGNAL + signal.SIGPIPE

_O = TypeVar("_O", bound=BrokerOptions)
Command = Callable[[_O, Streams], Coroutine[Deferred[Any], Any, int]]
"""Does the work of a command; returns the exit code."""


class CommandFailed(Exception):
    """What a command could not do, in one line; the exit code is 1."""


def run(name: str, options: _O, command: Command[_O]) -> int:
    """
    Run a command, and close its connection.

    @param name: the command's name, for errors.
    @param options: its options.
    @param command: does its work.
    @return: the exit code.
    """
    from twisted.internet import reactor

    try:
        streams = standard_streams(reactor)
    except OSError as error:
        complain(f"{program_name()} {name}: {error}")
        return FAILED
    observer = line_observer(streams, options.log_level)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    return CommandRun(reactor, lambda: carry_out(name, options, command, streams)).run()


async def carry_out(
    name: str, options: _O, command: Command[_O], streams: Streams
) -> int:
    """
    Do the work of a command, close its connection, and tell what went wrong.

    @param name: the command's name, for errors.
    @param options: its options.
    @param command: does its work.
    @param streams: what it reads and writes.
    @return: the exit code.
    """
    try:
        try:
            return await command(options, streams)
        finally:
            await options.connection.close()
    except CancelledError:
        return OF_SIGNAL + signal.SIGINT
    except BrokenPipeError:
        return _BROKEN_PIPE
    except usage.UsageError as error:
        code, text = WRONG_USAGE, str(error)
    except (KombuError, CommandFailed, OSError, ValueError, TypeError) as error:
        code, text = FAILED, str(error) or type(error).__name__
    except Exception as error:
        code, text = FAILED, f"{type(error).__name__}: {error}"
    streams.tell(f"{program_name()} {name}: {printable(text)}")
    return code


async def can(connection: BrokerConnection, capability: Capability) -> bool:
    """
    Return whether the broker can do something, over this transport.

    @param connection: connects if need be.
    @param capability: what.
    """
    session = await connection.core.when_up()
    return capability in session.capabilities


def counted(number: int, what: str = "message") -> str:
    """
    Return a number with what it counts.

    @param number: how many.
    @param what: one of them.
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


class CommandRun:
    """
    Runs the reactor while a command is at work.

    The first SIGINT, SIGTERM or SIGHUP has it end in order; the second ends the
    process.

    @param begin: begins the work.
    """

    def __init__(
        self, reactor: Any, begin: Callable[[], Coroutine[Deferred[Any], Any, int]]
    ) -> None:
        self._reactor = reactor
        self._begin_work = begin
        self._work: Deferred[int] = Deferred()
        self._exit_code = FAILED
        self._signal = 0

    def run(self) -> int:
        """Run the reactor; return the exit code."""
        self._reactor.callWhenRunning(self._begin)
        self._reactor.run()
        if self._exit_code == _BROKEN_PIPE:
            silence_stdout()
        if self._signal and self._exit_code == OF_SIGNAL + signal.SIGINT:
            return OF_SIGNAL + self._signal
        return self._exit_code

    def _begin(self) -> None:
        handle_signals(self._on_signal)
        self._work = Deferred.fromCoroutine(self._begin_work())
        self._work.addBoth(self._over)

    def _on_signal(self, number: int) -> None:
        self._signal = number
        self._reactor.callFromThread(self._cancel)

    def _cancel(self) -> None:
        self._work.cancel()

    def _over(self, result: Any) -> None:
        self._exit_code = result if isinstance(result, int) else FAILED
        with suppress(ReactorNotRunning):
            self._reactor.stop()


def line_observer(streams: Streams, minimum: str) -> ILogObserver:
    """
    Return what tells each event that is logged as a line.

    @param streams: where to.
    @param minimum: from which level on.
    """

    @implementer(ILogObserver)
    def tell(event: LogEvent) -> None:
        failure = event.get("log_failure")
        reason = f": {failure.getErrorMessage()}" if failure is not None else ""
        streams.tell(f"{program_name()}: {printable(formatEvent(event) + reason)}")

    wanted = LogLevelFilterPredicate(LogLevel.levelWithName(minimum))
    return FilteringLogObserver(tell, [wanted])
