"""
A session on AMQP 0-9-1: its bytes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pamqp import commands
from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from ...exceptions import ProtocolError
from ...interfaces import (
    Delivery,
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
)
from ..protocol import OVER
from .channel import AmqpSessionChannel
from .channel_state import OPEN
from .interfaces import Publisher
from .session import AmqpSession
from .transport import AmqpTransportBase
from .wire.ack_frames import ack_frame, nack_frame, reject_frame
from .wire.content import Content, ContentAssembler
from .wire.delivery_reader import delivery_of
from .wire.frames import HEARTBEAT, HEARTBEAT_FRAME, METHOD, PROTOCOL_HEADER
from .wire.methods import Method, decode_method, encode_method
from .wire.parser import DELIVERY, AmqpFrameParser
from .wire.properties import decode_properties
from .wire.publish_writer import PublishWriter

if TYPE_CHECKING:
    from ...url.parameters import Parameters


@implementer(ISession, IPushProducer)
class NativeSession(AmqpSession):
    """One connection to one broker; see L{ISession}."""

    _channels: dict[int, NativeSessionChannel]  # type: ignore[assignment]  # its own kind

    def __init__(
        self,
        parameters: Parameters,
        place: str,
        clock: IReactorTime,
        listener: ISessionListener,
        warned: set[str] | None = None,
    ) -> None:
        """See L{AmqpSession.__init__}."""
        super().__init__(parameters, place, clock, listener, warned)
        self._parser = AmqpFrameParser(self.max_message_size)

    def _new_channel(
        self, number: int, listener: ISessionChannelListener
    ) -> NativeSessionChannel:
        return NativeSessionChannel(self, number, listener)

    # --- what is written -----------------------------------------------------

    def _begin(self) -> None:
        self.write(PROTOCOL_HEADER)

    def pack(self, number: int, kind: type[Method], **arguments: object) -> bytes:
        return self.checked(encode_method(number, kind, **arguments))

    def publisher(self, number: int) -> Publisher:
        return PublishWriter(number, self.frame_max).frames

    def _beat(self) -> None:
        self.write(HEARTBEAT_FRAME)

    def _limit(self, frame_max: int) -> None:
        self._parser.frame_max = frame_max

    # --- what comes ----------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        channels = self._channels
        for kind, number, payload in self._parser.feed(data):
            channel = channels.get(number)
            if channel is None:
                self._take(kind, number, payload)
            elif kind == DELIVERY:
                channel.take_delivery(payload)
            else:
                channel.handle_frame(kind, payload)
            if self._state is OVER:
                return

    def _take(self, kind: int, number: int, payload: Any) -> None:
        """Take what is for no channel."""
        if number:
            self._channel(number)
        elif kind == METHOD:
            self.take_method(0, decode_method(payload))
        elif kind != HEARTBEAT:
            raise ProtocolError(f"a frame of type {kind} for the whole connection")


_Basic = commands.Basic


@implementer(ISessionChannel)
class NativeSessionChannel(AmqpSessionChannel):
    """One channel of one session; see L{ISessionChannel}."""

    def __init__(
        self, session: NativeSession, number: int, listener: ISessionChannelListener
    ) -> None:
        super().__init__(session, number, listener)
        self._assembler = ContentAssembler(decode_method, session.max_message_size)

    # --- what is written -----------------------------------------------------

    def _put_acks(self, acks: list[tuple[int, bool]]) -> None:
        number = self.number
        self._put(b"".join([ack_frame(number, tag, many) for tag, many in acks]))

    def _put_nack(self, tag: int, multiple: bool, requeue: bool) -> None:
        self._put(nack_frame(self.number, tag, multiple, requeue))

    def _put_reject(self, tag: int, requeue: bool) -> None:
        self._put(reject_frame(self.number, tag, requeue))

    # --- what comes ----------------------------------------------------------

    def handle_frame(self, kind: int, payload: bytes) -> None:
        """
        Take one frame.

        @raise ProtocolError: it was not due.
        """
        found = self._assembler.handle_frame(kind, payload)
        if isinstance(found, Content):
            self._take_whole(found)
        elif found is not None:
            self.take_method(found)

    def take_delivery(self, delivery: Delivery) -> None:
        """
        Take a delivery that arrived whole.

        @raise ProtocolError: it was not due.
        """
        if self._assembler.content is not None:
            raise ProtocolError("a method came in the midst of a content")
        if self._state is OPEN:
            self._deliver(delivery)

    def _take_whole(self, content: Content) -> None:
        method = content.method
        if isinstance(method, _Basic.Deliver):
            self.take_delivery(delivery_of(content))
        elif isinstance(method, _Basic.GetOk):
            self.take_got(method, delivery_of(content))
        else:
            assert content.listed is not None
            listed = partial(decode_properties, content.listed)
            self.take_returned(method, content.body, listed)


class AmqpTransport(AmqpTransportBase):
    """The native transport; see L{IBrokerTransport}."""

    session = NativeSession
