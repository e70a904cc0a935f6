"""
Messages that await settlement, and the sockets that they must be settled on.

Settlements of one reactor turn leave in one write for each socket, in the order
they were made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, DeferredList, DeferredLock, succeed

from ..._util.waiters import Waiters
from ...interfaces import Settlement
from .connections import ConnectionPool, fence
from .wire.frames import Frame

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from .dialect import Dialect
    from .protocol import StompProtocol

_SENT: Final = Settlement.SENT
_STALE: Final = Settlement.STALE


class MessageHolder:
    """
    Somebody who was handed messages that came by one socket.

    @ivar socket: the one to settle on, while there is one.
    @ivar unsettled: how many messages await settlement.
    @ivar backlog: what came and was not handed out yet.
    @ivar ending: it gets no more; when none awaits settlement its socket is
        left, and the broker has back what was not settled.
    @ivar lingers: it gets no more, but the broker does not know.
    @ivar keeps: its subscriptions have ended, and what it holds was kept.
    @ivar rejecting: how many of those are being rejected.
    @ivar frames: what is to be written next.
    """

    def __init__(self, connections: ConnectionPool) -> None:
        self._connections = connections
        self.socket: StompProtocol | None = None
        self.unsettled = 0
        self.backlog: deque[Frame] = deque()
        self.ending = False
        self.lingers = False
        self.keeps = False
        self.rejecting = 0
        self.frames: list[bytes] = []

    def write(self) -> None:
        """Write the settlements that wait."""
        frames = self.frames
        if frames and self.socket is not None:
            self.frames = []
            self.socket.write(b"".join(frames))

    @property
    def stays(self) -> bool:
        """Whether its socket lives on without it."""
        return False

    @property
    def is_done(self) -> bool:
        """Whether it has no use for its socket any more."""
        busy = self.unsettled or self.rejecting
        return self.ending and not busy and self.socket is not None

    def refill(self) -> None:
        """Hand out of the backlog what may be."""

    def leave(self) -> Deferred[None]:
        """
        Give up the socket in order, once what waits was written.

        @return: fires when it is gone; never fails.
        """
        self.write()
        socket, self.socket = self.socket, None
        return succeed(None) if socket is None else self._connections.leave(socket)

    def drop(self) -> None:
        """Give up the socket now."""
        socket, self.socket = self.socket, None
        if socket is not None:
            self._connections.drop(socket)


class UnackedFrames:
    """
    All messages of one channel that await settlement, by tag.

    @ivar held: those messages, and who was handed them.
    """

    __slots__ = (
        "_ack",
        "_call",
        "_clock",
        "_dialect",
        "_flushed",
        "_giving_back",
        "_leaving",
        "_left",
        "_one_by_one",
        "_over",
        "_rejecting",
        "_tag",
        "_to_refill",
        "_unwritten",
        "held",
    )

    def __init__(self, dialect: Dialect, connections: ConnectionPool) -> None:
        self._dialect = dialect
        self._ack = dialect.ack
        self._clock = connections.clock
        self._tag = 0
        self._over = False
        self._call: IDelayedCall | None = None
        self._unwritten: dict[MessageHolder, None] = {}
        self._to_refill: dict[MessageHolder, None] = {}
        self._giving_back: dict[MessageHolder, None] = {}
        self._leaving = 0
        self._rejecting: dict[Deferred[None], MessageHolder] = {}
        self._left: Waiters[None] = Waiters()
        self._one_by_one = DeferredLock()
        self._flushed: Waiters[Settlement] = Waiters()
        self.held: dict[int, tuple[MessageHolder, Frame]] = {}

    # --- what comes ----------------------------------------------------------

    def next_tag(self) -> int:
        """The tag of what awaits no settlement."""
        self._tag += 1
        return self._tag

    def settle(self, holder: MessageHolder, frame: Frame) -> int:
        """
        Ack a message that awaits no settlement.

        @return: its tag.
        """
        holder.frames.append(self._ack(frame))
        self._unwritten[holder] = None
        self._turn_over_soon()
        return self.next_tag()

    def expect(self, holder: MessageHolder, frame: Frame) -> int:
        """
        Await the settlement of a message.

        @return: its tag.
        """
        self._tag = tag = self._tag + 1
        self.held[tag] = holder, frame
        holder.unsettled += 1
        return tag

    # --- settling ------------------------------------------------------------

    def ack(self, tag: int, multiple: bool) -> Settlement:
        """See L{ISessionChannel.ack}."""
        if multiple:
            settled = [self.ack(each, False) for each in self._up_to(tag)]
            return _SENT if settled else _STALE
        found = self.held.pop(tag, None)
        if found is None:
            return _STALE
        holder, frame = found
        holder.unsettled -= 1
        ack = self._dialect.ack_kept if holder.keeps else self._ack
        holder.frames.append(ack(frame))
        self._unwritten[holder] = None
        if self._call is None:
            self._call = self._clock.callLater(0, self._turn_over)
        return _SENT

    def nack(self, tag: int, multiple: bool, requeue: bool) -> Settlement:
        """See L{ISessionChannel.nack}."""
        tags = self._up_to(tag) if multiple else [tag]
        return self._give_back(
            tags, lambda frame: self._dialect.nack(frame, requeue), requeue
        )

    def reject(self, tag: int, requeue: bool) -> Settlement:
        """See L{ISessionChannel.reject}."""
        return self._give_back(
            [tag], lambda frame: self._dialect.reject(frame, requeue), requeue
        )

    def _up_to(self, tag: int) -> list[int]:
        return [each for each in self.held if each <= tag or not tag]

    def _give_back(
        self, tags: list[int], encode: Callable[[Frame], bytes], requeue: bool
    ) -> Settlement:
        settled = False
        for tag in tags:
            found = self.held.pop(tag, None)
            if found is None:
                continue
            settled = True
            holder, frame = found
            holder.unsettled -= 1
            # Room for another would only bring one that nobody takes.
            if holder.keeps:
                self._give_back_kept(holder, frame, requeue)
            elif not (requeue and holder.lingers):
                holder.frames.append(encode(frame))
                self._giving_back[holder] = None
            self._unwritten[holder] = None
        if not settled:
            return _STALE
        self._turn_over_soon()
        return _SENT

    def _give_back_kept(
        self, holder: MessageHolder, frame: Frame, requeue: bool
    ) -> None:
        if requeue:
            holder.frames.append(self._dialect.give_back_kept(frame))
            self._giving_back[holder] = None
            return
        socket = holder.socket
        assert socket is not None
        reject = self._dialect.reject_kept
        rejecting = self._one_by_one.run(
            lambda: Deferred.fromCoroutine(reject(frame, socket, self._clock))
        )

        def rejected(_: object) -> None:
            del self._rejecting[rejecting]
            holder.rejecting -= 1
            if holder.is_done and holder not in self._unwritten:
                self.leave(holder)
            self._one_left()

        self._leaving += 1
        holder.rejecting += 1
        self._rejecting[rejecting] = holder
        rejecting.addBoth(rejected)

    def held_by(self, holder: MessageHolder) -> list[Frame]:
        """What a holder was handed and has not settled."""
        return [frame for who, frame in self.held.values() if who is holder]

    def recover(self) -> None:
        """Give all back."""
        self.nack(0, True, True)
        self.flush()

    # --- writing -------------------------------------------------------------

    def _turn_over_soon(self) -> None:
        if self._call is None:
            self._call = self._clock.callLater(0, self._turn_over)

    def flush(self) -> None:
        """Write the settlements so far."""
        unwritten, self._unwritten = self._unwritten, {}
        for holder in unwritten:
            holder.write()
            if holder.is_done:
                self.leave(holder)
            elif holder.backlog:
                self._to_refill[holder] = None
        if self._flushed:
            self._flushed.fire(_SENT)

    def _turn_over(self) -> None:
        self._call = None
        self.flush()
        while self._to_refill:
            holder = next(iter(self._to_refill))
            del self._to_refill[holder]
            holder.refill()

    def when_flushed(self) -> Deferred[Settlement]:
        """See L{ISessionChannel.when_flushed}."""
        if self._over:
            return succeed(_STALE)
        return self._flushed.wait() if self._unwritten else succeed(_SENT)

    def leave(self, holder: MessageHolder) -> Deferred[None]:
        """
        Have a holder leave its socket.

        @return: fires when that is gone; never fails.
        """

        self._leaving += 1
        return holder.leave().addCallback(lambda _: self._one_left())

    def _one_left(self) -> None:
        self._leaving -= 1
        if not self._leaving:
            self._left.fire(None)

    async def given_back(self) -> None:
        """Wait until the broker has back what was given back so far."""
        self.flush()
        holders = list(self._giving_back)
        self._giving_back.clear()
        seen = [fence(each.socket) for each in holders if each.socket is not None]
        if seen:
            await DeferredList(seen, consumeErrors=True)
        await self.when_left()

    def when_left(self) -> Deferred[None]:
        """@return: fires when no holder is leaving; never fails."""
        return self._left.wait() if self._leaving else succeed(None)

    # --- the end -------------------------------------------------------------

    def forget(self, holder: MessageHolder) -> None:
        """Its socket is gone: the broker has its messages again."""
        for waiting in (self._unwritten, self._to_refill, self._giving_back):
            waiting.pop(holder, None)
        holder.unsettled = 0
        holder.backlog.clear()
        self.give_up(holder)
        for tag in [tag for tag, (who, _) in self.held.items() if who is holder]:
            del self.held[tag]

    def give_up(self, holder: MessageHolder | None = None) -> None:
        """Wait no more until a rejection is over: of one holder, or of all."""
        # Those that wait first, or their turn would come.
        for rejecting, who in reversed(list(self._rejecting.items())):
            if holder in (None, who):
                rejecting.cancel()

    def end(self) -> list[MessageHolder]:
        """
        All is stale, and goes back.

        @return: those who held a message.
        """
        holders = {holder: None for holder, _ in self.held.values()}
        for holder, frame in self.held.values():
            if holder.stays:
                holder.frames.append(self._dialect.nack(frame, True))
        for holder in holders:
            holder.unsettled = 0
            if holder.stays:
                holder.write()
        self._over = True
        for waiting in (self._unwritten, self._to_refill, self._giving_back):
            waiting.clear()
        self.held.clear()
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        self._flushed.fire(_STALE)
        return list(holders)
