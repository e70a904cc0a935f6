"""
The parties of a scenario: sessions, channels and consumers, and what each received.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from txkombu.interfaces import (
    Delivery,
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
    Returned,
)

T = TypeVar("T")
PATIENCE = 3.0
"""
Seconds to wait for something that should arrive.
"""


class GaveUp(Exception):
    """Something that should have arrived did not."""


class Waiting:
    """Things that arrive, and a caller that waits for so many of them."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._came: list[Any] = []
        self._waiter: tuple[int, Deferred[None]] | None = None

    def put(self, thing: object) -> None:
        """Add one."""
        self._came.append(thing)
        if self._waiter is not None and len(self._came) >= self._waiter[0]:
            (_, waiter), self._waiter = self._waiter, None
            waiter.callback(None)

    @inlineCallbacks
    def take(self, count: int) -> Generator[Deferred[Any], Any, list[Any]]:
        """Wait for so many, and take them; fewer if they do not arrive in time."""
        if len(self._came) < count:
            waiter: Deferred[None] = Deferred()
            self._waiter = (count, waiter)
            waiter.addTimeout(
                PATIENCE, self._clock, onTimeoutCancel=lambda result, timeout: None
            )
            yield waiter
            self._waiter = None
        return self.take_all(count)

    def take_all(self, count: int | None = None) -> list[Any]:
        """Take all that have arrived, or the first so many."""
        taken = self._came[:count]
        self._came = self._came[len(taken) :]
        return taken


@implementer(ISessionChannelListener)
class ChannelParty:
    """
    A channel, and everything that it received.

    @ivar channel: it opens on first use, and again after a loss.
    @ivar deliveries: the deliveries of all its consumers, in the order of arrival.
    @ivar by_body: the last delivery of each body.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.channel: ISessionChannel | None = None
        self.deliveries = Waiting(clock)
        self.returns = Waiting(clock)
        self.losses = Waiting(clock)
        self.cancels = Waiting(clock)
        self.by_body: dict[str, Delivery] = {}

    def delivered(self, delivery: Delivery) -> None:
        """Record a delivery."""
        self.by_body[delivery.body.decode()] = delivery
        self.deliveries.put(delivery)

    def channel_lost(self, error: Exception) -> None:
        self.channel = None
        self.losses.put(error)

    def returned(self, message: Returned) -> None:
        self.returns.put(message)

    def leftovers(self) -> dict[str, list[Any]]:
        """Return what it received and no step asked for."""
        return {
            "delivery": self.deliveries.take_all(),
            "return": self.returns.take_all(),
            "loss": self.losses.take_all(),
            "cancel": self.cancels.take_all(),
        }


@implementer(ISessionListener)
class SessionParty:
    """A session and its channels, by their letters."""

    def __init__(
        self,
        clock: IReactorTime,
        connect: Callable[[ISessionListener], Deferred[ISession]],
    ) -> None:
        self._clock = clock
        self._connect = connect
        self.session: ISession | None = None
        self.parties: dict[str, ChannelParty] = {}
        self.losses = Waiting(clock)

    @inlineCallbacks
    def party(self, letter: str) -> Generator[Deferred[Any], Any, ChannelParty]:
        """Return a channel; open it if it is not open."""
        if self.session is None:
            self.session = yield self._connect(self)
        party = self.parties.setdefault(letter, ChannelParty(self._clock))
        if party.channel is None:
            assert self.session is not None
            party.channel = yield self.session.open_channel(party)
        return party

    def session_lost(self, reason: Exception) -> None:
        self.forget()
        self.losses.put(reason)

    def forget(self) -> None:
        """Forget the session, which has ended, and its channels."""
        self.session = None
        for party in self.parties.values():
            party.channel = None

    def blocked(self, reason: str) -> None:
        pass

    def unblocked(self) -> None:
        pass

    def write_paused(self) -> None:
        pass

    def write_resumed(self) -> None:
        pass
