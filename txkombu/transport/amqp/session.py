"""
A session on AMQP 0-9-1: the Twisted protocol, without its bytes.

Its states are those of L{BrokerProtocol}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pamqp import commands
from pamqp.base import Frame as Method
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
)
from twisted.logger import Logger
from zope.interface import implementer

from ..._util.awaitables import call_logged
from ...exceptions import (
    BrokerError,
    KombuError,
    ProtocolError,
    ResourceError,
    SessionLost,
)
from ...interfaces import (
    Capability,
    IRenewableSession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
)
from ..errors import ended, with_cause
from ..protocol import OPEN, OVER, State
from .channel import AmqpSessionChannel
from .channel_numbers import ChannelNumbers
from .interfaces import WireProtocol
from .refusals import channels_refused
from .requests import Request, Requests
from .topology import nothing
from .wire.adapter_frames import frame_size
from .wire.errors import error_of
from .wire.login import AmqpLogin, Answers

if TYPE_CHECKING:
    from ...url.parameters import Parameters

_Connection = commands.Connection

_SUCCESS: Final = 200
_FRAME_ERROR: Final = 501


@implementer(IRenewableSession)
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
        super().__init__(place, clock, listener, listener.session_lost)
        self.warned = set() if warned is None else warned
        self.max_message_size = parameters.max_message_size
        self._listener = listener
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
        return self._state is OVER

    @property
    def answered(self) -> bool:
        """See L{BrokerProtocol.answered}."""
        return self._handshake.answered

    def _receive(self, data: bytes) -> None:
        self._receiving = True
        try:
            self._feed(data)
        finally:
            self._receiving = False
        if self._unflushed and self._state is not OVER:
            self._flush()

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
        if self._state is not OPEN:
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
        if self._state is not OPEN:
            return fail(SessionLost("the session is closed"))
        request = Request(method, "", nothing)
        deferred = request.deferred
        assert deferred is not None
        self._requests.add_request(request)
        self.write(packet)
        return deferred

    def _prepare_close(self) -> None:
        for channel in list(self._channels.values()):
            channel.flush()

    def _say_goodbye(self) -> None:
        for channel in list(self._channels.values()):
            channel.shut()
        if self._state is not OVER:
            self._write_close(_SUCCESS, "closed")

    def _write_close(self, code: int, text: str) -> None:
        said = text.encode("utf-8", "replace")[:255].decode("utf-8", "ignore")
        self.write(self.pack(0, _Connection.Close, reply_code=code, reply_text=said))

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
        elif self._state is State.LOGIN:
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
            if self._state is not State.CLOSING:
                raise ProtocolError("connection.close-ok answers no connection.close")
            self._closed_by_us()
        elif isinstance(method, _Connection.Blocked):
            if self._state is OPEN:
                call_logged("blocked", self._listener.blocked, method.reason)
        elif isinstance(method, _Connection.Unblocked):
            if self._state is OPEN:
                call_logged("unblocked", self._listener.unblocked)
        else:
            self._requests.answer(method, method)

    def _log_in(self, method: Method) -> None:
        handshake = self._handshake
        answer = handshake.answer(method)
        tuning = handshake.tuning
        self._limit(tuning.frame_max)
        self._answer(answer)
        if handshake.done:
            self.product = handshake.product
            self.version = handshake.version
            self.frame_max = tuning.frame_max
            self._numbers = ChannelNumbers(tuning.channel_max)
            self._heartbeat.start(tuning.heartbeat)
            self._logged_in()

    def _answer(self, methods: Answers) -> None:
        """Write what the broker is to be answered; a library may do so by itself."""
        for kind, arguments in methods:
            self.write(self.pack(0, kind, **arguments))

    def _closed_by_broker(self, method: _Connection.Close) -> None:
        self.write(self.pack(0, _Connection.CloseOk))
        self._finish(error_of(method))

    def _break_off(self, error: ProtocolError) -> None:
        self._write_close(_FRAME_ERROR, str(error))
        self._finish(error)

    # --- the end -------------------------------------------------------------

    def _fail_outstanding(self, reason: KombuError, wanted: bool) -> None:
        self._unflushed.clear()
        call, self._flush_call = self._flush_call, None
        if call is not None:
            call.cancel()
        lost: KombuError = reason
        if not isinstance(reason, SessionLost):
            lost = with_cause(SessionLost(f"the session ended: {reason}"), reason)
        self._end_channels(reason, lost, wanted)
        self._end_requests(reason, lost)

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
