"""C{txkombu peek}: look at messages, and leave them in their queue."""

from __future__ import annotations

from typing import ClassVar

from ..entity import Queue
from .command import DONE
from .formats import ShowingOptions
from .options import OptionTable, count_of
from .streams import Streams


class PeekOptions(ShowingOptions):
    """
    Which messages.

    @ivar count: how many at most.
    """

    longdesc = (
        "Writes the oldest messages of a queue, then puts them back in their order.  "
        "Brokers mark messages that were put back as redelivered, and quorum queues "
        "count that."
    )
    example = "peek dead-letters --count 3"
    optParameters: ClassVar[OptionTable] = (
        ("count", "n", "10", "Show so many messages at most."),
    )

    def postOptions(self) -> None:
        """Check them."""
        super().postOptions()
        self.count = count_of("--count", self["count"])


async def peek(options: PeekOptions, streams: Streams) -> int:
    """
    Write messages, and settle none of them: the end of the connection puts them back.

    RabbitMQ keeps the order of a quorum queue then, and not if each one is requeued.
    """
    queue = Queue(options.queue)(options.connection)
    seen = 0
    while seen < options.count:
        message = await queue.get()
        if message is None:
            break
        seen += 1
        shown = options.shown(message, streams.writes_to_terminal, several=True)
        await streams.write(shown)
    if not seen:
        streams.tell(f"queue {options.queue!r} is empty")
    return DONE
