"""The memory broker: AMQP's semantics, as RabbitMQ has them, in one object."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from zope.interface import implementer

from ...interfaces import IBrokerTransport, ISession, ISessionListener
from .deadlines import QueueDeadlines
from .exchange import MemoryExchange
from .pump import Pump
from .queue import MemoryQueue
from .routing import BUILT_IN, CustomRouter, RouteFunction, Router
from .session import MemorySession
from .vhost import VirtualHost

if TYPE_CHECKING:
    from ...url.parameters import Parameters


@implementer(IBrokerTransport)
class MemoryBroker:
    """
    A broker in this process, and the transport that reaches it.

    What a client asks takes effect at once; what the broker answers, deliveries and
    confirms included, comes in the next turn of the reactor.  Without a session the
    broker leaves nothing in the reactor; what was due meanwhile happens when the next
    session begins.

    It keeps nothing beyond its own life, so nothing is durable.

    @ivar vhosts: the virtual hosts that were used, by name.
    """

    def __init__(self, clock: IReactorTime | None = None, name: str = "memory") -> None:
        """
        @param clock: the reactor, or a C{Clock} under test; without one, that of the
            first session.
        @param name: what the broker calls itself.
        """
        self.name = name
        self.pump = Pump(clock)
        self._sessions: dict[MemorySession, None] = {}
        self.vhosts: dict[str, VirtualHost] = {}
        self._deadlines = QueueDeadlines(self.pump)
        self._types: dict[str, Callable[[], Router]] = dict(BUILT_IN)

    @property
    def sessions(self) -> list[MemorySession]:
        """The sessions that live, in the order they began."""
        return list(self._sessions)

    @property
    def clock(self) -> IReactorTime | None:
        """What the broker takes the time from; C{None} until the first session."""
        return self.pump.clock

    def connect(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> Deferred[ISession]:
        """
        Begin a session; any user may.

        @param parameters: of which C{virtual_host} and C{userid} are used; a virtual
            host is made when it is first used.
        @param endpoint: not used.
        @param clock: what the broker takes the time from, if it has no clock yet.
        @param listener: the session's owner.
        @return: fires with the session in the next turn of the reactor.
        """
        self.pump.run_on(clock)
        vhost = self.vhost(parameters.virtual_host)
        session = MemorySession(self, vhost, parameters.userid, listener)
        session.makeConnection(session.wire)  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        return session.begin()

    def flush(self) -> None:
        """
        Let everything happen that is due, without advancing the clock.

        Under a C{Clock} this also runs whatever else is due there.

        @raise NeverQuiet: there is always something more.
        @raise RuntimeError: called from within one of the broker's callbacks.
        """
        self.pump.flush()

    def register_exchange_type(self, name: str, choose: RouteFunction) -> None:
        """
        Add an exchange type.

        @param name: what exchanges of this type give as their C{type}.
        @param choose: called with the exchange's bindings, a routing key and the
            properties of a message; returns those bindings that want the message.
        @raise ValueError: there is a type of that name.
        """
        if name in self._types:
            raise ValueError(f"there is an exchange type {name!r} already")
        self._types[name] = partial(CustomRouter, choose)

    # --- looking into it -----------------------------------------------------

    def vhost(self, name: str = "/") -> VirtualHost:
        """
        Return a virtual host; make it if it was never used.

        @param name: the virtual host's name.
        """
        found = self.vhosts.get(name)
        if found is None:
            found = VirtualHost(name, self._deadlines, self._types)
            self.vhosts[name] = found
        return found

    def queue(self, name: str, vhost: str = "/") -> MemoryQueue:
        """
        Return a queue, to see what is in it.

        @param name: the queue's name.
        @param vhost: the name of its virtual host.
        @raise LookupError: there is no queue of that name.
        """
        found = self.vhost(vhost).queues.get(name)
        if found is None:
            raise LookupError(f"there is no queue {name!r} in virtual host {vhost!r}")
        return found

    def exchange(self, name: str, vhost: str = "/") -> MemoryExchange:
        """
        Return an exchange, to see what is bound to it.

        @param name: the exchange's name.
        @param vhost: the name of its virtual host.
        @raise LookupError: there is no exchange of that name.
        """
        found = self.vhost(vhost).exchanges.get(name)
        if found is None:
            raise LookupError(
                f"there is no exchange {name!r} in virtual host {vhost!r}"
            )
        return found

    # --- for its sessions ----------------------------------------------------

    def joined(self, session: MemorySession) -> None:
        """
        Note that a session begins.

        @param session: it is among C{sessions} from now on.
        """
        self._sessions[session] = None
        self._deadlines.wake()

    def left(self, session: MemorySession) -> None:
        """
        Note that a session is over.

        @param session: it is not among C{sessions} from now on.
        """
        del self._sessions[session]
        if not self._sessions:
            self._deadlines.sleep()
            self.pump.stop()

    def __repr__(self) -> str:
        return f"<MemoryBroker {self.name!r} with {len(self._sessions)} sessions>"
