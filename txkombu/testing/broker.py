"""A memory broker that records what is published to it, and fails on request."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import Clock
from zope.interface import implementer

from ..exceptions import ConnectError, SessionLost
from ..interfaces import IBrokerTransport, ISession, ISessionListener
from ..transport.memory import MemoryBroker
from ..url.parameters import Parameters
from .faults import FaultySession
from .published import Published


@implementer(IBrokerTransport)
class RecordingBroker:
    """
    A broker in memory, under a Clock.

    Pass it as C{BrokerConnection(transport=broker, reactor=broker.clock)}, or inherit
    L{txkombu.testing.BrokerTestCase}, which does.

    @ivar clock: the time of the broker and of its connections.
    @ivar memory: the L{MemoryBroker} behind it.
    @ivar published: every message published to it, in order.
    @ivar sessions: those that live, in the order they began.
    @ivar holds_confirms: whether verdicts on publishes are kept back.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        """@param clock: a C{Clock} to share; without one, the broker makes its own."""
        self.clock = Clock() if clock is None else clock
        self.memory = MemoryBroker(self.clock)
        self.published: list[Published] = []
        self.sessions: list[FaultySession] = []
        self.holds_confirms = False
        self._refusal: Exception | None = None
        self._blocked = ""

    # --- what happened ------------------------------------------------------

    def flush(self) -> None:
        """Let everything happen that can happen without time passing."""
        self.memory.flush()

    def waiting_in(self, queue: str, virtual_host: str = "/") -> int:
        """
        Return how many messages are ready in a queue.

        @param queue: the queue's name.
        @param virtual_host: the name of its virtual host.
        @raise LookupError: there is no such queue.
        """
        return len(self.memory.queue(queue, virtual_host).waiting)

    def published_to(
        self, exchange: str, routing_key: str | None = None
    ) -> list[Published]:
        """
        Return what was published to an exchange, in order.

        @param exchange: the exchange's name; C{""} is the default exchange.
        @param routing_key: return only what was published with this key; C{None} for
            all.
        """
        return [
            each
            for each in self.published
            if each.exchange == exchange and routing_key in (None, each.routing_key)
        ]

    def under_way(self) -> list[str]:
        """Return in words which operations have no answer yet."""
        return [what for session in self.sessions for what in session.under_way()]

    # --- IBrokerTransport ---------------------------------------------------

    def connect(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> Deferred[ISession]:
        """
        Connect, unless L{refuse} was called.

        @param parameters: of which the virtual host and the user are used.
        @param endpoint: not used.
        @param clock: not used: the broker has a clock.
        @param listener: the session's owner.
        @return: fires with the session; fails with what L{refuse} was given.
        """
        if self._refusal is not None:
            return fail(self._refusal)
        session = FaultySession(self, listener)

        def connected(original: ISession) -> ISession:
            session.begin(original)
            self.sessions.append(session)
            if self._blocked:
                session.blocked(self._blocked)
            return session

        connecting = self.memory.connect(parameters, endpoint, clock, session)
        return connecting.addCallback(connected)

    # --- faults -------------------------------------------------------------

    def drop(self) -> None:
        """Lose every session now, as when the network fails."""
        for session in list(self.sessions):
            session.drop(SessionLost("the test dropped the session"))

    def refuse(self, error: Exception | None = None) -> None:
        """
        Fail every attempt to connect from now on, until L{accept}.

        @param error: what the attempts fail with; C{None} for a L{ConnectError}.
        """
        self._refusal = error or ConnectError("the test refuses connections")

    def accept(self) -> None:
        """Undo L{refuse}."""
        self._refusal = None

    def hold_confirms(self) -> None:
        """Keep the verdicts on publishes back, until L{release_confirms}."""
        self.holds_confirms = True

    def release_confirms(self) -> None:
        """Undo L{hold_confirms}, and deliver the verdicts that were kept back."""
        self.holds_confirms = False
        for session in list(self.sessions):
            session.release_confirms()

    def block(self, reason: str = "the test blocks publishing") -> None:
        """
        Take no messages, as RabbitMQ does in alarm, until L{unblock}.

        @param reason: what the connections are told.
        """
        self._blocked = reason
        for session in self.sessions:
            session.blocked(reason)

    def unblock(self) -> None:
        """Undo L{block}."""
        self._blocked = ""
        for session in self.sessions:
            session.unblocked()

    def cancel_consumers(self, queue: str, virtual_host: str = "/") -> None:
        """
        End the consumers of a queue, as a broker does that lost the queue's node.

        @param queue: the queue's name.
        @param virtual_host: the name of its virtual host.
        @raise LookupError: there is no such queue.
        """
        for consumer in list(self.memory.queue(queue, virtual_host).consumers):
            consumer.channel.cancel_from_broker(consumer.tag, "the test does so")
