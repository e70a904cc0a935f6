"""
One consumer, on a socket of its own.

A consumer that was cancelled keeps its socket until the messages it holds are
settled.  The end of a subscription would make them impossible to settle on
RabbitMQ, where it is replaced by another; on ActiveMQ it would hand them to others,
so they are kept by transactions that are open until then.  A consumer lives once::

    state      event                              then
    WAITING    its turn comes                     STARTING
    STARTING   all its sources are subscribed     RUNNING
    STARTING   one is refused, the socket lost    OVER     starting fails
    RUNNING    it is cancelled                    ENDING   if subscriptions can be
                                                           stopped alone, or
                                                  OVER
    RUNNING    its queue goes                     OVER     what it holds can be
    ENDING     all that was under way has come    OVER     settled
    RUNNING    its socket is lost                 LOST     what it held is stale
    LOST       the broker is still there          OVER     its owner is told
    any        the channel ends                   OVER
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..._util.failures import without_frames
from ..._util.waiters import Waiters
from ...exceptions import SessionLost
from ...interfaces import Delivery
from ..closing import CLOSE_SECONDS
from .connections import ConnectionPool, all_of, fence
from .dialect import ConsumeOptions, Dialect, Source, StompBinding
from .protocol import IProtocolOwner, StompProtocol
from .unacked import MessageHolder, UnackedFrames
from .wire.frames import Frame, encode_frame

if TYPE_CHECKING:
    from ...entity import Queue


class ConsumerState(Enum):
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    ENDING = "ending"
    LOST = "lost"
    OVER = "over"


_TAKES: Final = (ConsumerState.RUNNING, ConsumerState.STARTING, ConsumerState.ENDING)


@implementer(IProtocolOwner)
class StompConsumer(MessageHolder):
    """
    Hands out what comes from all sources of a queue.

    @ivar tag: the channel's name for it.
    @ivar queue: what it consumes from.
    @ivar gone: fires when it hands out no more.
    """

    _log = Logger()

    def __init__(
        self,
        tag: str,
        queue: Queue,
        consuming: ConsumeOptions,
        on_delivery: Callable[[Delivery], None],
        on_cancelled: Callable[[Exception], None],
        *,
        dialect: Dialect,
        connections: ConnectionPool,
        holdings: UnackedFrames,
        released: Callable[[StompConsumer], object],
    ) -> None:
        """
        @param released: called with it when it is over by no wish of ours.
        """
        super().__init__(connections)
        self.tag = tag
        self.queue = queue
        self._consuming = consuming
        self._on_delivery = on_delivery
        self._on_cancelled = on_cancelled
        self._dialect = dialect
        self._unacked = holdings
        self._released = released
        self._state = ConsumerState.WAITING
        self._unwanted = False
        self._ended_by: Exception | None = None
        self._subscribed: dict[str, str] = {}
        self._bound_meanwhile: Sequence[StompBinding] | None = None
        self._ids = count(1)
        self._limit = 0
        self.gone: Waiters[None] = Waiters()

    # --- starting ------------------------------------------------------------

    def sources(self, bindings: Sequence[StompBinding]) -> list[Source]:
        """
        @raise NotSupported: there can be no such consumer.
        @raise ValueError: an argument cannot be expressed.
        """
        return self._dialect.sources(self.queue, bindings, self._consuming)

    async def start(self, bindings: Sequence[StompBinding]) -> None:
        """Subscribe to all sources, unless it was cancelled by now."""
        if self._state is not ConsumerState.WAITING:
            return
        self._state = ConsumerState.STARTING
        try:
            self.socket = await self._connections.open(self)
            await self._subscribe(self.sources(bindings))
            while self._bound_meanwhile is not None:
                bindings, self._bound_meanwhile = self._bound_meanwhile, None
                await self._subscribe(self.sources(bindings))
        except BaseException:
            self.end()
            self._released(self)
            raise
        if self._state is ConsumerState.STARTING:
            self._started()

    def _started(self) -> None:
        self._state = ConsumerState.RUNNING
        if self._unwanted:
            self._stop()
        elif self._ended_by is not None:
            self._cancelled(self._ended_by)

    async def add_sources(self, bindings: Sequence[StompBinding]) -> None:
        """Subscribe to what was bound to the queue meanwhile."""
        if self._state is ConsumerState.STARTING:
            self._bound_meanwhile = bindings
        elif self._state is ConsumerState.RUNNING:
            # Its owner hears of a lost socket, and starts it with all bindings.
            with suppress(SessionLost):
                await self._subscribe(self.sources(bindings))

    async def _subscribe(self, sources: Sequence[Source]) -> None:
        known = self._subscribed.values()
        fresh = [each for each in sources if each.destination not in known]
        waiting = [self._subscribe_to(source) for source in fresh]
        if len(self._subscribed) > 1:
            self._limit = self._consuming.prefetch_count
        await all_of(waiting)

    def _subscribe_to(self, source: Source) -> Deferred[None]:
        socket = self.socket
        assert socket is not None
        id = f"s{next(self._ids)}"
        self._subscribed[id] = source.destination
        socket.subscribe(id, self._on_message, self._cancelled)
        receipt, subscribed = socket.receipt()
        socket.write(
            encode_frame(
                "SUBSCRIBE",
                [
                    ("destination", source.destination),
                    ("id", id),
                    ("receipt", receipt),
                    *source.headers,
                ],
            )
        )
        return subscribed.addErrback(self._refused, id)

    def _refused(self, failure: Failure, id: str) -> Failure:
        """A subscription did not come about: it may be tried again."""
        self._subscribed.pop(id, None)
        if self.socket is not None:
            self.socket.unsubscribe(id)
        return failure

    # --- what comes ----------------------------------------------------------

    def _on_message(self, frame: Frame) -> None:
        limit = self._limit
        if limit and (self.unsettled >= limit or self.backlog):
            self.backlog.append(frame)
        else:
            self._hand_out(frame)

    def _hand_out(self, frame: Frame) -> None:
        if self._state is not ConsumerState.RUNNING and not self._takes(frame):
            return
        if not self._consuming.no_ack:
            number = self._unacked.expect(self, frame)
        elif self._dialect.settles_by_itself:
            number = self._unacked.next_tag()
        else:
            number = self._unacked.settle(self, frame)
        try:
            self._on_delivery(self._dialect.delivery(frame, number, self.tag))
        except Exception:
            self._log.failure(
                "{callback} failed",
                without_frames(Failure()),
                callback=self._on_delivery,
            )

    @property
    def _may_give_back(self) -> bool:
        """Whether the broker has back what it did not settle."""
        return not (self._consuming.no_ack and self._dialect.settles_by_itself)

    def _takes(self, frame: Frame) -> bool:
        """Whether it hands out a message that comes before or after it runs."""
        if self._state is ConsumerState.ENDING and self._may_give_back:
            assert self.socket is not None
            self.socket.write(self._dialect.nack(frame, True))
            return False
        return self._state in _TAKES and not self._unwanted

    def refill(self) -> None:
        backlog = self.backlog
        while backlog and self.unsettled < self._limit:
            self._hand_out(backlog.popleft())

    # --- ending --------------------------------------------------------------

    def cancel(self) -> Deferred[None]:
        """
        Hand out no more.

        @return: fires when it hands out no more; never fails.
        """
        if self._state is ConsumerState.STARTING:
            self._unwanted = True
        elif self._state is ConsumerState.RUNNING:
            gone = self.gone.wait()
            self._stop()
            return gone
        else:
            self._state = ConsumerState.OVER
            return succeed(None)
        return self.gone.wait()

    def shut(self) -> None:
        """The channel closes: hand out nothing more, and leave."""
        if self._state is ConsumerState.STARTING:
            self._unwanted = True
        elif self._state in (ConsumerState.RUNNING, ConsumerState.ENDING):
            self._give_up_subscriptions()
            self._leave()
        else:
            self._state = ConsumerState.OVER

    def _stop(self) -> None:
        no_ack = not self._may_give_back
        frames = [self._dialect.stop_frames(id, no_ack) for id in self._subscribed]
        if None not in frames and (no_ack or self.unsettled):
            self._stop_by(b"".join(frame for frame in frames if frame))
            return
        self._keep()
        self._stopped(None)

    def _keep(self) -> None:
        """End its subscriptions, and keep what it holds."""
        if not (self._dialect.keeps and self.unsettled):
            self.lingers = True
            return
        assert self.socket is not None
        self.keeps = True
        frames = [self._dialect.keep(each) for each in self._unacked.held_by(self)]
        ends = [encode_frame("UNSUBSCRIBE", [("id", id)]) for id in self._subscribed]
        self.socket.write(b"".join(frames + ends))

    def _stop_by(self, frames: bytes) -> None:
        """Stop its subscriptions, and take what is under way."""
        socket = self.socket
        assert socket is not None
        self._state = ConsumerState.ENDING
        socket.write(frames)
        come = Deferred.fromCoroutine(_all_come(socket))
        come.addTimeout(CLOSE_SECONDS, self._connections.clock).addBoth(self._stopped)

    def _stopped(self, _: object) -> None:
        self._give_up_subscriptions()
        if self.unsettled:
            self.gone.fire(None)
        else:
            self._leave()

    def _give_up_subscriptions(self) -> None:
        self._state = ConsumerState.OVER
        self.ending = True
        self.backlog.clear()
        if self.socket is not None:
            for id in self._subscribed:
                self.socket.unsubscribe(id)

    def _leave(self) -> None:
        self._unacked.leave(self).addCallback(self.gone.fire)

    def _cancelled(self, error: Exception) -> None:
        """The broker ended one of its subscriptions."""
        self._ended_by = error
        if self._state is not ConsumerState.RUNNING:
            return
        self._give_up_subscriptions()
        if not self.unsettled:
            self._leave()
        self._over_by(error)

    def _over_by(self, error: Exception) -> None:
        self._state = ConsumerState.OVER
        self._released(self)
        try:
            self._on_cancelled(error)
        except Exception:
            self._log.failure(
                "{callback} failed",
                without_frames(Failure()),
                callback=self._on_cancelled,
            )

    def end(self) -> None:
        """The channel is over."""
        self._state = ConsumerState.OVER
        self.ending = True
        self.backlog.clear()
        self.drop()
        self.gone.fire(None)

    # --- ISocketOwner --------------------------------------------------------

    def socket_lost(self, reason: Exception) -> None:
        """What it held is stale; somebody has to start it again."""
        self.drop()
        self._unacked.forget(self)
        if self._state is not ConsumerState.RUNNING:
            return
        self._state = ConsumerState.LOST
        if isinstance(reason, SessionLost):
            # The other sockets may be about to be lost with it.
            self._connections.check().addCallback(self._lost_alone, reason)
        else:
            self._over_by(reason)

    def _lost_alone(self, alive: bool, reason: Exception) -> None:
        if alive and self._state is ConsumerState.LOST:
            self._over_by(reason)

    def write_paused(self) -> None:
        """What it writes is bounded by what it may hold."""

    def write_resumed(self) -> None:
        """See L{write_paused}."""


async def _all_come(socket: StompProtocol) -> None:
    """
    Wait for what is under way.  RabbitMQ works through all frames of one read
    before it looks at messages, so that the second fence must come in another.
    """
    await fence(socket)
    await fence(socket)
