"""C{txkombu declare}: make a queue or an exchange, and bind it."""

from __future__ import annotations

from typing import ClassVar

from twisted.python import usage

from ..entity import Exchange, Queue
from .command import DONE
from .options import BrokerOptions, OptionTable, pair_of, value_of
from .streams import Streams


class DeclareOptions(BrokerOptions):
    """
    What to declare.

    @ivar queue: the name of a queue, or C{None}.
    @ivar arguments: the arguments of the declaration.
    @ivar bindings: exchanges and routing keys.
    """

    synopsis = "QUEUE | --exchange EXCHANGE [options]"
    longdesc = (
        "Declares a queue or an exchange; it is no error if it exists as described."
    )
    example = "declare errors --type quorum --bind logs=*.error"
    optParameters: ClassVar[OptionTable] = (
        ("exchange", "e", None, "Declare this exchange, no queue."),
        ("type", "t", None, "Such as classic, quorum; of an exchange: topic ..."),
    )
    optFlags: ClassVar[OptionTable] = (
        ("durable", None, "It survives a restart of the broker: the default."),
        ("transient", None, "It does not survive a restart."),
    )

    def __init__(self) -> None:
        super().__init__()
        self.queue: str | None = None
        self.arguments: dict[str, object] = {}
        self.bindings: list[tuple[str, str]] = []

    def parseArgs(self, queue: str | None = None) -> None:
        """Take the queue."""
        self.queue = queue

    def opt_argument(self, text: str) -> None:
        """Such as x-max-length=1000; may be repeated."""
        name, value = pair_of("--argument", text)
        self.arguments[name] = value_of(value)

    opt_a = opt_argument

    def opt_bind(self, text: str) -> None:
        """EXCHANGE=ROUTING_KEY to receive from; may be repeated."""
        exchange, _, key = text.partition("=")
        if not exchange:
            raise usage.UsageError("--bind: the exchange is missing")
        self.bindings.append((exchange, key))

    def postOptions(self) -> None:
        """Check that they agree."""
        super().postOptions()
        if bool(self.queue) == bool(self["exchange"]):
            raise usage.UsageError("give a QUEUE, or --exchange EXCHANGE, not both")
        if self["durable"] and self["transient"]:
            raise usage.UsageError("give --durable or --transient, not both")


async def declare(options: DeclareOptions, streams: Streams) -> int:
    """Declare the queue or exchange, and bind it."""
    durable = not options["transient"]
    declared: Queue | Exchange
    if options.queue:
        queue = Queue(
            options.queue,
            durable=durable,
            queue_arguments=options.arguments,
            queue_type=options["type"],
        )
        declared = queue(options.connection)
        await declared.declare()
    else:
        exchange = Exchange(
            options["exchange"],
            options["type"] or "",
            durable=durable,
            arguments=options.arguments,
        )
        declared = exchange(options.connection)
        await declared.declare()
    for source, key in options.bindings:
        await declared.bind_to(source, key)
    kind = "queue" if options.queue else "exchange"
    streams.tell(f"declared {kind} {declared.name!r}")
    return DONE
