"""Consumer: receives messages from queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from .._util.limits import MAX_BODY_SIZE
from .._util.timeouts import all_done
from .._util.validation import check_auto_declare, check_callable, check_count
from .._util.waiters import SharedClose, Waiters
from ..core.consumers import PREFETCH
from ..core.lending import ChannelLender, lent_channel
from ..entity import Queue
from ..exceptions import ChannelClosed, DecodeError, NotSupported
from ..message import Message
from ..policy import FailurePolicy, default
from ..policy.hosting import HostedPolicy
from ..policy.retrying import check_policy
from ..serialization.serializers import accept_set
from .callbacks import (
    Callback,
    ObservedHandler,
    as_callbacks,
    functions_of,
    run_callbacks,
)
from .consumer_queues import checked_queues
from .dispatcher import Dispatcher, Handler
from .failure_handling import FailureHandling
from .iteration import MessageIterator, MessageTaker
from .middleware import ConsumeMiddleware, around_receive
from .missing_ack import MissingAckWarning
from .queue_subscriptions import QueueSubscriptions, SubscriptionSettings

_C = TypeVar("_C", bound="Consumer")

_CALLED_WITH = {
    "receive": 2,
    "on_message": 1,
    "on_decode_error": 2,
    "on_failure": 2,
    "on_cancel": 2,
    "on_offset": 2,
}
"""How many arguments each is given."""


class Consumer:
    """
    Receive messages from one or more queues.

    Subclasses may set the arguments as class attributes, and override
    L{receive}.

    @param channel: a channel, or a connection, on which it opens its own.
    @param queues: a L{Queue} or several.
    @param no_ack: acknowledge each message when its handler begins, so that it is
        lost if the program ends meanwhile, or the handler fails at every attempt.
        C{None} leaves it to each queue.
    @param auto_declare: whether to declare the queues, with their exchanges
        and bindings, before consuming: C{True} (default), C{False}, or
        C{"passive"} to only look them up.
    @param callbacks: called in order with (payload, message), each awaited.
    @param on_decode_error: called with (message, error) for a message that
        cannot be decoded, instead of C{on_failure}.
    @param on_message: called with the undecoded message, instead of
        C{callbacks}.
    @param accept: serializers' names or content types that may be decoded, beside text
        and bytes; by default all that are registered, except pickle.
    @param max_body_size: how many bytes a body may become when it is decompressed,
        and how many its decoded values may take as an estimate; default 8 MiB.  A
        body that arrives uncompressed may be larger.
    @param prefetch_count: how many unsettled messages each of its queues may
        have handed out; default 100, 0 for no limit.
    @param tag_prefix: begins its consumer tags.
    @param on_failure: a policy of L{txkombu.policy}, or a function that is called with
        (message, failure), when the handling of a message failed before it was settled.
        The default tries five times, then rejects the message to its dead letter
        exchange, if its queue was declared with one, or else tries again for ever,
        slowly.
    @param concurrency: how many messages are handled at the same time; by default
        as many as C{prefetch_count} allows.
    @param exclusive: be the only consumer of its queues.
    @param priority: receive before consumers of lower priority (RabbitMQ's
        x-priority).
    @param on_cancel: called with (tag, error) when the broker ends one of its
        consumers, which is then started again with growing waits.
    @param on_offset: for streams: called with (queue name, offset) when all messages
        before that offset were settled, so that a program can store it, and begin
        there next time: C{Queue(consumer_arguments={"x-stream-offset": offset})}.
    @param middleware: functions around the handling of each decoded message, the first
        outermost, each called with (handle, body, message): it returns what
        C{handle(body, message)} returns, a Deferred, or awaits it, or does not call it.
    """

    queues: Sequence[Queue] | Queue = ()
    no_ack: bool | None = None
    auto_declare: bool | str = True
    callbacks: Sequence[Callback] = ()
    on_decode_error: Callable[[Message, Exception], object] | None = None
    on_message: Callable[[Message], object] | None = None
    accept: Iterable[str] | None = None
    max_body_size: int = MAX_BODY_SIZE
    prefetch_count: int = PREFETCH
    on_failure: FailurePolicy | HostedPolicy = default
    concurrency: int | None = None
    exclusive: bool = False
    priority: int | None = None
    on_cancel: Callable[[str, Exception], object] | None = None
    on_offset: Callable[[str, int], object] | None = None
    middleware: Sequence[ConsumeMiddleware] = ()

    def __init__(
        self,
        channel: ChannelLender,
        queues: Queue | Iterable[Queue] | None = None,
        no_ack: bool | None = None,
        auto_declare: bool | str | None = None,
        callbacks: Iterable[Callback] | None = None,
        on_decode_error: Callable[[Message, Exception], object] | None = None,
        on_message: Callable[[Message], object] | None = None,
        accept: Iterable[str] | None = None,
        prefetch_count: int | None = None,
        tag_prefix: str = "",
        *,
        on_failure: FailurePolicy | HostedPolicy | None = None,
        concurrency: int | None = None,
        exclusive: bool | None = None,
        priority: int | None = None,
        on_cancel: Callable[[str, Exception], object] | None = None,
        max_body_size: int | None = None,
        on_offset: Callable[[str, int], object] | None = None,
        middleware: Sequence[ConsumeMiddleware] | None = None,
    ) -> None:
        self.channel, self._owned = lent_channel(channel)
        given = {
            "no_ack": no_ack,
            "auto_declare": auto_declare,
            "on_decode_error": on_decode_error,
            "on_message": on_message,
            "accept": accept,
            "max_body_size": max_body_size,
            "prefetch_count": prefetch_count,
            "on_failure": on_failure,
            "concurrency": concurrency,
            "exclusive": exclusive,
            "priority": priority,
            "on_cancel": on_cancel,
            "on_offset": on_offset,
            "middleware": middleware,
        }
        chosen = functions_of(type(self), _CALLED_WITH)
        chosen |= {name: value for name, value in given.items() if value is not None}
        for name, value in chosen.items():
            setattr(self, name, value)
        self._check()
        self._callbacks = as_callbacks(
            self.callbacks if callbacks is None else callbacks
        )
        self.callbacks = self._callbacks
        core = self.channel.core
        self._failure_handling = FailureHandling(
            self.channel, lambda: self.on_failure, self._halt
        )
        core.memory.allow(self.max_body_size)
        limit = self.prefetch_count if self.concurrency is None else self.concurrency
        self._dispatcher = Dispatcher(
            limit,
            core.connection.clock,
            core.connection.turn_budget,
            core.memory,
            self._failure_handling.decide,
            core.connection.drain_events.message_handled,
            self._on_unsettled,
        )
        settings = SubscriptionSettings(
            no_ack=self.no_ack,
            auto_declare=self.auto_declare,
            tag_prefix=tag_prefix,
            exclusive=self.exclusive,
            priority=self.priority,
            prefetch_count=self.prefetch_count,
            accept=accept_set(self.accept),
            max_body_size=self.max_body_size,
            on_cancel=self.on_cancel,
            on_offset=self.on_offset,
        )
        named = self.queues if queues is None else queues
        wanted = [named] if isinstance(named, Queue) else checked_queues(named)
        self._subscriptions = QueueSubscriptions(
            self.channel, self._dispatcher, wanted, settings
        )
        self.queues = self._subscriptions.queues
        self._missing_ack = MissingAckWarning(self, self._subscriptions)
        self._taker = MessageTaker(self._dispatcher)
        self.halted: Exception | None = None
        self._touched = False
        self._end = SharedClose(self._close)
        self._closed: Waiters[None] = Waiters()
        self._receive = around_receive(self.middleware, self.receive)
        self._observers: list[Callable[[Handler], Handler]] = []
        self._choose_handler()
        core.connection.drain_events.add_consumer(core, self)

    def _check(self) -> None:
        check_auto_declare(self.auto_declare)
        check_count("prefetch_count", self.prefetch_count, 0, 65535)
        check_count("concurrency", self.concurrency, 1)
        check_count("max_body_size", self.max_body_size, 1)
        for what, arguments in _CALLED_WITH.items():
            given = getattr(self, what)
            if given is not None and what == "on_failure":
                check_policy(what, given)
            elif given is not None:
                check_callable(what, given, arguments)
        check_count("priority", self.priority, -(2**31), 2**31 - 1)
        if self.middleware and self.on_message is not None:
            raise TypeError("middleware is for callbacks, which on_message replaces")

    # --- handling -----------------------------------------------------------

    def register_callback(self, callback: Callback) -> None:
        """
        Have a callback called with each message, after those registered before.

        @param callback: called with (payload, message), and awaited.
        """
        self._callbacks.append(check_callable("a callback", callback, 2))
        self._choose_handler()

    def receive(self, body: Any, message: Message) -> object:
        """
        Handle one decoded message: run the callbacks, in order.  Subclasses
        may override it.

        @param body: the payload.
        @param message: the message, which is to be settled.
        @return: anything; a Deferred, coroutine or future is awaited.
        """
        return run_callbacks(self._callbacks, body, message)

    @property
    def _transport_name(self) -> str:
        return self.channel.core.connection.settings.transport_name

    @property
    def can_handle(self) -> bool:
        """Whether it has callbacks, C{on_message}, or its own L{receive}."""
        overridden = type(self).receive is not Consumer.receive
        return bool(self.on_message or self._callbacks or overridden)

    def _choose_handler(self) -> None:
        if self.can_handle:
            handler: Handler = self.on_message or self._decode_and_receive
            for put_around in self._observers:
                handler = ObservedHandler(put_around(handler), handler)
            self._dispatcher.set_handler(handler)

    def observe_handling(self, put_around: Callable[[Handler], Handler]) -> None:
        """
        Have something see each handling of a message, whatever handles it; what was
        added last is the outermost.

        @param put_around: called with a function that handles a message; returns what
            handles it from now on, with the same results.
        """
        self._observers.append(put_around)
        self._choose_handler()

    def _decode_and_receive(self, message: Message) -> object:
        if self.on_decode_error is None:
            return self._receive(message.payload, message)
        try:
            payload = message.payload
        except DecodeError as error:
            return self.on_decode_error(message, error)
        return self._receive(payload, message)

    def _halt(self, error: Exception) -> None:
        self.halted = error
        self.close()

    def _on_unsettled(self, message: Message, load: int) -> None:
        self._missing_ack.check(message, load)

    # --- consuming ----------------------------------------------------------

    def consume(self, no_ack: bool | None = None) -> Deferred[None]:
        """
        Declare the queues and start to receive from them.  Queues that it receives
        from already are left alone.

        @param no_ack: replaces the consumer's own setting for what is started now.
        @return: fires when the broker has started all consumers.  Fails with the
            broker's first refusal, such as L{txkombu.exceptions.NotFound},
            L{txkombu.exceptions.AccessRefused} or
            L{txkombu.exceptions.ResourceLocked}; the other consumers are started all
            the same.  Fails with L{txkombu.exceptions.ChannelClosed} if this was
            closed, or cancelled meanwhile.
        """
        self._touched = True
        if self._end.begun:
            return fail(_consumer_closed())
        self._dispatcher.resume()
        return self._subscriptions.start(no_ack, self._failure_handling.prepare)

    def declare(self) -> Deferred[None]:
        """
        Declare the queues, with their exchanges and bindings, without consuming.

        @return: fails as L{Queue.declare} does.  With C{auto_declare="passive"} the
            queues are only looked up.
        """
        began = [
            self._subscriptions.declare_anew(queue)
            for queue in self._subscriptions.queues
        ]
        return all_done(began).addCallback(lambda _: None)

    def add_queue(self, queue: Queue) -> Queue:
        """
        Add a queue; L{consume} starts to receive from it.

        @param queue: the queue.
        @return: a copy of it, bound to the channel.
        """
        return self._subscriptions.add_queue(queue)

    def consuming_from(self, queue: Queue | str) -> bool:
        """
        Return whether it receives from a queue.

        @param queue: the queue, or its name.
        """
        return self._subscriptions.tag_of(queue) is not None

    def start_if_untouched(self) -> Deferred[None] | None:
        """Start it if nothing was called yet and it can handle messages."""
        if self._touched:
            return None
        return self.consume() if self.can_handle else succeed(None)

    # --- changing and ending ------------------------------------------------

    def cancel(self) -> Deferred[None]:
        """
        Stop receiving.  Messages that no handler has begun with are requeued.

        @return: fires when no more messages come; never fails.
        """
        self._touched = True
        self._subscriptions.stop_starting()
        return self._subscriptions.cancel(self._subscriptions.tags)

    def cancel_by_queue(self, queue: Queue | str) -> Deferred[None]:
        """
        Stop receiving from one queue, and drop it from L{queues}.

        @param queue: the queue, or its name.
        @return: as L{cancel}.
        """
        name = queue.name if isinstance(queue, Queue) else queue
        return self._subscriptions.cancel(self._subscriptions.cancel_queue(name))

    def qos(
        self,
        prefetch_size: int = 0,
        prefetch_count: int = 0,
        apply_global: bool = False,
    ) -> Deferred[None]:
        """
        Change how many unsettled messages may be handed out.

        A running consumer is started again with the new limit; messages that it
        handed out before are not affected.

        @param prefetch_size: in bytes; brokers do not support it.
        @param prefetch_count: the number of messages; 0 is no limit.
        @param apply_global: bound all consumers of the channel together, until the
            channel or the connection is lost.  Set it before they consume.
        @return: fails with NotSupported for a prefetch_size, and for a running
            exclusive consumer of an auto-delete queue: it would have to end before
            the next one can start, and the queue would be deleted.
        """
        if prefetch_size:
            name = self._transport_name
            return fail(NotSupported("prefetch_size", name, "use prefetch_count"))
        check_count("prefetch_count", prefetch_count, 0, 65535)
        if apply_global:
            return self.channel.basic_qos(prefetch_count)
        brief = self._subscriptions.brief_queue
        if brief is not None and self.exclusive:
            hint = (
                f"queue {brief.name!r} goes with its last consumer, and this one is "
                "exclusive: give prefetch_count when the consumer is made"
            )
            name = self._transport_name
            return fail(NotSupported("qos", name, hint))
        self.prefetch_count = prefetch_count
        if self.concurrency is None:
            self._dispatcher.set_limit(prefetch_count)
        return self._subscriptions.set_prefetch(prefetch_count)

    def flow(self, active: bool) -> Deferred[None]:
        """
        Stop receiving, as L{cancel}, or go on, as L{consume}.

        The consumer of an auto-delete queue is not cancelled, since the queue would be
        deleted: its handlers begin with no further message.

        @param active: whether to receive.
        """
        if active:
            return self.consume()
        if self._subscriptions.brief_queue is None:
            return self.cancel()
        self._dispatcher.pause()
        return succeed(None)

    def recover(self, requeue: bool = False) -> Deferred[None]:
        """
        Hand all unsettled messages of the channel back to their queues.

        @param requeue: must be true; brokers cannot send them again to the same
            consumers.
        @return: fails with NotSupported for C{requeue=False}.
        """
        return self.channel.basic_recover(requeue)

    def close(self) -> Deferred[None]:
        """
        Stop receiving for good.  Messages that were taken by iteration and are not
        settled are requeued, too.  If the channel is the consumer's own, it is closed
        when no handler is at work any more.

        @return: fires when no more messages come; never fails.
        """
        return self._end.wait()

    def _close(self) -> Deferred[None]:
        self.stop_handling()
        cancelling = self.cancel()
        self.hand_back()
        return cancelling.addCallback(lambda _: self._release())

    def _release(self) -> Deferred[None] | None:
        self._closed.fire(None)
        self._taker.hand_back()
        self._dispatcher.fail_takers(_consumer_closed())
        if not self._owned:
            return None
        if not self._dispatcher.running:
            return self.channel.close()
        self._dispatcher.when_idle().addCallback(lambda _: self.channel.close())
        return None

    def stop_handling(self) -> None:
        """Begin with no further message."""
        self._dispatcher.stop()

    def hand_back(self) -> None:
        """
        Requeue the messages that wait.  The broker has to know before that no more are
        wanted, or it delivers them again at once.
        """
        self._dispatcher.close()

    def channel_closed(self) -> None:
        """Fail what waits for a message: the channel was closed."""
        self._closed.fire(None)
        self._dispatcher.fail_takers(_no_channel())

    def when_closed(self) -> Deferred[None]:
        """Return a Deferred that fires when this, or its channel, is closed."""
        if self._end.over or self.channel.closed:
            return succeed(None)
        return self._closed.wait()

    @property
    def is_consuming(self) -> bool:
        """Whether the broker delivers messages from each of its queues now."""
        queues = self._subscriptions.queues
        return (
            bool(queues)
            and all(map(self.consuming_from, queues))
            and not self.channel.closed
            and self.channel.is_consuming
        )

    @property
    def retrying(self) -> int:
        """The number of failed messages that are held until they are tried again."""
        return self._dispatcher.held

    @property
    def is_stuck(self) -> bool:
        """Whether it gets no message, as all that it may hold wait for a retry."""
        limit = self.prefetch_count * len(self._subscriptions.tags)
        held = self._dispatcher.held
        return self._dispatcher.is_stuck or bool(limit and held >= limit)

    @property
    def running(self) -> int:
        """The number of messages that are being handled."""
        return self._dispatcher.running

    def unfinished_work(self) -> list[str]:
        """Say how many handlers are at work, and how many wait for a message."""
        counts = {"handles": self.running, "waits for": self._dispatcher.wanted}
        told = [f"{what} {count} messages" for what, count in counts.items() if count]
        return [f"{self!r} still {each}" for each in told]

    def when_idle(self) -> Deferred[None]:
        """Return a Deferred that fires when no handler is at work."""
        return self._dispatcher.when_idle()

    # --- without callbacks --------------------------------------------------

    def get(self, no_ack: bool | None = None) -> Deferred[Message | None]:
        """
        Take one message from the first queue that has one.

        @param no_ack: replaces the consumer's own setting.
        @return: fires with the message, or with C{None}; fails with the broker's
            refusal.
        """
        self._touched = True
        return (
            fail(_consumer_closed())
            if self._end.begun
            else self._subscriptions.get(no_ack)
        )

    def take(self) -> Deferred[Message]:
        """
        Take the next message, for a consumer without handlers.

        @return: fires with it; fails with L{txkombu.exceptions.ChannelClosed} once
            the consumer is closed, or its channel.
        """
        if self._end.begun:
            return fail(_consumer_closed())
        if self.channel.closed:
            return fail(_no_channel())
        return self._taker.take()

    def take_now(self) -> Message | None:
        """Take the next message, if one is here already."""
        return self._taker.take_now()

    def __aiter__(self) -> MessageIterator:
        if self.can_handle:
            raise TypeError(
                f"{self!r} hands its messages to callbacks; "
                "iterate over a consumer that has none"
            )
        return MessageIterator(self.take)

    def purge(self) -> Deferred[int]:
        """
        Delete the ready messages of its queues.

        @return: fires with their number; fails as L{Queue.purge} does.
        """
        return self._subscriptions.purge()

    async def __aenter__(self: _C) -> _C:
        await self.consume()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        if "_subscriptions" not in self.__dict__:  # an error while it is made shows it
            return f"<{type(self).__name__}>"
        names = ", ".join(repr(queue.name) for queue in self._subscriptions.queues)
        return f"<{type(self).__name__} of {names or 'no queue'}>"


def _consumer_closed() -> ChannelClosed:
    return ChannelClosed("the consumer was closed; make a new one")


def _no_channel() -> ChannelClosed:
    return ChannelClosed("the channel of the consumer was closed")
