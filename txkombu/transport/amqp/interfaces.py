"""What a channel asks of its session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pamqp.base import Frame as Method

from ...interfaces import Properties

Publisher = Callable[[bytes, Properties, str, str, bool], bytes]
"""Prepares a publish, given the body, the properties, the names of the exchange and the
routing key, and whether the message is mandatory."""


class AmqpChannelHost(Protocol):
    """
    The session of a channel.

    @ivar max_message_size: the maximum size of a body that may come, in bytes.
    @ivar warned: the names of the queues that a warning was logged about.
    """

    max_message_size: int
    warned: set[str]

    @property
    def decode(self) -> Callable[[Any], Method]:
        """See L{AmqpSession.decode}."""

    def pack(self, number: int, kind: type[Method], **arguments: object) -> bytes:
        """See L{AmqpSession.pack}."""

    def publisher(self, number: int) -> Publisher:
        """See L{AmqpSession.publisher}."""

    def write(self, data: bytes) -> None:
        """See L{BrokerProtocol.write}."""

    def write_soon(self, data: bytes) -> None:
        """See L{AmqpSession.write_soon}."""

    def flush_soon(self, channel: Any) -> None:
        """Call a channel's C{flush} before this reactor turn is over."""

    def release(self, number: int) -> None:
        """Free the number of a channel that is closed on both sides."""
