"""
A queue's consumers, and whose turn it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.python.failure import Failure

from ..._util.failures import without_frames
from ...interfaces import Delivery
from .events import Termination, _log
from .interfaces import ConsumerHost, Source

if TYPE_CHECKING:
    from .message import BrokerMessage


WINDOW: Final = 256
"""How many deliveries without a prefetch count may be on their way at once."""


class MemoryConsumer:
    """
    One consumer of one queue.

    @ivar queue: its queue; set, as C{priority} is, when the broker has it.
    @ivar limit: how many messages it may hold.
    @ivar held: how many it holds: unsettled ones if it has a prefetch count,
        else those on their way to it.
    @ivar windowed: whether C{held} counts those on their way.
    @ivar parked: whether it waits for room and is in no rotation.
    @ivar abandoned: whether what it is sent goes back unseen.
    """

    __slots__ = (
        "abandoned",
        "channel",
        "exclusive",
        "held",
        "limit",
        "no_ack",
        "on_cancelled",
        "on_delivery",
        "parked",
        "priority",
        "queue",
        "tag",
        "windowed",
    )

    queue: Source

    def __init__(
        self,
        channel: ConsumerHost,
        tag: str,
        no_ack: bool,
        exclusive: bool,
        prefetch_count: int,
        on_delivery: Callable[[Delivery], None],
        on_cancelled: Callable[[Exception], None],
    ) -> None:
        self.channel = channel
        self.tag = tag
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.priority = 0
        self.windowed = no_ack or not prefetch_count
        self.limit = WINDOW if self.windowed else prefetch_count
        self.held = 0
        self.parked = False
        self.abandoned = False
        self.on_delivery = on_delivery
        self.on_cancelled = on_cancelled

    def has_room(self) -> bool:
        """Whether it may be sent one more."""
        channel = self.channel
        return self.held < self.limit and (
            self.no_ack or not channel.limit or channel.held < channel.limit
        )

    def released(self) -> None:
        """It holds one less, and gets in line; its queue may have to C{run}."""
        self.held -= 1
        if self.parked:
            self.queue.unpark(self)

    def __repr__(self) -> str:
        return f"<consumer {self.tag!r} of {self.queue.name!r}>"


class Rotation:
    """
    Consumers that may have room, in the order of their turns: those of the
    highest priority first, one after the other among equals.
    """

    __slots__ = ("_lanes",)

    def __init__(self) -> None:
        self._lanes: dict[int, deque[MemoryConsumer]] = {}

    def add_consumer(self, consumer: MemoryConsumer) -> None:
        """Put a consumer behind its equals."""
        lane = self._lanes.get(consumer.priority)
        if lane is None:
            lane = self._lanes[consumer.priority] = deque()
            self._lanes = dict(sorted(self._lanes.items(), reverse=True))
        lane.append(consumer)

    def discard(self, consumer: MemoryConsumer) -> None:
        """Take a consumer out, if it is in."""
        lane = self._lanes.get(consumer.priority)
        if lane and consumer in lane:
            lane.remove(consumer)

    def next_consumer(self) -> MemoryConsumer | None:
        """The first one with room, put behind its equals; others are parked."""
        for lane in self._lanes.values():
            while lane:
                consumer = lane[0]
                if consumer.has_room():
                    lane.rotate(-1)
                    return consumer
                del lane[0]
                consumer.parked = True
        return None

    def __iter__(self) -> Iterator[MemoryConsumer]:
        return (each for lane in self._lanes.values() for each in lane)


class DeliveryEvent:
    """
    A message on its way to a consumer, and from then on until it is settled.

    @ivar consumer: who it is for; None if it was got.
    """

    __slots__ = ("consumer", "message", "queue", "tag")

    def __init__(
        self,
        queue: Source,
        consumer: MemoryConsumer | None,
        tag: int,
        message: BrokerMessage,
    ) -> None:
        self.queue = queue
        self.consumer = consumer
        self.tag = tag
        self.message = message

    def delivery(self) -> Delivery:
        """What the client is given."""
        message = self.message
        consumer = self.consumer
        return Delivery(
            self.tag,
            "" if consumer is None else consumer.tag,
            message.redelivered,
            message.exchange,
            message.routing_key,
            message.body,
            partial(message.read_counted, message.returns)
            if self.queue.meaning.quorum
            else message.read,
        )

    def deliver(self) -> None:
        consumer = self.consumer
        assert consumer is not None, "what is got is no event"
        if consumer.windowed:
            consumer.released()
            consumer.queue.run()
        channel = consumer.channel
        channel.seen = self.tag
        if not channel.wants(self):
            return
        if consumer.abandoned:
            channel.nack(self.tag, False, True)
            return
        try:
            consumer.on_delivery(self.delivery())
        except Exception:
            _log.failure(
                "on_delivery of {consumer} failed",
                without_frames(Failure()),
                consumer=consumer,
            )

    def fail(self, death: Termination) -> None:
        """It went back to its queue when the channel died."""
