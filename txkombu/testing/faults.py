"""Sessions and channels of the memory broker that can be made to fail."""

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
    """The broker, which says which faults sessions and channels make."""

    published: list[Published]
    sessions: list[FaultySession]
    holds_confirms: bool


_Session: Any = proxyForInterface(ISession)
_Channel: Any = proxyForInterface(ISessionChannel)


@implementer(ISession, ISessionListener)
class FaultySession(_Session):  # type: ignore[misc]  # a proxy, made at run time
    """
    A session that a test can drop.

    @ivar original: the memory broker's session.
    @ivar broker: the broker it belongs to.
    @ivar listener: the connection that owns it.
    @ivar channels: those that live.
    """

    original: ISession

    def __init__(self, broker: FaultSource, listener: ISessionListener) -> None:
        self.broker = broker
        self.listener = listener
        self.channels: list[FaultyChannel] = []
        self._opening = 0

    def begin(self, original: ISession) -> None:
        """Stand in front of the memory broker's session from now on."""
        self.original = original

    def open_channel(
        self, listener: ISessionChannelListener
    ) -> Deferred[ISessionChannel]:
        channel = FaultyChannel(self, listener)
        self._opening += 1

        def opened(original: ISessionChannel) -> ISessionChannel:
            self._opening -= 1
            channel.begin(original)
            self.channels.append(channel)
            return channel

        def failed(failure: Failure) -> Failure:
            self._opening -= 1
            return failure

        opening = self.original.open_channel(channel)
        return opening.addCallbacks(opened, failed)

    def under_way(self) -> list[str]:
        """Return in words which operations have no answer yet."""
        opening = ["opening a channel"] * self._opening
        return opening + [what for each in self.channels for what in each.under_way()]

    def release_confirms(self) -> None:
        """Deliver the verdicts that were kept back."""
        for channel in list(self.channels):
            channel.release_confirms()

    def drop(self, error: Exception) -> None:
        """Lose the session now."""
        self._leave()
        self.listener.session_lost(error)
        for channel in list(self.channels):
            channel.channel_lost(error)
        self.original.abort()

    def close(self) -> Deferred[None]:
        self._leave()
        return self.original.close()

    def abort(self) -> None:
        self._leave()
        self.original.abort()
        for channel in list(self.channels):
            channel.gone(None)

    def _leave(self) -> None:
        if self in self.broker.sessions:
            self.broker.sessions.remove(self)

    def session_lost(self, reason: Exception) -> None:
        self._leave()
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
    """A channel that records what is published, and can keep verdicts back."""

    original: ISessionChannel

    def __init__(
        self, session: FaultySession, listener: ISessionChannelListener
    ) -> None:
        self._session = session
        self._listener = listener
        self._held: dict[Deferred[None], object] = {}
        self._verdicts: dict[Deferred[None], None] = {}
        self._gone = False

    def begin(self, original: ISessionChannel) -> None:
        """Stand in front of the memory broker's channel from now on."""
        self.original = original

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
        """Deliver the verdicts that have come by now."""
        for held, result in list(self._held.items()):
            if result is not _NONE_YET and held in self._held:
                del self._held[held]
                held.callback(result)  # type: ignore[arg-type]  # or a Failure

    def under_way(self) -> list[str]:
        """Return in words which verdicts have not come."""
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
        """Fail what is kept back: nothing more comes, so its outcome is unknown."""
        self._gone = True
        if self in self._session.channels:
            self._session.channels.remove(self)
        while self._held:  # a callback of one may cancel another
            each = next(iter(self._held))
            del self._held[each]
            unknown = OutcomeUnknown("the session ended before the verdict came")
            unknown.__cause__ = error
            each.errback(Failure(unknown))

    def returned(self, message: Returned) -> None:
        self._listener.returned(message)


_NONE_YET = object()
