"""
One consumer, on a connection of its own.

A cancelled consumer keeps its connection until the messages that it holds are settled.
On RabbitMQ its subscription is replaced by an empty one, so that all other messages go
back at once; on ActiveMQ the subscription stays, and its messages wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..._util.awaitables import call_logged
from ..._util.failures import without_frames
from ..._util.state_machine import next_state
from ..._util.steady_clock import steady
from ..._util.waiters import Waiters
from ...exceptions import SessionLost
from ...interfaces import Delivery
from ..protocol import CLOSE_SECONDS
from .connections import all_of
from .dialect import BoundQueue, ConsumeOptions, Dialect, Source, StompBinding
from .protocol import StompProtocol, fence
from .unacked import MessageHolder, UnackedFrames
from .wire.parser import Frame

if TYPE_CHECKING:
    from ...entity import Queue


class _State(Enum):
    WAITING = "waiting for its turn"
    STARTING = "starting"
    RUNNING = "running"
    ENDING = "ending"
    """Its subscriptions are stopped, and messages may still be under way."""
    LOST = "lost"
    """Its connection is gone; the broker is asked whether it is still there."""
    OVER = "over"


class _Event(Enum):
    START = "start"
    STARTED = "have started"
    STOP = "stop"
    LOSE = "lose its connection"
    END = "end"


_TABLE: Final = {
    (_State.WAITING, _Event.START): _State.STARTING,
    (_State.STARTING, _Event.STARTED): _State.RUNNING,
    (_State.RUNNING, _Event.STOP): _State.ENDING,
    (_State.RUNNING, _Event.LOSE): _State.LOST,
    **{(state, _Event.END): _State.OVER for state in _State},
}
_WAITING: Final[Any] = _State.WAITING  # Any: calls change a state unseen by mypy
_RUNNING: Final[Any] = _State.RUNNING


@attrs.define(eq=False, repr=False, slots=False, kw_only=True)
class StompConsumer(MessageHolder):
    """
    Hands out the messages of all sources of a queue.

    @ivar _released: called with it when it ends without being cancelled.
    """

    _log = Logger()

    tag: str
    queue: Queue
    _options: ConsumeOptions
    _on_delivery: Callable[[Delivery], None]
    _on_cancelled: Callable[[Exception], None]
    _dialect: Dialect
    _unacked: UnackedFrames
    _connect: Callable[[StompConsumer], Awaitable[StompProtocol]]
    _released: Callable[[StompConsumer], object]
    _state: _State = attrs.field(default=_State.WAITING, init=False)
    _unwanted: bool = attrs.field(default=False, init=False)
    _ended_by: Exception | None = attrs.field(default=None, init=False)
    _queue_gone_by: Exception | None = attrs.field(default=None, init=False)
    _subscribed: dict[str, str] = attrs.field(factory=dict, init=False)
    _destinations: set[str] = attrs.field(factory=set, init=False)
    _unanswered: dict[str, Waiters[None]] = attrs.field(factory=dict, init=False)
    _bound_meanwhile: list[StompBinding] = attrs.field(factory=list, init=False)
    _limit: int = attrs.field(default=0, init=False)
    _gone: Waiters[None] = attrs.field(factory=Waiters, init=False)

    @property
    def is_over(self) -> bool:
        """Whether it hands out no more messages."""
        return self._state is _State.OVER

    def _step(self, event: _Event) -> None:
        self._state = next_state("a consumer", _TABLE, self._state, event)

    async def start(self, bound: BoundQueue) -> None:
        """Subscribe to all sources, unless it was cancelled by now."""
        if self._state is not _WAITING:
            return
        self._step(_Event.START)
        try:
            self.attach(await self._connect(self))
            await self._subscribe_to_all(bound)
        except BaseException as error:
            self.end()
            self._released(self)
            if self._queue_gone_by is not None and isinstance(error, Exception):
                raise self._queue_gone_by from error
            raise
        if self._state is not _State.STARTING:
            return
        self._step(_Event.STARTED)
        if self._unwanted:
            self._stop()
        elif self._ended_by is not None:
            self._cancelled(self._ended_by)

    async def _subscribe_to_all(self, bound: BoundQueue) -> None:
        """Subscribe, also to what is bound to the queue meanwhile."""
        await self._subscribe(self._dialect.sources(bound, self._options))
        while self._bound_meanwhile and self._state is _State.STARTING:
            added, self._bound_meanwhile = self._bound_meanwhile, []
            await self._subscribe(map(self._added, added))
        if self._queue_gone_by is not None:
            raise self._queue_gone_by

    async def add_source(self, bound: StompBinding) -> None:
        """Subscribe to what comes by a binding that was made meanwhile."""
        if self._state is _State.STARTING:
            self._bound_meanwhile.append(bound)
        elif self._state is _RUNNING:
            # A lost connection is told to its owner, who starts it with all bindings.
            with suppress(SessionLost):
                await self._subscribe([self._added(bound)])

    def _added(self, bound: StompBinding) -> Source:
        others = len(self._subscribed)
        return self._dialect.added_source(self.queue, bound, self._options, others)

    async def _subscribe(self, sources: Iterable[Source]) -> None:
        """
        Subscribe to the sources that are new, and wait for all that are unanswered.

        Cancelling stops only the waiting: what a subscription brings is handed out.
        """
        waiting = []
        for destination, headers in sources:
            if destination in self._unanswered:
                waiting.append(self._unanswered[destination].wait())
            elif destination not in self._destinations:
                waiting.append(self._begin(destination, headers))
        if len(self._subscribed) > 1:
            self._limit = self._options.prefetch_count
        await all_of(waiting)

    def _begin(
        self, destination: str, headers: Sequence[tuple[str, str]]
    ) -> Deferred[None]:
        """Subscribe to one source; fires with the broker's answer."""
        assert self.socket is not None
        answer = self._unanswered[destination] = Waiters()
        begun = answer.wait()
        id, subscribed = self.socket.consume(
            destination,
            *headers,
            on_message=self._on_message,
            on_cancelled=self._cancelled,
        )
        self._subscribed[id] = destination
        self._destinations.add(destination)
        subscribed.addCallback(self._accepted, id).addErrback(self._refused, id)
        return begun

    def _accepted(self, _: None, id: str) -> None:
        self._unanswered.pop(self._subscribed[id]).fire(None)

    def _refused(self, failure: Failure, id: str) -> None:
        """Forget a subscription that was refused, so that it may be tried again."""
        destination = self._subscribed.pop(id)
        self._destinations.discard(destination)
        answer = self._unanswered.pop(destination)
        if self.socket is not None:
            self.socket.unsubscribe(id)
        assert isinstance(failure.value, Exception)
        answer.fail(failure.value)

    def _on_message(self, frame: Frame) -> None:
        limit = self._limit
        if limit and (self.unsettled >= limit or self.backlog):
            self.backlog.append(frame)
        else:
            self._hand_out(frame)

    def _hand_out(self, frame: Frame) -> None:
        if self._state is not _RUNNING and not self._takes(frame):
            return
        if not self._options.no_ack:
            number = self._unacked.expect(self, frame)
        else:
            number = self._unacked.next_tag()
            if not self._dialect.settles_by_itself:
                self._unacked.write_ack(self, frame)
        try:
            self._on_delivery(self._dialect.delivery(frame, number, self.tag))
        except Exception:
            self._log.failure("on_delivery failed", without_frames(Failure()))

    @property
    def _may_give_back(self) -> bool:
        """Whether the broker has back what this consumer did not settle."""
        return not (self._options.no_ack and self._dialect.settles_by_itself)

    def _takes(self, frame: Frame) -> bool:
        """Decide on a message that comes before or after the consumer runs."""
        if self._state is _State.ENDING and self._may_give_back and self.socket:
            self.socket.write(self._dialect.nack(frame, True))
            return False
        return self._state in (_State.STARTING, _State.ENDING) and not self._unwanted

    def refill(self) -> None:
        backlog = self.backlog
        while backlog and self.unsettled < self._limit:
            self._hand_out(backlog.popleft())

    def cancel(self) -> Deferred[None]:
        """Hand out no more messages; fires when that is so, and never fails."""
        if self._state is _State.STARTING:
            self._unwanted = True
            return self._gone.wait()
        if self._state is _RUNNING:
            gone = self._gone.wait()
            self._stop()
            return gone
        self._step(_Event.END)
        return succeed(None)

    def shut(self) -> None:
        """Hand out no more messages, and leave: the channel closes."""
        if self._state is _State.STARTING:
            self._unwanted = True
        elif self._state in (_RUNNING, _State.ENDING):
            self._give_up_subscriptions()
            self._leave()
        else:
            self._step(_Event.END)

    def _stop(self) -> None:
        if self._may_give_back and not self.unsettled:
            self._stopped(None)
            return
        frames = [self._dialect.stop_frames(id) for id in self._subscribed]
        if None in frames:
            self._stopped(None, lingers=True)
            return
        assert self.socket is not None
        self._step(_Event.STOP)
        self.socket.write(b"".join(frame for frame in frames if frame))
        # RabbitMQ handles all frames of one read before it looks at messages, so the
        # second fence has to come in another read.
        come = fence(self.socket).addCallback(lambda _, of: fence(of), self.socket)
        clock = steady(self._pool.clock)
        come.addTimeout(CLOSE_SECONDS, clock).addBoth(self._stopped)

    def _stopped(self, _: object, lingers: bool = False) -> None:
        self._give_up_subscriptions(lingers)
        if self.unsettled:
            self._gone.fire(None)
        else:
            self._leave()

    def _give_up_subscriptions(self, lingers: bool = False) -> None:
        self._step(_Event.END)
        self.take_no_more(lingers)
        if self.socket is not None:
            for id in self._subscribed:
                self.socket.unsubscribe(id)

    def _leave(self) -> None:
        self._unacked.leave(self).addCallback(self._gone.fire)

    def _cancelled(self, error: Exception) -> None:
        """End: the broker ended one of its subscriptions."""
        self._ended_by = error
        if self._state is not _RUNNING:
            return
        self._give_up_subscriptions()
        if not self.unsettled:
            self._leave()
        self._over_by(error)

    def queue_gone(self, error: Exception) -> None:
        """End: its exclusive queue was deleted, and what it holds with the queue."""
        was_running = self._state is _RUNNING
        if not was_running:
            self._queue_gone_by = error
        self.attach(None)
        self._unacked.forget(self)
        self.end()
        if was_running:
            self._over_by(error)

    def _over_by(self, error: Exception) -> None:
        self._step(_Event.END)
        self._released(self)
        call_logged("on_cancelled", self._on_cancelled, error)

    def end(self) -> None:
        """End at once: the channel is over."""
        self._step(_Event.END)
        self.take_no_more()
        self._unacked.lose(self)
        self._gone.fire(None)

    def socket_lost(self, reason: Exception) -> None:
        """End: what it held is stale, and somebody has to start it again."""

        def lost(alive: bool) -> None:
            if alive and self._state is _State.LOST:
                self._over_by(reason)

        self._unacked.lose(self)
        if self._state is not _RUNNING:
            return
        if isinstance(reason, SessionLost):
            # The session's other connections may be about to be lost, too.
            self._step(_Event.LOSE)
            self._pool.check().addCallback(lost)
        else:
            self._over_by(reason)

    def write_paused(self) -> None:
        """Ignore that: what it writes is bounded by what it may hold."""

    def write_resumed(self) -> None:
        """Ignore that."""
