"""Standard input, output and error of a command, which do not block the reactor."""

from __future__ import annotations

import os
import select
import stat
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from queue import SimpleQueue
from typing import IO, Any, Final, TypeVar, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from ..exceptions import printable

_CHUNK: Final = 65536
_COLUMNS: Final = 80
"""How wide a terminal is that does not tell."""
T = TypeVar("T")


Calls = Callable[..., Deferred[Any]]
"""Calls a function with arguments, which may block; a Deferred of its result."""


class BlockingCalls:
    """
    Calls functions that may block, one after the other, in a daemon thread.

    The process may end while one still blocks, as on a pipe that nobody reads.

    @param reactor: where the results arrive.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._started = False

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Call a function with arguments when those before are done."""
        if not self._started:
            self._started = True
            threading.Thread(target=self._work, name="streams", daemon=True).start()
        done: Deferred[Any] = Deferred()
        self._jobs.put((done, function, arguments))
        return done

    def _work(self) -> None:
        while True:
            done, function, arguments = self._jobs.get()
            try:
                result = function(*arguments)
            except Exception:
                result = Failure()
            self._reactor.callFromThread(done.callback, result)


class Streams:
    """
    What a command reads from and writes to.

    @param stdin: unbuffered, as what is left unread in a buffer of a thread would keep
        the process from ending.
    @param stdout: unbuffered, too.
    @param stderr: for people: questions, progress, the summary.
    @param reads: calls what may block while it reads.
    @param writes: the same while it writes.
    @param unread: fires when nobody reads C{stdout} any more.
    """

    def __init__(
        self,
        stdin: IO[bytes],
        stdout: IO[bytes],
        stderr: IO[str],
        reads: Calls,
        writes: Calls,
        unread: Deferred[Any],
    ) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self._reads = reads
        self._writes = writes
        self._is_unread = False
        self._waiting: Deferred[Any] | None = None
        unread.addCallbacks(self._has_no_reader, lambda _: None)

    @property
    def is_interactive(self) -> bool:
        """Whether somebody can answer a question."""
        return self._stdin.isatty() and self._stderr.isatty()

    @property
    def writes_to_terminal(self) -> bool:
        """Whether somebody looks at what is written."""
        return self._stdout.isatty()

    @property
    def shows_progress(self) -> bool:
        """Whether somebody looks at what is told."""
        return self._stderr.isatty()

    @property
    def columns(self) -> int:
        """How many characters fit in a line of what is told."""
        with suppress(OSError, ValueError):
            return os.get_terminal_size(self._stderr.fileno()).columns or _COLUMNS
        return _COLUMNS

    @property
    def stdin(self) -> IO[bytes]:
        """Standard input, for L{read}."""
        return self._stdin

    def read(self, source: IO[bytes]) -> Deferred[bytes]:
        """
        Read what has come, or wait for it.

        @param source: an unbuffered file.
        @return: fires with C{b""} at the end.
        """
        return self._reads(_read, source)

    def write(self, data: bytes) -> Deferred[None]:
        """
        Write to standard output.

        @return: fires when all of it was handed to the system; fails with
            C{BrokenPipeError} if nobody reads any more.
        """
        return self._writes(self._write_all, data)

    def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            written = cast("int | None", self._stdout.write(left))
            if written is None:
                _wait_until_ready(self._stdout, select.POLLOUT)
            else:
                left = left[written:]

    def _has_no_reader(self, _: object) -> None:
        self._is_unread = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def while_read(self, waiting: Deferred[T]) -> T:
        """
        Wait for something that may never come, as long as somebody reads the output.

        @param waiting: is cancelled otherwise.
        @raise BrokenPipeError: nobody reads it any more.
        """
        self._waiting = waiting
        if self._is_unread:
            waiting.cancel()
        try:
            return await waiting
        except CancelledError:
            if self._is_unread:
                raise BrokenPipeError from None
            raise
        finally:
            self._waiting = None

    def tell(self, text: str, end: str = "\n") -> None:
        """Write a line to standard error, if that is possible."""
        with suppress(OSError, ValueError):
            self._stderr.write(f"{text}{end}")
            self._stderr.flush()

    async def ask(self, question: str) -> bool:
        """Ask a question, and return whether the answer is yes."""
        self.tell(f"{question} [y/N] ", end="")
        answer = await self.read(self._stdin)
        return answer.strip().lower() in (b"y", b"yes")


def _read(source: IO[bytes]) -> bytes:
    """Read what has come, or wait for it, also where the system does not wait."""
    while (data := cast("bytes | None", source.read(_CHUNK))) is None:
        _wait_until_ready(source, select.POLLIN)
    return data


def _wait_until_ready(file: IO[bytes], event: int) -> None:
    """
    Wait for a file that another program has made non-blocking.

    @param event: C{POLLIN} or C{POLLOUT}.
    """
    waiting = select.poll()
    waiting.register(file, event)
    waiting.poll()


def standard_streams(reactor: Any) -> Streams:
    """
    Return those of this process.

    @raise OSError: standard output is closed.
    """
    # Python has None for what was closed; its number may be that of a socket by now.
    if sys.stdout is None:
        raise OSError("standard output is closed")
    closed = sys.stdin is None
    stdin = FileIO(os.devnull, "rb") if closed else FileIO(0, "rb", closefd=False)
    return Streams(
        stdin,
        FileIO(1, "wb", closefd=False),
        sys.stderr,
        BlockingCalls(reactor),
        BlockingCalls(reactor),
        BlockingCalls(reactor)(_wait_until_unread) if _is_pipe(1) else Deferred(),
    )


def _is_pipe(number: int) -> bool:
    mode = os.fstat(number).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _wait_until_unread() -> None:
    """Wait until the other end of the pipe that is standard output is closed."""
    pipe = select.poll()
    pipe.register(1, 0)  # errors are told without being asked for
    pipe.poll()


def open_stderr() -> None:
    """Have standard error go nowhere if it is closed: Python would use the output."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # is used to the end


def complain(text: str) -> None:
    """
    Write an error to standard error, if that is possible.

    @param text: one line, or several; what a terminal would obey is escaped.
    """
    with suppress(OSError, ValueError):
        print("\n".join(map(printable, text.split("\n"))), file=sys.stderr)


def silence_stdout() -> None:
    """Send what Python still has for a pipe that nobody reads to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError):
        os.dup2(nowhere, 1)
    os.close(nowhere)
