"""Find the channel that a producer or consumer works on."""

from __future__ import annotations

from typing import Protocol

from ..entity.base import no_channel
from .channel import Channel


class ChannelLender(Protocol):
    """A channel, or a connection, which makes one."""

    def lend_channel(self) -> tuple[Channel, bool]:
        """Return a channel, and whether its user is to close it."""


def lent_channel(channel: ChannelLender) -> tuple[Channel, bool]:
    """
    Return the channel that was given, or a new one of the connection that was given.

    @return: the channel, and whether its user is to close it.
    @raise TypeError: it is neither.
    """
    lend = getattr(channel, "lend_channel", None)
    if lend is None:
        raise no_channel(channel)
    found: tuple[Channel, bool] = lend()
    return found
