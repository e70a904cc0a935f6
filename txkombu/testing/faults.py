"""
Sessions and channels of the memory broker with something in between.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.python.components import proxyForInterface
from twisted.python.failure import Failure
from zope.interface import implementer

from ..entity import Exchange
from ..exceptions import NotSent, OutcomeUnknown
from ..interfaces import (
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
    Properties,
    Returned,
)
from .published import Published


class FaultSource(Protocol):
    """What tells sessions and channels which faults to make, and is told."""

    published: list[Published]
    sessions: list[FaultySession]
    holds_confirms: bool


_Session: Any = proxyForInterface(ISession)
_Channel: Any = proxyForInterface(ISessionChannel)


@implementer(ISession, ISessionListener)
class FaultySession(_Session):  # type: ignore[misc]  # a proxy, made at run time
    """
    A session that a test can drop.

    @ivar listener: the connection that owns it.
    @ivar channels: those that live.
    """

    original: ISession

    def __init__(self, broker: FaultSource, listener: ISessionListener) -> None:
        self.broker = broker
        self.listener = listener
        self.channels: list[FaultyChannel] = []
        self._opening = 0

    def open_channel(
        self, listener: ISessionChannelListener
    ) -> Deferred[ISessionChannel]:
        channel = FaultyChannel(self, listener)
        self._opening += 1

        def opened(original: ISessionChannel) -> ISessionChannel:
            self._opening -= 1
            channel.original = original
            self.channels.append(channel)
            return channel

        def failed(failure: Failure) -> Failure:
            self._opening -= 1
            return failure

        opening = self.original.open_channel(channel)
        return opening.addCallbacks(opened, failed)

    def under_way(self) -> list[str]:
        """Say which operations no answer has come for."""
        opening = ["opening a channel"] * self._opening
        return opening + [what for each in self.channels for what in each.under_way()]

    def drop(self, error: Exception) -> None:
        """Lose it now."""
        self._gone()
        self.listener.session_lost(error)
        for channel in list(self.channels):
            channel.channel_lost(error)
        self.original.abort()

    def close(self) -> Deferred[None]:
        self._gone()
        return self.original.close()

    def abort(self) -> None:
        self._gone()
        self.original.abort()
        for channel in list(self.channels):
            channel.gone(None)

    def _gone(self) -> None:
        if self in self.broker.sessions:
            self.broker.sessions.remove(self)

    def session_lost(self, reason: Exception) -> None:
        self._gone()
        self.listener.session_lost(reason)

    def blocked(self, reason: str) -> None:
        self.listener.blocked(reason)

    def unblocked(self) -> None:
        self.listener.unblocked()

    def write_paused(self) -> None:
        self.listener.write_paused()

    def write_resumed(self) -> None:
        self.listener.write_resumed()


@implementer(ISessionChannel, ISessionChannelListener)
class FaultyChannel(_Channel):  # type: ignore[misc]  # a proxy, made at run time
    """A channel that records what is published, and keeps verdicts back."""

    original: ISessionChannel

    def __init__(
        self, session: FaultySession, listener: ISessionChannelListener
    ) -> None:
        self._session = session
        self._listener = listener
        self._held: dict[Deferred[None], object] = {}
        self._verdicts: dict[Deferred[None], None] = {}
        self._gone = False

    def basic_publish(
        self,
        body: bytes,
        properties: Properties,
        exchange: Exchange,
        routing_key: str,
        mandatory: bool,
        confirm: bool,
    ) -> Deferred[None]:
        broker = self._session.broker
        if self._gone:
            return fail(NotSent("the channel is gone"))
        verdict = self.original.basic_publish(
            body, properties, exchange, routing_key, mandatory, confirm
        )
        message = Published(exchange.name, routing_key, body, deepcopy(properties))
        broker.published.append(message)
        if not confirm:
            return verdict
        self._verdicts[verdict] = None
        verdict.addBoth(self._verdict_in, verdict)
        return self._hold(verdict) if broker.holds_confirms else verdict

    def _verdict_in(self, result: Any, verdict: Deferred[None]) -> Any:
        self._verdicts.pop(verdict, None)
        return result

    def _hold(self, verdict: Deferred[None]) -> Deferred[None]:
        held: Deferred[None] = Deferred(self._forget)
        self._held[held] = _NONE_YET
        verdict.addBoth(self._keep, held)
        return held

    def _forget(self, held: Deferred[None]) -> None:
        self._held.pop(held, None)

    def _keep(self, result: object, held: Deferred[None]) -> None:
        if held not in self._held:
            return
        if self._session.broker.holds_confirms:
            self._held[held] = result
        else:
            del self._held[held]
            held.callback(result)  # type: ignore[arg-type]  # or a Failure

    def release_confirms(self) -> None:
        """Let go the verdicts that have come by now."""
        for held, result in list(self._held.items()):
            if result is not _NONE_YET and held in self._held:
                del self._held[held]
                held.callback(result)  # type: ignore[arg-type]  # or a Failure

    def under_way(self) -> list[str]:
        """Say which verdicts have not come."""
        count = len(self._verdicts.keys() | self._held.keys())
        return [f"{count} publishes without a verdict"] if count else []

    def close(self) -> Deferred[None]:
        self.gone(None)
        return self.original.close()

    def channel_lost(self, error: Exception) -> None:
        self._gone = True
        self._listener.channel_lost(error)
        self.gone(error)

    def gone(self, error: Exception | None) -> None:
        """Nothing more will come: what is kept back has an unknown outcome."""
        self._gone = True
        if self in self._session.channels:
            self._session.channels.remove(self)
        while self._held:  # who hears of one may cancel another
            each = next(iter(self._held))
            del self._held[each]
            unknown = OutcomeUnknown("the session ended before the verdict came")
            unknown.__cause__ = error
            each.errback(Failure(unknown))

    def returned(self, message: Returned) -> None:
        self._listener.returned(message)


_NONE_YET = object()
