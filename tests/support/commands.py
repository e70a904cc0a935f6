"""Commands of the command line, run in this process."""

from __future__ import annotations

import shlex
from io import BytesIO, StringIO
from typing import IO, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.usage import UsageError

from txkombu import BrokerConnection
from txkombu.__main__ import COMMANDS
from txkombu.cli.command import WRONG_USAGE, carry_out
from txkombu.cli.streams import Streams


class _TerminalOutput(StringIO):
    """A terminal, for what is told."""

    def isatty(self) -> bool:
        return True


class _TerminalInput(BytesIO):
    """A terminal, on which lines were typed already."""

    def isatty(self) -> bool:
        return True


class _Unread(BytesIO):
    """A pipe that nobody reads after some writes."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self._left = writes

    def write(self, data: Any) -> int:
        if not self._left:
            raise BrokenPipeError
        self._left -= 1
        return super().write(data)


class Ran:
    """
    A command that was begun.

    @ivar code: fires with the exit code.
    @ivar unread: to be fired when nobody reads its output any more.
    """

    def __init__(
        self,
        stdin: bytes | IO[bytes],
        terminal: bool = False,
        writes: int | None = None,
    ) -> None:
        """
        @param stdin: its input, or what it is read from.
        @param terminal: whether somebody sits there, who typed C{stdin}.
        @param writes: after how many the reader of its output goes away.
        """
        self.unread: Deferred[None] = Deferred()
        self._out: IO[bytes] = BytesIO() if writes is None else _Unread(writes)
        self._err = _TerminalOutput() if terminal else StringIO()
        if isinstance(stdin, bytes):
            stdin = _TerminalInput(stdin) if terminal else BytesIO(stdin)
        self.streams = Streams(
            stdin,
            self._out,
            self._err,
            maybeDeferred,
            maybeDeferred,
            self.unread,
        )
        self.code: Deferred[int] = Deferred()

    @property
    def out(self) -> bytes:
        """What it wrote to standard output."""
        assert isinstance(self._out, BytesIO)
        return self._out.getvalue()

    @property
    def err(self) -> str:
        """What it told."""
        return self._err.getvalue()


def begin(
    command: str,
    connection: BrokerConnection | None,
    stdin: bytes | IO[bytes] = b"",
    terminal: bool = False,
    writes: int | None = None,
) -> Ran:
    """
    Begin a command.

    @param command: such as C{"get jobs"}, quoted as for a shell.
    @param connection: what it uses in place of that of its options.
    @param stdin: see L{Ran}.
    @param terminal: see L{Ran}.
    @param writes: see L{Ran}.
    """
    name, *arguments = shlex.split(command)
    kind = next(each for each in COMMANDS if COMMANDS[each][0] == name)
    ran = Ran(stdin, terminal, writes)
    options = kind()
    try:
        options.parseOptions(
            arguments if connection is None else ["-b", "memory://x", *arguments]
        )
    except UsageError as error:
        ran.streams.tell(str(error))
        ran.code.callback(WRONG_USAGE)
        return ran
    if connection is not None:
        options.connection = connection
    working = carry_out(name, options, COMMANDS[kind][1], ran.streams)
    ran.code = Deferred.fromCoroutine(working)
    return ran
