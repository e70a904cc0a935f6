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

from struct import Struct
from typing import Any, Final

from pamqp import constants
from pamqp.base import Frame as Method
from pamqp.body import ContentBody
from pamqp.frame import frame_parts, marshal
from pamqp.header import ProtocolHeader
from pamqp.heartbeat import Heartbeat
from twisted.internet.interfaces import IPushProducer
from txamqp.client import TwistedDelegate
from txamqp.connection import Frame
from txamqp.content import Content
from txamqp.message import Message
from txamqp.protocol import AMQChannel, AMQClient
from zope.interface import implementer

from ...exceptions import ProtocolError
from ...interfaces import ISession, ISessionChannelListener, Properties
from ..errors import no_frame
from ..model import content as contents
from ..model.channel import Channel
from ..model.login import FRAME_MAX
from ..model.session import Session
from ..model.transport import Transport
from ..model.values import decode_method, encode_method, encode_properties
from ..model.wire import Publisher
from .specification import load, method_name

_HEAD: Final = Struct(">BHI")
_OVERHEAD: Final = 8
"""The bytes of a frame around its payload."""
_NO_LIMIT: Final = 2**32
_KINDS: Final = (
    constants.FRAME_METHOD,
    constants.FRAME_HEADER,
    constants.FRAME_BODY,
    constants.FRAME_HEARTBEAT,
)


class TxAMQPDelegate(TwistedDelegate):  # type: ignore[misc]  # it has no types
    """Hands on what comes, logging in included."""

    def __init__(self, session: TxAMQPSession) -> None:
        super().__init__()
        self.session = session

    def dispatch(self, channel: Any, message: Any) -> None:
        """Take a method, and the content that followed it."""
        method, content = message.method, message.content
        if content is None:
            self.session.take_method(channel.id, method)
        else:
            listed, body = content.properties, content.body
            self.session.take_content(channel.id, method, listed, body)


class TxAMQPChannel(AMQChannel):  # type: ignore[misc]
    """Packs what is sent; puts together what comes."""

    def __init__(self, number: int, outgoing: Any, client: TxAMQPClient) -> None:
        super().__init__(number, outgoing, client)
        self._assembler = contents.Assembler(decode_method)

    def invoke(self, method: Any, args: Any, content: Any = None) -> Any:
        """
        Pack what one of its methods was called with, instead of queueing it.

        @raise TypeError: something cannot be expressed.
        @raise ValueError: something is too long or out of range.
        """
        kind = method.command
        arguments = dict(zip(kind.attributes(), args, strict=True))
        packed = self._pack(constants.FRAME_METHOD, encode_method(kind, arguments))
        if content is None:
            return packed
        body, most = content.body, self.client.MAX_LENGTH - _OVERHEAD
        header = contents.header(len(body), encode_properties(content.properties))
        frames = [packed, self._pack(constants.FRAME_HEADER, header)]
        for at in range(0, len(body), most):
            frames.append(marshal(ContentBody(body[at : at + most]), self.id))
        return b"".join(frames)

    def _pack(self, kind: int, payload: bytes) -> Any:
        head = _HEAD.pack(kind, self.id, len(payload))
        frame = b"".join((head, payload, constants.FRAME_END_CHAR))
        return self.client.delegate.session.checked(frame)

    def dispatch(self, frame: Any, work: object) -> None:
        """
        Take a frame, and hand on the message that it completes.

        @raise ProtocolError: it was not due.
        """
        kind, payload = frame.payload
        if not self.id and kind != constants.FRAME_METHOD:
            if kind != constants.FRAME_HEARTBEAT:
                raise ProtocolError(f"a frame of type {kind} for the whole connection")
            return
        found = self._assembler.take(kind, payload)
        if isinstance(found, contents.Content):
            content = Content(found.body, properties=found.listed)
            message = Message(found.method, (), content)
            self.client.delegate.dispatch(self, message)
        elif found is not None:
            self.client.delegate.dispatch(self, Message(found, ()))


class TxAMQPClient(AMQClient):  # type: ignore[misc]
    """Cuts what comes into frames; writes what is packed."""

    channelClass = TxAMQPChannel
    MAX_LENGTH = FRAME_MAX

    def add_channel(self, number: int) -> None:
        """Make the channel of that number, instead of one before it."""
        self.channels[number] = self.channelFactory(number, self.outgoing, self)

    def send_init_string(self) -> None:
        """Say what is spoken here."""
        self.transport.write(marshal(ProtocolHeader(), 0))

    def send_frame(self, packed: bytes) -> None:
        """Write frames."""
        self.delegate.session.write(packed)

    def dataReceived(self, data: bytes) -> None:
        """
        Take bytes.

        @raise ProtocolError: they are no frames, nor the beginning of one.
        """
        super().dataReceived(data)
        rest = self._FrameReceiver__buffer
        if rest and not self.delegate.session.over:
            self._check(rest)

    def _check(self, data: bytes) -> None:
        """Whether a frame may begin so; txAMQP calls it, and has it not."""
        if data[0] not in _KINDS:
            raise no_frame(data)
        size = (frame_parts(data)[2] or 0) + _OVERHEAD
        if size > self.MAX_LENGTH:
            raise ProtocolError(
                f"a frame of {size} bytes is larger than {self.MAX_LENGTH}, the size "
                "agreed on"
            )

    frameLengthExceeded = _check

    def _unpack_frame(self, data: bytes) -> Any:
        self._check(data)
        kind, number, size = frame_parts(data)
        if data[-1] != constants.FRAME_END:
            raise ProtocolError(f"a frame of {size} bytes lacks its end")
        return Frame(number, (kind, data[constants.FRAME_HEADER_SIZE : -1]))

    def frame_received(self, frame: Any) -> Any:
        """
        @return: whether to go no further.
        """
        channel = self.channels.get(frame.channel)
        if channel is None:
            number = frame.channel
            raise ProtocolError(f"a frame for channel {number}, which is not open")
        channel.dispatch(frame, self.work)
        return self.delegate.session.over


@implementer(ISession, IPushProducer)
class TxAMQPSession(Session):
    """One connection to one broker; see L{ISession}."""

    def _new_channel(self, number: int, listener: ISessionChannelListener) -> Channel:
        self._client.add_channel(number)
        return super()._new_channel(number, listener)

    # --- what is written -----------------------------------------------------

    def _begin(self) -> None:
        delegate = TxAMQPDelegate(self)
        self._client = TxAMQPClient(delegate, "", load(), clock=self._clock)
        self._client.add_channel(0)
        self._client.makeConnection(self.transport)

    def pack(self, number: int, kind: type[Method], **arguments: object) -> Any:
        channel = self._client.channels[number]
        return getattr(channel, method_name(kind))(**arguments)

    def publisher(self, number: int) -> Publisher:
        publish = self._client.channels[number].basic_publish

        def pack(
            body: bytes,
            properties: Properties,
            exchange: str,
            routing_key: str,
            mandatory: bool,
        ) -> Any:
            content = Content(body, properties=properties)
            return publish(0, exchange, routing_key, mandatory, False, content)

        return pack

    def put(self, packet: bytes) -> None:
        self._client.outgoing.put(packet)

    def _beat(self) -> None:
        self.put(marshal(Heartbeat(), 0))

    def _limit(self, frame_max: int) -> None:
        self._client.MAX_LENGTH = frame_max or _NO_LIMIT

    # --- what comes ----------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        self._client.dataReceived(data)


class TxAMQPTransport(Transport):
    """Connects with txAMQP; see L{IBrokerTransport}."""

    session = TxAMQPSession
