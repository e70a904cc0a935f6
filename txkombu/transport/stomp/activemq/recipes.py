"""
What is done with queues on ActiveMQ Classic, step by step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ..connections import all_of
from ..dialect import GetResult
from ..wire.frames import HEARTBEAT, Frame, encode_frame
from . import acks as settling

if TYPE_CHECKING:
    from ..dialect import Connections
    from ..protocol import StompProtocol

IDLE_SECONDS: Final = 0.5
"""
When nothing came for so long, there is nothing for us: ActiveMQ does not tell that
others have the rest.
"""

_NEXT_SECONDS: Final = 0.1
"""When nothing came from a source for so long, others have what is there."""

_AGAIN_SECONDS: Final = 2.0
"""What was given back to ourselves comes at once, or not at all."""

PREFETCH: Final = "activemq.prefetchSize"
BY_THE_CLIENT: Final = ("ack", "client-individual")
BY_ITSELF: Final = ("ack", "auto")
BROWSER: Final = ("browser", "true")

AUTO_PREFETCH: Final = 1000
"""For what settles nothing: how many are under way, ActiveMQ's own default."""


def _subscribe(
    socket: StompProtocol, id: str, destination: str, *headers: tuple[str, str]
) -> Deferred[None]:
    receipt, subscribed = socket.receipt()
    about = [("destination", destination), ("id", id), ("receipt", receipt)]
    socket.write(encode_frame("SUBSCRIBE", [*about, *headers]))
    return subscribed


async def declare(destination: str, connections: Connections) -> None:
    """
    Make sure of a physical queue.

    It is made by a consumer that takes no messages, and stays when that is gone.
    """
    async with connections.declaring() as socket:
        id = f"d-{uuid4().hex}"
        await _subscribe(socket, id, destination, BY_THE_CLIENT, (PREFETCH, "0"))
        socket.write(encode_frame("UNSUBSCRIBE", [("id", id)]))


async def purge(destinations: Sequence[str], connections: Connections) -> int:
    """
    Take all that comes, until nothing does.

    @return: how many.
    """
    async with connections.short() as socket:
        arrivals = Arrivals(socket)
        await arrivals.subscribe(destinations, BY_ITSELF, AUTO_PREFETCH)
        number = 0
        while await arrivals.next(connections.clock) is not None:
            number += 1
        return number


async def get(
    destinations: Sequence[str], no_ack: bool, connections: Connections
) -> GetResult | None:
    """
    Take the first message that comes, by a subscription that no other can come by.

    @return: it, on a socket on which nothing else is under way.
    """
    while True:
        socket = await connections.open()
        try:
            arrivals = Arrivals(socket)
            first = await arrivals.first_of(destinations, connections.clock)
            frame = None
            if first is not None:
                frame = await _keep_alone(first, socket, connections.clock)
                arrivals.leave_others(first)
        except BaseException:
            connections.drop(socket)
            raise
        if frame is not None:
            break
        await connections.leave(socket)
        if first is None:
            return None
    if no_ack:
        socket.write(settling.ack(frame))
    return GetResult(frame, socket)


async def _keep_alone(
    frame: Frame, socket: StompProtocol, clock: IReactorTime
) -> Frame | None:
    """
    Have a message once more, by a subscription that it alone can come by: to settle
    it by its first one makes room there for the next message, which would have to be
    given back, and marked.

    @return: it, marked as it was at first; C{None} if somebody else has it now.
    """
    first = frame.headers["subscription"]
    end = encode_frame("UNSUBSCRIBE", [("id", first)])
    again = await _take_back(frame, end, f"g-{uuid4().hex}", socket, clock)
    if again is not None and "redelivered" not in frame.headers:
        again.headers.pop("redelivered", None)
    return again


async def dead_letter_kept(
    frame: Frame, socket: StompProtocol, clock: IReactorTime
) -> None:
    """
    Make a dead letter of a message that was kept: give it back to ourselves and
    reject it.

    If it goes to somebody else all the same, or has expired, that is all.
    """
    id = f"k-{uuid4().hex}"
    try:
        again = await _take_back(
            frame, settling.give_back_kept(frame), id, socket, clock
        )
        if again is not None:
            socket.write(settling.dead_letter(again))
    finally:
        socket.write(encode_frame("UNSUBSCRIBE", [("id", id)]))


async def _take_back(
    frame: Frame, give_back: bytes, id: str, socket: StompProtocol, clock: IReactorTime
) -> Frame | None:
    """
    Give a message back to ourselves, who come before all others.

    The broker hands out by lists of consumers that may be a moment old; so it has to
    answer before something is given back.  Of 300 that were given back all at once 6
    came to somebody else, of 400 one by one none.

    @param give_back: the frames that do that; they are written in any case.
    @param id: of the subscription that it comes by, which nothing else can.
    @return: C{None} if it did not come.
    """
    come: Deferred[Frame] = Deferred()
    socket.subscribe(id, come.callback, _never_cancelled)
    name = frame.headers.get("message-id", "").replace("'", "''")
    only = ("selector", f"JMSMessageID='{name}'")
    first = ("activemq.priority", "127")
    source = frame.headers.get("destination", "")
    try:
        try:
            await _subscribe(
                socket, id, source, only, first, BY_THE_CLIENT, (PREFETCH, "1")
            )
        finally:
            socket.write(give_back)
        with _failing_with(socket, come):
            return await come.addTimeout(_AGAIN_SECONDS, clock)
    except TimeoutError:
        return None
    finally:
        socket.unsubscribe(id)


