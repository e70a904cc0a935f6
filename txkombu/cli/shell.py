"""C{python -m txkombu shell}: a Python prompt with C{await}, while the reactor runs."""

from __future__ import annotations

import signal
import sys
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from code import InteractiveConsole
from collections.abc import Coroutine
from contextlib import suppress
from inspect import iscoroutine
from threading import Thread
from traceback import format_exception_only
from types import CodeType, FrameType, FunctionType
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.threads import blockingCallFromThread

import txkombu

from ..connection import BrokerConnection
from .command import OF_SIGNAL
from .logs import log_to_stderr
from .options import BrokerOptions


class ShellOptions(BrokerOptions):
    """
    The broker to be ready for.

    @ivar ready: the connection, if a URL was given.
    """

    synopsis = "[URL] [options]"
    longdesc = (
        "A Python prompt with await, while the reactor runs.  With a URL, there is a "
        "connection to the broker, named connection."
    )
    example = "shell amqp://guest@localhost//"

    def __init__(self) -> None:
        super().__init__()
        self._url: str | None = None
        self.ready: BrokerConnection | None = None

    def parseArgs(self, url: str | None = None) -> None:
        """
        Take the URL.

        @param url: in place of C{--broker}.
        """
        self._url = url

    def postOptions(self) -> None:
        """Make the connection, if a URL is known."""
        self.ready = self.connection_or_none(self._url)


def shell(options: ShellOptions) -> int:
    """
    Read and run statements until the input ends.

    @return: the exit code.
    """
    from twisted.internet import reactor

    with suppress(ImportError):
        import readline  # noqa: F401  # lines can be edited and recalled
    log_to_stderr("warn")
    names = {name: getattr(txkombu, name) for name in txkombu.__all__}
    names["reactor"] = reactor
    if options.ready is not None:
        names["connection"] = options.ready
    *others, last = names
    banner = (
        f'txkombu {txkombu.__version__}: the reactor runs, and "await" works here.\n'
        f"Known are {', '.join(others)} and {last}."
    )
    return Console(reactor, {**names, "__name__": "shell"}, banner).run()


class Console(InteractiveConsole):
    """
    Reads statements in a thread, as reading blocks, and runs them in the reactor's.
    """

    def __init__(self, reactor: Any, names: dict[str, Any], banner: str) -> None:
        super().__init__(names)
        self._banner = banner
        self.compile.compiler.flags |= PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._reactor = reactor
        self._awaited: Deferred[Any] | None = None
        self._is_dropped = False
        self._exit_code = 0

    def run(self) -> int:
        """Run the reactor; return the exit code."""
        self._reactor.callWhenRunning(self._begin)
        self._reactor.run()
        return self._exit_code

    def _begin(self) -> None:
        signal.signal(signal.SIGINT, self._interrupted)
        signal.signal(signal.SIGTERM, self._terminated)
        Thread(target=self._read, daemon=True).start()

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        """Stop what runs on Ctrl-C and what is awaited, or else drop what is typed."""
        if self._awaited is not None:
            self._reactor.callFromThread(self._awaited.cancel)
        while frame is not None:
            if frame.f_code.co_filename == self.filename:
                raise KeyboardInterrupt
            frame = frame.f_back
        if self._awaited is None and not self._is_dropped:
            self._is_dropped = True
            # The thread that reads cannot be interrupted.
            self.write("\nEnter drops what you typed.\n")

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        self._exit_code = OF_SIGNAL + number
        self._reactor.callFromThread(self._stop)

    def raw_input(self, prompt: str = "") -> str:
        """
        Read a line.

        @param prompt: is shown before.
        @raise KeyboardInterrupt: Ctrl-C dropped it, and the lines before it.
        """
        self._is_dropped = False
        line = super().raw_input(prompt)
        if self._is_dropped:
            raise KeyboardInterrupt
        return line

    def _read(self) -> None:
        try:
            self.interact(self._banner, exitmsg="")
        except SystemExit as error:
            self._exit_code = _exit_code(error.code)
        finally:
            self._reactor.callFromThread(self._stop)

    def _stop(self) -> None:
        with suppress(ReactorNotRunning):
            self._reactor.stop()

    def runcode(self, code: CodeType) -> None:
        """Run one statement, and wait for the Deferreds that it awaits."""
        try:
            blockingCallFromThread(self._reactor, self._start, code)
        except SystemExit:
            raise
        except CancelledError:
            self.write("cancelled\n")
        except BaseException as error:
            self.write("".join(format_exception_only(error)))

    def _start(self, code: CodeType) -> Deferred[Any] | None:
        began = FunctionType(code, self.locals)()
        if not iscoroutine(began):
            return None
        coroutine: Coroutine[Deferred[Any], Any, Any] = began
        self._awaited = Deferred.fromCoroutine(coroutine)
        return self._awaited.addBoth(self._over)

    def _over(self, result: Any) -> Any:
        self._awaited = None
        return result


def _exit_code(given: object) -> int:
    """Return the exit code that Python has for an argument of C{exit()}."""
    if given is None or isinstance(given, int):
        return given or 0
    print(given, file=sys.stderr)
    return 1
