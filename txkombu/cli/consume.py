"""C{txkombu consume}: write messages as they come, and acknowledge them."""

from __future__ import annotations

from typing import ClassVar

from ..core.consumers import PREFETCH
from ..entity import Queue
from ..messaging import Consumer
from ..policy import requeue
from .command import DONE
from .formats import ShowingOptions
from .options import OptionTable, count_of
from .streams import Streams


class ConsumeOptions(ShowingOptions):
    """
    What to consume.

    @ivar count: how many messages; 0 for no end.
    """

    longdesc = (
        "Writes each message that is in an existing queue, or comes, and then "
        "acknowledges it, until Ctrl-C.  What was not written is delivered again."
    )
    example = "consume jobs --format json --count 10"
    optParameters: ClassVar[OptionTable] = (
        ("count", "n", None, "End after so many messages."),
    )

    def postOptions(self) -> None:
        """Check them."""
        super().postOptions()
        given = self["count"]
        self.count = 0 if given is None else count_of("--count", given)


async def consume(options: ConsumeOptions, streams: Streams) -> int:
    """Write messages, and acknowledge each one that was written."""
    consumer = Consumer(
        options.connection,
        Queue(options.queue),
        auto_declare=False,
        # With a count no more messages are asked for than are written.
        prefetch_count=1 if options.count else PREFETCH,
        on_failure=requeue,
    )
    await consumer.consume()
    written = 0
    while True:
        message = await streams.while_read(consumer.take())
        shown = options.shown(message, streams.writes_to_terminal, several=True)
        await streams.write(shown)
        written += 1
        if written == options.count:
            await consumer.cancel()
        message.ack()
        if written == options.count:
            return DONE
