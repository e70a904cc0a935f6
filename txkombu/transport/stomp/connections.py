"""
The connections of one session: one stands for it, the others come and go.

A host's name may stand for several brokers, and each look-up may lead to another one.
What is published by one connection would then never come by another; so all go to the
address of the first one.  Behind a load balancer an address stands for several brokers,
too: a connection to a broker that calls itself otherwise is refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    FirstError,
    fail,
    gatherResults,
)
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure

from ..._util.steady_clock import steady
from ..._util.waiters import Waiters
from ...exceptions import AuthenticationFailed, ConnectError, ResourceError, SessionLost
from ..connect import check_credentials, connect
from ..endpoints import PeerEndpoint, place_of
from ..errors import with_cause
from ..protocol import CLOSE_SECONDS
from ..tls import KeptTLS
from .protocol import ProtocolOwner, StompProtocol, fence

if TYPE_CHECKING:
    from ...entity import Queue
    from ...url.parameters import Parameters

SPARE_SECONDS: Final = 0.2
"""How long to keep a connection for the next declaration: opening one takes time."""

_DECLARED_MOST: Final = 200
"""What is declared on a connection before another one takes its place."""


async def all_of(waiting: Sequence[Deferred[None]]) -> None:
    """Wait until all have fired; raise the error of the first that failed."""
    try:
        await gatherResults(waiting, consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()


class Connector:
    """Opens connections, all to the same broker; C{place} names it for people."""

    def __init__(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
    ) -> None:
        self.place = place_of(parameters, endpoint)
        self.clock = clock
        self._parameters = parameters
        self._endpoint = endpoint
        self._tls = KeptTLS(parameters.tls, parameters.hostname)
        self._first: StompProtocol | None = None
        self._rules = True, False

    def follow(self, errors_are_fatal: bool, length_is_last: bool) -> None:
        """Have all connections follow a dialect's rules, the first one included."""
        self._rules = errors_are_fatal, length_is_last
        if self._first is not None:
            self._first.follow(*self._rules)

    def open(self, owner: ProtocolOwner) -> Deferred[StompProtocol]:
        """Connect once more, and log in; fails as L{IBrokerTransport.connect}."""
        if self._first is None:
            try:
                check_credentials(self._parameters)
            except ConnectError as error:
                return fail(error)
            if self._parameters.auth_mechanism == "EXTERNAL":
                text = "STOMP logs in by user and password, not by EXTERNAL"
                return fail(AuthenticationFailed(text))
        socket = StompProtocol(
            self._parameters, self.place, self.clock, owner, self._rules
        )
        opening = connect(
            socket, self._parameters, self._endpoint, self.clock, self._tls
        )
        return opening.addCallbacks(self._opened, self._failed)

    def _failed(self, reason: Failure) -> Failure:
        self._tls.forget()  # its certificates may have expired
        return reason

    def _opened(self, socket: StompProtocol) -> StompProtocol:
        first = self._first
        if first is None:
            self._first = socket
            peer = socket.transport.getPeer()
            if self._endpoint is None and isinstance(peer, IPv4Address | IPv6Address):
                self._endpoint = PeerEndpoint(self._parameters, peer, self.clock)
        elif (socket.server, socket.process) != (first.server, first.process):
            socket.abort()
            raise ConnectError(
                f"{self.place} leads to another broker, {_shown(socket)}, than that of "
                f"this session, {_shown(first)}: give it a name or an address that "
                "leads to one broker; several can be given, with ';' between"
            )
        return socket


def _shown(socket: StompProtocol) -> str:
    """Return what a broker calls itself."""
    names = [repr(each) for each in (socket.server, socket.process) if each]
    return " ".join(names) or "which has no name"


class SilentOwner:
    """The owner of a connection on which little is written."""

    def __init__(self) -> None:
        self._lost: Callable[[Exception], object] = lambda reason: None

    def when_lost(self, lost: Callable[[Exception], object]) -> None:
        """Have a function called with the reason if the connection is lost."""
        self._lost = lost

    def socket_lost(self, reason: Exception) -> None:
        self._lost(reason)

    def write_paused(self) -> None:
        """Ignore that."""

    def write_resumed(self) -> None:
        """Ignore that."""


