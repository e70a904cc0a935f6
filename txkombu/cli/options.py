"""The base of the options of all commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from getopt import GetoptError, gnu_getopt
from pathlib import Path
from typing import ClassVar, Final, NoReturn

from twisted.python import usage

from .. import __version__
from .._util.validation import shown_or_kind
from ..configuration import ConfigurationError, Plan, read_file
from ..configuration.sources import Text
from ..connection import BrokerConnection
from ..serialization.codecs import JSON_LIBRARIES

BROKER_VARIABLE: Final = "TXKOMBU_BROKER"
"""The environment variable with the URL of the broker."""

OptionTable = Sequence[Sequence[object]]
"""The options of a class as Twisted has them: name, letter, default, text."""

_WRONG_NUMBER: Final = "Wrong number of arguments"


def program_name() -> str:
    """Return how this program was started, as a user types it."""
    started = Path(sys.argv[0]).name if sys.argv else ""
    return "txkombu" if started == "txkombu" else "python -m txkombu"


class CommandOptions(usage.Options):
    """
    Options whose C{--version} shows that of txkombu, not of Twisted.

    @cvar example: the arguments of a command, shown by C{--help}.
    """

    example: ClassVar[str] = ""
    optParameters: ClassVar[OptionTable] = ()
    optFlags: ClassVar[OptionTable] = ()

    def opt_version(self) -> NoReturn:
        """Show the versions of txkombu and its JSON."""
        print(f"txkombu {__version__}")
        print(f"json by {JSON_LIBRARIES}")
        raise SystemExit(0)

    def getUsage(self, width: int | None = None) -> str:
        """Return the text of C{--help}, with the example at its end."""
        text: str = super().getUsage(width)
        if not self.example:
            return text
        return f"{text.rstrip()}\n\nExample: txkombu {self.example}\n"


class BrokerOptions(CommandOptions):
    """
    The options of commands that connect.

    @cvar log_level: from which level on what is logged is told.
    @ivar connection: the connection to the broker, not yet connected.
    """

    log_level: ClassVar[str] = "warn"
    optParameters: ClassVar[OptionTable] = (
        ("broker", "b", None, f"URL of the broker; default ${BROKER_VARIABLE}."),
        ("password-file", None, None, "A file with the password, read at each login."),
    )

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        self.connection: BrokerConnection

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the command line, in which options may also stand after arguments.

        @raise UsageError: it is wrong.
        """
        given = sys.argv[1:] if options is None else list(options)
        try:
            super().parseOptions(self._options_first(given))  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        except usage.UsageError as error:
            if str(error).startswith(_WRONG_NUMBER):
                error.args = (f"{_WRONG_NUMBER}. {self.getSynopsis()}",)
            raise

    def _options_first(self, given: list[str]) -> list[str]:
        try:
            options, arguments = gnu_getopt(given, self.shortOpt, self.longOpt)
        except GetoptError as error:
            raise usage.UsageError(str(error)) from None
        flat: list[str] = []
        for name, value in options:
            flat.append(name)
            if f"{name[2:]}=" in self.longOpt or f"{name[1:]}:" in self.shortOpt:
                flat.append(value)
        return [*flat, "--", *arguments]

    def postOptions(self) -> None:
        """Make the connection."""
        connection = self.connection_or_none()
        if connection is None:
            raise usage.UsageError(
                f"no --broker given, such as amqp://user@host/vhost, and no "
                f"{BROKER_VARIABLE} is set"
            )
        self.use(connection)

    def use(self, connection: BrokerConnection) -> None:
        """
        Use a connection.

        @param connection: the connection, not yet connected.
        """
        self.connection = connection

    def connection_or_none(self, url: str | None = None) -> BrokerConnection | None:
        """
        Make a connection, with the password of the file if one is named.

        @param url: a URL that was given in place of C{--broker}.
        @return: C{None} if no URL is known.
        @raise UsageError: the URL cannot be understood, or the file not be read.
        """
        given = {
            "URL": url,
            "--broker": self["broker"],
            BROKER_VARIABLE: os.environ.get(BROKER_VARIABLE),
        }
        for named, value in given.items():
            if value:
                return self._connection_to(value, named)
        return None

    def plan_of(self, file: str, once: bool = False) -> Plan:
        """
        Read a configuration file, with the broker and password that are given here.

        @param file: its path.
        @param once: whether to connect only once, unless the file says otherwise.
        @raise UsageError: it is wrong, or an option is.
        """
        self.connection_or_none()  # for errors that name the option
        url = self["broker"] or os.environ.get(BROKER_VARIABLE)
        try:
            return read_file(file, url, self["password-file"], once)
        except ConfigurationError as error:
            raise usage.UsageError(_with_cure(error)) from None

    def _connection_to(self, url: str, named: str) -> BrokerConnection:
        path = self["password-file"]
        password = None
        if path is not None:
            try:
                password = Text({"file": path})
            except ValueError as error:
                raise usage.UsageError(f"--password-file: {error}") from None
        try:
            return BrokerConnection(url, password=password)
        except ValueError as error:
            raise usage.UsageError(f"{named}: {error}") from None


def _with_cure(error: ConfigurationError) -> str:
    """Return the text of an error, and how else a broker can be given."""
    missing = [("broker",), ("broker", "url")]
    if any(each.path in missing and "missing" in each.text for each in error.problems):
        return f"{error}\n--broker or {BROKER_VARIABLE} can name a broker, too"
    return str(error)


class QueueOptions(BrokerOptions):
    """
    The options of commands that take the name of a queue.

    @ivar queue: the name.
    """

    synopsis = "QUEUE [options]"

    def parseArgs(self, queue: str) -> None:  # type: ignore[override]  # Twisted passes what was given
        """
        Take the queue.

        @param queue: its name.
        """
        self.queue = queue

    def postOptions(self) -> None:
        """Check the name."""
        super().postOptions()
        if not self.queue:
            raise usage.UsageError("the name of the queue is empty")


def value_of(text: str) -> object:
    """
    Return a value of JSON, such as a number; any other text as it is.

    @param text: what was given.
    """
    try:
        return json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return text


def _no_json(name: str) -> None:
    raise ValueError(name)  # NaN is a text


def pair_of(option: str, text: str) -> tuple[str, str]:
    """
    Split C{NAME=VALUE}.

    @param option: what it was given to, for the error.
    @raise UsageError: it has no name, or no C{=}.
    """
    name, found, value = text.partition("=")
    if not (name and found):
        raise usage.UsageError(f"{option}: {text!r} is not of the form NAME=VALUE")
    return name, value


def count_of(option: str, text: str, minimum: int = 1) -> int:
    """
    Return a number that was given.

    @param option: what it was given to, for the error.
    @param minimum: the least that is allowed.
    @raise UsageError: it is no number, or too small.
    """
    try:
        number = int(text)
    except ValueError:
        number = minimum - 1
    if number < minimum:
        shown = shown_or_kind(text)
        raise usage.UsageError(f"{option}: {shown} is no number from {minimum} on")
    return number
