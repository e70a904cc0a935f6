"""What the objects of this package ask of those that own or use them."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred

from ..exceptions import KombuError
from ..interfaces import ISessionChannel, Returned


class SessionChannelOwner(Protocol):
    """What works on the session channels that an opener opens."""

    @property
    def has_consumers(self) -> bool:
        """Whether consumers are to run on it, as soon as it can be opened."""

    @property
    def needs_channel(self) -> bool:
        """Whether it has to be open though no operation waits for that."""

    def channel_up(self, opened: ISessionChannel) -> Deferred[None]:
        """
        Begin to work on a session channel.

        @param opened: the session channel.
        @return: fires when all that was recorded is started; never fails.
        """

    def channel_lost(self, error: Exception) -> None:
        """
        Note that the session channel is gone; the opener may open another.

        @param error: why.
        """

    def cannot_open(self, error: Exception) -> None:
        """
        Fail what waits for a session channel.

        @param error: why none can be opened now.
        """

    def returned(self, message: Returned) -> None:
        """
        Take a mandatory message that came back.

        @param message: with the broker's reason.
        """


class ConnectionChannel(Protocol):
    """A channel, as its connection sees it."""

    @property
    def is_consuming(self) -> bool:
        """Whether every consumer that was started runs at the broker."""

    def consumes_from(self, queue: str) -> bool:
        """
        Return whether one of its consumers reads a queue.

        @param queue: the queue's name.
        """

    def queue_renamed(self, old: str, new: str) -> None:
        """
        Rename a queue that the broker names.

        @param old: its name in the lost session.
        @param new: its name now.
        """

    def flow(self, allowed: bool) -> None:
        """
        Pause or resume publishing.

        @param allowed: whether broker and socket take messages.
        """

    def session_dropped(self, error: Exception) -> None:
        """
        Note that this program has aborted the session.

        @param error: what operations fail with.
        """

    def close_because(self, error: KombuError) -> Deferred[None]:
        """
        Close it.

        @param error: what later operations fail with.
        @return: fires when it is closed; never fails.
        """

    def unfinished_work(self) -> list[str]:
        """Say which messages await settlement, and what waits for the broker."""


class DrainedConsumer(Protocol):
    """A consumer that C{drain_events} starts and waits for."""

    def is_on(self, channel: Any) -> bool:
        """
        Return whether it works on a channel.

        @param channel: the core of a channel.
        """

    def start_if_untouched(self) -> Deferred[None]:
        """Start it if nothing was called yet and it can handle messages."""

    def stop_handling(self) -> None:
        """Begin with no further message."""

    def channel_closed(self) -> None:
        """Fail what waits for a message: the channel was closed."""

    def unfinished_work(self) -> list[str]:
        """Say how many handlers are at work, and how many wait for a message."""
