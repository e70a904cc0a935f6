"""
The socket that an exclusive queue lives and dies with.

The queue goes with the connection that declared it, and no other can use it.
So all that is done with it is done on this socket: bindings are subscriptions
that take no message, and what comes by the others is kept for whoever consumes
or gets.  Who is done leaves a subscription behind, for the next one: ending one
loses step over messages that are under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from attrs import evolve
from twisted.internet.defer import Deferred, succeed

from ...exceptions import PreconditionFailed, ResourceLocked, broker_error
from .connections import ConnectionPool, fence
from .consumer import ConsumerState, StompConsumer
from .dialect import ConsumeOptions, Dialect, Source, StompBinding
from .protocol import StompProtocol
from .unacked import MessageHolder
from .wire.frames import Frame, encode_frame

if TYPE_CHECKING:
    from ...entity import Queue

_ONE: Final = ConsumeOptions(prefetch_count=1)

_PROPERTIES: Final = {
    "exclusive": ResourceLocked.default_code,
    "arguments": PreconditionFailed.default_code,
}
"""
What has to be the same when it is declared again, and the code if it is not.  To
RabbitMQ no exclusive queue is durable, whatever its declaration says.
"""


class ExclusiveQueue:
    """
    Owns one exclusive queue, which goes with its last consumer.

    @ivar queue: as it was declared.
    @ivar kept: messages that nobody had room for, oldest first.
    @ivar idle: the prefetch counts of the subscriptions that nobody has a message
        of, or waits for one.
    """

    def __init__(
        self,
        queue: Queue,
        socket: StompProtocol,
        unused: Callable[[ExclusiveQueue], object],
        deleted: Callable[[ExclusiveQueue, Exception], object],
    ) -> None:
        """
        @param unused: called when the last consumer has ended.
        @param deleted: called with the reason each time the broker ends one of its
            subscriptions, as it does when the queue is gone.
        """
        self.queue = queue
        self.socket = socket
        self._unused = unused
        self._deleted = deleted
        self.kept: deque[Frame] = deque()
        self.idle: list[int] = []
        self._ids = 0
        self._consumers: deque[ExclusiveConsumer] = deque()

    def check(self, queue: Queue) -> None:
        """
        @raise BrokerError: to declare it like that would be refused, with the code
            that AMQP has for it.
        """
        for field, code in _PROPERTIES.items():
            was, wanted = getattr(self.queue, field), getattr(queue, field)
            if was != wanted:
                raise broker_error(
                    code,
                    f"queue {queue.name!r} of this session was declared with "
                    f"{field}={was!r}, not {wanted!r}",
                    about=queue.name,
                )

    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[StompProtocol]:
        """Its socket, for a recipe."""
        yield self.socket

    async def subscribe(self, source: Source) -> None:
        """Have what comes from one more source kept, or handed out."""
        self._ids += 1
        id = f"o{self._ids}"
        self.socket.subscribe(
            id, self._on_message, lambda error: self._deleted(self, error)
        )
        receipt, subscribed = self.socket.receipt()
        headers = [
            ("destination", source.destination),
            ("id", id),
            ("receipt", receipt),
            *source.headers,
        ]
        self.socket.write(encode_frame("SUBSCRIBE", headers))
        await subscribed

    async def feed(
        self, queue: Queue, consuming: ConsumeOptions, dialect: Dialect
    ) -> None:
        """Have a subscription for one more who consumes or gets; see L{free}."""
        if consuming.prefetch_count in self.idle:
            self.idle.remove(consuming.prefetch_count)
        else:
            [source] = dialect.sources(queue, [], consuming)
            await self.subscribe(source)

    async def get(self, queue: Queue, dialect: Dialect) -> Frame | None:
        """Take one message, if there is one; L{free} has to follow."""
        await self.feed(queue, _ONE, dialect)
        frame = None
        try:
            if not self.kept:
                await dialect.catch_up(queue, self.socket)
            frame = self.kept.popleft() if self.kept else None
        finally:
            if frame is None:
                self.free()
        return frame

    def free(self, prefetch_count: int = _ONE.prefetch_count) -> None:
        """Somebody holds nothing any more, and waits for nothing."""
        self.idle.append(prefetch_count)

    def purge(self, dialect: Dialect) -> int:
        """Throw away what is kept; say how many messages that was."""
        kept = len(self.kept)
        self.socket.write(b"".join(map(dialect.ack, self.kept)))
        self.kept.clear()
        return kept

    def attach(self, consumer: ExclusiveConsumer) -> None:
        """Hand out to one more."""
        self._consumers.append(consumer)
        self.pump()

    def detach(self, consumer: ExclusiveConsumer) -> None:
        """Hand out no more to one."""
        if consumer not in self._consumers:
            return
        self._consumers.remove(consumer)
        if not self._consumers:
            self._unused(self)

    def lost(self, reason: Exception) -> None:
        """The queue is gone, or the socket."""
        consumers = list(self._consumers)
        self._consumers.clear()
        self.kept.clear()
        for consumer in consumers:
            consumer.socket_lost(reason)

    def _on_message(self, frame: Frame) -> None:
        self.kept.append(frame)
        self.pump()

    def pump(self) -> None:
        """Hand out what is kept, to those with room in turn."""
        full = 0
        while self.kept and full < len(self._consumers):
            consumer = self._consumers[0]
            self._consumers.rotate(-1)
            if consumer.has_room:
                full = 0
                consumer.handle_message(self.kept.popleft())
            else:
                full += 1


def _leave(holder: MessageHolder) -> Deferred[None]:
    """
    Have a holder let go of the socket.

    @return: fires when the broker has seen what it settled; never fails.
    """
    holder.write()
    socket = holder.socket
    holder.drop()
    return succeed(None) if socket is None else fence(socket).addErrback(_ignore)


def _ignore(_: object) -> None:
    """The socket is over."""


class ExclusiveGetter(MessageHolder):
    """Holds a message that was got from an exclusive queue."""

    stays = True

    def __init__(self, connections: ConnectionPool, owner: ExclusiveQueue) -> None:
        super().__init__(connections)
        self.socket = owner.socket
        self.ending = True
        self._owner = owner

    def leave(self) -> Deferred[None]:
        return _leave(self)

    def drop(self) -> None:
        if self.socket is not None:
            self.socket = None
            self._owner.free()


class ExclusiveConsumer(StompConsumer):
    """A consumer of an exclusive queue, on the socket that owns it."""

    _owner: ExclusiveQueue | None = None

    @property
    def stays(self) -> bool:
        """Whether its socket lives on without it."""
        return self._owner is not None

    async def start(self, bindings: Sequence[StompBinding]) -> None:
        if self._state is not ConsumerState.WAITING:
            return
        owner = self._connections.owners.get(self.queue.name)
        if owner is None:
            # Gone meanwhile: the broker says so.
            await super().start(bindings)
            return
        self._state = ConsumerState.STARTING
        self._owner = owner
        self.backlog = owner.kept
        try:
            # What is kept has to be settled, whoever gets it.
            consuming = evolve(self._consuming, no_ack=False)
            await owner.feed(self.queue, consuming, self._dialect)
        except BaseException:
            self.end()
            self._released(self)
            raise
        if self._state is ConsumerState.STARTING:
            self.socket = owner.socket
            owner.attach(self)
            self._started()

    async def add_sources(self, bindings: Sequence[StompBinding]) -> None:
        if self._owner is None:
            await super().add_sources(bindings)

    @property
    def has_room(self) -> bool:
        """Whether it may be handed one more."""
        limit = self._consuming.prefetch_count
        return not (self._unwanted or (limit and self.unsettled >= limit))

    def handle_message(self, frame: Frame) -> None:
        """Hand out a message."""
        if self._consuming.no_ack and self.socket is not None:
            self.socket.write(self._dialect.ack(frame))
        self._hand_out(frame)

    def refill(self) -> None:
        if self._owner is not None:
            self._owner.pump()
        else:
            super().refill()

    def _stop(self) -> None:
        if self._owner is None:
            super()._stop()
            return
        self._give_up_subscriptions()
        if not self.unsettled:
            self.drop()
        self.gone.fire(None)

    def _give_up_subscriptions(self) -> None:
        if self._owner is None:
            super()._give_up_subscriptions()
            return
        self._state = ConsumerState.OVER
        self.ending = True
        self.backlog = deque()
        self._owner.detach(self)

    def leave(self) -> Deferred[None]:
        if self._owner is None:
            return super().leave()
        return _leave(self)

    def drop(self) -> None:
        if self._owner is None:
            super().drop()
            return
        self.backlog = deque()
        self._owner.detach(self)
        if self.socket is not None:
            self.socket = None
            self._owner.free(self._consuming.prefetch_count)
