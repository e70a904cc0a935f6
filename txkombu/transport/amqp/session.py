"""
A session on AMQP 0-9-1: the Twisted protocol, without its bytes.

::

    state     event                         then      what happens
    LOGIN     connection.open-ok            OPEN      C{login} fires
    LOGIN     close, loss, broken protocol  OVER      C{login} fails
    OPEN      close()                       CLOSING   connection.close is written
    OPEN      connection.close from broker  OVER      close-ok is written
    OPEN      loss, broken protocol         OVER
    CLOSING   connection.close-ok or close  OVER
    CLOSING   nothing for some seconds      OVER      the socket is dropped
    any       abort()                       OVER      the socket is dropped

All that is outstanding fires on reaching OVER.  The socket may live on a while:
it is asked to close once what was written is out, and dropped after some seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from pamqp import commands
from pamqp.base import Frame as Method
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
    ResourceError,
    SessionLost,
)
from ...interfaces import (
    Capability,
    IRenewableSession,
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
)
from ..endpoints import connect_error
from ..errors import ended, lost_by, with_cause
from .channel import AmqpSessionChannel
from .channel_numbers import ChannelNumbers
from .interfaces import WireProtocol
from .refusals import channels_refused
from .requests import Request, Requests
from .topology import nothing
from .wire.adapter_frames import frame_size
from .wire.errors import error_of
from .wire.login import AmqpLogin, Answers, Tuning

if TYPE_CHECKING:
    from ...url.parameters import Parameters

_Connection = commands.Connection

_SUCCESS: Final = 200
_FRAME_ERROR: Final = 501


class _SessionState(Enum):
    LOGIN = "login"
    OPEN = "open"
    CLOSING = "closing"
    OVER = "over"


OVER: Final[Any] = (
    _SessionState.OVER
)  # mypy does not see that callbacks change the state


@implementer(IRenewableSession, IPushProducer)
class AmqpSession(WireProtocol):
    """
    One connection to one broker.

    A transport provides what is abstract in L{WireProtocol}, and calls
    L{take_method} and L{take_content}.

    @ivar login: fires with the session once it is open, or fails with why not;
        does not fire if it is aborted before.
    @ivar warned: the queues that their owner was warned of.
    @ivar max_message_size: the most bytes of a body that may come.
    """

    _log = Logger()

    product = version = ""
    capabilities = frozenset(Capability)

    def __init__(
        self,
        parameters: Parameters,
        place: str,
        clock: IReactorTime,
        listener: ISessionListener,
        warned: set[str] | None = None,
    ) -> None:
        """
        @param place: what is connected to, for errors.
        @param warned: the queues that their owner was warned of; shared with
            the sessions before and after.
        """
        super().__init__(clock)
        self.login: Deferred[ISession] = Deferred()
        self.warned = set() if warned is None else warned
        self.max_message_size = parameters.max_message_size
        self._place = place
        self._listener = listener
        self._state = _SessionState.LOGIN
        self._handshake = AmqpLogin(parameters, place)
        self._channels: dict[int, AmqpSessionChannel] = {}
        self._numbers = ChannelNumbers(0)
        self._requests = Requests()
        self._receiving = False
        self._unflushed: dict[AmqpSessionChannel, None] = {}
        self._flush_call: IDelayedCall | None = None

    @property
    def over(self) -> bool:
        """Whether nothing that comes counts any more."""
        return self._state is _SessionState.OVER

    @property
    def answered(self) -> bool:
        """See L{LogsIn.answered}."""
        return self._handshake.answered

    # --- what Twisted calls --------------------------------------------------

    def connectionMade(self) -> None:
        if self._state is _SessionState.OVER:
            self.transport.abortConnection()
            return
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self._begin()

    def dataReceived(self, data: bytes) -> None:
        if self._state is OVER:
            return
        self._heartbeat.heard()
        self._receiving = True
        try:
            self._feed(data)
        except ProtocolError as error:
            self._broken(error)
        finally:
            self._receiving = False
        if self._state is not OVER:
            self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._gone:
            return
        cause: BaseException = reason.value  # type: ignore[assignment]  # Twisted says Exception or None
        if self._state is _SessionState.LOGIN:
            self._end(connect_error(self._place, cause, self.answered))
        else:
            self._end(lost_by(cause, self._heartbeat.note_of_stall()))
        self._vanish()

    def pauseProducing(self) -> None:
        """The transport has enough for now."""
        if self._state is _SessionState.OPEN:
            self._tell(self._listener.write_paused)

    def resumeProducing(self) -> None:
        """The transport has room again."""
        if self._state is _SessionState.OPEN:
            self._tell(self._listener.write_resumed)

    def stopProducing(self) -> None:
        """The transport is lost; C{connectionLost} follows."""

    # --- what channels call --------------------------------------------------

    def flush_soon(self, channel: AmqpSessionChannel) -> None:
        """Call a channel's C{flush} before this reactor turn is over."""
        self._unflushed[channel] = None
        if self._flush_call is None and not self._receiving:
            self._flush_call = self._clock.callLater(0, self._flush_late)

    def release(self, number: int) -> None:
        """A channel is closed on both sides."""
        if self._channels.pop(number, None) is not None:
            self._numbers.give_back(number)

    def _flush_late(self) -> None:
        self._flush_call = None
        self._flush()

    def _flush(self) -> None:
        while self._unflushed:
            channel, _ = self._unflushed.popitem()
            channel.flush()

    # --- what the user calls -------------------------------------------------

    def open_channel(
        self, listener: ISessionChannelListener
    ) -> Deferred[ISessionChannel]:
        if self._state is not _SessionState.OPEN:
            return fail(SessionLost("the session is closed"))
        try:
            number = self._numbers.allocate()
        except ResourceError as error:
            return fail(error)
        channel = self._channels[number] = self._new_channel(number, listener)
        opened: Deferred[Any] = channel.open()
        return opened.addCallback(lambda _: channel)

    def _new_channel(
        self, number: int, listener: ISessionChannelListener
    ) -> AmqpSessionChannel:
        """Make a channel, without opening it."""
        return AmqpSessionChannel(self, number, listener)

    def update_secret(self, secret: str, reason: str) -> Deferred[None]:
        method = _Connection.UpdateSecret
        packet = self.pack(0, method, new_secret=secret, reason=reason)
        if self._state is not _SessionState.OPEN:
            return fail(SessionLost("the session is closed"))
        request = Request(method, "", nothing)
        deferred = request.deferred
        assert deferred is not None
        self._requests.add_request(request)
        self.put(packet)
        return deferred

    def close(self) -> Deferred[None]:
        if self._gone:
            return succeed(None)
        if self._state is _SessionState.LOGIN:
            self.abort()
            return succeed(None)
        closed = self._closed.wait()
        if self._state is _SessionState.OPEN:
            for channel in list(self._channels.values()):
                channel.flush()
        if self._state is _SessionState.OPEN:
            self._state = _SessionState.CLOSING
            self._say_goodbye()
        return closed

    def _say_goodbye(self) -> None:
        for channel in list(self._channels.values()):
            channel.shut()
        if not self.over:
            self._write_close(_SUCCESS, "closed")
            self._limit_close()

    def _write_close(self, code: int, text: str) -> None:
        said = text.encode("utf-8", "replace")[:255].decode("utf-8", "ignore")
        self.put(self.pack(0, _Connection.Close, reply_code=code, reply_text=said))

    def abort(self) -> None:
        if self._gone:
            return
        self._end(SessionLost("this program dropped the connection"), wanted=True)
        self._drop()

    # --- what comes ----------------------------------------------------------

    def frame_size(self, data: bytes) -> int:
        """See L{frames.frame_size}; what is too large was agreed on."""
        return frame_size(data, self._handshake.tuning.frame_max)

    def take_method(self, number: int, method: Method) -> None:
        """
        Take a method that no content follows.

        @raise ProtocolError: it was not due.
        """
        if number:
            self._channel(number).take_method(method)
        elif self._state is _SessionState.LOGIN:
            self._log_in(method)
        else:
            self._take_method(method)

    def take_content(
        self, number: int, method: Method, listed: bytes, body: bytes
    ) -> None:
        """See L{AmqpSessionChannel.take_content}."""
        self._channel(number).take_content(method, listed, body)

    def check_channel(self, number: int) -> None:
        """
        @raise ProtocolError: it is not open; 0, the connection, always is.
        """
        if number:
            self._channel(number)

    def _channel(self, number: int) -> AmqpSessionChannel:
        channel = self._channels.get(number)
        if channel is None:
            raise ProtocolError(f"a frame for channel {number}, which is not open")
        return channel

    def _take_method(self, method: Method) -> None:
        if isinstance(method, _Connection.Close):
            self._closed_by_broker(method)
        elif isinstance(method, _Connection.CloseOk):
            self._closed_by_us()
        elif isinstance(method, _Connection.Blocked):
            if self._state is _SessionState.OPEN:
                self._tell(self._listener.blocked, method.reason)
        elif isinstance(method, _Connection.Unblocked):
            if self._state is _SessionState.OPEN:
                self._tell(self._listener.unblocked)
        else:
            self._requests.answer(method, method)

    def _log_in(self, method: Method) -> None:
        handshake = self._handshake
        try:
            answer = handshake.answer(method)
        except ConnectError as error:
            self._end(error)
            self._drop()
            return
        self._limit(handshake.tuning.frame_max)
        self._answer(answer)
        if handshake.done:
            self._opened(handshake.product, handshake.version, handshake.tuning)

    def _answer(self, methods: Answers) -> None:
        """Write what the broker is to be answered; a library may do so by itself."""
        for kind, arguments in methods:
            self.put(self.pack(0, kind, **arguments))

    def _opened(self, product: str, version: str, tuning: Tuning) -> None:
        """The login is over."""
        self.product = product
        self.version = version
        self.frame_max = tuning.frame_max
        self._numbers = ChannelNumbers(tuning.channel_max)
        self._heartbeat.start(tuning.heartbeat)
        self._state = _SessionState.OPEN
        self.transport.registerProducer(self, True)
        self._log.debug("logged in at {place}", place=self._place)
        self.login.callback(self)

    def _closed_by_broker(self, method: _Connection.Close) -> None:
        self.put(self.pack(0, _Connection.CloseOk))
        self._leave()
        self._end(error_of(method))

    def _closed_by_us(self) -> None:
        if self._state is not _SessionState.CLOSING:
            raise ProtocolError("connection.close-ok answers no connection.close")
        self._leave()
        self._end(SessionLost("this program closed the connection"), wanted=True)

    def _broken(self, error: ProtocolError) -> None:
        reason: KombuError = error
        if self._state is _SessionState.LOGIN:
            text = f"{self._place} does not speak AMQP 0-9-1: {error}"
            reason = with_cause(ConnectError(text), error)
            self._end(reason)
            self._drop()
            return
        self._write_close(_FRAME_ERROR, str(error))
        self._end(reason)
        self._leave()

    def _tell(self, callback: Callable[..., object], *what: object) -> None:
        """Call the owner's code, whose errors are not ours."""
        try:
            callback(*what)
        except Exception:
            self._log.failure(
                "{callback} failed", without_frames(Failure()), callback=callback
            )

    def _silent(self) -> None:
        note = self._heartbeat.note_of_stall()
        self._end(SessionLost(f"nothing came from the broker for two heartbeats{note}"))
        self._drop()

    # --- the end -------------------------------------------------------------

    def _end(self, reason: KombuError, wanted: bool = False) -> None:
        """Tell the owner, and fire everything outstanding."""
        before, self._state = self._state, _SessionState.OVER
        if before is _SessionState.OVER:
            return
        self._heartbeat.stop()
        self._unflushed.clear()
        call, self._flush_call = self._flush_call, None
        if call is not None:
            call.cancel()
        if before is _SessionState.OPEN and not wanted:
            self._log.debug("lost {place}: {reason}", place=self._place, reason=reason)
            self._tell(self._listener.session_lost, reason)
        lost: KombuError = reason
        if not isinstance(reason, SessionLost):
            lost = with_cause(SessionLost(f"the session ended: {reason}"), reason)
        self._end_channels(reason, lost, wanted)
        self._end_requests(reason, lost)
        if before is _SessionState.LOGIN and not wanted:
            self.login.errback(Failure(reason))

    def _end_channels(self, reason: KombuError, lost: KombuError, wanted: bool) -> None:
        channels = list(self._channels.values())
        self._channels.clear()
        refused = channels_refused(reason, [*channels])
        for channel in [each for each in channels if each.die(lost, wanted)]:
            refusal = reason if channel in refused else None
            assert refusal is None or isinstance(refusal, BrokerError)
            channel.fire(lost, refusal)

    def _end_requests(self, reason: KombuError, lost: KombuError) -> None:
        refused = None
        if isinstance(reason, BrokerError):
            refused = self._requests.refused_by(reason)
        for request in self._requests.drain():
            request.fail(reason if request is refused else ended(lost))
