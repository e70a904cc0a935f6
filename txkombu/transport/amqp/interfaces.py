"""
The bytes of a session: what a transport that reads and writes them provides.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

from pamqp.base import Frame as Method

from ...interfaces import Properties
from ..protocol import BrokerProtocol

Publisher = Callable[[bytes, Properties, str, str, bool], bytes]
"""Told the body, the properties, the names of the exchange and the routing key, and
whether the message is mandatory."""


class WireProtocol(BrokerProtocol):
    """
    Knows methods and contents from bytes.

    @ivar frame_max: the size of a whole frame at most, in bytes; 0 until that was
        agreed on.
    """

    speaks = "AMQP 0-9-1"
    silence = "two heartbeats"
    frame_max = 0

    @abstractmethod
    def _feed(self, data: bytes) -> None:
        """
        Take bytes, and hand in what they hold, as long as the session is not over.

        @raise ProtocolError: they break the protocol.
        """

    @abstractmethod
    def pack(self, number: int, kind: type[Method], **arguments: object) -> bytes:
        """
        Prepare a method, without writing it.

        @param number: the channel's; 0 is the connection.
        @param arguments: those of the method; others are zero, empty or false.
        @return: what L{write} takes.
        @raise TypeError: an argument cannot be expressed.
        @raise ValueError: one is too long or out of range, or all are too large
            for the one frame that a method has.
        """

    @abstractmethod
    def publisher(self, number: int) -> Publisher:
        """Give what prepares the publishes of a channel, as L{pack} does a method."""

    def checked(self, frame: bytes) -> bytes:
        """
        @return: the frame of a method or a header.
        @raise ValueError: it is too large to be sent.
        """
        maximum = self.frame_max
        if maximum and len(frame) > maximum:
            raise ValueError(
                f"the arguments take a frame of {len(frame)} bytes, at most {maximum} "
                "were agreed on with the broker"
            )
        return frame

    def _limit(self, frame_max: int) -> None:
        """From now on the broker's frames have at most so many bytes."""


class AmqpChannelHost(Protocol):
    """
    The session of a channel.

    @ivar warned: the queues that their owner was warned of.
    """

    warned: set[str]

    def pack(self, number: int, kind: type[Method], **arguments: object) -> bytes:
        """See L{WireProtocol.pack}."""

    def publisher(self, number: int) -> Publisher:
        """See L{WireProtocol.publisher}."""

    def write(self, data: bytes) -> None:
        """See L{BrokerProtocol.write}."""

    def flush_soon(self, channel: Any) -> None:
        """Call a channel's C{flush} before this reactor turn is over."""

    def release(self, number: int) -> None:
        """A channel is closed on both sides."""

    def pause_reading(self) -> None:
        """Read no more until C{resume_reading} was called as often."""

    def resume_reading(self) -> None:
        """Undo one C{pause_reading}."""