@contextmanager
def _failing_with(socket: StompProtocol, waiting: Deferred[Frame]) -> Iterator[None]:
    """Have something that is waited for fail when its socket ends."""

    def ended(reason: Failure) -> None:
        if not waiting.called:
            waiting.errback(reason)

    # A receipt that nothing asks for.
    _, end = socket.receipt()
    end.addErrback(ended)
    try:
        yield
    finally:
        end.cancel()


def _is_end(frame: Frame) -> bool:
    """Whether a browser is told that it has seen all; messages have a priority."""
    return frame.headers.get("browser") == "end" and "priority" not in frame.headers


def _never_cancelled(error: Exception) -> None:
    """ActiveMQ ends no subscription by itself."""


class Arrivals:
    """
    The messages that come by several subscriptions of one socket.
    """

    def __init__(self, socket: StompProtocol) -> None:
        self._socket = socket
        self._ids: set[str] = set()
        self._numbers = count()
        self._browsed: dict[str, str] = {}
        self._filled: list[str] = []
        self._come: deque[Frame] = deque()
        self._waiting: Deferred[None] | None = None
        self._error: BaseException | None = None
        # A receipt that nothing asks for: it fails when the socket ends.
        _, self._end = socket.receipt()
        self._end.addErrback(self._ended)

    def _ended(self, reason: Failure) -> None:
        self._error = reason.value
        self._wake()

    async def subscribe(
        self, destinations: Sequence[str], ack: tuple[str, str], prefetch: int
    ) -> None:
        """
        Subscribe to all of them.

        @param prefetch: how many of each may be under way.
        """
        started = []
        for destination in destinations:
            id = f"s{next(self._numbers)}"
            self._ids.add(id)
            self._socket.subscribe(id, self._arrived, _never_cancelled)
            headers = (ack, (PREFETCH, str(prefetch)))
            started.append(_subscribe(self._socket, id, destination, *headers))
        await all_of(started)
        self._acknowledge()

    def _acknowledge(self) -> None:
        """
        ActiveMQ holds what it has to say back until what it said is acknowledged, and
        a system does that at once only along with something that is written.
        """
        self._socket.write(HEARTBEAT)

    async def first_of(
        self, destinations: Sequence[str], clock: IReactorTime
    ) -> Frame | None:
        """
        Take one message, from one source after the other: what comes beside it would
        have to be given back, and be marked as handed out.

        @return: C{None} if there is none, or others have all.
        """
        filled = await self._look(destinations, clock)
        deadline = clock.seconds() + IDLE_SECONDS
        for destination in filled:
            await self.subscribe([destination], BY_THE_CLIENT, 1)
            left = deadline - clock.seconds()
            frame = await self.next(clock, min(_NEXT_SECONDS, max(0, left)))
            if frame is not None:
                return frame
        if not filled:
            return None
        others = [each for each in destinations if each not in filled]
        await self.subscribe(others, BY_THE_CLIENT, 1)
        return await self.next(clock, max(0, deadline - clock.seconds()))

    async def _look(
        self, destinations: Sequence[str], clock: IReactorTime
    ) -> list[str]:
        """
        Browse them, which takes nothing from them.

        A browser sees also what others hold, and is told when it has seen all.

        @return: those that have something, or do not answer.
        """
        started = []
        for destination in destinations:
            id = f"b{next(self._numbers)}"
            self._ids.add(id)
            self._browsed[id] = destination
            self._socket.subscribe(id, self._seen, _never_cancelled)
            one = (PREFETCH, "1")
            headers = (BROWSER, BY_THE_CLIENT, one)
            started.append(_subscribe(self._socket, id, destination, *headers))
        await all_of(started)
        self._acknowledge()
        if self._browsed and self._error is None:
            await self._wait(clock, IDLE_SECONDS)
        if self._error is not None:
            raise self._error
        return [*self._filled, *self._browsed.values()]

    def _seen(self, frame: Frame) -> None:
        id = frame.headers["subscription"]
        destination = self._browsed.pop(id, None)
        if destination is None:
            return
        if _is_end(frame):
            self._ids.discard(id)
        else:
            self._filled.append(destination)
        if not self._browsed:
            self._wake()

    def _arrived(self, frame: Frame) -> None:
        self._come.append(frame)
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    async def next(
        self, clock: IReactorTime, seconds: float | None = None
    ) -> Frame | None:
        """
        @param seconds: how long to wait; by default L{IDLE_SECONDS}.
        @return: what has come, or comes soon; C{None} if nothing does.
        @raise SessionLost: the socket was lost, or as the broker said why.
        """
        if not self._come and self._error is None:
            await self._wait(clock, IDLE_SECONDS if seconds is None else seconds)
        if self._error is not None:
            raise self._error
        return self._come.popleft() if self._come else None

    async def _wait(self, clock: IReactorTime, seconds: float) -> None:
        self._waiting = Deferred()
        late = clock.callLater(seconds, self._wake)
        try:
            await self._waiting
        finally:
            self._waiting = None
            if late.active():
                late.cancel()

    def leave_others(self, kept: Frame) -> None:
        """Give up all subscriptions but that of a message."""
        self._end.cancel()
        keep = kept.headers["subscription"]
        self._socket.unsubscribe(keep)
        for id in self._ids - {keep}:
            self._give_up(id)

    def _give_up(self, id: str) -> None:
        self._ids.discard(id)
        self._socket.unsubscribe(id)
        receipt, over = self._socket.receipt()
        # A browser may be over by itself.
        over.addErrback(lambda _: None)
        about = [("id", id), ("receipt", receipt)]
        self._socket.write(encode_frame("UNSUBSCRIBE", about))
