"""
BrokerConnection: what programs begin with.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from types import TracebackType
from typing import Any
from uuid import uuid4

from twisted.internet.defer import (
    Deferred,
    DeferredList,
    fail,
    inlineCallbacks,
    succeed,
)
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from . import simple
from ._util.backoff import ReconnectPolicy
from ._util.timeouts import with_timeout
from ._util.validation import check_hidden_string, kind_of
from ._util.waiters import SharedClose
from .core.channel import Channel
from .core.drain_events import DrainEvents
from .core.lifecycle import State
from .core.liveness import is_responsive
from .core.reconnector import Reconnector
from .core.restoration import Restoration
from .core.settings import Settings
from .core.topology import Topology
from .core.turn_budget import TurnBudget
from .entity import Queue
from .exceptions import (
    ChannelClosed,
    ChannelError,
    ConnectError,
    ConnectionClosed,
    ConnectionErrorReply,
    NotSent,
    NotSupported,
    OperationTimeout,
    OutcomeUnknown,
    ProtocolError,
    SessionLost,
)
from .interfaces import IBrokerTransport, IRenewableSession, ISession
from .messaging import consumer, producer
from .url.parameters import TLSOptions, fault_of_credential
from .url.parser import host_given, parameters_for

__all__ = [
    "BrokerConnection",
]

OPERATION_TIMEOUT = 30.0
"""Seconds that an operation may take, the wait for a connection included."""


class BrokerConnection(Settings):
    """
    A connection to a broker, which comes back by itself when it is lost.

    Making one does no I/O: the first operation connects, or L{connect}.  When
    the session is lost, it connects again with growing waits, declares what
    was declared through it, and starts its consumers again.

    @param hostname: a host, C{host:port}, a URL, several of them with C{;}
        between, or a list of URLs: alternates, tried in turn.  Default is
        C{"localhost"}, which None or an empty one does not mean.
    @param userid: default C{"guest"}.
    @param password: default C{"guest"}; never shown.
    @param virtual_host: default C{"/"}.
    @param port: default is the transport's.
    @param transport: a URL scheme, such as C{"amqp"} (the default) or
        C{"memory"}; or an object that provides L{IBrokerTransport}, such as a
        L{txkombu.transport.memory.MemoryBroker}.
    @param heartbeat: seconds; 0 for none; default 60.
    @param connect_timeout: seconds for one attempt, the login included;
        default 10.
    @param operation_timeout: seconds for one operation; default 30.
    @param tls: how to make sure of the broker, where the scheme encrypts.
    @param name: how the broker lists the connection.
    @param max_message_size: the most bytes of a message's body that are taken from
        the broker; default 128 MiB.
    @param endpoint: a Twisted endpoint to connect to, instead of host and port;
        where the scheme encrypts, it is wrapped in TLS, and the host is the name
        that is checked.
    @param reactor: the reactor, or a C{Clock} in tests.
    @param reconnect: how long to wait between attempts, for its channels and
        consumers, too, and for a service that it is given to; see
        L{txkombu.policy.ReconnectPolicy}.
    @raise TypeError: an argument is not known, or of a wrong type.
    @raise ValueError: one is out of range, or contradicts another.
    @raise InvalidURL: a URL cannot be understood, or is empty.
    """

    def __init__(
        self,
        hostname: str | Sequence[str] = (),
        userid: str | None = None,
        password: str | None = None,
        virtual_host: str | None = None,
        port: int | None = None,
        *,
        transport: str | IBrokerTransport | None = None,
        heartbeat: float | None = None,
        connect_timeout: float | None = None,
        operation_timeout: float = OPERATION_TIMEOUT,
        tls: TLSOptions | None = None,
        name: str | None = None,
        max_message_size: int | None = None,
        endpoint: IStreamClientEndpoint | None = None,
        reactor: IReactorTime | None = None,
        reconnect: ReconnectPolicy | None = None,
    ) -> None:
        scheme, given_transport = _transport(transport)
        alternates = parameters_for(
            host_given(hostname, scheme, endpoint is not None),
            userid,
            password,
            virtual_host,
            port,
            scheme,
            by_endpoint=endpoint is not None,
            heartbeat=heartbeat,
            connect_timeout=connect_timeout,
            tls=tls,
            connection_name=name,
            max_message_size=max_message_size,
        )
        super().__init__(
            alternates, given_transport, endpoint, reactor, operation_timeout, reconnect
        )
        self._reconnector: Reconnector | None = None
        self._default_channel: Channel | None = None
        self._turn_budget: TurnBudget | None = None
        self._channels: list[Channel] = []
        self.drain_waiters = DrainEvents()
        self._end = SharedClose(self._close)
        self.topology = Topology(self._queue_renamed)
        self.tag_prefix = f"txk-{uuid4().hex[:12]}-"

    connection_errors: tuple[type[Exception], ...] = (
        ConnectError,
        ConnectionClosed,
        ConnectionErrorReply,
        NotSent,
        OperationTimeout,
        OutcomeUnknown,
        ProtocolError,
        SessionLost,
    )
    """What operations fail with when the connection is at fault; see each."""

    channel_errors: tuple[type[Exception], ...] = (ChannelError, ChannelClosed)
    """What operations fail with when the broker refused something."""

    # --- its parts ----------------------------------------------------------

    @property
    def reconnector(self) -> Reconnector:
        """What holds the session."""
        if self._reconnector is None:
            restoration = Restoration(
                self.topology,
                self.clock,
                lambda: self.operation_timeout,
                self.reconnect,
            )
            self._reconnector = Reconnector(
                self._alternates,
                self._transport_of,
                self._endpoint,
                self.clock,
                restoration.restore,
                restoration.lost,
                self._flow,
                self.reconnect,
            )
        return self._reconnector

    @property
    def turn_budget(self) -> TurnBudget:
        """How long the handlers of all its channels may run in a turn."""
        if self._turn_budget is None:
            self._turn_budget = TurnBudget(self.clock)
        return self._turn_budget

    def _flow(self, allowed: bool) -> None:
        for channel in list(self._channels):
            channel.flow(allowed)

    def _queue_renamed(self, old: str, new: str) -> None:
        for channel in self._channels:
            channel.queue_renamed(old, new)

    # --- its life -----------------------------------------------------------

    def connect(self) -> Deferred[BrokerConnection]:
        """
        Connect now.

        @return: fires with this connection; fails with
            L{txkombu.exceptions.ConnectError} and its kinds if the first
            attempt, at every alternate, fails; when a session was lost it
            waits for the next.  Cancelling gives up a first attempt that nobody
            else waits for.
        """
        return self.when_up().addCallback(lambda _: self)

    def when_up(self) -> Deferred[ISession]:
        """Connect if need be; fires with the session."""
        return self.reconnector.when_up()

    @property
    def state(self) -> State:
        """Where the connection is; see L{txkombu.core.lifecycle}."""
        return State.IDLE if self._reconnector is None else self._reconnector.state

    @property
    def connected(self) -> bool:
        """Whether there is a session, with everything declared again."""
        return self.state is State.CONNECTED

    @property
    def is_consuming(self) -> bool:
        """Whether every consumer that was started runs at the broker now."""
        return all(channel.is_consuming for channel in self._channels)

    @property
    def last_error(self) -> Exception | None:
        """What the last loss or failed attempt was; None while all is well."""
        return None if self._reconnector is None else self._reconnector.last_error

    @property
    def blocked_reason(self) -> str:
        """Why the broker takes no messages now (RabbitMQ's alarms), or C{""}."""
        return "" if self._reconnector is None else self._reconnector.blocked_reason

    @property
    def may_publish(self) -> bool:
        """Whether broker and socket take messages now."""
        return self._reconnector is None or self._reconnector.may_publish

    def update_secret(self, secret: str, reason: str = "renewed") -> Deferred[None]:
        """
        Log in with another password or token from now on, and tell the broker
        of it, before the old one expires (RabbitMQ's connection.update-secret).

        @param secret: for all alternates.
        @param reason: for the broker's log.
        @return: fires when the broker has taken it; at once while there is no
            session, as the next login tells it.  Fails with the broker's refusal,
            which ends the session, or with L{txkombu.exceptions.NotSupported}
            where a live session cannot be told: then it is for the next.  What
            turns out to be too large to be told is forgotten.
        @raise TypeError: one of the two is no str.
        @raise ValueError: it can be told to no broker; all stays as it was.
        """
        if not isinstance(secret, str):
            raise TypeError("secret must be a str")  # and is not shown
        fault = fault_of_credential(secret)
        if fault:
            raise ValueError(f"the secret {fault}")
        check_hidden_string("reason", reason)
        before = list(self._alternates)
        self._set_password(secret)
        after = list(self._alternates)
        if self.state is State.WAITING:
            self.reconnector.credentials_changed()
        if self.state in (State.IDLE, State.WAITING):
            return succeed(None)

        def tell(session: ISession) -> Deferred[None]:
            if IRenewableSession.providedBy(session):
                try:
                    return IRenewableSession(session).update_secret(secret, reason)
                except ValueError:
                    if self._alternates == after:
                        self._alternates[:] = before
                    raise
            hint = "the next session logs in with it"
            raise NotSupported("update_secret", self.transport_name, hint)

        telling = self.when_up().addCallback(tell)
        return with_timeout(
            telling, self.clock, self.operation_timeout, "update_secret"
        )

    def answers(self) -> Deferred[bool]:
        """@return: fires with whether the broker answers at all; never fails."""
        session = self.reconnector.session
        return succeed(False) if session is None else is_responsive(session, self.clock)

    def close(self) -> Deferred[None]:
        """
        Close all channels, as L{Channel.close} does, and the connection.

        @return: fires when nothing is left of it; never fails.  Cancelling it
            stops only the waiting.
        """
        return self._end.wait()

    @inlineCallbacks
    def _close(self) -> Generator[Deferred[Any], Any, None]:
        channels = list(self._channels)
        yield DeferredList([each.close_because(_closed()) for each in channels])
        yield self.reconnector.close()
        self.drain_waiters.close(_closed())

    release = close

    def drop(self) -> None:
        """
        Abort the session as if the network had cut it, and recover; for tests
        of how a program takes it.
        """
        self.reconnector.drop(self._tell_channels)

    def _tell_channels(self, error: Exception) -> None:
        for channel in list(self._channels):
            if channel.is_open:
                channel.channel_lost(error)

    def clone(self) -> BrokerConnection:
        """Make another connection with the same settings."""
        twin = BrokerConnection(
            transport=self._given_transport,
            operation_timeout=self.operation_timeout,
            endpoint=self._endpoint,
            reactor=self._reactor,
            reconnect=self.reconnect,
        )
        twin._alternates = list(self._alternates)
        return twin

    def current_uri(self) -> str:
        """The URL of the alternate in use, or tried last, C{**} for its password."""
        return (
            self.as_uri()
            if self._reconnector is None
            else self._reconnector.place.as_uri()
        )

    def heartbeat_check(self, rate: int = 2) -> None:
        """Do nothing: heartbeats run by themselves."""

    def __repr__(self) -> str:
        return f"<BrokerConnection {self.current_uri()}, {self.state.value}>"

    # --- channels and what uses them ----------------------------------------

    def channel(self) -> Deferred[Channel]:
        """
        Open a channel, connecting first if need be.

        @return: fails with L{txkombu.exceptions.OperationTimeout} if it takes
            too long, or with what connecting failed with.
        """
        channel = self.new_channel()
        opening = channel.when_open().addCallbacks(
            lambda _: channel, lambda failure: self._abandon(channel, failure)
        )
        timeout = self.operation_timeout
        return with_timeout(opening, self.clock, timeout, "opening a channel")

    def _abandon(self, channel: Channel, failure: Failure) -> Failure:
        channel.close()
        return failure

    def new_channel(self) -> Channel:
        """Make a channel that opens when it is first used."""
        channel = Channel(self)
        self._channels.append(channel)
        if self._end.begun:
            channel.close_because(_closed())
        return channel

    @property
    def is_trying(self) -> bool:
        """Whether it is connected, or about to be: not idle, not waiting."""
        return self.state in (State.CONNECTING, State.RESTORING, State.CONNECTED)

    def channel_closing(self, channel: Channel) -> None:
        """Have no handler begin with a message of a channel that is closing."""
        self.drain_waiters.channel_closing(channel)

    def channel_closed(self, channel: Channel) -> None:
        """Forget a channel that was closed, and tell its consumers."""
        if channel in self._channels:
            self._channels.remove(channel)
        self.drain_waiters.channel_closed(channel)

    @property
    def default_channel(self) -> Channel:
        """A channel for what is bound to the connection itself."""
        if self._default_channel is None or self._default_channel.closed:
            self._default_channel = self.new_channel()
        return self._default_channel

    def lend_channel(self) -> tuple[Channel, bool]:
        """A new channel, to be closed by who uses it."""
        return self.new_channel(), True

    def is_consuming_from(self, queue: str) -> bool:
        """Whether a consumer of this connection reads the queue of that name."""
        return any(channel.consumes_from(queue) for channel in self._channels)

    def Producer(
        self, channel: Channel | None = None, **options: Any
    ) -> producer.Producer:
        """Make a L{txkombu.Producer} on a channel, by default one of its own."""
        return producer.Producer(channel or self, **options)

    def Consumer(
        self,
        queues: Queue | Iterable[Queue] | None = None,
        channel: Channel | None = None,
        **options: Any,
    ) -> consumer.Consumer:
        """Make a L{txkombu.Consumer} on a channel, by default one of its own."""
        return consumer.Consumer(channel or self, queues, **options)

    def SimpleQueue(self, name: str | Queue, **options: Any) -> simple.SimpleQueue:
        """Make a L{txkombu.simple.SimpleQueue} on a channel of its own."""
        return simple.SimpleQueue(self, name, **options)

    def unfinished_work(self) -> list[str]:
        """
        Say which messages await settlement, which handlers are at work, and
        what waits for the broker or for a message.
        """
        return [
            *(what for each in self._channels for what in each.unfinished_work()),
            *self.drain_waiters.unfinished_work(),
        ]

    # --- drain_events -------------------------------------------------------

    def drain_events(self, timeout: float | None = None) -> Deferred[None]:
        """
        Wait until the callbacks of one message have finished, from now on.

        Messages come without it: this is for loops written for Kombu.  It
        starts the consumers of this connection that can handle messages and
        on which nothing was called yet.

        @param timeout: seconds; C{None} waits for ever.
        @return: fails with L{txkombu.exceptions.OperationTimeout}, with what
            starting a consumer failed with, or with
            L{txkombu.exceptions.ConnectionClosed} once it is closed.
        """
        if self._end.begun:
            return fail(_closed())
        handled = self.drain_waiters.wait()
        if timeout is None:
            return handled
        return with_timeout(handled, self.clock, timeout, "drain_events")

    # --- async with ---------------------------------------------------------

    async def __aenter__(self) -> BrokerConnection:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _closed() -> ConnectionClosed:
    return ConnectionClosed("the connection was closed by this program")


def _transport(
    given: str | IBrokerTransport | None,
) -> tuple[str | None, IBrokerTransport | None]:
    """A transport is named by its scheme, or is one: then it is memory's kind."""
    if given is None or isinstance(given, str):
        return given, None
    if not IBrokerTransport.providedBy(given):
        raise TypeError(
            "transport must be a URL scheme or provide IBrokerTransport, not "
            f"{kind_of(given)}"
        )
    return "memory", given
