"""One consumer of a channel, as it is recorded and started again."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.logger import Logger
from twisted.python.failure import Failure

from .._util.awaitables import call_logged
from .._util.backoff import Backoff
from .._util.failures import without_frames
from .._util.limits import MAX_BODY_SIZE
from .._util.steady_clock import steady
from .._util.timeouts import sleep, with_timeout
from ..entity import Queue
from ..exceptions import ChannelClosed, ChannelError, ConsumerCancelled, SessionLost
from ..interfaces import Delivery, ISessionChannel
from ..message import Message, Settler
from .opener import ChannelOpener
from .queue_names import check_named
from .stream_position import StreamPosition, StreamSettler
from .unacked import UnackedMessages

_DIRECT_REPLY_TO = "amq.rabbitmq.reply-to"
"""RabbitMQ's pseudo-queue, which takes only consumers with no_ack."""


class Subscription:
    """
    Start one consumer on the channel's session channel, as often as needed.

    @param opener: opens the session channels.
    @param isolate: called with this when the broker's refusal of it has ended the
        session channel; gives the opener to use from now on.
    @param position: where it is, if it reads a stream.
    @ivar opener: opens the session channels it is started on.
    @ivar running: whether the broker has it now.
    @ivar last_error: why the broker ended or refused it, until it runs again.
    """

    _log = Logger()

    def __init__(
        self,
        opener: ChannelOpener,
        isolate: Callable[[Subscription], ChannelOpener],
        queue: Queue,
        callback: Callable[[Message], object],
        *,
        tag: str,
        no_ack: bool,
        exclusive: bool,
        arguments: Mapping[str, object],
        prefetch_count: int,
        accept: frozenset[str] | None,
        on_cancel: Callable[[str, Exception], object] | None,
        max_body_size: int = MAX_BODY_SIZE,
        position: StreamPosition | None = None,
    ) -> None:
        self.opener = opener
        self._isolate = isolate
        self._connection = opener.connection
        self.queue = queue
        self._callback = callback
        self.tag = tag
        self._no_ack = no_ack
        self._exclusive = exclusive
        self._arguments = arguments
        self._prefetch_count = prefetch_count
        self._accept = accept
        self._max_body_size = max_body_size
        self._on_cancel = on_cancel
        self._position = position
        self._backoff = Backoff(policy=opener.connection.reconnect)
        self._since = 0.0
        self._restarting: Deferred[None] | None = None
        self._began_on: ISessionChannel | None = None
        self._stopped = False
        self._ended = False
        self.running = False
        self.last_error: Exception | None = None

    def start(self, session_channel: ISessionChannel) -> Deferred[None]:
        """
        Start on a session channel.

        @param session_channel: the session channel.
        @return: fires when it runs; fails with the broker's refusal.
        @raise ValueError: the queue has no name.
        """
        check_named(self.queue)
        self._began_on = session_channel
        self._ended = False
        self.opener.begun[self] = None
        unacked = self.opener.unacked
        assert unacked is not None
        handle, arguments = self._handler(unacked), self._arguments
        if self._position is not None:
            handle = self._stream_handler(unacked, self._position)
            arguments = self._position.arguments(arguments)
        return session_channel.basic_consume(
            self.queue,
            self.tag,
            self._takes_all,
            self._exclusive,
            arguments,
            self._prefetch_count,
            handle,
            self._cancelled,
        ).addCallbacks(self._started, self._not_started)

    def _not_started(self, failure: Failure) -> Failure:
        self.opener.begun.pop(self, None)
        return failure

    def _stream_handler(
        self, unacked: UnackedMessages, position: StreamPosition
    ) -> Callable[[Delivery], None]:
        settler = StreamSettler(unacked, position)
        handle = self._handler(settler)

        def handle_new(delivery: Delivery) -> None:
            if settler.take(delivery):
                handle(delivery)

        return handle_new

    def _handler(self, unacked: Settler) -> Callable[[Delivery], None]:
        """Make what is called for each delivery: the hot path, so a closure."""
        callback, queue, accept = self._callback, self.queue, self._accept
        max_body_size = self._max_body_size
        settles = None if self._takes_all else unacked
        acks_at_begin = self._no_ack and not self._takes_all

        def handle(delivery: Delivery) -> None:
            message = Message(
                delivery, settles, queue, accept, max_body_size, acks_at_begin
            )
            try:
                callback(message)
            except BaseException:  # sys.exit() must not end the transport's loop
                failure = without_frames(Failure())
                self._log.failure("{callback} failed", failure, callback=callback)

        return handle

    @property
    def _takes_all(self) -> bool:
        """
        Whether the broker is to count messages as handled when it sends them.

        The messages of other consumers with no_ack are acknowledged when their handler
        begins, so that the prefetch count bounds what waits here.
        """
        return self._no_ack and self.queue.name.startswith(_DIRECT_REPLY_TO)

    def _started(self, _: object) -> None:
        self.running = not self._ended
        if self.running:
            self.last_error = None
            if self._position is not None:
                self._position.begin()
        self._since = steady(self._connection.clock).seconds()

    def channel_lost(self) -> None:
        """Note that it does not run until it is started on the next session channel."""
        if self.running:
            self._backoff.reset_if_stable(self._connection.clock, self._since)
        self.running = False
        if self._position is not None:
            self._position.lost()

    def stop(self) -> None:
        """Start it never again."""
        self._stopped = True
        self.running = False
        self.opener.begun.pop(self, None)
        restarting, self._restarting = self._restarting, None
        if restarting is not None:
            restarting.cancel()

    # --- starting again -----------------------------------------------------

    @inlineCallbacks
    def start_again(
        self, opened: ISessionChannel
    ) -> Generator[Deferred[Any], Any, bool]:
        """
        Start on a new session channel.

        If it is refused, it tries again by itself with growing waits, and looks for
        its queue first.  If the refusal ended the session channel, it gets one of its
        own, so that it does not end the shared one again.

        @param opened: the session channel.
        @return: fires when it runs or was refused, with true, or when the session
            channel is lost, with false; never fails, unless cancelled.
        """
        if self._restarting is not None or self._stopped:
            return True
        try:
            yield self._bounded(self.start(opened), "consume")
        except (SessionLost, ChannelClosed):
            if self.opener.session_channel is not opened:
                return False
            # It lost a connection of its own, which the session channel outlives.
            self._failed(Failure())
        except CancelledError:
            raise
        except Exception:
            self._leave_to_others()
            self._failed(Failure())
        return True

    @property
    def has_ended_channel(self) -> bool:
        """Whether its refusal ended the session channel it was started on."""
        return self.opener.session_channel is not self._began_on

    def _leave_to_others(self) -> None:
        if self.has_ended_channel and not self._stopped:
            self.opener = self._isolate(self)

    def _cancelled(self, error: Exception) -> None:
        """
        Tell the user that it was ended, by the broker or by the loss of a connection
        of its own, and start it again after a while.
        """
        self.running = False
        self._ended = True
        self.last_error = error
        if self._position is not None:
            self._position.lost()
        unacked = self.opener.unacked
        if isinstance(error, ConsumerCancelled):
            self._connection.topology.not_found(self.queue.name)
        elif unacked is not None:
            unacked.lose(self.tag)
        if self._stopped:
            return
        self._backoff.reset_if_stable(self._connection.clock, self._since)
        self._log.warn(
            "Consumer {tag!r} of queue {queue!r} was ended: {error}",
            tag=self.tag,
            queue=self.queue.name,
            error=str(error),
        )
        if self._on_cancel is not None:
            call_logged("on_cancel", self._on_cancel, self.tag, error)
        self._restart_later()

    def _restart_later(self) -> None:
        if self._stopped or self._restarting is not None:
            return
        restarting = self._restart()
        if not restarting.called:
            self._restarting = restarting
        restarting.addErrback(self._restart_failed)

    @inlineCallbacks
    def _restart(self) -> Generator[Deferred[Any], Any, None]:
        """Wait, declare the queue again, and consume again."""
        connection = self._connection
        yield sleep(connection.clock, self._backoff.delay())
        session = yield connection.when_up()
        replay = connection.topology.replay_queue(session, self.queue)
        yield self._bounded(replay, "declare")
        opened = yield self.opener.when_open()
        try:
            yield self._bounded(self.start(opened), "consume")
        except ChannelError:
            self._leave_to_others()
            raise
        self._restarting = None
        if self._ended:
            self._restart_later()
            return
        self._log.info(
            "Consumer {tag!r} consumes from queue {queue!r} again",
            tag=self.tag,
            queue=self.queue.name,
        )

    def _restart_failed(self, failure: Failure) -> None:
        if self._stopped:
            return
        self._restarting = None
        self._failed(failure)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        self.last_error = error if isinstance(error, Exception) else None
        self._log.error(
            "Consumer {tag!r} cannot consume from queue {queue!r}: {error}; "
            "it tries again",
            tag=self.tag,
            queue=self.queue.name,
            error=str(failure.value),
        )
        self._restart_later()

    def _bounded(self, began: Deferred[Any], what: str) -> Deferred[Any]:
        connection = self._connection
        what = f"{what} for consumer {self.tag!r} of queue {self.queue.name!r}"
        return with_timeout(began, connection.clock, connection.operation_timeout, what)
