"""The parts of one channel: what opens it, its consumers, and what it publishes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from twisted.internet.defer import Deferred, fail, inlineCallbacks

from .._util.limits import MAX_BODY_SIZE
from .._util.steady_clock import steady
from .._util.timeouts import CLOSE_TIMEOUT, with_timeout
from .._util.waiters import SharedClose
from ..entity import Queue
from ..exceptions import (
    ChannelClosed,
    KombuError,
    NotFound,
    SerializerNotInstalled,
    Unroutable,
)
from ..interfaces import Delivery, ISessionChannel, Returned
from ..message import Message
from ..serialization.serializers import accept_set
from .connection_core import ConnectionCore
from .consumers import ChannelConsumers
from .decoded_memory import DecodedMemory
from .entity_operations import EntityOperations
from .interfaces import ObservePublish
from .opener import ChannelOpener
from .publish_queue import PublishQueue, PublishRequest
from .queue_names import check_named


class ChannelCore:
    """
    What L{txkombu.Channel} forwards to, and what producers and consumers use.

    @param connection: what it belongs to.
    @ivar opener: opens its session channels.
    @ivar consumers: its consumers.
    @ivar entities: its operations on exchanges and queues.
    @ivar publisher: its messages on their way to the broker.
    @ivar memory: counts what its unsettled messages hold decoded.
    """

    def __init__(self, connection: ConnectionCore) -> None:
        self.connection = connection
        self.memory = DecodedMemory()
        self.opener = ChannelOpener(connection, self, self.memory)
        self.consumers = ChannelConsumers(connection, self.opener, self.memory)
        self.entities = EntityOperations(self.opener, connection.topology)
        self.publisher = PublishQueue(
            connection.clock,
            self._waits_for,
            self._publish_failed,
            self.opener.ensure_open,
        )
        self.publisher.flow(connection.may_publish)
        self._end = SharedClose(self._close)
        self._on_return: dict[object, Callable[[Returned], None]] = {}
        self._on_lost: dict[object, Callable[[Exception], None]] = {}
        connection.add_channel(self)

    # --- its state ----------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether it was closed, or its connection."""
        return self.opener.closed is not None

    @property
    def last_error(self) -> Exception | None:
        """Why it is closed, or why one of its consumers does not run."""
        return self.opener.closed or self.consumers.last_error

    @property
    def is_consuming(self) -> bool:
        """Whether every consumer that was started runs at the broker."""
        return self.consumers.is_consuming

    def unfinished_work(self) -> list[str]:
        """Say which messages await settlement, and what waits for the broker."""
        unsettled = (each for each in self.consumers.unsettled if not each.no_ack)
        return [
            *(f"{each!r} was not settled" for each in unsettled),
            *["an operation waits for the connection"] * self.opener.waiting,
            *["a message waits to be published"] * self.publisher.waiting,
        ]

    # --- SessionChannelOwner ------------------------------------------------

    @property
    def has_consumers(self) -> bool:
        """Whether consumers share its session channel."""
        return self.consumers.share_channel

    @property
    def needs_channel(self) -> bool:
        """Whether consumers, or messages to publish, need a session channel."""
        return self.has_consumers or self.publisher.is_waiting

    @inlineCallbacks
    def channel_up(
        self, opened: ISessionChannel
    ) -> Generator[Deferred[Any], Any, None]:
        """Start the consumers, then publish what waits."""
        yield self.consumers.start_all(opened)
        if self.opener.session_channel is opened:
            # Last, since a message may ask for replies to one of the consumers.
            self.publisher.channel_up(opened)

    def channel_lost(self, error: Exception) -> None:
        """Tell consumers, publisher, and who else asked for it."""
        self.consumers.channel_lost(error)
        self.publisher.channel_down(is_last=self.closed)
        if self.closed:
            self.publisher.fail_pending(error)
        for tell in list(self._on_lost.values()):
            tell(error)

    def cannot_open(self, error: Exception) -> None:
        """Fail the messages that wait to be published."""
        self.publisher.give_up(error)

    def returned(self, message: Returned) -> None:
        """Tell the producers."""
        for tell in list(self._on_return.values()):
            tell(message)

    def session_dropped(self, error: Exception) -> None:
        """Note that this program has aborted the session."""
        self.consumers.session_dropped(error)

    # --- getting ------------------------------------------------------------

    def get(
        self,
        queue: Queue,
        no_ack: bool = False,
        accept: Iterable[str] | None = None,
        max_body_size: int = MAX_BODY_SIZE,
    ) -> Deferred[Message | None]:
        """Take one message, or C{None} if none is ready."""
        try:
            accepted = accept_set(accept)
        except SerializerNotInstalled:
            return fail()

        def get(channel: ISessionChannel) -> Deferred[Message | None]:
            check_named(queue)
            unacked = None if no_ack else self.opener.unacked

            def got(delivery: Delivery | None) -> Message | None:
                if delivery is None:
                    return None
                return Message(delivery, unacked, queue, accepted, max_body_size)

            return channel.basic_get(queue, no_ack).addCallback(got)

        what = f"getting from queue {queue.name!r}"
        return self.opener.call(what, get, [queue.name])

    # --- publishing ---------------------------------------------------------

    def publish(self, message: PublishRequest) -> Deferred[None]:
        """Send a message, now or when there is room; see L{PublishQueue.publish}."""
        if self.opener.closed is not None:
            return fail(self.opener.closed)
        sending = self.publisher.publish(message)
        if self.opener.session_channel is None:
            self.opener.ensure_open()
        return sending

    def observe_publishes(self, put_around: ObservePublish) -> None:
        """Have something see each publish; see C{ConnectionCore.observe_publishes}."""
        # In place of the method, so that it costs nothing where nobody asks.
        self.publish = put_around(self.publish)  # type: ignore[assignment, method-assign]  # as wanted

    @property
    def unconfirmed(self) -> int:
        """The number of messages that were published and have no verdict."""
        return self.publisher.outstanding

    def refuse_publishes(self, error: KombuError) -> None:
        """Fail further publishes with this error."""
        self.publisher.refuse_more(error)

    def when_published(self) -> Deferred[None]:
        """Wait until each message that was published has its verdict; never fails."""
        return self.publisher.when_idle()

    def give_up_publishes(self, error: KombuError) -> None:
        """Fail the messages that wait to be sent."""
        self.publisher.fail_pending(error)

    def when_ready(self) -> Deferred[None]:
        """Wait until a message would be sent at once."""
        return self.opener.when_open().addCallback(
            lambda _: self.publisher.when_ready()
        )

    def flow(self, allowed: bool) -> None:
        """Pause or resume publishing, as broker and socket allow."""
        self.publisher.flow(allowed)
        if self.closed:
            self._fail_blocked()

    def add_on_return(self, who: object, tell: Callable[[Returned], None]) -> None:
        """Have C{tell} called with each message that came back."""
        self._on_return[who] = tell

    def remove_on_return(self, who: object) -> None:
        """Undo L{add_on_return}."""
        self._on_return.pop(who, None)

    def add_on_lost(self, who: object, tell: Callable[[Exception], None]) -> None:
        """Have C{tell} called with the reason of each loss of the session channel."""
        self._on_lost[who] = tell

    def remove_on_lost(self, who: object) -> None:
        """Undo L{add_on_lost}."""
        self._on_lost.pop(who, None)

    def _waits_for(self) -> str:
        """Say what a message that cannot be sent waits for."""
        if self.connection.blocked_reason:
            return f"the broker is blocked: {self.connection.blocked_reason}"
        if self.opener.session_channel is None:
            return "waiting for the connection"
        return "waiting for room"

    def _publish_failed(self, message: PublishRequest, error: Exception) -> None:
        if isinstance(error, NotFound):
            self.connection.topology.not_found(message.exchange.name)
        elif isinstance(error, Unroutable):
            topology = self.connection.topology
            topology.unroutable(message.exchange.name, message.routing_key)

    # --- closing ------------------------------------------------------------

    def close(self) -> Deferred[None]:
        """Close it; see L{txkombu.Channel.close}."""
        return self.close_because(
            ChannelClosed("the channel was closed by this program")
        )

    def close_because(self, error: KombuError) -> Deferred[None]:
        """Close it; later operations fail with this error."""
        if not self.closed:
            self.opener.begin_close(error)
            self.connection.channel_closing(self)
        return self._end.wait()

    @inlineCallbacks
    def _close(self) -> Generator[Deferred[Any], Any, None]:
        error = self.opener.closed
        assert error is not None
        if self.publisher.waiting and self.opener.is_opening:
            self.consumers.cancel_shared()  # no need to start them any more
            yield self.opener.when_attempted()
        self.opener.stop_opening()
        self._fail_blocked()
        isolated = self.consumers.close_isolated(error)
        cancelled = self.consumers.cancel_shared()
        self.connection.channel_cancelled(self)
        answers = yield cancelled
        yield isolated
        if answers and self.opener.session_channel is not None:
            answers = yield self._await_verdicts()
        channel = self.opener.release()
        self.publisher.close(error)
        self.connection.channel_closed(self)
        if channel is not None:
            closing = self.opener.in_time(channel.close())
            if answers:
                yield closing

    @inlineCallbacks
    def _await_verdicts(self) -> Generator[Deferred[Any], Any, bool]:
        """
        Wait for the verdicts on what was published: no longer than an operation
        may take, nor for a broker that answers nothing.

        @return: whether the broker still answers, as far as is known.
        """
        connection = self.connection
        clock = steady(connection.clock)
        deadline = clock.seconds() + connection.operation_timeout
        while (left := deadline - clock.seconds()) > 0:
            idle = self.publisher.when_idle().addCallback(lambda _: True)
            slice_ = min(left, CLOSE_TIMEOUT)
            if (
                yield with_timeout(
                    idle, connection.clock, slice_, "close", otherwise=False
                )
            ):
                break
            if not (yield connection.answers()):
                return False
        return True

    def _fail_blocked(self) -> None:
        """Fail what waits for the end of the broker's alarm, since this closes."""
        if self.connection.blocked_reason:
            reason = f"{self._waits_for()}, and the channel closes"
            self.publisher.fail_pending(ChannelClosed(reason))
