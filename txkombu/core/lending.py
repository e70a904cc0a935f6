"""
The channel that a producer or consumer works on: given to it, or made for it.
"""

from __future__ import annotations

from typing import Protocol

from ..entity.base import no_channel
from .channel import Channel


class ChannelLender(Protocol):
    """A channel, or a connection, which opens one for who asks."""

    def lend_channel(self) -> tuple[Channel, bool]:
        """@return: a channel, and whether it has to be closed with what uses it."""


def lent_channel(channel: ChannelLender) -> tuple[Channel, bool]:
    """
    What a producer or consumer works on: the channel it was given, or a new
    one of the connection it was given.

    @return: the channel, and whether it has to be closed with what uses it.
    @raise TypeError: it is neither.
    """
    lend = getattr(channel, "lend_channel", None)
    if lend is None:
        raise no_channel(channel)
    found: tuple[Channel, bool] = lend()
    return found
