"""
The channel that users hold.

It survives: when its session channel dies, by itself or with the session, it
opens another and starts its consumers again.  What is called meanwhile waits,
up to its timeout.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, TypeVar

from twisted.internet.defer import (
    Deferred,
    DeferredList,
    fail,
    inlineCallbacks,
    succeed,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from .._util.backoff import Backoff
from .._util.limits import MAX_BODY_SIZE
from .._util.steady_clock import steady
from .._util.timeouts import CLOSE_TIMEOUT, sleep, with_timeout
from .._util.validation import check_count
from .._util.waiters import SharedClose, Waiters
from ..entity import Queue
from ..exceptions import (
    ChannelClosed,
    ConnectionClosed,
    KombuError,
    NotFound,
    NotSupported,
    SerializerNotInstalled,
    SessionLost,
)
from ..interfaces import (
    Delivery,
    ISessionChannel,
    ISessionChannelListener,
    Returned,
    Settlement,
)
from ..message import Message
from ..serialization.serializers import accept_set
from .consumers import ChannelConsumers
from .interfaces import ChannelHost
from .publish_queue import PublishQueue
from .publish_request import PublishRequest
from .unacked import UnackedMessages

T = TypeVar("T")


@implementer(ISessionChannelListener)
class Channel(ChannelConsumers):
    """
    Declares, publishes, consumes, on one connection.

    Made by C{connection.channel()}; L{close} ends it.  Most programs use
    L{txkombu.Producer}, L{txkombu.Consumer} and bound entities, which call
    the methods here.

    Every Deferred fails with L{txkombu.exceptions.OperationTimeout} after the
    connection's C{operation_timeout} seconds, with
    L{txkombu.exceptions.ChannelClosed} or
    L{txkombu.exceptions.ConnectionClosed} after a close, and with
    L{txkombu.exceptions.SessionLost} if the session ends meanwhile.
    """

    _log = Logger()

    def __init__(self, connection: ChannelHost) -> None:
        super().__init__(connection, connection.clock)
        self._session_channel: ISessionChannel | None = None
        self._unacked: UnackedMessages | None = None
        self._bringing_up: Deferred[None] | None = None
        self._open: Waiters[ISessionChannel] = Waiters()
        self._backoff = Backoff(eager=True, policy=connection.reconnect)
        self._up_since = 0.0
        self._closed: KombuError | None = None
        self._end = SharedClose(self._close)
        self._on_return: dict[object, Callable[[Returned], None]] = {}
        self.publisher = PublishQueue(self._clock, self._waits_for, self._refused_by)
        self.publisher.flow(connection.may_publish)

    # --- its life -----------------------------------------------------------

    @property
    def default_channel(self) -> Channel:
        """Itself: what takes a channel also takes a connection."""
        return self

    def lend_channel(self) -> tuple[Channel, bool]:
        """Itself, not to be closed by who uses it."""
        return self, False

    @property
    def is_open(self) -> bool:
        """Whether there is a session channel now."""
        return self._session_channel is not None

    @property
    def closed(self) -> bool:
        """Whether L{close} was called, here or on the connection."""
        return self._closed is not None

    @property
    def last_error(self) -> Exception | None:
        """Why it is closed, or why one of its consumers does not run, if so."""
        return super().last_error if self._closed is None else self._closed

    @property
    def unsettled_count(self) -> int:
        """How many messages it handed out await settlement."""
        return len(self._own_unsettled) + len(self._isolated.unsettled)

    @property
    def unsettled(self) -> list[Message]:
        """The messages it handed out that await settlement, oldest first."""
        return [*self._own_unsettled.values(), *self._isolated.unsettled]

    @property
    def _own_unsettled(self) -> Mapping[int, Message]:
        return {} if self._unacked is None else self._unacked.unsettled

    def unfinished_work(self) -> list[str]:
        """Say which messages await settlement, and what waits for the broker."""
        return [
            *(
                f"{each!r} was not settled"
                for each in self._own_unsettled.values()
                if not each.no_ack
            ),
            *["an operation waits for the connection"] * len(self._open.waiting),
            *["a message waits to be published"] * self.publisher.waiting,
        ]

    def when_open(self) -> Deferred[ISessionChannel]:
        """
        Open it if need be, connecting first.

        @return: fires with its session channel; fails with what connecting
            failed with.
        """
        if self._session_channel is not None:
            return succeed(self._session_channel)
        if self._closed is not None:
            return fail(self._closed)
        waiter = self._open.wait()
        self._ensure_coming_up()
        return waiter

    def _ensure_coming_up(self) -> None:
        if self._bringing_up is None and self._closed is None:
            began = self._bring_up()
            if not began.called:
                self._bringing_up = began
            began.addErrback(self._coming_up_failed)

    @inlineCallbacks
    def _bring_up(self) -> Generator[Deferred[Any], Any, None]:
        """Open a session channel and start the consumers on it; again if lost."""
        delay = self._backoff.delay() if self._subscriptions else 0.0
        if delay:
            yield sleep(self._clock, delay)
        while True:
            session = yield self.connection.when_up()
            opening = session.open_channel(self)
            try:
                opened = yield with_timeout(
                    opening, self._clock, self._timeout, "opening a channel"
                )
            except SessionLost:
                continue
            self._channel_up(opened)
            yield self._start_all(opened)
            if self._session_channel is opened and opened is not None:
                # Last: what is published may ask for replies to a consumer.
                self.publisher.channel_up(opened)
            break
        self._bringing_up = None
        if self._session_channel is None and (self._is_needed or self._open):
            self._ensure_coming_up()

    @property
    def _is_needed(self) -> bool:
        """Whether it has to be open though no operation waits for that."""
        return bool(self._subscriptions) or self.publisher.is_waiting

    def _coming_up_failed(self, failure: Failure) -> None:
        self._bringing_up = None
        if self._closed is not None:
            return
        error = failure.value
        assert isinstance(error, Exception)
        self._open.fail(error)
        self.publisher.give_up(error)
        if self._subscriptions and not isinstance(error, ConnectionClosed):
            self._tell_of_trouble(failure)
            self._ensure_coming_up()

    def _tell_of_trouble(self, failure: Failure) -> None:
        """What brokers and networks do needs no traceback; what we do wrong does."""
        if failure.check(KombuError):
            text = "Channel cannot be opened; trying again: {error}"
            self._log.error(text, error=str(failure.value))
        else:
            self._log.failure("Channel cannot be opened; trying again", failure)

    def _channel_up(self, opened: ISessionChannel) -> None:
        self._session_channel = opened
        self._unacked = UnackedMessages(opened, self.memory)
        self._up_since = steady(self._clock).seconds()
        self._open.fire(opened)

    @inlineCallbacks
    def _start_all(
        self, opened: ISessionChannel
    ) -> Generator[Deferred[Any], Any, None]:
        """Start all consumers in order; who cannot be started tries by itself."""
        for subscription in list(self._subscriptions.values()):
            if self._session_channel is not opened:
                return
            yield subscription.start_again(opened)

    def channel_lost(self, error: Exception) -> None:
        """Called by the session channel; part of L{ISessionChannelListener}."""
        self._session_channel = None
        if isinstance(error, NotFound):
            self.connection.topology.not_found(error.about)
        self._give_up_unacked()
        self._backoff.reset_if_stable(self._clock, self._up_since)
        for subscription in self._subscriptions.values():
            subscription.channel_lost()
        self.publisher.channel_down(error)
        if self._is_needed:
            if not isinstance(error, SessionLost):
                self._log.warn(
                    "Channel lost, opening another: {error}", error=str(error)
                )
            self._ensure_coming_up()

    def _refused_by(self, message: PublishRequest, error: Exception) -> None:
        """A publish failed; note it if its exchange is gone."""
        if isinstance(error, NotFound):
            self.connection.topology.not_found(message.exchange.name)

    def _give_up_unacked(self) -> None:
        unacked, self._unacked = self._unacked, None
        if unacked is not None:
            unacked.die()

    def returned(self, message: Returned) -> None:
        """Called by the session channel; part of L{ISessionChannelListener}."""
        for tell in list(self._on_return.values()):
            tell(message)

    def close(self) -> Deferred[None]:
        """
        End the consumers, wait for the verdicts on what was published, flush
        settlements, and close the channel.  No handler begins with a message any
        more.

        @return: fires when it is closed; never fails.  A channel that is being
            opened for what was published is waited for as long as an operation may
            take.  Each answer of the broker is waited for 5 s, and verdicts as long
            as an operation, if every 5 s it is found to answer at all.
        """
        return self.close_because(
            ChannelClosed("the channel was closed by this program")
        )

    def close_because(self, error: KombuError) -> Deferred[None]:
        """L{close}, with what later calls fail with."""
        if self._closed is None:
            self._closed = error
            self.connection.channel_closing(self)
        return self._end.wait()

    @inlineCallbacks
    def _close(self) -> Generator[Deferred[Any], Any, None]:
        error = self._closed
        assert error is not None
        if self.publisher.waiting:
            yield self._await_opening()
        self._open.fail(error)
        self._stop_coming_up()
        self._give_up_blocked()
        isolated = self._isolated.close_because(error)
        answers = yield self._cancel_all()
        yield isolated
        if answers and self._session_channel is not None:
            answers = yield self._await_verdicts()
        channel, self._session_channel = self._session_channel, None
        self._give_up_unacked()
        self.publisher.close(error)
        self.connection.channel_closed(self)
        if channel is not None:
            closing = self._in_time(channel.close())
            if answers:
                yield closing

    def _await_opening(self) -> Deferred[Any]:
        """
        Let the channel come up if that is under way, so that what was published goes
        out: no longer than an operation may take.
        """
        bringing_up = self._bringing_up
        if bringing_up is None or not self.connection.is_trying:
            return succeed(None)
        for tag in list(self._subscriptions):
            self.basic_cancel(tag)
        opened: Deferred[None] = Deferred()

        def over(result: T) -> T:
            if not opened.called:
                opened.callback(None)
            return result

        bringing_up.addBoth(over)
        timeout = self._timeout
        return with_timeout(opened, self._clock, timeout, "close", otherwise=None)

    @inlineCallbacks
    def _cancel_all(self) -> Generator[Deferred[Any], Any, bool]:
        """@return: whether the broker still answers, as far as can be told."""
        cancels = [self.basic_cancel(tag) for tag in list(self._subscriptions)]
        together = DeferredList(cancels, consumeErrors=True)
        return (yield self._in_time(together)) is not None

    @inlineCallbacks
    def _await_verdicts(self) -> Generator[Deferred[Any], Any, bool]:
        """
        Wait for the verdicts on what was published: no longer than an operation
        may take, nor for a broker that answers nothing.

        @return: whether the broker still answers, as far as can be told.
        """
        clock = steady(self._clock)
        deadline = clock.seconds() + self._timeout
        while (left := deadline - clock.seconds()) > 0:
            idle = self.publisher.when_idle().addCallback(lambda _: True)
            slice_ = min(left, CLOSE_TIMEOUT)
            if (
                yield with_timeout(idle, self._clock, slice_, "close", otherwise=False)
            ):
                break
            if not (yield self.connection.answers()):
                return False
        return True

    def _in_time(self, answer: Deferred[Any]) -> Deferred[Any]:
        """Wait for the broker's answer; C{None} if it comes not in time."""
        return with_timeout(answer, self._clock, CLOSE_TIMEOUT, "close", otherwise=None)

    def flow(self, allowed: bool) -> None:
        """Broker and socket take messages, or take none for now."""
        self.publisher.flow(allowed)
        if self._closed is not None:
            self._give_up_blocked()

    def _give_up_blocked(self) -> None:
        """A closing channel waits for no end of the broker's alarm."""
        if self.connection.blocked_reason:
            reason = f"{self._waits_for()}, and the channel closes"
            self.publisher.fail_pending(ChannelClosed(reason))

    def _stop_coming_up(self) -> None:
        bringing_up, self._bringing_up = self._bringing_up, None
        if bringing_up is not None:
            bringing_up.cancel()

    def _waits_for(self) -> str:
        if self.connection.blocked_reason:
            return f"the broker is blocked: {self.connection.blocked_reason}"
        if self._session_channel is None:
            return "waiting for the connection"
        return "waiting for room"

    # --- operations ---------------------------------------------------------

    @property
    def _timeout(self) -> float:
        return self.connection.operation_timeout

    def call(
        self, what: str, operate: Callable[[ISessionChannel], Deferred[T]]
    ) -> Deferred[T]:
        """Run an operation on the session channel, or on the next one."""
        channel = self._session_channel
        if channel is not None:
            began = operate(channel)
        else:
            began = self.when_open().addCallback(operate)
        return with_timeout(began, self._clock, self._timeout, what)

    def basic_get(
        self,
        queue: Queue,
        no_ack: bool = False,
        accept: Iterable[str] | None = None,
        max_body_size: int = MAX_BODY_SIZE,
    ) -> Deferred[Message | None]:
        """
        Take one message, or C{None} if none is ready (AMQP 0-9-1, basic.get).

        @param accept: what may be decoded; see L{txkombu.Consumer}.
        @param max_body_size: what its body may become; see L{txkombu.Consumer}.
        """
        try:
            accepted = accept_set(accept)
        except SerializerNotInstalled:
            return fail()

        def get(channel: ISessionChannel) -> Deferred[Message | None]:
            unacked = None if no_ack else self._unacked

            def got(delivery: Delivery | None) -> Message | None:
                if delivery is None:
                    return None
                return Message(delivery, unacked, queue, accepted, max_body_size)

            return channel.basic_get(queue, no_ack).addCallback(got)

        return self.call_about([queue.name], f"getting from queue {queue.name!r}", get)

    def basic_qos(self, prefetch_count: int) -> Deferred[None]:
        """
        Bound the unsettled messages of all consumers here together; 0 is no
        limit.  It holds until the session channel is lost.
        """
        check_count("prefetch_count", prefetch_count, 0, 65535)
        return self.call("qos", lambda channel: channel.basic_qos(prefetch_count))

    def basic_recover(self, requeue: bool = True) -> Deferred[None]:
        """
        Hand all unsettled messages of this channel back to their queues.

        @return: fails with NotSupported for C{requeue=False}, which brokers
            do not have.
        """
        if not requeue:
            return fail(
                NotSupported("recover(requeue=False)", self.connection.transport_name)
            )

        def recover(channel: ISessionChannel) -> Deferred[None]:
            unacked = self._unacked
            if unacked is not None:
                for message in unacked.forget():
                    message.settled_by_other("requeued")
            return channel.basic_recover()

        recovering = self.call("recover", recover)
        return self._isolated.also(recovering, lambda each: each.basic_recover())

    # --- publishing ---------------------------------------------------------

    def publish(self, message: PublishRequest) -> Deferred[None]:
        """Send a message, now or when there is room; see L{PublishQueue.publish}."""
        if self._closed is not None:
            return fail(self._closed)
        sending = self.publisher.publish(message)
        if self._session_channel is None:
            self._ensure_coming_up()
        return sending

    def when_ready(self) -> Deferred[None]:
        """@return: fires when a message would be sent at once."""
        return self.when_open().addCallback(lambda _: self.publisher.when_ready())

    # --- settling -----------------------------------------------------------

    def flush(self) -> Deferred[Settlement]:
        """@return: fires when all settlements so far were handed to the socket."""
        channel = self._session_channel
        if channel is None:
            return succeed(Settlement.STALE)
        flushed = channel.when_flushed()
        channel.flush()
        return self._isolated.also(flushed, lambda each: each.flush())

    # --- returned messages --------------------------------------------------

    def add_on_return(self, who: object, tell: Callable[[Returned], None]) -> None:
        """Have C{tell} called with each message that came back."""
        self._on_return[who] = tell

    def remove_on_return(self, who: object) -> None:
        """Undo L{add_on_return}."""
        self._on_return.pop(who, None)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open" if self.is_open else "not open"
        return f"<Channel of {self.connection.current_uri()}, {state}>"
