"""C{txkombu get}: take one message out of a queue."""

from __future__ import annotations

from ..entity import Queue
from .command import DONE, CommandFailed
from .formats import ShowingOptions
from .streams import Streams


class GetOptions(ShowingOptions):
    """Which message."""

    longdesc = (
        "Writes the oldest message of a queue, then acknowledges it.  "
        "The exit code is 1 if there is none."
    )
    example = "get pictures --format raw > picture.jpg"


async def get(options: GetOptions, streams: Streams) -> int:
    """Write one message, and acknowledge it."""
    message = await Queue(options.queue)(options.connection).get()
    if message is None:
        raise CommandFailed(f"queue {options.queue!r} is empty")
    await streams.write(options.shown(message, streams.writes_to_terminal))
    message.ack()
    return DONE
