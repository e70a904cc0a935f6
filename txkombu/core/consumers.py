"""
What a channel does with consumers: they survive its session channels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from .._util.limits import MAX_BODY_SIZE
from .._util.timeouts import with_timeout
from .._util.validation import check_count, check_short_string
from ..entity import Queue
from ..exceptions import ChannelError, KombuError, SerializerNotInstalled
from ..interfaces import ISessionChannel
from ..message import Message
from ..serialization.serializers import accept_set
from .decoded_memory import DecodedMemory
from .entity_operations import EntityOperations
from .interfaces import ChannelHost
from .isolation import IsolatedChannels
from .subscription import Subscription
from .unacked import UnackedMessages

PREFETCH = 100
"""How many unsettled messages a consumer may hold by default."""


class ChannelConsumers(EntityOperations):
    """The part of L{txkombu.core.channel.Channel} that starts and ends consumers."""

    _unacked: UnackedMessages | None
    _session_channel: ISessionChannel | None
    _closed: KombuError | None

    def __init__(self, connection: ChannelHost, clock: IReactorTime) -> None:
        self.connection = connection
        self._clock = clock
        self._subscriptions: dict[str, Subscription] = {}
        self._tags = 0
        self.memory = DecodedMemory()
        self._isolated = IsolatedChannels()
        self._is_isolated = False
        self._refused: set[str] = set()

    @abstractmethod
    def when_open(self) -> Deferred[ISessionChannel]:
        """@return: fires with the session channel."""

    @property
    def unacked(self) -> UnackedMessages | None:
        """Takes the messages of the current session channel."""
        return self._unacked

    @property
    def session_channel(self) -> ISessionChannel | None:
        """The current session channel."""
        return self._session_channel

    @abstractmethod
    def close(self) -> Deferred[None]:
        """@return: fires when it is closed; never fails."""

    @property
    def is_consuming(self) -> bool:
        """Whether every consumer that was started is running at the broker."""
        running = all(each.running for each in self._subscriptions.values())
        return running and self._isolated.is_consuming

    @property
    def last_error(self) -> Exception | None:
        """Why a consumer that was started does not run, as far as is known."""
        told = [each.last_error for each in self._subscriptions.values()]
        told += [each.last_error for each in self._isolated]
        return next((error for error in told if error is not None), None)

    @property
    def has_consumers(self) -> bool:
        """Whether consumers share it."""
        return bool(self._subscriptions)

    def consume(
        self,
        queue: Queue,
        callback: Callable[[Message], object],
        *,
        consumer_tag: str = "",
        tag_prefix: str = "",
        no_ack: bool = False,
        exclusive: bool = False,
        arguments: Mapping[str, object] | None = None,
        prefetch_count: int = PREFETCH,
        accept: Iterable[str] | None = None,
        max_body_size: int = MAX_BODY_SIZE,
        on_cancel: Callable[[str, Exception], object] | None = None,
    ) -> Deferred[str]:
        """
        Start a consumer (AMQP 0-9-1, basic.consume); it survives losses.

        @param callback: called with each L{Message}, and, if C{no_ack}, to call
            L{Message.begin}.
        @param consumer_tag: made up, with C{tag_prefix}, if empty.
        @param on_cancel: called with (tag, error) if the broker ends it, as
            when its queue is deleted; it is started again with growing waits.
        @return: fires with its tag; fails with the broker's refusal.
        @raise ValueError: the tag is taken.
        """
        tag = check_short_string("consumer_tag", consumer_tag or self._tag(tag_prefix))
        if tag in self._subscriptions or tag in self._isolated:
            raise ValueError(f"consumer_tag {tag!r} is taken on this channel")
        check_count("prefetch_count", prefetch_count, 0, 65535)
        if self._closed is not None:
            return fail(self._closed)
        try:
            accepted = accept_set(accept)
        except SerializerNotInstalled:
            return fail()
        isolated = self._new_isolated() if self._needs_isolation(queue) else None
        where = self if isolated is None else isolated
        subscription = Subscription(
            where,
            queue,
            callback,
            tag=tag,
            no_ack=no_ack,
            exclusive=exclusive,
            arguments={**queue.consumer_arguments, **(arguments or {})},
            prefetch_count=(prefetch_count or PREFETCH) if no_ack else prefetch_count,
            accept=accepted,
            max_body_size=max_body_size,
            on_cancel=on_cancel,
        )

        def started(_: object) -> str:
            if self._closed is not None:
                raise self._closed
            where._subscriptions[tag] = subscription
            if isolated is not None:
                self._isolated.add_channel(tag, isolated)
            return tag

        def failed(failure: Failure) -> Failure:
            if isolated is not None:
                isolated.close()
            elif failure.check(ChannelError) and subscription.has_ended_channel:
                self._refused.add(queue.name)
            return failure

        what = f"consuming from queue {queue.name!r}"
        began = where.call_about([queue.name], what, subscription.start)
        starting = began.addCallback(started)
        return starting.addErrback(failed)

    def _needs_isolation(self, queue: Queue) -> bool:
        """Whether another refusal would end a channel that others use."""
        return queue.name in self._refused and self.has_consumers

    def _tag(self, prefix: str) -> str:
        self._tags += 1
        return f"{prefix or self.connection.tag_prefix}{self._tags}"

    def isolate(self, subscription: Subscription) -> ChannelConsumers:
        """
        Give a consumer that was refused a channel of its own, unless this is it.

        @return: the channel it is to use.
        """
        if self._is_isolated or self._closed is not None:
            return self
        channel: Any = self._new_isolated()
        self._refused.add(subscription.queue.name)
        tag = subscription.tag
        channel._subscriptions[tag] = self._subscriptions.pop(tag)
        self._isolated.add_channel(tag, channel)
        taken: ChannelConsumers = channel
        return taken

    def _new_isolated(self) -> Any:
        channel = self.connection.new_channel()
        channel._is_isolated = True
        channel.memory = self.memory
        return channel

    def basic_cancel(self, consumer_tag: str) -> Deferred[None]:
        """
        End a consumer; the messages it holds can still be settled.

        @return: fires when no more of its messages come; never fails.
        """
        if consumer_tag in self._isolated:
            return self._isolated.cancel(consumer_tag)
        self._isolated.close_settled()
        subscription = self._subscriptions.pop(consumer_tag, None)
        if subscription is None:
            return succeed(None)
        subscription.stop()
        self._forget_auto_deleted(subscription.queue)
        channel = self._session_channel
        if channel is None:
            return succeed(None)
        return with_timeout(
            channel.basic_cancel(consumer_tag),
            self._clock,
            self.connection.operation_timeout,
            "cancel",
            otherwise=None,
        )

    def _forget_auto_deleted(self, queue: Queue) -> None:
        """The broker deletes such a queue with its last consumer; so do we."""
        topology = self.connection.topology
        if queue.auto_delete and not self.connection.is_consuming_from(queue.name):
            server_named = topology.is_server_named(queue)
            topology.queue_deleted(queue.name)
            if server_named:
                queue.name = ""

    def consumes_from(self, queue: str) -> bool:
        """Whether a consumer of this channel reads the queue of that name."""
        return any(each.queue.name == queue for each in self._subscriptions.values())

    def queue_renamed(self, old: str, new: str) -> None:
        """Note that the broker gave a queue it names itself another name."""
        for subscription in self._subscriptions.values():
            if subscription.queue.name == old:
                subscription.queue.name = new
