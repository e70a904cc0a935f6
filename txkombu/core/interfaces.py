"""
Protocols of the objects that C{txkombu.core} calls: the owner of session channels, a
consumer on one, a channel of a connection, and a consumer that C{drain_events} starts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from ..exceptions import KombuError
from ..interfaces import ISessionChannel, Returned
from .publish_queue import PublishRequest

Publish = Callable[[PublishRequest], Deferred[None]]
"""Publishes a message; fires with the broker's verdict."""
ObservePublish = Callable[[Publish], Publish]
"""Called with what publishes; returns what publishes from now on, and sees it."""


class SessionChannelOwner(Protocol):
    """What uses the session channels that a C{ChannelOpener} opens for it."""

    @property
    def has_consumers(self) -> bool:
        """Whether there are consumers, which need a session channel to run on."""

    @property
    def needs_channel(self) -> bool:
        """Whether a session channel is needed, even if no operation waits for one."""

    def channel_up(self, opened: ISessionChannel) -> Deferred[None]:
        """Start work on a new session channel; fires when it is begun, never fails."""

    def channel_lost(self, error: Exception) -> None:
        """Note why the session channel is gone; the opener may open another."""

    def cannot_open(self, error: Exception) -> None:
        """Fail what waits for a session channel, since none can be opened now."""

    def returned(self, message: Returned) -> None:
        """Take a mandatory message, published without C{confirm}, that came back."""


class BegunConsumer(Protocol):
    """
    A consumer that was begun on a session channel.

    @ivar tag: its consumer tag.
    @ivar running: whether the broker has it now.
    """

    tag: str
    running: bool

    def channel_lost(self) -> None:
        """Note that it runs no longer."""


class ConnectionChannel(Protocol):
    """A channel, as its connection sees it."""

    @property
    def is_consuming(self) -> bool:
        """Whether every consumer that was started runs at the broker."""

    def flow(self, allowed: bool) -> None:
        """Pause or resume publishing, as broker and socket allow."""

    def observe_publishes(self, put_around: ObservePublish) -> None:
        """Have something see each publish."""

    def session_dropped(self, error: Exception) -> None:
        """
        Take its session channels as lost with this error: the program has aborted the
        session.
        """

    @property
    def unconfirmed(self) -> int:
        """The number of messages that were published and have no verdict."""

    def refuse_publishes(self, error: KombuError) -> None:
        """Fail further publishes with this error."""

    def when_published(self) -> Deferred[None]:
        """Wait until each message that was published has its verdict; never fails."""

    def give_up_publishes(self, error: KombuError) -> None:
        """Fail the messages that wait to be sent."""

    def close_because(self, error: KombuError) -> Deferred[None]:
        """Close it, so that later operations fail with this error; never fails."""

    def unfinished_work(self) -> list[str]:
        """Say which messages await settlement, and what waits for the broker."""


class DrainedConsumer(Protocol):
    """A consumer that C{drain_events} starts and waits for."""

    def start_if_untouched(self) -> Deferred[None] | None:
        """
        Start it if it can handle messages, and C{consume}, C{cancel} and C{get} were
        not called yet.

        @return: C{None} if one of these was called.
        """

    def stop_handling(self) -> None:
        """Begin to handle no further message."""

    def hand_back(self) -> None:
        """Requeue the messages that wait: the broker knows that no more are wanted."""

    def channel_closed(self) -> None:
        """Fail what waits for a message: the channel was closed."""

    def unfinished_work(self) -> list[str]:
        """Say how many handlers are at work, and how many wait for a message."""
