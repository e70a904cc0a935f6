"""The base of the options of all commands."""

from __future__ import annotations

from typing import NoReturn

from twisted.python import usage

from .. import __version__


class CommandOptions(usage.Options):
    """Options whose C{--version} shows that of txkombu, not of Twisted."""

    def opt_version(self) -> NoReturn:
        """Show the version of txkombu, and exit."""
        print(f"txkombu {__version__}")
        raise SystemExit(0)
