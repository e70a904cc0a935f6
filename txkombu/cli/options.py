"""The base of the options of all commands."""

from __future__ import annotations

from typing import NoReturn

from twisted.python import usage

from .. import __version__
from ..serialization.codecs import JSON_LIBRARIES


class CommandOptions(usage.Options):
    """Options whose C{--version} shows that of txkombu, not of Twisted."""

    def opt_version(self) -> NoReturn:
        """Show the version of txkombu and what its JSON is made by, and exit."""
        print(f"txkombu {__version__}")
        print(f"json by {JSON_LIBRARIES}")
        raise SystemExit(0)
