"""
What the objects of this package ask of those that own them.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from .._util.backoff import ReconnectPolicy
from ..exceptions import KombuError
from ..interfaces import ISession, ISessionChannel
from ..message import Message
from .topology import Topology
from .turn_budget import TurnBudget
from .unacked import UnackedMessages


class DrainWaiters(Protocol):
    """The consumers of a connection, and the calls of C{drain_events} that wait."""

    def add_consumer(self, consumer: DrainedConsumer) -> None:
        """Have C{drain_events} start one more consumer, and wait for its messages."""

    def message_handled(self) -> None:
        """Note that the callbacks of one message have finished."""


class ChannelHost(Protocol):
    """
    The connection that a channel belongs to.

    @ivar topology: what was declared on it.
    @ivar tag_prefix: begins the consumer tags that are made up.
    @ivar operation_timeout: seconds for one operation.
    @ivar reconnect: how long to wait between attempts.
    """

    topology: Topology
    tag_prefix: str
    operation_timeout: float
    reconnect: ReconnectPolicy

    @property
    def turn_budget(self) -> TurnBudget:
        """How long the handlers of all its channels may run in a turn."""

    @property
    def clock(self) -> IReactorTime:
        """The reactor; under test a C{Clock}."""

    @property
    def drain_waiters(self) -> DrainWaiters:
        """What C{drain_events} starts and waits for, on all channels."""

    @property
    def transport_name(self) -> str:
        """The URL scheme."""

    @property
    def may_publish(self) -> bool:
        """Whether broker and socket take messages now."""

    @property
    def blocked_reason(self) -> str:
        """Why the broker takes no messages now, or C{""}."""

    def when_up(self) -> Deferred[ISession]:
        """Connect if need be; fires with the session."""

    def answers(self) -> Deferred[bool]:
        """Whether the broker answers at all; never fails."""

    def new_channel(self) -> Any:
        """Make another channel."""

    @property
    def is_trying(self) -> bool:
        """Whether it is connected, or about to be: not idle, not waiting."""

    def channel_closing(self, channel: Any) -> None:
        """Have no handler begin with a message of a channel that is closing."""

    def channel_closed(self, channel: Any) -> None:
        """Forget a channel that was closed."""

    def is_consuming_from(self, queue: str) -> bool:
        """Whether a consumer of this connection reads a queue."""

    def current_uri(self) -> str:
        """The URL of the alternate in use."""


class SubscriptionHost(Protocol):
    """The channel that a subscription is started on."""

    connection: ChannelHost

    @property
    def unacked(self) -> UnackedMessages | None:
        """Takes the messages of the current session channel."""

    @property
    def session_channel(self) -> ISessionChannel | None:
        """The current session channel."""

    def when_open(self) -> Deferred[ISessionChannel]:
        """Fires with the session channel."""

    def isolate(self, subscription: Any) -> SubscriptionHost:
        """Give a refused consumer a channel of its own."""


class IsolatedChannel(Protocol):
    """A channel that one refused consumer has for itself."""

    @property
    def is_consuming(self) -> bool: ...

    @property
    def is_open(self) -> bool: ...

    @property
    def last_error(self) -> Exception | None: ...

    @property
    def unsettled(self) -> list[Message]: ...

    @property
    def unsettled_count(self) -> int: ...

    def basic_cancel(self, consumer_tag: str) -> Deferred[None]: ...

    def basic_recover(self) -> Deferred[None]: ...

    def flush(self) -> Deferred[Any]: ...

    def close(self) -> Deferred[None]: ...

    def close_because(self, error: KombuError) -> Deferred[None]: ...


class DrainedConsumer(Protocol):
    """A consumer that C{drain_events} starts and waits for."""

    @property
    def channel(self) -> object: ...

    def start_if_untouched(self) -> Deferred[None]: ...

    def stop_handling(self) -> None: ...

    def channel_closed(self) -> None: ...

    def unfinished_work(self) -> list[str]: ...
