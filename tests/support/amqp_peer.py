"""
A broker's end of an AMQP connection, driven by a test: frames as pamqp writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pamqp import body, commands, header
from pamqp.frame import marshal
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.contract.harness import ChannelWatcher, Journal, Probe, SessionWatcher
from txkombu.transport.amqp.channel import AmqpSessionChannel as SessionChannel
from txkombu.transport.amqp.native import NativeSession
from txkombu.transport.amqp.session import AmqpSession
from txkombu.transport.amqp.wire.frames import METHOD, PROTOCOL_HEADER
from txkombu.transport.amqp.wire.methods import decode_method
from txkombu.transport.amqp.wire.parser import AmqpFrameParser
from txkombu.url import Parameters

Basic = commands.Basic
Channel = commands.Channel
Connection = commands.Connection

START = Connection.Start(
    server_properties={"product": "Scripted", "version": "9"},
    mechanisms="PLAIN EXTERNAL",
)


def content_header(size: int, listed: bytes) -> bytes:
    """
    Return the payload of a header's frame.

    @param size: the body's, in bytes.
    @param listed: the properties, from their flags on.
    """
    return b"\x00\x3c\x00\x00" + size.to_bytes(8, "big") + listed


class Wire(StringTransport):
    """A transport that records how it is used."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnected = True


class Peer:
    """
    Talks to one session, as its broker.

    @cvar kind: the class of the session.
    @ivar session: the session under test.
    @ivar wire: its transport.
    @ivar clock: its clock.
    @ivar journal: the calls that its listeners got.
    """

    kind: type[AmqpSession] = NativeSession

    def __init__(
        self, parameters: Parameters | None = None, clock: IReactorTime | None = None
    ) -> None:
        self.clock: Any = clock or Clock()
        self.journal = Journal()
        self.wire = Wire()
        self.session: Any = self.kind(
            parameters or Parameters(heartbeat=0),
            "the peer",
            self.clock,
            SessionWatcher(self.journal),
        )
        self.login = Probe(self.session.login)
        self._parser = AmqpFrameParser()
        self._parser.limit_frames(0)

    def connect(self) -> None:
        """Connect, and read the protocol header."""
        self.session.makeConnection(self.wire)
        assert self.wire.value() == PROTOCOL_HEADER
        self.wire.clear()

    def log_in(self, **tuning: int) -> None:
        """Do a whole login."""
        self.connect()
        self.send(0, START)
        offer = {"channel_max": 2047, "frame_max": 131072, "heartbeat": 60}
        self.send(0, Connection.Tune(**{**offer, **tuning}))
        self.send(0, Connection.OpenOk())
        self.taken()

    def channel(self) -> SessionChannel:
        """Open a channel."""
        self.taken()
        opening = Probe(self.session.open_channel(ChannelWatcher(self.journal)))
        ((number, _),) = self.taken()
        self.send(number, Channel.OpenOk())
        channel: SessionChannel = opening.outcome
        return channel

    def send(self, channel: int, *frames: Any) -> None:
        """Send frames in one piece."""
        self.session.dataReceived(b"".join(marshal(each, channel) for each in frames))

    def send_content(self, channel: int, method: Any, content: bytes = b"") -> None:
        """Send a method and its content."""
        properties = Basic.Properties(message_id="m")
        parts = [method, header.ContentHeader(0, len(content), properties)]
        if content:
            parts.append(body.ContentBody(content))
        self.send(channel, *parts)

    def deliver(self, channel: int, tag: int, consumer: str = "tag") -> None:
        """Deliver a message."""
        self.send_content(channel, Basic.Deliver(consumer, tag, False, "", "key"), b"b")

    def frames(self) -> list[tuple[int, int, bytes]]:
        """Return the frames that were sent since the last call."""
        found = list(self._parser.feed(self.wire.value()))
        self.wire.clear()
        return found

    def taken(self) -> list[tuple[int, Any]]:
        """
        Return the methods that were sent since the last call, with their channels.
        """
        return [
            (channel, decode_method(payload))
            for kind, channel, payload in self.frames()
            if kind == METHOD
        ]

    def names(self) -> list[str]:
        """Return the names of the methods that were sent since the last call."""
        return [method.name for _, method in self.taken()]

    def lose(self) -> None:
        """Lose the connection."""
        self.session.connectionLost(Failure(ConnectionLost()))

    def finish(self) -> None:
        """Close the socket, as the session asked."""
        self.session.connectionLost(Failure(ConnectionDone()))


_REPLIES: dict[type[Any], Callable[[Any], Any]] = {
    Channel.Open: lambda asked: Channel.OpenOk(),
    Channel.Close: lambda asked: Channel.CloseOk(),
    Connection.Close: lambda asked: Connection.CloseOk(),
    commands.Exchange.Declare: lambda asked: commands.Exchange.DeclareOk(),
    commands.Exchange.Delete: lambda asked: commands.Exchange.DeleteOk(),
    commands.Exchange.Bind: lambda asked: commands.Exchange.BindOk(),
    commands.Exchange.Unbind: lambda asked: commands.Exchange.UnbindOk(),
    commands.Queue.Declare: lambda asked: commands.Queue.DeclareOk(asked.queue, 1, 2),
    commands.Queue.Bind: lambda asked: commands.Queue.BindOk(),
    commands.Queue.Unbind: lambda asked: commands.Queue.UnbindOk(),
    commands.Queue.Purge: lambda asked: commands.Queue.PurgeOk(3),
    commands.Queue.Delete: lambda asked: commands.Queue.DeleteOk(4),
    commands.Confirm.Select: lambda asked: commands.Confirm.SelectOk(),
    Basic.Consume: lambda asked: Basic.ConsumeOk(asked.consumer_tag),
    Basic.Cancel: lambda asked: Basic.CancelOk(asked.consumer_tag),
    Basic.Qos: lambda asked: Basic.QosOk(),
    Basic.Recover: lambda asked: Basic.RecoverOk(),
    Basic.Get: lambda asked: Basic.GetEmpty(),
}
"""
A broker's replies; a method that is not listed has no reply.
"""


def reply_to(asked: Any) -> Any:
    """Return the reply to a method, or None if it has none."""
    made = _REPLIES.get(type(asked))
    return None if made is None else made(asked)
