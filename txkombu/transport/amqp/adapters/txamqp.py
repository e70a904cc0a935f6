"""
txAMQP's client, channels and delegate behind the contract.

What comes goes in by C{AMQClient.dataReceived}, which cuts it into frames; txAMQP's
channels make methods and contents of them, and the delegate hands those on.  What
is sent goes through the methods of its channels and its client's queue and writer.
What txAMQP would do on the way, and must not, is done otherwise here:

  - it packs and unpacks wrongly: the length of a string is that of its
    characters, tables know two types, bodies become text where they are UTF-8;
  - every channel waits for the content of one, after which the others' go through
    as deep a recursion as there are frames;
  - replies are matched to requests by their order, in which those to basic.consume
    and basic.cancel do not come, and a header is taken for the next reply;
  - it asks for AMQP 0-9, not 0-9-1, and does not know frames that are too large.

Connecting imports Twisted's reactor: txAMQP's queues do, for timeouts not used here.
"""

from __future__ import annotations

from math import inf
from typing import Any

from pamqp.base import Frame as Method
from pamqp.constants import FRAME_BODY, FRAME_HEADER, FRAME_METHOD
from pamqp.header import ProtocolHeader
from pamqp.heartbeat import Heartbeat
from twisted.internet.interfaces import IReactorTime
from txamqp.client import TwistedDelegate
from txamqp.connection import Frame
from txamqp.content import Content
from txamqp.message import Message
from txamqp.protocol import AMQChannel, AMQClient

from ....interfaces import ISessionChannelListener
from ..channel import AmqpSessionChannel
from ..interfaces import Publisher
from ..session import AmqpSession
from ..transport import AmqpTransportBase
from ..wire.adapter_codec import decode_method, encode_method, encode_properties
from ..wire.adapter_frames import frame, parts, pieces
from ..wire.content import Content as Arrived
from ..wire.content import assembler, header
from .txamqp_spec import load, method_name


class TxAMQPDelegate(TwistedDelegate):  # type: ignore[misc]  # it has no types
    """Hands on what comes, logging in included."""

    def dispatch(self, channel: Any, message: Any) -> None:
        """Take a method, and the content that followed it."""
        method, content, session = message.method, message.content, self.client.session
        if content is None:
            session.take_method(channel.id, method)
        else:
            session.take_content(channel.id, method, content.listed, content.body)


class TxAMQPChannel(AMQChannel):  # type: ignore[misc]  # it has no types
    """Packs what is sent; puts together what comes."""

    def __init__(self, number: int, outgoing: Any, client: TxAMQPClient) -> None:
        super().__init__(number, outgoing, client)
        self._assembler = assembler(
            number, decode_method, client.session.max_message_size
        )

    def invoke(self, method: Any, args: Any, content: Any = None) -> Any:
        """
        Pack what one of its methods was called with, instead of queueing it.

        @raise TypeError: something cannot be expressed.
        @raise ValueError: something is too long or out of range.
        """
        kind = method.command
        arguments = dict(zip(kind.attributes(), args, strict=True))
        packed = self._pack(FRAME_METHOD, encode_method(kind, arguments))
        if content is None:
            return packed
        body, listed = content.body, encode_properties(content.properties)
        frames = [packed, self._pack(FRAME_HEADER, header(len(body), listed))]
        for piece in pieces(body, self.client.session.frame_max):
            frames.append(self._pack(FRAME_BODY, piece))
        return b"".join(frames)

    def _pack(self, kind: int, payload: bytes) -> Any:
        return self.client.session.checked(frame(kind, self.id, payload))

    def dispatch(self, frame: Any, work: object) -> None:
        """
        Take a frame, and hand on the message that it completes.

        @raise ProtocolError: it was not due.
        """
        found = self._assembler.handle_frame(*frame.payload)
        if isinstance(found, Arrived):
            self.client.delegate.dispatch(self, Message(found.method, (), found))
        elif found is not None:
            self.client.delegate.dispatch(self, Message(found, ()))


class TxAMQPClient(AMQClient):  # type: ignore[misc]  # it has no types
    """
    Cuts what comes into frames; writes what is packed.

    @ivar session: whom it works for.
    """

    channelClass = TxAMQPChannel
    MAX_LENGTH = inf  # a frame that is too large is found out when it begins

    def __init__(self, session: TxAMQPSession, clock: IReactorTime) -> None:
        super().__init__(TxAMQPDelegate(), "", load(), clock=clock)
        self.session = session
        self.add_channel(0)

    def add_channel(self, number: int) -> None:
        """Make the channel of that number, instead of one before it."""
        self.channels[number] = self.channelFactory(number, self.outgoing, self)

    def send_init_string(self) -> None:
        """Say what is spoken here."""
        self.transport.write(ProtocolHeader().marshal())

    def send_frame(self, packed: bytes) -> None:
        """Write frames."""
        self.session.write_out(packed)

    def dataReceived(self, data: bytes) -> None:
        """
        Take bytes.

        @raise ProtocolError: they are no frames, nor the beginning of one.
        """
        super().dataReceived(data)
        rest = self._FrameReceiver__buffer
        if rest and not self.session.over:
            self.session.frame_size(rest)

    def _unpack_frame(self, data: bytes) -> Any:
        self.session.frame_size(data)
        kind, number, payload = parts(data)
        return Frame(number, (kind, payload))

    def frame_received(self, frame: Any) -> Any:
        """
        @return: whether to go no further.
        @raise ProtocolError: it was not due.
        """
        self.session.check_channel(frame.channel)
        self.channels[frame.channel].dispatch(frame, self.work)
        return self.session.over


class TxAMQPSession(AmqpSession):
    """One connection to one broker; see L{ISession}."""

    def _new_channel(
        self, number: int, listener: ISessionChannelListener
    ) -> AmqpSessionChannel:
        self._client.add_channel(number)
        return super()._new_channel(number, listener)

    def _begin(self) -> None:
        self._client = TxAMQPClient(self, self._clock)
        self._client.makeConnection(self.transport)

    def pack(self, number: int, kind: type[Method], **arguments: object) -> Any:
        channel = self._client.channels[number]
        return getattr(channel, method_name(kind.name))(**arguments)

    def publisher(self, number: int) -> Publisher:
        publish = self._client.channels[number].basic_publish
        return lambda body, properties, exchange, routing_key, mandatory: publish(
            exchange=exchange,
            routing_key=routing_key,
            mandatory=mandatory,
            content=Content(body, properties=properties),
        )

    def write(self, data: bytes) -> None:
        self._client.outgoing.put(data)

    def write_out(self, data: bytes) -> None:
        """Write what has been through the client's queue."""
        super().write(data)

    def _beat(self) -> None:
        self.write(Heartbeat().marshal())

    def _feed(self, data: bytes) -> None:
        self._client.dataReceived(data)


class TxAMQPTransport(AmqpTransportBase):
    """Connects with txAMQP; see L{IBrokerTransport}."""

    session = TxAMQPSession


__all__ = ["TxAMQPTransport"]