class ConnectionPool:
    """
    Opens the connections of one session, and ends them with it.

    @ivar own: the connections of exclusive queues, by the names of these.
    """

    def __init__(
        self,
        connector: Connector,
        main: StompProtocol,
        lost: Callable[[Exception], object],
    ) -> None:
        self.clock: IReactorTime = connector.clock
        self.own: dict[str, StompProtocol] = {}
        self._connector = connector
        self._main = main
        self._lost = lost
        self._opening: dict[Deferred[StompProtocol], None] = {}
        self._open: dict[StompProtocol, Any] = {}
        self._checking: Waiters[bool] = Waiters()
        self._over = False
        self._gone: dict[StompProtocol, Callable[[], object]] = {}
        self._spare: StompProtocol | None = None
        self._call: IDelayedCall | None = None

    def open(self, owner: Any = None) -> Deferred[StompProtocol]:
        """Open one more connection; the caller has to L{leave} or L{drop} it."""
        if self._over:
            return fail(SessionLost("the session is closed"))
        owner = SilentOwner() if owner is None else owner
        opening = self._connector.open(owner)
        self._opening[opening] = None
        return opening.addBoth(self._opened, opening, owner)

    def _opened(self, result: StompProtocol | Failure, opening: Any, owner: Any) -> Any:
        self._opening.pop(opening, None)
        if not isinstance(result, Failure):
            self._open[result] = owner
            return result
        if self._over:
            raise SessionLost("the session is closed")
        if result.check(CancelledError, AuthenticationFailed):
            return result
        cause = result.value

        def checked(alive: bool) -> None:
            if not alive:
                raise with_cause(SessionLost("the session was lost"), cause)
            text = f"cannot open one more connection: {cause}"
            raise with_cause(ResourceError(text), cause)

        return self.check().addCallback(checked)

    def when_lost(
        self, socket: StompProtocol, lost: Callable[[Exception], object]
    ) -> None:
        """Have a function called if a connection without an owner is lost."""
        self._open[socket].when_lost(lost)

    def when_gone(self, socket: StompProtocol, gone: Callable[[], object]) -> None:
        """Have a function called when one was left or dropped, for whatever reason."""
        self._gone[socket] = gone

    def check(self) -> Deferred[bool]:
        """Ask the broker whether it is there; the session is lost if it is silent."""

        def silent(reason: Failure) -> None:
            if not self._over:
                lost = SessionLost("the broker does not answer")
                self._lost(with_cause(lost, reason.value))

        checked = self._checking.wait()
        if self._over:
            self._checking.fire(False)
        elif len(self._checking.waiting) == 1:
            seen = fence(self._main).addTimeout(CLOSE_SECONDS, steady(self.clock))
            seen.addCallbacks(lambda _: self._checking.fire(True), silent)
        return checked

    @asynccontextmanager
    async def declaring(self, name: str = "") -> AsyncIterator[StompProtocol]:
        """
        Open a connection, or take the one that was kept after a declaration.

        No trace may be left on it that others would notice.  An error in the context
        disconnects it, and a cancellation drops it.

        @param name: something that may be declared only once on a connection.
        """
        socket, self._spare = self._spare, None
        if socket is not None and not _can_declare(socket, name):
            self.leave(socket)
            socket = None
        if socket is None:
            socket = await self.open()
        try:
            yield socket
        except (CancelledError, GeneratorExit):
            self.drop(socket)
            raise
        except BaseException:
            await self.leave(socket)
            raise
        if self._over or not socket.alive:
            self.drop(socket)
            return
        self._leave_spare()
        self._spare = socket
        if name:
            socket.declared.add(name)
        self._call = steady(self.clock).callLater(SPARE_SECONDS, self._leave_spare)

    def _leave_spare(self) -> None:
        """Keep no connection for further declarations."""
        socket, self._spare = self._spare, None
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()
        if socket is not None:
            self.leave(socket)

    @asynccontextmanager
    async def of(self, queue: Queue) -> AsyncIterator[StompProtocol]:
        """Give an exclusive queue's own connection, or one as L{declaring}."""
        if queue.name in self.own:
            yield self.own[queue.name]
        else:
            async with self.declaring(queue.name) as socket:
                yield socket

    def leave(self, socket: StompProtocol) -> Deferred[None]:
        """Disconnect one; never fails.  Cancelling drops it."""

        left: Deferred[None] = Deferred(lambda _: self.drop(socket))
        gone = socket.close().addCallback(lambda _: self._forget(socket))
        gone.chainDeferred(left)
        return left

    def drop(self, socket: StompProtocol) -> None:
        """Drop one."""
        self._forget(socket)
        socket.abort()

    def _forget(self, socket: StompProtocol) -> None:
        self._open.pop(socket, None)
        gone = self._gone.pop(socket, None)
        if gone is not None:
            gone()

    def end(self) -> None:
        """Drop all, and open none any more."""
        self.stop_opening()
        self._leave_spare()
        for socket in list(self._open):
            self.drop(socket)
        self._checking.fire(False)

    def stop_opening(self) -> None:
        """Open no more, and give up those that are being opened."""
        self._over = True
        for opening in list(self._opening):
            opening.cancel()

    def end_in_order(self) -> Deferred[Any]:
        """Disconnect all."""
        self._leave_spare()
        return DeferredList([self.leave(socket) for socket in list(self._open)])


def _can_declare(socket: StompProtocol, name: str) -> bool:
    """Tell whether a spare connection can serve a further declaration."""
    declared = socket.declared
    return socket.alive and name not in declared and len(declared) < _DECLARED_MOST
