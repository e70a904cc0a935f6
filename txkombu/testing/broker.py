"""
A memory broker that tells what was published to it, and fails on request.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import Clock
from zope.interface import implementer

from ..exceptions import ConnectError, SessionLost
from ..interfaces import IBrokerTransport, ISession, ISessionListener
from ..transport.memory import MemoryBroker
from ..url.parameters import Parameters
from .faults import FaultyChannel, FaultySession
from .published import Published


@implementer(IBrokerTransport)
class RecordingBroker:
    """
    A broker in memory, under a Clock.

    Pass it as C{BrokerConnection(transport=broker, reactor=broker.clock)}, or
    take L{txkombu.testing.BrokerTestCase}, which does.

    @ivar clock: what its time and that of its connections runs on.
    @ivar memory: the broker behind it.
    @ivar published: every message published to it, in order.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = Clock() if clock is None else clock
        self.memory = MemoryBroker(self.clock)
        self.published: list[Published] = []
        self.sessions: list[FaultySession] = []
        self.holds_confirms = False
        self._refusal: Exception | None = None
        self._blocked = ""

    # --- what happened ------------------------------------------------------

    def flush(self) -> None:
        """Let everything happen that can without time passing."""
        self.memory.flush()

    def waiting_in(self, queue: str, virtual_host: str = "/") -> int:
        """
        How many messages are ready in a queue.

        @raise LookupError: there is no such queue.
        """
        return len(self.memory.queue(queue, virtual_host).waiting)

    def published_to(
        self, exchange: str, routing_key: str | None = None
    ) -> list[Published]:
        """What was published to an exchange, all of it or what has this key."""
        return [
            each
            for each in self.published
            if each.exchange == exchange and routing_key in (None, each.routing_key)
        ]

    def under_way(self) -> list[str]:
        """Say which operations no answer has come for."""
        return [what for session in self.sessions for what in session.under_way()]

    # --- IBrokerTransport ---------------------------------------------------

    def connect(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> Deferred[ISession]:
        """Connect, if connections are not refused now."""
        if self._refusal is not None:
            return fail(self._refusal)
        session = FaultySession(self, listener)

        def connected(original: ISession) -> ISession:
            session.original = original
            self.sessions.append(session)
            if self._blocked:
                listener.blocked(self._blocked)
            return session

        connecting = self.memory.connect(parameters, endpoint, clock, session)
        return connecting.addCallback(connected)

    # --- faults -------------------------------------------------------------

    def drop(self) -> None:
        """Lose every session now, as when the network fails."""
        for session in list(self.sessions):
            session.drop(SessionLost("the test dropped the session"))

    def refuse(self, error: Exception | None = None) -> None:
        """Fail every attempt to connect from now on, until L{accept}."""
        self._refusal = error or ConnectError("the test refuses connections")

    def accept(self) -> None:
        """Undo L{refuse}."""
        self._refusal = None

    def hold_confirms(self) -> None:
        """Keep the verdicts on published messages back, until L{release_confirms}."""
        self.holds_confirms = True

    def release_confirms(self) -> None:
        """Undo L{hold_confirms}, and let go the verdicts kept back."""
        self.holds_confirms = False
        self._each_channel(lambda channel: channel.release_confirms())

    def block(self, reason: str = "the test blocks publishing") -> None:
        """Take no messages, as RabbitMQ does in alarm, until L{unblock}."""
        self._blocked = reason
        for session in self.sessions:
            session.listener.blocked(reason)

    def unblock(self) -> None:
        """Undo L{block}."""
        self._blocked = ""
        for session in self.sessions:
            session.listener.unblocked()

    def cancel_consumers(self, queue: str, virtual_host: str = "/") -> None:
        """
        End the consumers of a queue, as a broker does that lost its node.

        @raise LookupError: there is no such queue.
        """
        for consumer in list(self.memory.queue(queue, virtual_host).consumers):
            consumer.channel.cancel_from_broker(consumer.tag, "the test does so")

    def _each_channel(self, do: Callable[[FaultyChannel], None]) -> None:
        for session in list(self.sessions):
            for channel in list(session.channels):
                do(channel)
