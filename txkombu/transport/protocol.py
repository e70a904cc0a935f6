"""
The Twisted protocol of one connection to a broker, whatever is spoken there.

It logs in, and is open; it is closed by this program, or ends otherwise; C{TABLE}
says in which order.  All that is outstanding fires when it ends.  The socket may
live on a while: it is asked to close once everything written is out, and dropped
if that takes longer than C{CLOSE_SECONDS}.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import Any, ClassVar, Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from .._util.awaitables import call_logged
from .._util.debug_log import debug_log
from .._util.state_machine import next_state
from .._util.steady_clock import steady
from .._util.waiters import Waiters
from ..exceptions import ConnectError, KombuError, ProtocolError, SessionLost
from .endpoints import connect_error
from .errors import lost_by, with_cause
from .heartbeat import Heartbeat

CLOSE_SECONDS: Final = 5.0
"""How long to wait for the broker's answer to a close, and again for the socket."""
BUFFER_SIZE: Final = 256 * 1024
"""How many bytes may wait for the socket before it reports that it is full."""


class State(Enum):
    """Where a connection is."""

    LOGIN = "logging in"
    OPEN = "open"
    CLOSING = "closing"
    """The broker was told that this program closes the connection."""
    OVER = "over"


class Event(Enum):
    """What happens to a connection."""

    LOGGED_IN = "log in"
    CLOSE = "close"
    """This program closes it."""
    END = "end"
    """It is closed on both sides, aborted, lost, refused, silent or broken."""


TABLE: Final = {
    (State.LOGIN, Event.LOGGED_IN): State.OPEN,
    (State.OPEN, Event.CLOSE): State.CLOSING,
    (State.LOGIN, Event.END): State.OVER,
    (State.OPEN, Event.END): State.OVER,
    (State.CLOSING, Event.END): State.OVER,
}

OPEN: Final = State.OPEN
OVER: Final[Any] = State.OVER  # Any, as mypy does not see that callbacks change a state


class WriteWatcher(Protocol):
    """What learns whether the socket has room."""

    def write_paused(self) -> object:
        """Learn that the socket's buffer is full."""

    def write_resumed(self) -> object:
        """Learn that the socket has room again."""


