"""
One TCP connection to a broker that speaks STOMP 1.2: the Twisted protocol.

::

    state     event                           then      what happens
    LOGIN     CONNECTED                       OPEN      C{login} fires
    LOGIN     ERROR, loss, broken protocol    OVER      C{login} fails
    OPEN      disconnect()                    CLOSING   DISCONNECT is written
    OPEN      ERROR that is fatal, loss,      OVER
              broken protocol, silence
    CLOSING   RECEIPT for the DISCONNECT,     OVER
              ERROR that is fatal, loss
    CLOSING   nothing for some seconds        OVER      the socket is dropped
    any       abort()                         OVER      the socket is dropped

All that is outstanding fires on reaching OVER.  The socket may live on a while:
it is asked to close once what was written is out, and dropped after some seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..._util.failures import without_frames
from ...exceptions import (
    BrokerError,
    ConnectError,
    KombuError,
    ProtocolError,
    SessionLost,
)
from ..closing import ClosingProtocol
from ..endpoints import connect_error
from ..errors import copy_error, ended, lost_by, with_cause
from ..heartbeat import Heartbeat
from .interfaces import IProtocolOwner
from .receipts import Receipts, Waiter
from .wire.errors import cancellation_of, error_of, is_provisional
from .wire.frames import END, HEARTBEAT, Frame, encode_frame
from .wire.login import Agreed, StompLogin, login_frame
from .wire.parser import ERROR, MESSAGE, RECEIPT, StompFrameParser

if TYPE_CHECKING:
    from ...url.parameters import Parameters

__all__ = ["TOLERANCE", "IProtocolOwner", "StompProtocol"]

TOLERANCE: Final = 2.5
"""
The broker is dead after so many of its intervals without a byte, unless the
parameters say otherwise.  ActiveMQ looks once an interval whether it wrote since it
last looked, and so may say nothing for two of them, which it does right after a
login.
"""

_DOUBT_SECONDS: Final = 1.0
"""How long to wait for a better error; see L{is_provisional}."""

_JOINED_MOST: Final = 16 * 1024
"""Bytes of a body that are copied rather than written by themselves."""


class _ProtocolState(Enum):
    LOGIN = "login"
    OPEN = "open"
    CLOSING = "closing"
    OVER = "over"


_OPEN: Final = _ProtocolState.OPEN
_OVER: Final[Any] = (
    _ProtocolState.OVER
)  # mypy does not see that callbacks change the state


@implementer(IPushProducer)
class StompProtocol(ClosingProtocol):
    """
    One connection to one broker.

    @ivar login: fires with the socket once it is open, or fails with why not;
        does not fire if it is aborted before.
    @ivar name: one that no other has.
    @ivar server: what the broker says it is, as C{"RabbitMQ/3.10.8"}; C{""} if
        it hides that.
    @ivar process: what tells the broker's process from others; C{""} if it does
        not say.
    @ivar errors_are_fatal: whether every ERROR ends the socket; else one that
        names a receipt fails only that.
    """

    _log = Logger()

    server = ""
    process = ""

    def __init__(
        self,
        parameters: Parameters,
        place: str,
        clock: IReactorTime,
        owner: IProtocolOwner,
    ) -> None:
        """
        @param place: what is connected to, for errors.
        """
        super().__init__(clock)
        self.login: Deferred[StompProtocol] = Deferred()
        self.name = uuid4().hex
        self.errors_are_fatal = True
        self._parameters = parameters
        self._place = place
        self._owner = owner
        self._state = _ProtocolState.LOGIN
        self._handshake = StompLogin(parameters, place)
        self._parser = StompFrameParser(max_body=parameters.max_message_size)
        self._heartbeat = Heartbeat(clock, self._beat, self._silent)
        self._receipts = Receipts()
        self._doubt: BrokerError | None = None
        self._doubt_call: IDelayedCall | None = None
        self._subscriptions: dict[
            str, tuple[Callable[[Frame], object], Callable[[Exception], object]]
        ] = {}

    @property
    def answered(self) -> bool:
        """See L{LogsIn.answered}."""
        return self._handshake.answered

    # --- what Twisted calls --------------------------------------------------

    def connectionMade(self) -> None:
        if self._state is _OVER:
            self.transport.abortConnection()
            return
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        try:
            self.transport.write(login_frame(self._parameters))
        except ConnectError as error:
            self._refused(error)

    def dataReceived(self, data: bytes) -> None:
        if self._state is _OVER:
            return
        self._heartbeat.heard()
        try:
            if self._state is _ProtocolState.LOGIN:
                data = self._log_in(data)
            self._take(data)
        except ConnectError as error:
            self._refused(error)
        except ProtocolError as error:
            if self._state is not _OVER:
                self._broken(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._gone:
            return
        cause: BaseException = reason.value  # type: ignore[assignment]  # Twisted says Exception or None
        if self._state is _ProtocolState.LOGIN:
            self._end(connect_error(self._place, cause, self.answered))
        else:
            note = self._heartbeat.note_of_stall()
            self._end(self._doubt or lost_by(cause, note))
        self._vanish()

    def pauseProducing(self) -> None:
        """The transport has enough for now."""
        if self._state is _OPEN:
            self._tell(self._owner.write_paused)

    def resumeProducing(self) -> None:
        """The transport has room again."""
        if self._state is _OPEN:
            self._tell(self._owner.write_resumed)

    def stopProducing(self) -> None:
        """The transport is lost; C{connectionLost} follows."""

    # --- what the owner calls ------------------------------------------------

    @property
    def length_is_last(self) -> bool:
        """See L{StompFrameParser}."""
        return self._parser.length_is_last

    @length_is_last.setter
    def length_is_last(self, value: bool) -> None:
        self._parser.length_is_last = value

    @property
    def alive(self) -> bool:
        """Whether it is logged in, and neither lost nor closing."""
        return self._state is _OPEN

    def write(self, frames: bytes) -> None:
        """Write whole frames; nothing unless the socket is alive."""
        if self._state is _OPEN:
            self._heartbeat.idle = 0
            self.transport.write(frames)

    def write_message(self, head: bytes, body: bytes) -> None:
        """
        Write one frame.

        @param head: its command and headers, with the blank line.
        @param body: not copied if it is large; C{content-length} is in the head.
        """
        if len(body) <= _JOINED_MOST:
            self.write(b"%b%b\0" % (head, body))
        elif self._state is _OPEN:
            self._heartbeat.idle = 0
            self.transport.writeSequence((head, body, END))

    def receipt(self) -> tuple[str, Deferred[None]]:
        """
        Ask for a receipt.

        @return: what to write as C{receipt} of the next frame, and a Deferred
            that fires when the broker has handled that, and fails with the
            broker's error, or with L{txkombu.exceptions.SessionLost}.
            Cancelling it stops only the waiting.
        """
        if self._state is not _OPEN:
            return "", fail(SessionLost("the connection is closed"))
        return self._receipts.wait()

    def expect(self, waiter: Waiter) -> str:
        """
        Ask for a receipt, in a cheaper way.

        @param waiter: called with C{None} when the broker has handled the frame,
            with the error if an ERROR names its receipt; B{not} when the socket
            ends: C{socket_lost} says that.
        @return: what to write as C{receipt}.
        """
        return self._receipts.expect(waiter)

    def subscribe(
        self,
        id: str,
        on_message: Callable[[Frame], object],
        on_cancelled: Callable[[Exception], object],
    ) -> None:
        """
        Have the messages of a subscription handed to somebody.  Writes nothing.

        @param on_cancelled: called with L{ConsumerCancelled}, once, if the broker
            ends the subscription and the socket lives on.
        """
        self._subscriptions[id] = on_message, on_cancelled

    def unsubscribe(self, id: str) -> None:
        """Drop what still comes for a subscription.  Writes nothing."""
        self._subscriptions.pop(id, None)

    def disconnect(self) -> Deferred[None]:
        """
        Close in order: DISCONNECT, its receipt, TCP; each wait bounded, then
        abort.  Messages that still come are dropped.

        @return: fires when the connection is gone; never fails, and fires also
            if it was lost or closed before.  C{socket_lost} is not called.
        """
        if self._gone:
            return succeed(None)
        if self._state is _ProtocolState.LOGIN:
            self.abort()
            return succeed(None)
        closed = self._closed.wait()
        if self._state is _OPEN:
            self._say_goodbye()
        return closed

    def abort(self) -> None:
        """
        Drop the connection now.  Everything outstanding fires in this call;
        C{socket_lost} is not called.
        """
        if self._gone:
            return
        self._end(SessionLost("this program dropped the connection"), wanted=True)
        self._drop()

    # --- what comes ----------------------------------------------------------

    def _log_in(self, data: bytes) -> bytes:
        """
        @return: what came after the login.
        """
        answer = self._handshake.feed(data)
        if answer is None:
            return b""
        agreed, rest = answer
        self._open(agreed)
        return rest

    def _open(self, agreed: Agreed) -> None:
        self.server = agreed.server
        self.process = agreed.process
        tolerance = self._parameters.heartbeat_tolerance or TOLERANCE
        self._heartbeat.start(agreed.sends, agreed.hears, tolerance)
        self._state = _OPEN
        self.transport.registerProducer(self, True)
        self.login.callback(self)

    def _take(self, data: bytes) -> None:
        for frame in self._parser.feed(data):
            if self._state is _OVER:
                return
            if self._doubt is not None and frame.command != ERROR:
                continue
            if frame.command == MESSAGE:
                if self._state is _OPEN:
                    self._take_message(frame)
            elif frame.command == RECEIPT:
                self._receipts.answer(frame.headers.get("receipt-id", ""))
            else:
                self._take_error(frame)

    def _take_message(self, frame: Frame) -> None:
        subscription = self._subscriptions.get(frame.headers.get("subscription", ""))
        if subscription is not None:
            try:
                subscription[0](frame)
            except Exception:
                self._log.failure(
                    "handing a message out failed", without_frames(Failure())
                )

    def _take_error(self, frame: Frame) -> None:
        cancellation = cancellation_of(frame)
        number = frame.headers.get("receipt-id")
        if cancellation is not None:
            self._cancelled(*cancellation)
        elif number is not None and not self.errors_are_fatal:
            self._receipts.answer(number, error_of(frame))
        elif self._state is _OPEN and is_provisional(frame):
            self._wait_for_better(error_of(frame))
        else:
            self._ended_by(error_of(frame))

    def _wait_for_better(self, error: BrokerError) -> None:
        """What comes meanwhile may be about frames that failed: it is dropped."""
        if self._doubt is None:
            self._doubt = error
            self._doubt_call = self._clock.callLater(
                _DOUBT_SECONDS, self._ended_by, error
            )

    def _ended_by(self, error: KombuError) -> None:
        self._leave()
        self._end(error)

    def _cancelled(self, id: str, error: Exception) -> None:
        subscription = self._subscriptions.pop(id, None)
        if subscription is not None:
            self._tell(subscription[1], error)

    def _say_goodbye(self) -> None:
        receipt = self._receipts.expect(self._goodbye_said)
        self.write(encode_frame("DISCONNECT", [("receipt", receipt)]))
        self._state = _ProtocolState.CLOSING
        self._limit_close()

    def _goodbye_said(self, _: Exception | None) -> None:
        self._leave()
        self._end(SessionLost("this program closed the connection"), wanted=True)

    def _refused(self, error: ConnectError) -> None:
        """RabbitMQ leaves the socket of a failed login open."""
        self._end(error)
        self._drop()

    def _broken(self, error: ProtocolError) -> None:
        if self._state is _ProtocolState.LOGIN:
            text = f"{self._place} does not speak STOMP 1.2: {error}"
            self._refused(with_cause(ConnectError(text), error))
            return
        self._ended_by(error)

    def _beat(self) -> None:
        self.write(HEARTBEAT)

    def _silent(self) -> None:
        note = self._heartbeat.note_of_stall()
        self._end(SessionLost(f"nothing came from the broker for its heart-beat{note}"))
        self._drop()

    def _tell(self, callback: Callable[..., object], *what: object) -> None:
        """Call the owner's code, whose errors are not ours."""
        try:
            callback(*what)
        except Exception:
            self._log.failure(
                "{callback} failed", without_frames(Failure()), callback=callback
            )

    # --- the end -------------------------------------------------------------

    def _end(self, reason: KombuError, wanted: bool = False) -> None:
        """Tell the owner, and fire everything outstanding."""
        before, self._state = self._state, _ProtocolState.OVER
        if before is _ProtocolState.OVER:
            return
        self._heartbeat.stop()
        call, self._doubt_call = self._doubt_call, None
        if call is not None and call.active():
            call.cancel()
        if before is _OPEN and not wanted:
            self._log.debug("lost {place}: {reason}", place=self._place, reason=reason)
            self._tell(self._owner.socket_lost, reason)
        self._receipts.drain(lambda: _outstanding(reason))
        if before is _ProtocolState.LOGIN and not wanted:
            self.login.errback(Failure(reason))


def _outstanding(reason: KombuError) -> KombuError:
    """The error of one who waited when a socket ended."""
    if isinstance(reason, BrokerError):
        return copy_error(reason)
    if isinstance(reason, SessionLost):
        return ended(reason)
    return with_cause(SessionLost(f"the connection ended: {reason}"), reason)
