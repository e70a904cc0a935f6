"""What commands share that destroy something: they ask before."""

from __future__ import annotations

from twisted.python import usage

from .command import CommandFailed
from .options import BrokerOptions
from .streams import Streams

YES_OPTION = ("yes", "y", "Do not ask.")


async def confirm(options: BrokerOptions, streams: Streams, question: str) -> None:
    """
    Ask whether to go on, unless C{--yes} was given.

    @param options: have the flag C{yes}.
    @param streams: where somebody answers.
    @param question: what to ask.
    @raise UsageError: nobody can be asked.
    @raise CommandFailed: the answer was not yes.
    """
    if options["yes"]:
        return
    if not streams.is_interactive:
        raise usage.UsageError("there is no terminal to ask on: give --yes")
    if not await streams.ask(question):
        raise CommandFailed("nothing was done")
