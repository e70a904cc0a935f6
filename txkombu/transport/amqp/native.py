"""The native transport: sessions on AMQP 0-9-1 that read and write bytes themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from ...exceptions import KombuError
from ...interfaces import (
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
)
from ..protocol import OVER
from .channel import AmqpSessionChannel
from .channel_state import State
from .session import AmqpSession
from .transport import AmqpTransportBase
from .wire.ack_frames import ack_frame, nack_frame, read_ack, reject_frame
from .wire.frames import HEAD, HEARTBEAT_FRAME, METHOD, PROTOCOL_HEADER
from .wire.parser import DELIVERY, AmqpFrameParser

if TYPE_CHECKING:
    from ...url.parameters import Parameters


AT_ONCE: Final = 64 * 1024
"""How many bytes of publishes are written without waiting for the end of the turn."""


@implementer(ISession, IPushProducer)
class NativeSession(AmqpSession):
    """
    One connection to one broker; see L{ISession}.

    The publishes of one turn of the reactor are written together, at its end, or before
    any other frame.  So the broker gets all in the order they were made.
    """

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
        self._publishes: list[bytes] = []
        self._publishes_size = 0
        self._write_call: IDelayedCall | None = None

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

    # --- writing --------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """See L{BrokerProtocol.write}; what L{write_soon} was given goes before."""
        if self._publishes:
            self._write_publishes()
        super().write(data)

    def write_soon(self, data: bytes) -> None:
        """See L{AmqpSession.write_soon}."""
        self._publishes.append(data)
        self._publishes_size += len(data)
        if self._publishes_size >= AT_ONCE:
            self._write_publishes()
        elif self._write_call is None and not self._receiving:
            self._write_call = self._clock.callLater(0, self._write_late)

    def _write_late(self) -> None:
        self._write_call = None
        if self._publishes:
            self._write_publishes()

    def _write_publishes(self) -> None:
        publishes, self._publishes = self._publishes, []
        self._publishes_size = 0
        super().write(b"".join(publishes))

    def _fail_outstanding(self, reason: KombuError, wanted: bool) -> None:
        publishes, self._publishes = self._publishes, []
        for packet in publishes:
            channel = self._channels.get(HEAD.unpack_from(packet)[1])
            if channel is not None:
                channel.note_unwritten()
        call, self._write_call = self._write_call, None
        if call is not None:
            call.cancel()
        super()._fail_outstanding(reason, wanted)

    # --- what comes -----------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        super()._receive(data)
        if self._publishes and self._state is not OVER:
            self._write_publishes()

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
    """
    One channel of one session, which writes its settlements and reads its confirms
    without pamqp.
    """

    def handle_frame(self, kind: int, payload: bytes) -> None:
        """See L{AmqpSessionChannel.handle_frame}."""
        ack = read_ack(payload) if kind == METHOD else None
        cut_off = self._assembler.content is not None
        if ack is None or cut_off or self._state is State.DRAINING:
            super().handle_frame(kind, payload)
        else:
            tag, multiple = ack
            self._confirms.settle(tag, multiple, True)

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
