"""
The messages of one channel that await settlement, and the connections to settle on.

The settlements of one reactor turn leave in one write for each connection, in their
order.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import attrs
from twisted.internet.defer import Deferred, DeferredList, succeed

from ..._util.tags import TagsUpTo
from ..._util.waiters import Waiters
from ...interfaces import Settlement
from .connections import ConnectionPool
from .protocol import StompProtocol, fence
from .wire.parser import Frame

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from .dialect import Dialect

_SENT: Final = Settlement.SENT
_STALE: Final = Settlement.STALE


@attrs.define(eq=False, repr=False, slots=False)
class MessageHolder:
    """
    Holds messages that came by one connection.

    @ivar tags: of the messages that await settlement.
    @ivar backlog: messages that were not handed out yet.
    @ivar ending: it takes no more messages, and leaves when none awaits settlement.
    @ivar lingers: it takes no more messages, but the broker does not know that.
    @ivar frames: settlements that wait to be written.
    @ivar flushed: those who wait until that is so.
    """

    _pool: ConnectionPool
    socket: StompProtocol | None = None
    tags: dict[int, None] = attrs.field(factory=dict, init=False)
    backlog: deque[Frame] = attrs.field(factory=deque, init=False)
    ending: bool = attrs.field(default=False, init=False)
    lingers: bool = attrs.field(default=False, init=False)
    frames: list[bytes] = attrs.field(factory=list, init=False)
    flushed: Waiters[Settlement] = attrs.field(factory=Waiters, init=False)

    @property
    def unsettled(self) -> int:
        """How many messages await settlement."""
        return len(self.tags)

    def attach(self, socket: StompProtocol | None) -> None:
        """Settle on this connection from now on; on none for C{None}."""
        self.socket = socket

    def take_no_more(self, lingers: bool = False) -> None:
        """Take no more messages; see the attributes."""
        self.ending = True
        self.lingers = self.lingers or lingers
        self.backlog.clear()

    @property
    def is_done(self) -> bool:
        """Whether it has no use for its connection any more."""
        return self.ending and not self.tags and self.socket is not None

    def write(self) -> None:
        """Write the settlements that wait."""
        if self.frames and self.socket is not None:
            frames, self.frames = self.frames, []
            self.socket.write(b"".join(frames))

    def tell_flushed(self) -> None:
        """Tell whether the settlements were written: those left never will be."""
        if self.flushed:
            self.flushed.fire(_STALE if self.frames else _SENT)

    def refill(self) -> None:
        """Hand out what there is room for."""

    def leave(self) -> Deferred[None]:
        """Write the settlements that wait, and disconnect; never fails."""
        self.write()
        socket, self.socket = self.socket, None
        return succeed(None) if socket is None else self._pool.leave(socket)

    def drop(self) -> None:
        """Drop the connection."""
        socket, self.socket = self.socket, None
        if socket is not None:
            self._pool.drop(socket)


class UnackedFrames:
    """All messages of one channel that await settlement, by tag."""

    def __init__(self, dialect: Dialect, pool: ConnectionPool) -> None:
        self._dialect = dialect
        self._ack = dialect.ack
        self._clock = pool.clock
        self._tag = 0
        self._over = False
        self._call: IDelayedCall | None = None
        self._held: dict[int, tuple[MessageHolder, Frame]] = {}
        self._up_to = TagsUpTo()
        self._unwritten: dict[MessageHolder, None] = {}
        # Settled on since when_flushed was called last.
        self._fresh: dict[MessageHolder, None] = {}
        self._fresh_is_lost = False
        self._to_refill: dict[MessageHolder, None] = {}
        self._giving_back: dict[MessageHolder, None] = {}
        self._leaving = 0
        self._left: Waiters[None] = Waiters()

    def next_tag(self) -> int:
        """Return the tag of a message that awaits no settlement."""
        self._tag += 1
        return self._tag

    def expect(self, holder: MessageHolder, frame: Frame) -> int:
        """Await the settlement of a message, and return its tag."""
        self._tag = tag = self._tag + 1
        self._held[tag] = holder, frame
        holder.tags[tag] = None
        return tag

    def ack(self, tag: int, multiple: bool) -> Settlement:
        """See L{ISessionChannel.ack}."""
        if multiple:
            settled = [
                self.ack(each, False) for each in self._up_to.find(tag, self._held)
            ]
            return _SENT if settled else _STALE
        found = self._held.pop(tag, None)
        if found is None:
            return _STALE
        holder, frame = found
        del holder.tags[tag]
        holder.frames.append(self._ack(frame))
        self._unwritten[holder] = self._fresh[holder] = None
        if self._call is None:
            self._call = self._clock.callLater(0, self._turn_over)
        return _SENT

    def write_ack(self, holder: MessageHolder, frame: Frame) -> None:
        """Acknowledge a message at the end of this turn, whatever its tag."""
        holder.frames.append(self._ack(frame))
        self._unwritten[holder] = None
        if self._call is None:
            self._call = self._clock.callLater(0, self._turn_over)

    def nack(self, tag: int, multiple: bool, requeue: bool) -> Settlement:
        """See L{ISessionChannel.nack}; C{reject} is the same for one message."""
        tags = self._up_to.find(tag, self._held) if multiple else [tag]
        found = [(tag, *self._held.pop(tag)) for tag in tags if tag in self._held]
        for each, holder, frame in found:
            del holder.tags[each]
            # A lingering holder gives back by leaving: room would bring more messages.
            if not (requeue and holder.lingers):
                holder.frames.append(self._dialect.nack(frame, requeue))
                self._giving_back[holder] = None
            self._unwritten[holder] = self._fresh[holder] = None
        if found and self._call is None:
            self._call = self._clock.callLater(0, self._turn_over)
        return _SENT if found else _STALE

    def flush(self) -> None:
        """Write the settlements so far."""
        unwritten, self._unwritten = self._unwritten, {}
        for holder in unwritten:
            holder.write()
            if holder.is_done:
                self.leave(holder)
            elif holder.backlog:
                self._to_refill[holder] = None
        for holder in unwritten:
            holder.tell_flushed()

    def _turn_over(self) -> None:
        self._call = None
        self.flush()
        while self._to_refill:
            holder = next(iter(self._to_refill))
            del self._to_refill[holder]
            holder.refill()

    def when_flushed(self) -> Deferred[Settlement]:
        """See L{ISessionChannel.when_flushed}."""
        if len(self._fresh) == 1 and not self._fresh_is_lost:  # as nearly always
            holder, _ = self._fresh.popitem()
            if holder in self._unwritten:
                return holder.flushed.wait()
        fresh, self._fresh = self._fresh or self._unwritten, {}
        is_lost, self._fresh_is_lost = self._fresh_is_lost, False
        if self._over or is_lost:
            return succeed(_STALE)
        waiting = [each.flushed.wait() for each in fresh if each in self._unwritten]
        if not waiting:
            return succeed(_SENT)
        return Deferred.fromCoroutine(_all_flushed(waiting))

    def leave(self, holder: MessageHolder) -> Deferred[None]:
        """Have a holder leave its connection; never fails."""
        self._leaving += 1
        return holder.leave().addCallback(self._one_left)

    def _one_left(self, _: object) -> None:
        self._leaving -= 1
        if not self._leaving:
            self._left.fire(None)

    async def given_back(self) -> None:
        """Wait until the broker has back what was given back so far."""
        if self._unwritten:
            self.flush()
        if self._giving_back:
            holders = list(self._giving_back)
            self._giving_back.clear()
            seen = [fence(each.socket) for each in holders if each.socket is not None]
            await DeferredList(seen, consumeErrors=True)
        if self._leaving:
            await self.when_left()

    def when_left(self) -> Deferred[None]:
        """Wait until no holder is leaving; never fails."""
        return self._left.wait() if self._leaving else succeed(None)

    def forget(self, holder: MessageHolder) -> None:
        """Forget the messages of a holder."""
        for waiting in (self._unwritten, self._to_refill, self._giving_back):
            waiting.pop(holder, None)
        if holder in self._fresh and holder.frames:
            self._fresh_is_lost = True
        self._fresh.pop(holder, None)
        holder.backlog.clear()
        for tag in holder.tags:
            del self._held[tag]
        holder.tags.clear()
        holder.tell_flushed()
        holder.frames.clear()

    def lose(self, holder: MessageHolder) -> None:
        """Forget the messages of a holder whose connection is gone."""
        holder.drop()
        self.forget(holder)

    def end(self) -> list[MessageHolder]:
        """Forget all messages, and return their holders."""
        holders = list({holder: None for holder, _ in self._held.values()})
        for holder in holders:
            holder.tags.clear()
        self._over = True
        unwritten = list(self._unwritten)
        for waiting in (self._unwritten, self._to_refill, self._giving_back):
            waiting.clear()
        self._fresh.clear()
        self._held.clear()
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        for holder in unwritten:
            holder.tell_flushed()
        return holders


async def _all_flushed(waiting: list[Deferred[Settlement]]) -> Settlement:
    """Wait for all; return C{STALE} if one of them fires with that."""
    settlements = [await each for each in waiting]
    return _STALE if _STALE in settlements else _SENT
