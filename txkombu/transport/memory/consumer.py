"""
A queue's consumers, and whose turn it is.

A consumer I{stands by} at first.  Its queue puts it I{in line}, unless it lets only one
consumer be active.  A consumer that has no room when it is its turn is I{parked}, to
let the others of the line pass, until a settlement makes room.  At last it is I{ended};
if its owner had cancelled the C{basic_consume}, it is I{abandoned}: what is still on
its way to it goes back unseen.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..._util.failures import without_frames
from ..._util.state_machine import StateMachine
from ...interfaces import Delivery
from .interfaces import ConsumerHost, Source

if TYPE_CHECKING:
    from .events import Termination
    from .message import BrokerMessage

_log = Logger()

WINDOW: Final = 256
"""How many deliveries without a prefetch count may be on their way at once."""


class _HashedEnum(Enum):
    """An Enum whose hash costs no call: consumers are parked once for each message."""

    __hash__ = object.__hash__


class Turn(_HashedEnum):
    """Where a consumer waits for its turn."""

    STANDBY = "standing by"
    IN_LINE = "in line"
    PARKED = "parked"
    ENDED = "ended"
    ABANDONED = "abandoned"


class Move(_HashedEnum):
    """An event that changes where a consumer waits."""

    LINE_UP = "line up"
    PARK = "be parked"
    END = "end"
    ABANDON = "be abandoned"


TABLE: Final = {
    (Turn.STANDBY, Move.LINE_UP): Turn.IN_LINE,
    (Turn.PARKED, Move.LINE_UP): Turn.IN_LINE,
    (Turn.IN_LINE, Move.PARK): Turn.PARKED,
    (Turn.STANDBY, Move.END): Turn.ENDED,
    (Turn.IN_LINE, Move.END): Turn.ENDED,
    (Turn.PARKED, Move.END): Turn.ENDED,
    (Turn.ENDED, Move.ABANDON): Turn.ABANDONED,
}

PARKED: Final = Turn.PARKED


class MemoryConsumer:
    """
    One consumer of one queue.

    @ivar queue: the queue it takes from.
    @ivar priority: those of a higher one come first.
    @ivar limit: how many messages it may hold.
    @ivar held: how many it holds: unsettled ones if it has a prefetch count, else those
        on their way to it.
    @ivar windowed: whether C{held} counts those on their way.
    @ivar turn: where it waits for its turn.
    """

    queue: Source
    priority = 0

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
        self.windowed = no_ack or not prefetch_count
        self.limit = WINDOW if self.windowed else prefetch_count
        self.held = 0
        self.turn = StateMachine("a consumer", TABLE, Turn.STANDBY)
        self.on_delivery = on_delivery
        self.on_cancelled = on_cancelled

    def begin(self, queue: Source, priority: int = 0) -> None:
        """Take from a queue from now on."""
        self.queue = queue
        self.priority = priority

    def channel_has_room(self) -> bool:
        """
        Return whether its channel may hold one more of its messages; if not, that has
        it go on later.
        """
        channel = self.channel
        if not channel.limit or self.no_ack or channel.held < channel.limit:
            return True
        channel.starved[self] = None
        return False

    def go_on(self) -> None:
        """Take what its queue has, as its channel has room again."""
        if self.turn.state is PARKED:
            self.queue.line_up(self)
        self.queue.run()

    def hold(self) -> None:
        """Hold one more, which it is going to be sent."""
        self.held += 1

    def released(self) -> None:
        """Hold one less, and line up; its queue may have to C{run}."""
        self.held -= 1
        if self.turn.state is PARKED:
            self.queue.line_up(self)

    def __repr__(self) -> str:
        return f"<consumer {self.tag!r} of {self.queue.name!r}>"


class Rotation:
    """
    The consumers in line, in the order of their turns: those of the highest priority
    first, one after the other among equals.
    """

    __slots__ = ("_channels", "_lanes", "_priorities")

    def __init__(self) -> None:
        self._lanes: dict[int, OrderedDict[MemoryConsumer, None]] = {}
        self._priorities: list[int] = []
        self._channels: dict[ConsumerHost, int] = {}

    def line_up(self, consumer: MemoryConsumer) -> None:
        """Have a consumer wait in line, behind its equals."""
        consumer.turn.step(Move.LINE_UP)
        self.add(consumer)

    def add(self, consumer: MemoryConsumer) -> None:
        """Put a consumer behind its equals."""
        lane = self._lanes.get(consumer.priority)
        if lane is None:
            lane = self._lanes[consumer.priority] = OrderedDict()
            insort(self._priorities, consumer.priority)
        lane[consumer] = None
        channels, channel = self._channels, consumer.channel
        channels[channel] = channels.get(channel, 0) + 1

    def discard(self, consumer: MemoryConsumer) -> None:
        """Take a consumer out, if it is in line."""
        priority, channel = consumer.priority, consumer.channel
        lane = self._lanes.get(priority)
        if lane is None or consumer not in lane:
            return
        del lane[consumer]
        if not lane:
            del self._lanes[priority]
            del self._priorities[bisect_left(self._priorities, priority)]
        self._channels[channel] -= 1
        if not self._channels[channel]:
            del self._channels[channel]

    def pop_first(self) -> MemoryConsumer:
        """Take the first consumer out; there must be one."""
        consumer = next(iter(self._lanes[self._priorities[-1]]))
        self.discard(consumer)
        return consumer

    def next_consumer(self) -> MemoryConsumer | None:
        """
        Return the first with room, which is to be sent one message and counts that by
        now.  It is put behind its equals; those before it are parked.
        """
        priorities, channels = self._priorities, self._channels
        while priorities:
            lane = self._lanes[priorities[-1]]
            consumer = next(iter(lane))
            is_free = consumer.held < consumer.limit
            if is_free and consumer.channel_has_room():
                consumer.held += 1
                if len(lane) > 1:
                    lane.move_to_end(consumer)
                return consumer
            if len(channels) == 1 and (is_free or channels[consumer.channel] == 1):
                break  # nothing is gained by parking all, or the only one
            self.discard(consumer)
            consumer.turn.step(Move.PARK)
        return None


@attrs.define(eq=False)
class DeliveryEvent:
    """
    A message on its way to a client, and from then on until it is settled.

    @ivar consumer: whom it is for; C{None} if the client asked for it by a get.
    """

    channel: ConsumerHost
    queue: Source
    consumer: MemoryConsumer | None
    tag: int
    message: BrokerMessage

    def delivery(self) -> Delivery:
        """Return what the client is given."""
        message = self.message
        envelope = message.envelope
        return Delivery(
            self.tag,
            "" if self.consumer is None else self.consumer.tag,
            message.returns > 0,
            envelope.exchange,
            envelope.routing_key,
            message.body,
            partial(envelope.read_counted, message.returns)
            if self.queue.meaning.quorum
            else envelope.read,
        )

    def deliver(self) -> None:
        consumer = self.consumer
        if consumer is not None and consumer.windowed:
            consumer.released()
            self.queue.run()
        if not self.channel.arrived(self) or consumer is None:
            return
        if consumer.turn.state is Turn.ABANDONED:
            self.channel.nack(self.tag, False, True)
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
        """Do nothing: it went back to its queue when the channel was released."""
