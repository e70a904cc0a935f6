"""C{python -m txkombu}: commands that need no plugin."""

from __future__ import annotations

import sys

from twisted.python import usage

from ._util.validation import shown_or_kind
from .cli.options import CommandOptions
from .cli.serve import serve
from .cli.shell import ShellOptions, shell
from .cli.tap import Options as ServeOptions

_USAGE_ERROR = 2
_UNKNOWN = "Unknown command: "


class Options(CommandOptions):
    """The command to run."""

    longdesc = (
        "Kombu's messaging model, native to Twisted.  Each command has a --help "
        "of its own."
    )
    subCommands = (
        ("serve", None, ServeOptions, "Host consumers until a signal stops them."),
        ("shell", None, ShellOptions, "Open a Python prompt with await."),
    )

    @property
    def synopsis(self) -> str:
        """The usage, which that of a command continues."""
        program = "Usage: python -m txkombu"
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
    options = Options()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
    try:
        options.parseOptions(sys.argv[1:] if arguments is None else arguments)  # type: ignore[no-untyped-call]  # Twisted's is not annotated
    except usage.UsageError as error:
        print(f"python -m txkombu: {_reason(error)}", file=sys.stderr)
        return _USAGE_ERROR
    chosen = options.subOptions
    return shell(chosen) if isinstance(chosen, ShellOptions) else serve(chosen)


def _reason(error: usage.UsageError) -> str:
    """Return what is wrong; do not show a URL in place of a command."""
    text = str(error)
    told, command = text[: len(_UNKNOWN)], text[len(_UNKNOWN) :]
    if told == _UNKNOWN and shown_or_kind(command) != repr(command):
        return "there is no such command; --help lists them"
    return text


if __name__ == "__main__":
    sys.exit(main())
