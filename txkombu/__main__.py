"""C{txkombu} and C{python -m txkombu}: commands that need no plugin."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from twisted.python import usage

from ._util.validation import shown_or_kind
from .cli.command import FAILED, OF_SIGNAL, WRONG_USAGE, run
from .cli.consume import ConsumeOptions, consume
from .cli.declare import DeclareOptions, declare
from .cli.delete import DeleteOptions, delete
from .cli.doctor import DoctorOptions, doctor
from .cli.get import GetOptions, get
from .cli.move import MoveOptions, move
from .cli.options import CommandOptions, program_name
from .cli.peek import PeekOptions, peek
from .cli.plan import ApplyOptions, PlanOptions, apply, plan
from .cli.publish import PublishOptions, publish
from .cli.purge import PurgeOptions, purge
from .cli.serve import serve
from .cli.shell import ShellOptions, shell
from .cli.streams import complain, open_stderr, silence_stdout
from .cli.tap import Options as ServeOptions

_UNKNOWN: Final = "Unknown command: "

COMMANDS: Final[dict[type[Any], tuple[str, Callable[..., Any], str]]] = {
    PublishOptions: ("publish", publish, "Publish a message, or many."),
    ConsumeOptions: ("consume", consume, "Write messages as they come."),
    GetOptions: ("get", get, "Take one message."),
    PeekOptions: ("peek", peek, "Look at messages, and leave them."),
    MoveOptions: ("move", move, "Move dead-lettered or parked messages back."),
    DeclareOptions: ("declare", declare, "Make a queue or an exchange."),
    PurgeOptions: ("purge", purge, "Drop the messages of a queue."),
    DeleteOptions: ("delete", delete, "Delete a queue or an exchange."),
    PlanOptions: ("plan", plan, "Compare a configuration file with a broker."),
    ApplyOptions: ("apply", apply, "Declare what a configuration file needs."),
    DoctorOptions: ("doctor", doctor, "Find out why a broker cannot be used."),
}
"""The commands that do something at a broker and end."""


class Options(CommandOptions):
    """The command to run."""

    longdesc = "Kombu's messaging model, native to Twisted.  Each command has --help."
    example = "publish --broker amqp://localhost// --queue jobs hello"
    subCommands = (
        ("serve", None, ServeOptions, "Host consumers until a signal stops them."),
        *((name, None, kind, summary) for kind, (name, _, summary) in COMMANDS.items()),
        ("shell", None, ShellOptions, "Open a Python prompt with await."),
    )

    @property
    def synopsis(self) -> str:
        """The usage, which that of a command continues."""
        program = f"Usage: {program_name()}"
        return program if self.subCommand else f"{program} COMMAND [options]"

    def postOptions(self) -> None:
        """Refuse a command line without command."""
        if self.subCommand is None:
            raise usage.UsageError("no command given; --help lists them")


def main(arguments: list[str] | None = None) -> int:
    """
    Run a command.

    @param arguments: by default those of the command line.
    @return: the exit code.
    """
    open_stderr()
    try:
        try:
            return _run(arguments)
        finally:
            if sys.stdout is not None:  # it is None if it was closed
                sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()
        return OF_SIGNAL + signal.SIGPIPE
    except KeyboardInterrupt:
        return OF_SIGNAL + signal.SIGINT
    except OSError as error:
        silence_stdout()
        complain(f"{program_name()}: {error}")
        return FAILED


def _run(arguments: list[str] | None) -> int:
    options = Options()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
    try:
        options.parseOptions(sys.argv[1:] if arguments is None else arguments)  # type: ignore[no-untyped-call]  # Twisted's is not annotated
    except usage.UsageError as error:
        complain(f"{program_name()}: {_reason(error)}")
        return WRONG_USAGE
    chosen = options.subOptions
    if isinstance(chosen, ShellOptions):
        return shell(chosen)
    if isinstance(chosen, ServeOptions):
        return serve(chosen)
    name, command, _ = COMMANDS[type(chosen)]
    return run(name, chosen, command)


def _reason(error: usage.UsageError) -> str:
    """Return what is wrong; do not show a URL in place of a command."""
    text = str(error)
    told, command = text[: len(_UNKNOWN)], text[len(_UNKNOWN) :]
    if told == _UNKNOWN and shown_or_kind(command) != repr(command):
        return "there is no such command; --help lists them"
    return text


if __name__ == "__main__":
    sys.exit(main())
