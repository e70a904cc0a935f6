"""
The parts of one connection: its settings, its session, what was declared, its channels.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any, TypeVar
from uuid import uuid4

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, succeed
from twisted.internet.interfaces import IReactorCore, IReactorTime

from .._util.backoff import ReconnectPolicy
from .._util.timeouts import with_timeout
from .._util.waiters import SharedClose, Waiters
from ..exceptions import ConnectionClosed, NotSupported
from ..interfaces import IRenewableSession, ISession
from .drain_events import DrainEvents
from .interfaces import ConnectionChannel, ObservePublish
from .lifecycle import State
from .liveness import is_responsive
from .queue_readers import QueueReaders
from .reconnector import Reconnector
from .restoration import Restoration
from .settings import Settings
from .topology import Topology
from .turn_budget import TurnBudget

T = TypeVar("T")


class ConnectionCore:
    """
    What L{txkombu.BrokerConnection} forwards to, and what its channels use.

    @param settings: what the connection was made with.
    @ivar settings: the same.
    @ivar topology: what was declared on it.
    @ivar readers: which of its consumers read a queue.
    @ivar drain_events: its consumers, and the calls of C{drain_events} that wait.
    @ivar tag_prefix: begins the consumer tags that are made up.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.readers = QueueReaders()
        self.topology = Topology(self.readers.queue_renamed)
        self._channels: dict[ConnectionChannel, None] = {}
        self._publish_observers: list[ObservePublish] = []
        self.drain_events = DrainEvents()
        self.tag_prefix = f"txk-{uuid4().hex[:12]}-"
        self._reconnector: Reconnector | None = None
        self._turn_budget: TurnBudget | None = None
        self._is_held = False
        self._draining: ConnectionClosed | None = None
        self._end = SharedClose(self._close)
        self._closed: Waiters[None] = Waiters()
        self._shutdown: object = None
        self._follows_shutdown = False
        self._leaves_shutdown = False

    # --- its settings -------------------------------------------------------

    @property
    def clock(self) -> IReactorTime:
        """The reactor; under test a C{Clock}."""
        return self.settings.clock

    @property
    def operation_timeout(self) -> float:
        """Seconds for one operation."""
        return self.settings.operation_timeout

    @property
    def reconnect(self) -> ReconnectPolicy:
        """How long to wait between attempts."""
        return self.settings.reconnect

    # --- its parts ----------------------------------------------------------

    @property
    def reconnector(self) -> Reconnector:
        """What holds the session; made when it is first needed."""
        if self._reconnector is None:
            settings = self.settings
            restoration = Restoration(
                self.topology,
                self.clock,
                lambda: settings.operation_timeout,
                self.reconnect,
            )
            self._reconnector = Reconnector(
                settings.alternates,
                settings.transport_of,
                settings.endpoint,
                self.clock,
                restoration.restore,
                restoration.lost,
                self._flow,
                self.reconnect,
                settings.login_at,
                settings.wait_for_broker,
                settings.on_state,
            )
            if self._is_held:
                self._reconnector.hold()
        return self._reconnector

    @property
    def turn_budget(self) -> TurnBudget:
        """How long the handlers of all its channels may run in a turn."""
        if self._turn_budget is None:
            self._turn_budget = TurnBudget(self.clock)
        return self._turn_budget

    def _flow(self, allowed: bool) -> None:
        for channel in self.channels:
            channel.flow(allowed)

    # --- its state ----------------------------------------------------------

    @property
    def state(self) -> State:
        """The state of the connection; see L{txkombu.core.lifecycle}."""
        return State.IDLE if self._reconnector is None else self._reconnector.state

    @property
    def is_trying(self) -> bool:
        """Whether it is connected, or about to be: not idle, not waiting."""
        return self.state in (State.CONNECTING, State.RESTORING, State.CONNECTED)

    @property
    def is_closing(self) -> bool:
        """Whether it was closed, or is being closed."""
        return self._end.begun

    @property
    def is_consuming(self) -> bool:
        """Whether every consumer that was started runs at the broker."""
        return all(channel.is_consuming for channel in self._channels)

    @property
    def last_error(self) -> Exception | None:
        """The last loss or failed attempt; C{None} while all is well."""
        return None if self._reconnector is None else self._reconnector.last_error

    @property
    def blocked_reason(self) -> str:
        """Why the broker takes no messages now, or C{""}."""
        return "" if self._reconnector is None else self._reconnector.blocked_reason

    @property
    def reconnects(self) -> int:
        """How often a lost session was replaced by another."""
        return 0 if self._reconnector is None else self._reconnector.reconnects

    @property
    def may_publish(self) -> bool:
        """Whether broker and socket take messages now."""
        return self._reconnector is None or self._reconnector.may_publish

    def current_uri(self) -> str:
        """Return the URL of the alternate in use, C{**} for its password."""
        if self._reconnector is None:
            return self.settings.as_uri()
        return self._reconnector.place.as_uri()

    def unfinished_work(self) -> list[str]:
        """Say what waits for settlement, for the broker or for a message."""
        return [
            *(what for each in self.channels for what in each.unfinished_work()),
            *self.drain_events.unfinished_work(),
        ]

    # --- its session --------------------------------------------------------

    def hold(self) -> None:
        """Do not connect before L{release}, and wait for the broker then."""
        self._is_held = True
        if self._reconnector is not None:
            self._reconnector.hold()

    def release(self) -> None:
        """Connect as soon as something needs a session."""
        self.reconnector.release()
        self._is_held = False

    def when_up(self) -> Deferred[ISession]:
        """Connect if need be; fires with the session."""
        self._await_shutdown()
        return self.reconnector.when_up()

    def when_attempted(self) -> Deferred[ISession]:
        """Connect if need be; fires, or fails, with the next attempt."""
        self._await_shutdown()
        return self.reconnector.when_attempted()

    def when_connected(self) -> Deferred[ISession]:
        """Wait for the session, without connecting."""
        return self.reconnector.when_connected()

    def leave_shutdown(self) -> None:
        """Do not close when the reactor shuts down: the owner does, in its order."""
        self._leaves_shutdown = True
        self._forget_shutdown()

    def _await_shutdown(self) -> None:
        """Close in order when the reactor shuts down; a C{Clock} does not."""
        if self._follows_shutdown or self._leaves_shutdown or self._end.begun:
            return
        self._follows_shutdown = True
        if IReactorCore.providedBy(self.clock):
            reactor = IReactorCore(self.clock)
            self._shutdown = reactor.addSystemEventTrigger(
                "before", "shutdown", self.close
            )

    def _forget_shutdown(self) -> None:
        shutdown, self._shutdown = self._shutdown, None
        if shutdown is not None:
            # While triggers run, this one is not there any more.
            with suppress(ValueError, KeyError):
                IReactorCore(self.clock).removeSystemEventTrigger(shutdown)

    def answers(self) -> Deferred[bool]:
        """Ask whether the broker answers at all; never fails."""
        session = self.reconnector.session
        return succeed(False) if session is None else is_responsive(session, self.clock)

    def update_secret(self, secret: str, reason: str) -> Deferred[None]:
        """Use other credentials; see L{txkombu.BrokerConnection.update_secret}."""
        settings = self.settings
        updated = settings.set_password(secret)
        if self.state is State.WAITING:
            self.reconnector.credentials_changed()
        if self.state in (State.IDLE, State.WAITING):
            settings.keep(updated)
            return succeed(None)

        def tell(session: ISession) -> Deferred[None]:
            if IRenewableSession.providedBy(session):
                try:
                    return IRenewableSession(session).update_secret(secret, reason)
                except ValueError:
                    settings.forget(updated)
                    raise
            hint = "the next session logs in with it"
            raise NotSupported("update_secret", settings.transport_name, hint)

        def told(result: T) -> T:
            settings.keep(updated)
            return result

        telling = self.when_up().addCallback(tell)
        telling.addBoth(told)
        return with_timeout(
            telling, self.clock, self.operation_timeout, "update_secret"
        )

    def drop(self) -> None:
        """Abort the session as if the network had cut it, and recover."""
        self.reconnector.drop(self._session_dropped)

    def _session_dropped(self, error: Exception) -> None:
        for channel in self.channels:
            channel.session_dropped(error)

    # --- its channels -------------------------------------------------------

    @property
    def channels(self) -> list[ConnectionChannel]:
        """The channels that are not closed."""
        return list(self._channels)

    def add_channel(self, channel: ConnectionChannel) -> None:
        """Take one more channel; it is closed at once if the connection is."""
        self._channels[channel] = None
        for put_around in self._publish_observers:
            channel.observe_publishes(put_around)
        if self._end.begun:
            channel.close_because(connection_closed())
        elif self._draining is not None:
            channel.refuse_publishes(self._draining)

    def observe_publishes(self, put_around: ObservePublish) -> None:
        """
        Have something see each publish on this connection.

        @param put_around: called for each channel, with what publishes on it; returns
            what publishes from now on.
        """
        self._publish_observers.append(put_around)
        for channel in self.channels:
            channel.observe_publishes(put_around)

    def channel_closing(self, channel: ConnectionChannel) -> None:
        """Have no handler begin with a message of a channel that is closing."""
        self.drain_events.channel_closing(channel)

    def channel_cancelled(self, channel: ConnectionChannel) -> None:
        """Hand back what waits for handlers: the channel's consumers are cancelled."""
        self.drain_events.channel_cancelled(channel)

    def channel_closed(self, channel: ConnectionChannel) -> None:
        """Forget a channel that was closed, and tell its consumers."""
        self._channels.pop(channel, None)
        self.drain_events.channel_closed(channel)

    # --- closing ------------------------------------------------------------

    @property
    def unconfirmed(self) -> int:
        """The number of messages that were published and have no verdict."""
        return sum(channel.unconfirmed for channel in self.channels)

    def drain(self, error: ConnectionClosed) -> Deferred[Any]:
        """
        Publish no further messages.

        @param error: what further publishes fail with.
        @return: fires when each message that was published has its verdict; never
            fails.
        """
        self._draining = error
        for channel in self.channels:
            channel.refuse_publishes(error)
        verdicts = [channel.when_published() for channel in self.channels]
        return DeferredList(verdicts, consumeErrors=True)

    def give_up_publishes(self, error: ConnectionClosed) -> None:
        """Fail the messages that wait to be sent."""
        for channel in self.channels:
            channel.give_up_publishes(error)

    def close(self) -> Deferred[None]:
        """Close all channels and the session; fires when nothing is left."""
        return self._end.wait()

    @inlineCallbacks
    def _close(self) -> Generator[Deferred[Any], Any, None]:
        self.reconnector.begin_end()
        yield DeferredList(
            [each.close_because(connection_closed()) for each in self.channels]
        )
        yield self.reconnector.close()
        self.drain_events.close(connection_closed())
        self._forget_shutdown()
        self._closed.fire(None)

    def when_closed(self) -> Deferred[None]:
        """Wait until the connection is closed."""
        return succeed(None) if self._end.over else self._closed.wait()


def connection_closed() -> ConnectionClosed:
    """Return the error for what is called after the connection was closed."""
    return ConnectionClosed("the connection was closed by this program")
