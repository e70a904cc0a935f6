"""
A session on AMQP 0-9-1: its bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from ...exceptions import ProtocolError
from ...interfaces import (
    ISession,
    ISessionChannelListener,
    ISessionListener,
)
from ..model.session import OVER, Session
from ..model.wire import Publisher
from .channel import AmqpChannel
from .frames import HEARTBEAT, HEARTBEAT_FRAME, METHOD, PROTOCOL_HEADER
from .methods import Method, decode_method, encode_method
from .parser import DELIVERY, FrameParser
from .publishes import PublishWriter

if TYPE_CHECKING:
    from ...parameters import Parameters


@implementer(ISession, IPushProducer)
class AmqpSession(Session):
    """One connection to one broker; see L{ISession}."""

    _channels: dict[int, AmqpChannel]  # type: ignore[assignment]  # its own kind

    def __init__(
        self,
        parameters: Parameters,
        place: str,
        clock: IReactorTime,
        listener: ISessionListener,
        warned: set[str] | None = None,
    ) -> None:
        """See L{Session.__init__}."""
        super().__init__(parameters, place, clock, listener, warned)
        self._parser = FrameParser()

    def _new_channel(
        self, number: int, listener: ISessionChannelListener
    ) -> AmqpChannel:
        return AmqpChannel(self, number, listener)

    # --- what is written -----------------------------------------------------

    def _begin(self) -> None:
        self.write(PROTOCOL_HEADER)

    def pack(self, number: int, kind: type[Method], **arguments: object) -> bytes:
        return self.checked(encode_method(number, kind, **arguments))

    def publisher(self, number: int) -> Publisher:
        return PublishWriter(number, self.frame_max).frames

    def put(self, frames: bytes) -> None:
        self._heartbeat.idle = 0
        self.transport.write(frames)

    def _beat(self) -> None:
        self.put(HEARTBEAT_FRAME)

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
                channel.take(kind, payload)
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
