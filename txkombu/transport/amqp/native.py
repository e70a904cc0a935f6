"""The native transport: sessions on AMQP 0-9-1 that read and write bytes themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from ...interfaces import (
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
)
from ..protocol import OVER
from .channel import AmqpSessionChannel
from .session import AmqpSession
from .transport import AmqpTransportBase
from .wire.ack_frames import ack_frame, nack_frame, reject_frame
from .wire.frames import HEARTBEAT_FRAME, PROTOCOL_HEADER
from .wire.parser import DELIVERY, AmqpFrameParser

if TYPE_CHECKING:
    from ...url.parameters import Parameters


@implementer(ISession, IPushProducer)
class NativeSession(AmqpSession):
    """One connection to one broker; see L{ISession}."""

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
    ) -> AmqpSessionChannel:
        return NativeSessionChannel(self, number, listener)

    def _begin(self) -> None:
        self.write(PROTOCOL_HEADER)

    def _beat(self) -> None:
        self.write(HEARTBEAT_FRAME)

    def _limit_frames(self, frame_max: int) -> None:
        self._parser.limit_frames(frame_max)

    def _feed(self, data: bytes) -> None:
        channels = self._channels
        for kind, number, payload in self._parser.feed(data):
            channel = channels.get(number)
            if channel is None:
                self.take_frame(number, kind, payload)
            elif kind == DELIVERY:
                channel.take_delivery(payload)
            else:
                channel.handle_frame(kind, payload)
            if self._state is OVER:
                return


@implementer(ISessionChannel)
class NativeSessionChannel(AmqpSessionChannel):
    """One channel of one session, which writes its settlements without pamqp."""

    def _put_acks(self, acks: list[tuple[int, bool]]) -> None:
        number = self.number
        self._put(b"".join([ack_frame(number, tag, many) for tag, many in acks]))

    def _put_nack(self, tag: int, multiple: bool, requeue: bool) -> None:
        self._put(nack_frame(self.number, tag, multiple, requeue))

    def _put_reject(self, tag: int, requeue: bool) -> None:
        self._put(reject_frame(self.number, tag, requeue))


class AmqpTransport(AmqpTransportBase):
    """The native transport; see L{IBrokerTransport}."""

    session = NativeSession
