"""
Which channels an error of the whole connection is about.
"""

from __future__ import annotations

from ...exceptions import BrokerError, KombuError
from .channel_state import ChannelState


def channels_refused(
    reason: KombuError, channels: list[ChannelState]
) -> list[ChannelState]:
    """
    The channels whose request the broker closed the whole connection for.

    It does not say which; the oldest request of a channel is due, and its
    error names the method, and mostly the object too.
    """
    if not isinstance(reason, BrokerError):
        return []
    found = []
    for channel in channels:
        request = channel.refused_by(reason)
        if request is not None:
            found.append((channel, request.about))
    if len(found) > 1:
        named = [each for each in found if each[1] and f"'{each[1]}'" in reason.text]
        found = named or found
    return [channel for channel, _ in found]
