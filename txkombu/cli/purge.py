"""C{txkombu purge}: drop the messages of a queue."""

from __future__ import annotations

from typing import ClassVar

from ..entity import Queue
from .command import DONE, counted
from .destroying import YES_OPTION, confirm
from .options import OptionTable, QueueOptions
from .streams import Streams


class PurgeOptions(QueueOptions):
    """Which queue."""

    longdesc = "Drops the messages of a queue but those that a consumer holds."
    example = "purge jobs --yes"
    optFlags: ClassVar[OptionTable] = (YES_OPTION,)


async def purge(options: PurgeOptions, streams: Streams) -> int:
    """Ask, and drop the messages."""
    await confirm(options, streams, f"Drop all messages of queue {options.queue!r}?")
    dropped = await Queue(options.queue)(options.connection).purge()
    streams.tell(f"dropped {counted(dropped)} of queue {options.queue!r}")
    return DONE
