"""
The bytes of a session: what a transport that reads and writes them provides.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

from pamqp.base import Frame as Method
from twisted.internet.interfaces import IReactorTime

from ...interfaces import Properties
from ..closing import ClosingProtocol
from ..heartbeat import Heartbeat

Publisher = Callable[[bytes, Properties, str, str, bool], bytes]
"""Told the body, the properties, the names of the exchange and the routing key, and
whether the message is mandatory."""


class WireProtocol(ClosingProtocol):
    """
    Knows methods and contents from bytes.

    @ivar frame_max: the size of a whole frame at most, in bytes; 0 until that was
        agreed on.
    """

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(clock)
        self.frame_max = 0
        self._heartbeat = Heartbeat(clock, self._beat, self._silent)

    @abstractmethod
    def _silent(self) -> None:
        """The peer is taken for dead."""

    @abstractmethod
    def _begin(self) -> None:
        """It is connected: begin to log in."""

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
        @return: what L{put} takes.
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

    def put_all(self, packets: list[bytes]) -> None:
        """Write one after the other, in one go."""
        self.put(b"".join(packets))

    @abstractmethod
    def put(self, packet: bytes) -> None:
        """
        Write what was prepared, in one go.

        What it answers to is noted before: writing may call back.
        """

    @abstractmethod
    def _beat(self) -> None:
        """Write a heartbeat."""

    def _limit(self, frame_max: int) -> None:
        """From now on the broker's frames have at most so many bytes."""

    def write(self, frames: bytes) -> None:
        """Write whole frames."""
        self._heartbeat.idle = 0
        self.transport.write(frames)


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

    def put(self, packet: bytes) -> None:
        """See L{WireProtocol.put}."""

    def put_all(self, packets: list[bytes]) -> None:
        """Write what was packed, in one piece."""

    def flush_soon(self, channel: Any) -> None:
        """Call a channel's C{flush} before this reactor turn is over."""

    def release(self, number: int) -> None:
        """A channel is closed on both sides."""
