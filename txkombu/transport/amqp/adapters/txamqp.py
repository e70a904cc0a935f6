"""
The transport of C{txamqp://} and C{txamqps://}, which uses the library txAMQP.

txAMQP's C{AMQClient} takes the bytes that come and cuts them into frames.  What is
sent goes through the methods of txAMQP's channels, and the queue and the writer of its
client.  Everything else is done by L{txkombu.transport.amqp}, because txAMQP has faults
there:

  - it packs and unpacks wrongly: it counts the characters of a string as its bytes,
    knows two types of values in tables, and turns bodies that are UTF-8 into text;
  - while the content of one message is not complete, the messages of all channels
    wait; then they are handled in a recursion that goes deeper with each of them;
  - it matches replies to requests by their order, but the replies to basic.consume and
    basic.cancel do not keep it; and it takes the header of a content for the next
    reply;
  - it asks for AMQP 0-9, not 0-9-1, and cannot refuse a frame that is too large.

Connecting imports Twisted's reactor: the queues of txAMQP import it, for timeouts that
are not used here.
"""

from __future__ import annotations

from math import inf
from typing import Any

from pamqp.base import Frame as Method
from twisted.internet.interfaces import IReactorTime
from txamqp.client import TwistedDelegate
from txamqp.content import Content
from txamqp.protocol import AMQChannel, AMQClient

from ....interfaces import ISessionChannelListener
from ..channel import AmqpSessionChannel
from ..interfaces import Publisher
from ..session import AmqpSession
from ..transport import AmqpTransportBase
from ..wire.frames import HEARTBEAT_FRAME, PROTOCOL_HEADER, split_frame
from ..wire.methods import encode_method
from ..wire.publish_writer import PublishWriter
from .txamqp_spec import load, method_name


class TxAMQPChannel(AMQChannel):  # type: ignore[misc]  # it has no types
    """A channel whose methods return their frames, instead of queueing them."""

    def __init__(self, number: int, outgoing: Any, client: TxAMQPClient) -> None:
        super().__init__(number, outgoing, client)
        self._pack_publish = PublishWriter(number, client.session.frame_max).frames

    def invoke(self, method: Any, args: Any, content: Any = None) -> Any:
        """
        Return the frames of a method; called by the method of that name.

        @raise TypeError: an argument cannot be expressed.
        @raise ValueError: an argument is too long or out of range.
        """
        kind = method.command
        arguments = dict(zip(kind.attributes(), args, strict=True))
        if content is None:
            frame = encode_method(self.id, kind, **arguments)
            return self.client.session.checked(frame)
        return self._pack_publish(
            content.body,
            content.properties,
            arguments["exchange"],
            arguments["routing_key"],
            arguments["mandatory"],
        )


class TxAMQPClient(AMQClient):  # type: ignore[misc]  # it has no types
    """
    Cuts the bytes that come into frames for its session, and writes its frames.

    @ivar session: the session that uses this client.
    """

    channelClass = TxAMQPChannel
    MAX_LENGTH = inf  # the session refuses a frame that is too large, at its beginning

    def __init__(self, session: TxAMQPSession, clock: IReactorTime) -> None:
        super().__init__(TwistedDelegate(), "", load(), clock=clock)
        self.session = session
        self.add_channel(0)

    def add_channel(self, number: int) -> None:
        """Make the channel of that number; it replaces an earlier one."""
        self.channels[number] = self.channelFactory(number, self.outgoing, self)

    def send_init_string(self) -> None:
        """Ask for AMQP 0-9-1."""
        self.transport.write(PROTOCOL_HEADER)

    def send_frame(self, packed: bytes) -> None:
        """Write frames, which are packed already; called by txAMQP's writer."""
        self.session.write_out(packed)

    def dataReceived(self, data: bytes) -> None:
        """
        Take bytes.

        @raise ProtocolError: they are no frames, nor the beginning of one.
        """
        super().dataReceived(data)
        rest = self._FrameReceiver__buffer  # the beginning of the next frame
        if rest and not self.session.over:
            self.session.frame_size(rest)

    def _unpack_frame(self, data: bytes) -> tuple[int, int, bytes]:
        self.session.frame_size(data)
        return split_frame(data)

    def frame_received(self, frame: tuple[int, int, bytes]) -> bool:
        """
        Hand on one frame.

        @return: whether to stop, as the session is over.
        @raise ProtocolError: no such frame may come now.
        """
        kind, number, payload = frame
        self.session.take_frame(number, kind, payload)
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

    def pack(self, number: int, kind: type[Method], **arguments: object) -> bytes:
        channel = self._client.channels[number]
        packed: bytes = getattr(channel, method_name(kind.name))(**arguments)
        return packed

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
        self.write(HEARTBEAT_FRAME)

    def _feed(self, data: bytes) -> None:
        self._client.dataReceived(data)


class TxAMQPTransport(AmqpTransportBase):
    """Connects with txAMQP; see L{IBrokerTransport}."""

    session = TxAMQPSession
