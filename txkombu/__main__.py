"""
C{python -m txkombu}: the commands, where no plugin is needed.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from twisted.python import usage

from . import __version__
from .cli.serve import serve
from .cli.shell import ShellOptions, shell
from .cli.twistd import Options as ServeOptions

_USAGE_ERROR = 2


class Options(usage.Options):
    """The commands."""

    synopsis = "Usage: python -m txkombu COMMAND [options]"
    longdesc = "Kombu's messaging model, native to Twisted."
    subCommands = (
        ("serve", None, ServeOptions, "Host consumers until a signal comes."),
        ("shell", None, ShellOptions, "A Python prompt with await."),
    )

    def opt_version(self) -> NoReturn:
        """Show the version of txkombu."""
        print(f"txkombu {__version__}")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Insist on a command."""
        if self.subCommand is None:
            raise usage.UsageError("no command given; --help lists them")


def main(arguments: list[str] | None = None) -> int:
    """
    Run a command.

    @param arguments: those of the command line, if not given.
    @return: the exit code.
    """
    options = Options()  # type: ignore[no-untyped-call]
    try:
        options.parseOptions(sys.argv[1:] if arguments is None else arguments)  # type: ignore[no-untyped-call]
    except usage.UsageError as error:
        print(f"python -m txkombu: {error}", file=sys.stderr)
        return _USAGE_ERROR
    chosen = options.subOptions
    return shell(chosen) if isinstance(chosen, ShellOptions) else serve(chosen)


if __name__ == "__main__":
    sys.exit(main())
