"""
A session channel on AMQP 0-9-1, with writers that are quicker than most methods
need, and with contents that come frame by frame.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pamqp import commands
from zope.interface import implementer

from ...exceptions import ProtocolError
from ...interfaces import Delivery, ISessionChannel, ISessionChannelListener
from ..model.channel import Channel
from ..model.content import Assembler, Content
from ..model.life import OPEN
from .deliveries import delivery_of
from .methods import decode_method
from .properties import decode_properties
from .settlements import ack_frame, nack_frame, reject_frame

if TYPE_CHECKING:
    from .protocol import AmqpSession

_Basic = commands.Basic


@implementer(ISessionChannel)
class AmqpChannel(Channel):
    """One channel of one session; see L{ISessionChannel}."""

    def __init__(
        self, session: AmqpSession, number: int, listener: ISessionChannelListener
    ) -> None:
        super().__init__(session, number, listener)
        self._assembler = Assembler(decode_method)

    # --- what is written -----------------------------------------------------

    def _put_acks(self, acks: list[tuple[int, bool]]) -> None:
        number = self.number
        self._put(b"".join([ack_frame(number, tag, many) for tag, many in acks]))

    def _put_nack(self, tag: int, multiple: bool, requeue: bool) -> None:
        self._put(nack_frame(self.number, tag, multiple, requeue))

    def _put_reject(self, tag: int, requeue: bool) -> None:
        self._put(reject_frame(self.number, tag, requeue))

    # --- what comes ----------------------------------------------------------

    def take(self, kind: int, payload: bytes) -> None:
        """
        Take one frame.

        @raise ProtocolError: it was not due.
        """
        found = self._assembler.take(kind, payload)
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
