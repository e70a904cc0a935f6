"""
A session on AMQP 0-9-1: the Twisted protocol of one connection, with its channels.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final

from pamqp import commands
from pamqp.base import Frame as Method
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
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
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
)
from ..errors import ended, with_cause
from ..protocol import OPEN, OVER, BrokerProtocol, State
from .channel import AmqpSessionChannel
from .channel_numbers import ChannelNumbers
from .interfaces import Publisher
from .requests import Request, Requests
from .topology import nothing
from .wire.errors import error_of
from .wire.frames import HEARTBEAT, METHOD, frame_size
from .wire.login import AmqpLogin, Answers
from .wire.methods import decode_method, encode_method
from .wire.publish_writer import PublishWriter

if TYPE_CHECKING:
    from ...url.parameters import Parameters

_Connection = commands.Connection

_SUCCESS: Final = 200
_FRAME_ERROR: Final = 501


@implementer(IRenewableSession)
class AmqpSession(BrokerProtocol):
    """
    One connection to one broker; abstract.

    A transport provides what is abstract here and in L{BrokerProtocol}, and calls
    L{take_frame} with each frame.

    @ivar frame_max: the size of a whole frame at most, in bytes; 0 until that was
        agreed on.
    @ivar max_message_size: the maximum size of a body that may come, in bytes.
    @ivar warned: the names of the queues that a warning was logged about.
    """

    login: Deferred[ISession]

    speaks = "AMQP 0-9-1"
    silence = "two heartbeats"
    product = version = ""
    capabilities = frozenset(Capability)
    decode = staticmethod(decode_method)
    """Makes a method of the payload of its frame; raises L{ProtocolError}."""

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
        @param warned: the names of the queues that a warning was logged about; shared
            with the sessions before and after.
        """
        super().__init__(place, clock, listener, listener.session_lost)
        self.warned = set() if warned is None else warned
        self.max_message_size = parameters.max_message_size
        self.frame_max = 0
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

    # --- what a transport may do otherwise -----------------------------------

    @abstractmethod
    def _feed(self, data: bytes) -> None:
        """
        Take bytes, and call L{take_frame} for the frames that they complete, as long
        as the session is not over.

        @raise ProtocolError: they break the protocol.
        """

    def _limit_frames(self, frame_max: int) -> None:
        """Refuse larger frames from now on."""

    def _answer(self, methods: Answers) -> None:
        """Answer the broker in the login."""
        for kind, arguments in methods:
            self.write(self.pack(0, kind, **arguments))

    def _new_channel(
        self, number: int, listener: ISessionChannelListener
    ) -> AmqpSessionChannel:
        """Make a channel, without opening it."""
        return AmqpSessionChannel(self, number, listener)

    def pack(self, number: int, kind: type[Method], **arguments: object) -> bytes:
        """
        Prepare a method, without writing it.

        @param number: the channel's; 0 is the connection.
        @param kind: the class of the method.
        @param arguments: those of the method; others are zero, empty or false.
        @return: what L{write} takes.
        @raise TypeError: an argument cannot be expressed.
        @raise ValueError: an argument is too long or out of range, or all are too
            large for the one frame that a method has.
        """
        return self.checked(encode_method(number, kind, **arguments))

    def publisher(self, number: int) -> Publisher:
        """Return what prepares the publishes of a channel, as L{pack} does a method."""
        return PublishWriter(number, self.frame_max).frames

    # --- what channels call --------------------------------------------------

    def checked(self, frame: bytes) -> bytes:
        """
        Return the frame of a method or a header as it is.

        @raise ValueError: it is too large to be sent.
        """
        maximum = self.frame_max
        if maximum and len(frame) > maximum:
            raise ValueError(
                f"the arguments take a frame of {len(frame)} bytes, at most {maximum} "
                "were agreed on with the broker"
            )
        return frame

    def flush_soon(self, channel: AmqpSessionChannel) -> None:
        """Call a channel's C{flush} before this reactor turn is over."""
        self._unflushed[channel] = None
        if self._flush_call is None and not self._receiving:
            self._flush_call = self._clock.callLater(0, self._flush_late)

    def write_soon(self, data: bytes) -> None:
        """Write whole frames before this reactor turn is over, and in their order."""
        self.write(data)

    def release(self, number: int) -> None:
        """Free the number of a channel that is closed on both sides."""
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

    def update_secret(self, secret: str, reason: str) -> Deferred[None]:
        method = _Connection.UpdateSecret
        packet = self.pack(0, method, new_secret=secret, reason=reason)
        if self._state is not OPEN:
            return fail(SessionLost("the session is closed"))
        updating = self._requests.add_request(Request(method, "", nothing))
        self.write(packet)
        return updating

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

    def _receive(self, data: bytes) -> None:
        self._receiving = True
        try:
            self._feed(data)
        finally:
            self._receiving = False
        if self._unflushed and self._state is not OVER:
            self._flush()

    def frame_size(self, data: bytes) -> int:
        """See L{frames.frame_size}; what is too large was agreed on."""
        return frame_size(data, self._handshake.tuning.frame_max)

    def take_frame(self, number: int, kind: int, payload: Any) -> None:
        """
        Take one frame.

        @param number: the channel's; 0 is the connection.
        @param payload: of a method what L{decode} takes, else bytes.
        @raise ProtocolError: it was not due.
        """
        if number:
            channel = self._channels.get(number)
            if channel is None:
                raise ProtocolError(f"a frame for channel {number}, which is not open")
            channel.handle_frame(kind, payload)
        elif kind == METHOD:
            self._take_method(self.decode(payload))
        elif kind != HEARTBEAT:
            raise ProtocolError(f"a frame of type {kind} for the whole connection")

    def _take_method(self, method: Method) -> None:
        if self._state is State.LOGIN:
            self._log_in(method)
        elif isinstance(method, _Connection.Close):
            self.write(self.pack(0, _Connection.CloseOk))
            self._finish(error_of(method))
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
        self._limit_frames(tuning.frame_max)
        self._answer(answer)
        if handshake.done:
            self.product = handshake.product
            self.version = handshake.version
            self.frame_max = tuning.frame_max
            self._numbers = ChannelNumbers(tuning.channel_max)
            self._heartbeat.start(tuning.heartbeat)
            self._logged_in()

    # --- the end -------------------------------------------------------------

    def _break_off(self, error: ProtocolError) -> None:
        self._write_close(_FRAME_ERROR, str(error))
        self._finish(error)

    def _fail_outstanding(self, reason: KombuError, wanted: bool) -> None:
        self._unflushed.clear()
        call, self._flush_call = self._flush_call, None
        if call is not None:
            call.cancel()
        lost: KombuError = reason
        if not isinstance(reason, SessionLost):
            lost = with_cause(SessionLost(f"the session ended: {reason}"), reason)
        channels = list(self._channels.values())
        self._channels.clear()
        refusal = reason if isinstance(reason, BrokerError) else None
        refused = _channels_refused(refusal, channels) if refusal else []
        for channel in [
            each for each in channels if each.end_with_session(lost, wanted)
        ]:
            channel.fire(lost, refusal if channel in refused else None)
        request = self._requests.refused_by(refusal) if refusal else None
        for each in self._requests.drain():
            each.fail(reason if each is request else ended(lost))


def _channels_refused(
    error: BrokerError, channels: list[AmqpSessionChannel]
) -> list[AmqpSessionChannel]:
    """
    Return the channels whose request the broker may have closed the connection for.

    It does not say which channel it means.  The oldest request of a channel is due,
    and the error names its method, and mostly the object too.
    """
    found = []
    for channel in channels:
        request = channel.refused_by(error)
        if request is not None:
            found.append((channel, request.about))
    if len(found) > 1:
        named = [each for each in found if each[1] and f"'{each[1]}'" in error.text]
        found = named or found
    return [channel for channel, _ in found]
