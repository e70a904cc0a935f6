"""
The sockets of one session: one stands for it, the others come and go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    FirstError,
    fail,
    gatherResults,
)
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ..._util.waiters import Waiters
from ...exceptions import AuthenticationFailed, ResourceError, SessionLost
from ..closing import CLOSE_SECONDS
from ..errors import with_cause
from .protocol import IProtocolOwner, StompProtocol
from .wire.frames import encode_frame

if TYPE_CHECKING:
    from ...entity import Queue
    from .connector import Connector

SPARE_SECONDS: Final = 0.2
"""
How long a socket waits for the next declaration: to open one takes as long as to
declare something.
"""

_FENCE: Final = encode_frame("BEGIN", [("transaction", "fence")])


def fence(socket: StompProtocol) -> Deferred[None]:
    """
    @return: fires when the broker has seen all that was written to a socket.
    """
    receipt, seen = socket.receipt()
    headers = [("transaction", "fence"), ("receipt", receipt)]
    socket.write(_FENCE + encode_frame("ABORT", headers))
    return seen


async def all_of(waiting: Sequence[Deferred[None]]) -> None:
    """
    Wait until all have fired.

    @raise Exception: what the first that failed did fail with.
    """
    try:
        await gatherResults(waiting, consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()


@implementer(IProtocolOwner)
class SilentOwner:
    """
    For a socket whose end is told by what awaits a receipt on it.

    @ivar lost: called with the reason if it is lost.
    """

    def __init__(self) -> None:
        self.lost: Callable[[Exception], object] = lambda reason: None

    def socket_lost(self, reason: Exception) -> None:
        self.lost(reason)

    def write_paused(self) -> None:
        pass

    def write_resumed(self) -> None:
        pass


class ConnectionPool:
    """
    Opens the sockets of one session, and ends them with it; what recipes get
    as L{Connections}.

    @ivar clock: the reactor.
    """

    def __init__(
        self,
        connector: Connector,
        main: StompProtocol,
        lost: Callable[[Exception], object],
    ) -> None:
        """
        @param main: the one that stands for the session.
        @param lost: called if it turns out that the broker does not answer.
        """
        self.clock: IReactorTime = connector.clock
        self._connector = connector
        self._main = main
        self._lost = lost
        self._opening: dict[Deferred[StompProtocol], None] = {}
        self._open: dict[StompProtocol, Any] = {}
        self._checking: Waiters[bool] = Waiters()
        self._over = False
        self._spare: dict[StompProtocol, set[str]] = {}
        self._call: IDelayedCall | None = None
        self.owners: dict[str, Any] = {}

    # --- opening -------------------------------------------------------------

    def open(self, owner: Any = None) -> Deferred[StompProtocol]:
        """
        Open one more, which whoever asks for it ends by L{leave} or L{drop}.

        @return: fails with L{ResourceError} if the broker takes no more, with
            L{SessionLost} if it is not there any more.
        """
        if self._over:
            return fail(SessionLost("the session is closed"))
        owner = SilentOwner() if owner is None else owner
        opening = self._connector.open(owner)
        self._opening[opening] = None
        return opening.addBoth(self._opened, opening, owner)

    def when_lost(
        self, socket: StompProtocol, lost: Callable[[Exception], object]
    ) -> None:
        """Have something called if a socket of no owner is lost."""
        self._open[socket].lost = lost

    def _opened(
        self,
        result: StompProtocol | Failure,
        opening: Deferred[StompProtocol],
        owner: Any,
    ) -> Any:
        self._opening.pop(opening, None)
        if not isinstance(result, Failure):
            result.errors_are_fatal = self._main.errors_are_fatal
            result.length_is_last = self._main.length_is_last
            self._open[result] = owner
            return result
        if self._over:
            raise SessionLost("the session is closed")
        if result.check(CancelledError, AuthenticationFailed):
            return result
        cause = result.value
        return self.check().addCallback(lambda alive: _refused(alive, cause))

    def check(self) -> Deferred[bool]:
        """
        Ask whether the broker is still there; if it does not answer in time the
        session is lost.

        @return: fires with whether it is.
        """
        checked = self._checking.wait()
        if self._over:
            self._checking.fire(False)
        elif len(self._checking.waiting) == 1:
            seen = fence(self._main).addTimeout(CLOSE_SECONDS, self.clock)
            seen.addCallbacks(lambda _: self._checking.fire(True), self._silent)
        return checked

    def _silent(self, reason: Failure) -> None:
        if not self._over:
            self._lost(
                with_cause(SessionLost("the broker does not answer"), reason.value)
            )

    @asynccontextmanager
    async def short(self) -> AsyncIterator[StompProtocol]:
        """See L{Connections}."""
        socket = await self.open()
        async with self._ended_by_errors(socket):
            yield socket
        await self.leave(socket)

    @asynccontextmanager
    async def declaring(self, name: str = "") -> AsyncIterator[StompProtocol]:
        """See L{Connections}."""
        socket, declared = await self._spare_or_new(name)
        async with self._ended_by_errors(socket):
            yield socket
        self._keep(socket, {*declared, name})

    @asynccontextmanager
    async def _ended_by_errors(self, socket: StompProtocol) -> AsyncIterator[None]:
        try:
            yield
        except (CancelledError, GeneratorExit):
            self.drop(socket)
            raise
        except BaseException:
            await self.leave(socket)
            raise

    async def _spare_or_new(self, name: str) -> tuple[StompProtocol, set[str]]:
        while self._spare:
            socket, declared = self._spare.popitem()
            if socket.alive and not (name and name in declared):
                return socket, declared
            self.leave(socket)
        return await self.open(), set()

    def _keep(self, socket: StompProtocol, declared: set[str]) -> None:
        if self._over or not socket.alive:
            self.drop(socket)
            return
        self._spare[socket] = declared
        if self._call is None:
            self._call = self.clock.callLater(SPARE_SECONDS, self._leave_spare)
        else:
            self._call.reset(SPARE_SECONDS)

    def _leave_spare(self) -> None:
        for socket in self._forget_spare():
            self.leave(socket)

    def _forget_spare(self) -> list[StompProtocol]:
        """Keep none for further declarations."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()
        spare, self._spare = list(self._spare), {}
        return spare

    def of(self, queue: Queue) -> AbstractAsyncContextManager[StompProtocol]:
        """See L{Connections}."""
        owner = self.owners.get(queue.name)
        return self.declaring(queue.name) if owner is None else owner.borrowed()

    # --- ending --------------------------------------------------------------

    def leave(self, socket: StompProtocol) -> Deferred[None]:
        """
        Disconnect one.

        @return: fires when it is gone; never fails.  Cancelling drops it.
        """

        def gone(_: object) -> None:
            self._open.pop(socket, None)

        left: Deferred[None] = Deferred(lambda _: self.drop(socket))
        socket.disconnect().addCallback(gone).chainDeferred(left)
        return left

    def drop(self, socket: StompProtocol) -> None:
        """Drop one."""
        self._open.pop(socket, None)
        socket.abort()

    def end(self) -> None:
        """Drop all, and open none any more."""
        self._over = True
        self._forget_spare()
        self.stop_opening()
        for socket in list(self._open):
            self.drop(socket)
        self._checking.fire(False)

    def stop_opening(self) -> None:
        """Give up those that are being opened."""
        for opening in list(self._opening):
            opening.cancel()

    def end_in_order(self) -> Deferred[Any]:
        """Disconnect all."""
        self._forget_spare()
        return DeferredList([self.leave(socket) for socket in list(self._open)])


def _refused(alive: bool, cause: BaseException | None) -> NoReturn:
    if not alive:
        raise with_cause(SessionLost("the session was lost"), cause)
    raise with_cause(ResourceError(f"cannot open one more connection: {cause}"), cause)