@implementer(IPushProducer)
class BrokerProtocol(TwistedProtocol):
    """
    One connection to one broker; abstract.

    @cvar speaks: the protocol that is spoken, for errors.
    @cvar silence: how long the broker may say nothing, for errors.
    @ivar login: fires with this protocol once it is open, or fails with why not;
        does not fire if it is aborted before.
    """

    speaks: ClassVar[str]
    silence: ClassVar[str]
    transport: Any  # both ITCPTransport and IConsumer
    login: Deferred[Any]

    _log = Logger()

    def __init__(
        self,
        place: str,
        clock: IReactorTime,
        owner: WriteWatcher,
        on_lost: Callable[[KombuError], object],
    ) -> None:
        """
        @param place: what is connected to, for errors.
        @param owner: learns while the connection is open whether it has room.
        @param on_lost: called with the reason, once, when the connection ends while it
            is open, unless this program ended it; before anything outstanding fires.
        """
        self.login = Deferred()
        self._place = place
        self._clock = clock
        self._owner = owner
        self._on_lost = on_lost
        self._state = State.LOGIN
        self._heartbeat = Heartbeat(clock, self._beat, self._silent, self._has_written)
        self._wrote = False
        self._is_full = False
        self._gone = False
        self._close_call: IDelayedCall | None = None
        self._closed: Waiters[None] = Waiters()

    @property
    def heartbeat(self) -> float:
        """Seconds between the heartbeats that were agreed on; 0 for none."""
        return self._heartbeat.agreed

    # --- what a subclass provides --------------------------------------------

    @property
    @abstractmethod
    def answered(self) -> bool:
        """Whether the broker has said anything."""

    @abstractmethod
    def _begin(self) -> None:
        """
        Begin to log in: the socket is connected.

        @raise ConnectError: the credentials cannot be sent.
        """

    @abstractmethod
    def _receive(self, data: bytes) -> None:
        """
        Take bytes.

        @raise ConnectError: the broker refuses the login.
        @raise ProtocolError: they break the protocol.
        """

    @abstractmethod
    def _beat(self) -> None:
        """Write a heartbeat."""

    @abstractmethod
    def _say_goodbye(self) -> None:
        """Tell the broker that this program closes the connection."""

    @abstractmethod
    def _fail_outstanding(self, reason: KombuError, wanted: bool) -> None:
        """
        Stop what still runs, and fire everything outstanding: it is over.

        @param wanted: this program ended it.
        """

    def _prepare_close(self) -> None:
        """Write what has to be written before the connection is closed."""

    def _break_off(self, error: ProtocolError) -> None:
        """End after the broker broke the protocol."""
        self._finish(error)

    def _reason_of_loss(self, cause: BaseException) -> KombuError:
        """Return the error for a socket that went away by itself."""
        return lost_by(cause, self._heartbeat.note_of_stall())

    # --- what Twisted calls --------------------------------------------------

    def connectionMade(self) -> None:
        if self._state is OVER:
            self.transport.abortConnection()
            return
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            _socket_of(self.transport).bufferSize = BUFFER_SIZE
        try:
            self._begin()
        except ConnectError as error:
            self._refused(error)

    def dataReceived(self, data: bytes) -> None:
        if self._state is OVER:
            return
        self._heartbeat.heard()
        try:
            self._receive(data)
        except ConnectError as error:
            self._refused(error)
        except ProtocolError as error:
            if self._state is not OVER:
                self._broken(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._gone:
            return
        cause: BaseException = reason.value  # type: ignore[assignment]  # Twisted says Exception or None
        if self._state is State.LOGIN:
            self._end(connect_error(self._place, cause, self.answered))
        else:
            self._end(self._reason_of_loss(cause))
        self._vanish()

    def pauseProducing(self) -> None:
        """Tell the owner, once, that the socket's buffer is full."""
        if self._state is OPEN and not self._is_full:
            self._is_full = True
            call_logged("write_paused", self._owner.write_paused)

    def resumeProducing(self) -> None:
        """Tell the owner that the socket has room again."""
        if self._state is OPEN and self._is_full:
            self._is_full = False
            call_logged("write_resumed", self._owner.write_resumed)

    def stopProducing(self) -> None:
        """Do nothing: C{connectionLost} follows."""

    # --- what the owner calls ------------------------------------------------

    def write(self, data: bytes) -> None:
        """
        Write whole frames.

        Note before what they are answered with: writing may call back.
        """
        self._wrote = True
        self.transport.write(data)

    def note_write(self) -> None:
        """Count what was written otherwise: no heartbeat is due."""
        self._wrote = True

    def close(self) -> Deferred[None]:
        """
        Tell the broker, await its answer, then close the socket; each wait is bounded.

        @return: fires when the socket is gone, however that came; never fails.
        """
        if self._gone:
            return succeed(None)
        if self._state is State.LOGIN:
            self.abort()
            return succeed(None)
        closed = self._closed.wait()
        if self._state is OPEN:
            self._prepare_close()
        if self._state is OPEN:
            self._step(Event.CLOSE)
            self._limit_close()
            self._say_goodbye()
        return closed

    def abort(self) -> None:
        """Drop the connection now; everything outstanding fires in this call."""
        if not self._gone:
            self._end(SessionLost("this program dropped the connection"), wanted=True)
            self._drop()

    # --- its end -------------------------------------------------------------

    def _step(self, event: Event) -> None:
        self._state = next_state("a connection", TABLE, self._state, event)

    def _logged_in(self) -> None:
        """Note that the login has succeeded, and fire C{login}."""
        self._step(Event.LOGGED_IN)
        self.transport.registerProducer(self, True)
        debug_log.tell(self._log, "logged in at {place}", place=self._place)
        self.login.callback(self)

    def _refused(self, error: ConnectError) -> None:
        """End because the login failed; drop the socket, as some brokers do not."""
        self._end(error)
        self._drop()

    def _broken(self, error: ProtocolError) -> None:
        if self._state is State.LOGIN:
            text = f"{self._place} does not speak {self.speaks}: {error}"
            self._refused(with_cause(ConnectError(text), error))
        else:
            self._break_off(error)

    def _silent(self) -> None:
        note = self._heartbeat.note_of_stall()
        self._end(SessionLost(f"nothing came from the broker for {self.silence}{note}"))
        self._drop()

    def _closed_by_us(self) -> None:
        """End: the broker has answered the close."""
        self._finish(SessionLost("this program closed the connection"), wanted=True)

    def _finish(self, reason: KombuError, wanted: bool = False) -> None:
        """End, and close the socket once everything written is out."""
        self._leave()
        self._end(reason, wanted)

    def _end(self, reason: KombuError, wanted: bool = False) -> None:
        """
        Tell the owner, and fire everything outstanding; nothing if it is over.

        @param wanted: this program ended it.
        """
        before = self._state
        if before is OVER:
            return
        self._step(Event.END)
        self._heartbeat.stop()
        if before is OPEN and not wanted:
            text = "lost {place}: {reason}"
            debug_log.tell(self._log, text, place=self._place, reason=reason)
            call_logged("session_lost", self._on_lost, reason)
        self._fail_outstanding(reason, wanted)
        if before is State.LOGIN and not wanted:
            self.login.errback(Failure(reason))

    # --- the socket's end ----------------------------------------------------

    def _leave(self) -> None:
        """
        Close the socket once everything written is out.

        A registered producer would keep it open for ever, and so would a peer that
        reads nothing.
        """
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self._limit_close()

    def _limit_close(self) -> None:
        """Drop the socket if it is still there after C{CLOSE_SECONDS}."""
        if self._gone:  # writing may have called back
            return
        if self._close_call is not None:
            self._close_call.cancel()
        self._close_call = steady(self._clock).callLater(CLOSE_SECONDS, self._late)

    def _late(self) -> None:
        self._close_call = None
        self._end(SessionLost("this program closed the connection"), wanted=True)
        self._drop()

    def _drop(self) -> None:
        """Close the socket at once."""
        if self.transport is not None:
            self.transport.abortConnection()
        self._vanish()

    def _vanish(self) -> None:
        """Tell who waits for the close: the socket is gone, or going."""
        if self._gone:
            return
        self._gone = True
        call, self._close_call = self._close_call, None
        if call is not None:
            call.cancel()
        self._closed.fire(None)

    def _has_written(self) -> bool:
        """Tell whether anything was written since this was asked last."""
        wrote, self._wrote = self._wrote, False
        return wrote


def _socket_of(transport: Any) -> Any:
    """Return the transport of a socket, which may be wrapped for TLS."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport
