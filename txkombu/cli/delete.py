"""C{txkombu delete}: delete a queue or an exchange."""

from __future__ import annotations

from typing import ClassVar

from twisted.python import usage

from ..entity import Exchange, Queue
from ..interfaces import Capability
from .command import DONE, can, counted
from .destroying import YES_OPTION, confirm
from .options import BrokerOptions, OptionTable
from .streams import Streams


class DeleteOptions(BrokerOptions):
    """
    What to delete.

    @ivar queue: the name of a queue, or C{None}.
    """

    synopsis = "QUEUE | --exchange EXCHANGE [options]"
    longdesc = "Deletes a queue with its messages, or an exchange with its bindings."
    example = "delete jobs --if-empty --yes"
    optParameters: ClassVar[OptionTable] = (
        ("exchange", "e", None, "Delete this exchange, no queue."),
    )
    optFlags: ClassVar[OptionTable] = (
        ("if-unused", None, "Refuse if it has consumers, or bindings."),
        ("if-empty", None, "Refuse if there are messages in the queue."),
        YES_OPTION,
    )

    def __init__(self) -> None:
        super().__init__()
        self.queue: str | None = None

    def parseArgs(self, queue: str | None = None) -> None:
        """Take the queue."""
        self.queue = queue

    def postOptions(self) -> None:
        """Check that they agree."""
        super().postOptions()
        if bool(self.queue) == bool(self["exchange"]):
            raise usage.UsageError("give a QUEUE, or --exchange EXCHANGE, not both")
        if self["exchange"] and self["if-empty"]:
            raise usage.UsageError("--if-empty is for queues")


async def delete(options: DeleteOptions, streams: Streams) -> int:
    """Check that it exists, ask, and delete it."""
    if options.queue:
        return await _delete_queue(options, streams, options.queue)
    name = options["exchange"]
    exchange = Exchange(name)(options.connection)
    if await can(options.connection, Capability.EXCHANGE_PASSIVE):
        await exchange.declare(passive=True)
    await confirm(options, streams, f"Delete exchange {name!r}?")
    await exchange.delete(if_unused=bool(options["if-unused"]))
    streams.tell(f"deleted exchange {name!r}")
    return DONE


async def _delete_queue(options: DeleteOptions, streams: Streams, name: str) -> int:
    queue = Queue(name)(options.connection)
    holds = ""
    if await can(options.connection, Capability.QUEUE_PASSIVE):
        found = await queue.queue_declare(passive=True)
        if found.message_count:
            holds = f", which has {counted(found.message_count)}"
    await confirm(options, streams, f"Delete queue {name!r}{holds}?")
    lost = await queue.delete(
        if_unused=bool(options["if-unused"]), if_empty=bool(options["if-empty"])
    )
    with_it = f" with {counted(lost)}" if lost else ""
    streams.tell(f"deleted queue {name!r}{with_it}")
    return DONE
