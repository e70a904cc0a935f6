"""BrokerConnection: what programs begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from . import simple
from ._util.awaitables import call_and_wait
from ._util.backoff import ReconnectPolicy
from ._util.timeouts import with_timeout
from ._util.validation import check_hidden_string, check_seconds, kind_of
from .core.channel import Channel
from .core.connection_core import ConnectionCore, connection_closed
from .core.credentials import AskedPassword, PasswordSource
from .core.lifecycle import State
from .core.repeating import (
    RECOVERABLE,
    OnError,
    Repetition,
    ensure_connection,
    repeat,
)
from .core.settings import Settings
from .entity import Queue
from .exceptions import (
    ChannelClosed,
    ChannelError,
    ConnectError,
    ConnectionClosed,
    ConnectionErrorReply,
    NotSent,
    OperationTimeout,
    OutcomeUnknown,
    ProtocolError,
    ResourceLocked,
    SessionLost,
)
from .interfaces import IBrokerTransport
from .messaging import consumer, producer
from .url.parameters import TLSOptions, fault_of_credential
from .url.parser import host_given, parameters_for

__all__ = [
    "BrokerConnection",
    "State",
]

OPERATION_TIMEOUT = 30.0
"""Seconds that an operation may take, the wait for a connection included."""


class BrokerConnection:
    """
    A connection to a broker, which comes back by itself when it is lost.

    Making one does no I/O: the first operation connects, or L{connect}.  When
    the session is lost, it connects again with growing waits, declares what
    was declared through it, and starts its consumers again.

    When the reactor shuts down, it closes itself in order, so that verdicts and acks
    on their way are not lost.

    @param hostname: a host, C{host:port}, a URL, several of them with C{;}
        between, or a list of URLs: alternates, tried in turn.  Default is
        C{"localhost"}; C{None} and an empty text are refused.
    @param userid: default C{"guest"}.
    @param password: default C{"guest"}; never shown.  A callable is called for each
        login, and returns it, or a Deferred or coroutine of it; a Deferred gives it
        once, and keeps it, for other connections, too.
    @param virtual_host: default C{"/"}.
    @param port: default is the transport's.
    @param transport: a URL scheme, such as C{"amqp"} (the default) or
        C{"memory"}; or an object that provides L{IBrokerTransport}, such as a
        L{txkombu.transport.memory.MemoryBroker}.
    @param heartbeat: seconds; 0 for none; default 60.
    @param connect_timeout: seconds for one attempt, asking for the password and the
        login included; default 10.
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
    @param wait_for_broker: whether a first attempt that fails is made again, with
        growing waits, as after a loss: operations wait until their timeout.
        Otherwise what waits for the first attempt fails with it, and a service that
        the connection is given to halts.  By default a service waits, and nothing
        else does.
    @param on_state: called with each new L{State<txkombu.core.lifecycle.State>}.
    @ivar core: the parts of the connection, for its channels.
    @raise TypeError: an argument is not known, or of a wrong type.
    @raise ValueError: one is out of range, or contradicts another.
    @raise InvalidURL: a URL cannot be understood, or is empty.
    """

    def __init__(
        self,
        hostname: str | Sequence[str] = (),
        userid: str | None = None,
        password: str | PasswordSource | None = None,
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
        wait_for_broker: bool | None = None,
        on_state: Callable[[State], object] | None = None,
    ) -> None:
        is_known = password is None or isinstance(password, str)
        if not (is_known or callable(password) or isinstance(password, Deferred)):
            raise TypeError("password must be a str, a callable or a Deferred of it")
        scheme, given_transport = _transport(transport)
        alternates = parameters_for(
            host_given(hostname, scheme, endpoint is not None),
            userid,
            password if isinstance(password, str) else None,
            virtual_host,
            port,
            scheme,
            by_endpoint=endpoint is not None,
            heartbeat=heartbeat,
            connect_timeout=connect_timeout,
            tls=tls,
            connection_name=name,
            max_message_size=max_message_size,
            wait_for_broker=wait_for_broker,
        )
        if password is None or isinstance(password, str):
            asked = None
        else:
            asked = AskedPassword(password)
        settings = Settings(
            alternates,
            given_transport,
            endpoint,
            reactor,
            operation_timeout,
            reconnect,
            asked,
            on_state,
        )
        self.core = ConnectionCore(settings)

    _default_channel: Channel | None = None

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

    recoverable_connection_errors: tuple[type[Exception], ...] = RECOVERABLE
    """
    Those of L{connection_errors} after which the operation may succeed when it is
    repeated.  L{ensure} repeats it after these, but for a refused login and an unknown
    outcome, which can be subclasses of them.
    """

    recoverable_channel_errors: tuple[type[Exception], ...] = (ResourceLocked,)
    """
    Those of the channel that go away by themselves: a queue is exclusive to a
    connection until that is gone, perhaps to one that this program has lost.
    """

    # --- its settings -------------------------------------------------------

    @property
    def clock(self) -> IReactorTime:
        """The reactor, looked up on first use if none was given."""
        return self.core.settings.clock

    @property
    def operation_timeout(self) -> float:
        """Seconds for one operation."""
        return self.core.settings.operation_timeout

    @operation_timeout.setter
    def operation_timeout(self, seconds: float) -> None:
        self.core.settings.set_operation_timeout(seconds)

    @property
    def reconnect(self) -> ReconnectPolicy:
        """How long to wait between attempts."""
        return self.core.settings.reconnect

    @property
    def transport_name(self) -> str:
        """The URL scheme."""
        return self.core.settings.transport_name

    def info(self) -> Mapping[str, object]:
        """Return the settings by name, without the password."""
        return self.core.settings.info()

    def as_uri(self, include_password: bool = False) -> str:
        """
        Return the URL of the first alternate.

        @param include_password: whether to show the password instead of C{**}; one
            that is asked for is never shown.
        """
        return self.core.settings.as_uri(include_password)

    def current_uri(self) -> str:
        """Return the URL of the alternate in use, or tried last, without password."""
        return self.core.current_uri()

    def supports_exchange_type(self, type: str) -> bool:
        """
        Return whether the transport can declare exchanges of a type.

        @param type: such as C{"topic"}.  A broker's own types count as supported: the
            broker refuses what it lacks.
        """
        return self.core.settings.supports_exchange_type(type)

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
        return self.core.update_secret(secret, reason)

    # --- its state ----------------------------------------------------------

    @property
    def state(self) -> State:
        """
        The state of the connection; its C{value} is one of idle, connecting, restoring,
        connected, waiting, closing and closed.
        """
        return self.core.state

    @property
    def connected(self) -> bool:
        """Whether there is a session, with everything declared again."""
        return self.core.state is State.CONNECTED

    @property
    def is_consuming(self) -> bool:
        """Whether every consumer that was started runs at the broker now."""
        return self.core.is_consuming

    @property
    def last_error(self) -> Exception | None:
        """The last loss or failed attempt; C{None} while all is well."""
        return self.core.last_error

    @property
    def blocked_reason(self) -> str:
        """Why the broker takes no messages now (RabbitMQ's alarms), or C{""}."""
        return self.core.blocked_reason

    def unfinished_work(self) -> list[str]:
        """
        Say which messages await settlement, which handlers are at work, and
        what waits for the broker or for a message.
        """
        return self.core.unfinished_work()

    def __repr__(self) -> str:
        return f"<BrokerConnection {self.current_uri()}, {self.state.value}>"

    # --- its life -----------------------------------------------------------

    def connect(self) -> Deferred[BrokerConnection]:
        """
        Connect now.

        @return: fires with this connection; fails with
            L{txkombu.exceptions.ConnectError} and its kinds if the first
            attempt, at every alternate, fails, or with
            L{txkombu.exceptions.OperationTimeout} if that takes longer than
            C{connect_timeout}; when a session was lost it waits for the next.
            Cancelling gives up a first attempt that nobody else waits for.
        """
        return self.core.when_up().addCallback(lambda _: self)

    def ensure_connection(
        self,
        errback: OnError | None = None,
        max_retries: int | None = None,
        interval_start: float = 2.0,
        interval_step: float = 2.0,
        interval_max: float = 30.0,
        timeout: float | None = None,
    ) -> Deferred[BrokerConnection]:
        """
        Connect, and try again after each attempt that fails.

        While the connection comes back by itself, its own attempts count, after the
        waits of its C{reconnect}.

        @param errback: called with each error and the seconds until the next attempt.
        @param max_retries: how many further attempts to make; by default any number.
        @param interval_start: seconds before the second attempt.
        @param interval_step: how many seconds longer each further wait is.
        @param interval_max: the maximum seconds of a wait.
        @param timeout: seconds for all of it; by default any number.
        @return: fires with this connection; fails with the error of the last attempt,
            at once with L{txkombu.exceptions.AuthenticationFailed} or
            L{txkombu.exceptions.TransportNotAvailable}, or with
            L{txkombu.exceptions.OperationTimeout}.
        """
        repetition = Repetition(
            errback, max_retries, interval_start, interval_step, interval_max
        )
        if timeout is not None:
            check_seconds("timeout", timeout)
        ensured = ensure_connection(self.core, repetition).addCallback(lambda _: self)
        if timeout is None:
            return ensured
        return with_timeout(ensured, self.clock, timeout, "ensure_connection")

    def ensure(
        self,
        obj: object,
        fun: Callable[..., object],
        errback: OnError | None = None,
        max_retries: int | None = None,
        interval_start: float = 1.0,
        interval_step: float = 1.0,
        interval_max: float = 1.0,
    ) -> Callable[..., Deferred[Any]]:
        """
        Make a function that repeats another when that fails with the connection.

        It is not repeated after L{txkombu.exceptions.OutcomeUnknown}, as that could
        double a message.  C{ensure(producer, producer.publish)} publishes with
        C{retry=True}, and so may repeat.

        @param obj: what C{fun} belongs to.
        @param fun: the function; it may return a Deferred, or be a coroutine function.
        @param errback: called with each error and the seconds until the next call.
        @param max_retries: how often to repeat; by default any number.
        @param interval_start: seconds before the first repetition.
        @param interval_step: how many seconds longer each further wait is.
        @param interval_max: the maximum seconds of a wait.
        @return: a function with the arguments of C{fun}.  It returns a Deferred, which
            fires with the value of C{fun}, or fails with its last error.
        """
        repetition = Repetition(
            errback, max_retries, interval_start, interval_step, interval_max
        )
        if not callable(fun):
            raise TypeError(f"fun must be callable, not {kind_of(fun)}")
        retry: dict[str, object] = {}
        if isinstance(obj, producer.Producer) and fun == obj.publish:
            policy = {} if max_retries is None else {"max_retries": max_retries}
            retry = {"retry": True, "retry_policy": policy}

        def ensured(*args: Any, **options: Any) -> Deferred[Any]:
            return repeat(
                self.core, partial(fun, *args, **{**retry, **options}), repetition
            )

        return ensured

    def autoretry(
        self, fun: Callable[..., object], channel: Channel | None = None, **options: Any
    ) -> Callable[..., Deferred[tuple[Any, Channel]]]:
        """
        Make a function that calls another with a channel, and repeats it as L{ensure}.

        @param fun: a function with the argument C{channel}.
        @param channel: the channel; by default the connection's default channel.
        @param options: as for L{ensure}.
        @return: a function with the other arguments of C{fun}.  It returns a Deferred,
            which fires with the value of C{fun} and the channel.
        """

        async def call(*args: Any, **kwargs: Any) -> tuple[Any, Channel]:
            used = self.default_channel if channel is None else channel
            value = await call_and_wait(partial(fun, *args, channel=used, **kwargs))
            return value, used

        return self.ensure(self, call, **options)

    def when_connected(self) -> Deferred[BrokerConnection]:
        """
        Wait until there is a session, with everything declared again, without
        connecting.

        @return: fires with this connection; fails with
            L{txkombu.exceptions.ConnectionClosed} once it is closed.
        """
        return self.core.when_connected().addCallback(lambda _: self)

    def when_closed(self) -> Deferred[None]:
        """
        Wait until the connection is closed: by L{close}, or since the reactor shuts
        down.  A program that only consumes can wait for this at its end.
        """
        return self.core.when_closed()

    def close(self) -> Deferred[None]:
        """
        Close all channels, as L{Channel.close} does, and the connection.

        @return: fires when nothing is left of it; never fails.  Cancelling it
            stops only the waiting.
        """
        return self.core.close()

    release = close

    def drop(self) -> None:
        """
        Abort the session as if the network had cut it, and recover; for tests
        of how a program takes it.
        """
        self.core.drop()

    def clone(self) -> BrokerConnection:
        """Make another connection with the same settings."""
        twin = BrokerConnection.__new__(BrokerConnection)
        twin.core = ConnectionCore(self.core.settings.copy())
        return twin

    def heartbeat_check(self, rate: int = 2) -> None:
        """
        Do nothing: heartbeats run by themselves.

        @param rate: ignored.
        """

    # --- channels and what uses them ----------------------------------------

    def channel(self) -> Deferred[Channel]:
        """
        Open a channel, connecting first if need be.

        @return: fails with L{txkombu.exceptions.OperationTimeout} if it takes
            too long, or with what connecting failed with.
        """
        channel = Channel(self)

        def abandon(failure: Failure) -> Failure:
            channel.close()
            return failure

        opening = channel.core.opener.when_open()
        return with_timeout(
            opening.addCallbacks(lambda _: channel, abandon),
            self.clock,
            self.operation_timeout,
            "opening a channel",
        )

    @property
    def default_channel(self) -> Channel:
        """A channel for what is bound to the connection itself."""
        if self._default_channel is None or self._default_channel.closed:
            self._default_channel = Channel(self)
        return self._default_channel

    def lend_channel(self) -> tuple[Channel, bool]:
        """
        Make a channel that opens when it is first used.

        @return: the channel, and that its user is to close it.
        """
        return Channel(self), True

    def Producer(
        self, channel: Channel | None = None, **options: Any
    ) -> producer.Producer:
        """
        Make a L{txkombu.Producer}.

        @param channel: where it publishes; by default a channel of its own.
        @param options: as for L{txkombu.Producer}.
        """
        return producer.Producer(channel or self, **options)

    def Consumer(
        self,
        queues: Queue | Iterable[Queue] | None = None,
        channel: Channel | None = None,
        **options: Any,
    ) -> consumer.Consumer:
        """
        Make a L{txkombu.Consumer}.

        @param queues: a L{Queue} or several.
        @param channel: where it consumes; by default a channel of its own.
        @param options: as for L{txkombu.Consumer}.
        """
        return consumer.Consumer(channel or self, queues, **options)

    def SimpleQueue(
        self,
        name: str | Queue,
        no_ack: bool | None = None,
        queue_opts: Mapping[str, Any] | None = None,
        queue_args: Mapping[str, object] | None = None,
        exchange_opts: Mapping[str, Any] | None = None,
        channel: Channel | None = None,
        **options: Any,
    ) -> simple.SimpleQueue:
        """
        Make a L{txkombu.simple.SimpleQueue}.

        @param name: a queue's name, or a L{Queue}.
        @param no_ack: as for L{txkombu.simple.SimpleQueue}.
        @param queue_opts: as for L{txkombu.simple.SimpleQueue}.
        @param queue_args: as for L{txkombu.simple.SimpleQueue}.
        @param exchange_opts: as for L{txkombu.simple.SimpleQueue}.
        @param channel: the channel to use; by default one of its own.
        @param options: as for L{txkombu.simple.SimpleQueue}.
        """
        return simple.SimpleQueue(
            channel or self,
            name,
            no_ack,
            queue_opts,
            queue_args,
            exchange_opts,
            **options,
        )

    def SimpleBuffer(
        self,
        name: str | Queue,
        no_ack: bool | None = None,
        queue_opts: Mapping[str, Any] | None = None,
        queue_args: Mapping[str, object] | None = None,
        exchange_opts: Mapping[str, Any] | None = None,
        channel: Channel | None = None,
        **options: Any,
    ) -> simple.SimpleBuffer:
        """
        Make a L{txkombu.simple.SimpleBuffer}.

        @param name: a queue's name, or a L{Queue}.
        @param no_ack: as for L{txkombu.simple.SimpleQueue}.
        @param queue_opts: as for L{txkombu.simple.SimpleQueue}.
        @param queue_args: as for L{txkombu.simple.SimpleQueue}.
        @param exchange_opts: as for L{txkombu.simple.SimpleQueue}.
        @param channel: the channel to use; by default one of its own.
        @param options: as for L{txkombu.simple.SimpleQueue}.
        """
        return simple.SimpleBuffer(
            channel or self,
            name,
            no_ack,
            queue_opts,
            queue_args,
            exchange_opts,
            **options,
        )

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
        if self.core.is_closing:
            return fail(connection_closed())
        handled = self.core.drain_events.wait()
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


def _transport(
    given: str | IBrokerTransport | None,
) -> tuple[str | None, IBrokerTransport | None]:
    """Return the scheme of a transport, if known, and the transport, if given."""
    if given is None or isinstance(given, str):
        return given, None
    if not IBrokerTransport.providedBy(given):
        raise TypeError(
            "transport must be a URL scheme or provide IBrokerTransport, not "
            f"{kind_of(given)}"
        )
    return "memory", given
