"""Declare the queues of a consumer, and start and cancel a broker consumer for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    DeferredLock,
    inlineCallbacks,
    succeed,
)
from twisted.python.failure import Failure

from .._util.batches import Batches
from .._util.timeouts import all_done, gather_results
from ..core.channel import Channel
from ..core.stream_position import StreamPosition, is_stream
from ..entity import Queue
from ..exceptions import BrokerError, ChannelClosed, ChannelError, SessionLost
from ..message import Message
from .consumer_queues import ConsumerQueues
from .dispatcher import Dispatcher

_T = TypeVar("_T")

_CUT_SHORT: Final = (ChannelClosed, SessionLost)
"""What work fails with that a refusal of something else, or a loss, has ended."""


@attrs.define
class SubscriptionSettings:
    """How broker consumers are started; see L{txkombu.Consumer}."""

    no_ack: bool | None
    auto_declare: bool | str
    tag_prefix: str
    exclusive: bool
    priority: int | None
    prefetch_count: int
    accept: frozenset[str] | None
    max_body_size: int
    on_cancel: Callable[[str, Exception], object] | None
    on_offset: Callable[[str, int], object] | None


def _is_cancelled(failures: list[Failure]) -> bool:
    return any(each.check(CancelledError) for each in failures)


class QueueSubscriptions:
    """
    Start and end one broker consumer for each queue.

    Calls of L{start} run one after the other.  L{cancel} does not wait for them: a
    broker consumer that is being started meanwhile is ended as soon as it runs.

    @param channel: where they consume.
    @param dispatcher: takes their messages.
    @param queues: the queues.
    @param settings: how they are started.
    """

    def __init__(
        self,
        channel: Channel,
        dispatcher: Dispatcher,
        queues: Iterable[Queue],
        settings: SubscriptionSettings,
    ) -> None:
        self._channel = channel
        self._dispatcher = dispatcher
        self._settings = settings
        self._topology = channel.core.connection.topology
        self._readers = channel.core.connection.readers
        self._consumers = channel.core.consumers
        self._tags: dict[str, tuple[Queue, bool]] = {}
        self._tag_of: dict[int, str] = {}
        self._starting: set[str] = set()
        self._unconfirmed: dict[str, Queue] = {}
        self._queues = ConsumerQueues(channel, queues)
        self._positions: dict[int, StreamPosition] = {}
        self._lock = DeferredLock()
        self._cancels = 0

    @property
    def queues(self) -> list[Queue]:
        """The queues, bound to the channel; in the order they were given."""
        return self._queues.in_order

    def add_queue(self, queue: Queue) -> Queue:
        """Add a queue, and return its bound copy."""
        return self._queues.add(queue)

    def tag_of(self, queue: Queue | str) -> str | None:
        """Return the tag of the broker consumer that reads a queue, if there is one."""
        name = queue.name if isinstance(queue, Queue) else queue
        readers: Iterable[Queue] = ()
        if self._readers.count_of(name) <= len(self._tags):
            readers = self._readers.queues_named(name)
        else:
            known = self._consumers.has_tag
            own = self._tags.items()
            readers = (
                each for tag, (each, _) in own if each.name == name and known(tag)
            )
        tags = (self._tag_of.get(id(each)) for each in readers)
        return next((tag for tag in tags if tag is not None), None)

    def _add_tag(self, tag: str, queue: Queue, no_ack: bool) -> None:
        self._tags[tag] = queue, no_ack
        self._tag_of[id(queue)] = tag

    def _remove_tag(self, tag: str) -> None:
        queue, _ = self._tags.pop(tag, (None, False))
        if self._tag_of.get(id(queue)) == tag:
            del self._tag_of[id(queue)]

    @property
    def brief_queue(self) -> Queue | None:
        """One of the queues received from that is auto-delete, if there is one."""
        queues = (queue for queue, _ in self._tags.values())
        return next((each for each in queues if each.auto_delete), None)

    @property
    def prefetch_count(self) -> int:
        """How many unsettled messages each broker consumer may hold; 0 is no limit."""
        return self._settings.prefetch_count

    @property
    def tags(self) -> list[str]:
        """The tags of all broker consumers."""
        return list(self._tags)

    @property
    def tag_count(self) -> int:
        """The number of broker consumers."""
        return len(self._tags)

    # --- declaring and starting ---------------------------------------------

    def declare(self, queue: Queue) -> Deferred[Any]:
        """
        Declare a queue, or check that it exists, as C{auto_declare} says, unless the
        broker is known to have it.
        """
        wanted = self._settings.auto_declare
        topology = self._topology
        known = topology.is_present if wanted == "passive" else topology.knows
        if not wanted or known(queue):
            return succeed(None)
        return self.declare_anew(queue)

    def declare_anew(self, queue: Queue) -> Deferred[Any]:
        """
        Declare a queue; if C{auto_declare} is C{"passive"}, check that it exists.

        If the broker refused it before, and other consumers share the channel, this is
        done on another channel, since a refusal ends the channel.
        """
        consumers = self._consumers
        if not (consumers.share_channel and consumers.was_refused(queue)):
            return self._declare_on(self._channel, queue)
        other = Channel(self._channel.connection)

        def close(result: Any) -> Any:
            other.close()
            return result

        return self._declare_on(other, queue).addBoth(close)

    def _declare_on(self, channel: Channel, queue: Queue) -> Deferred[Any]:
        passive = self._settings.auto_declare == "passive"
        began: Deferred[Any] = (
            queue.queue_declare(passive=True, channel=channel)
            if passive
            else queue.declare(channel=channel)
        )

        def failed(failure: Failure) -> Failure:
            if failure.check(ChannelError):
                self._consumers.note_refused(queue)
            return failure

        return began.addErrback(failed)

    def start(
        self,
        no_ack: bool | None,
        prepare: Callable[[list[Queue]], Deferred[Any] | None],
    ) -> Deferred[None]:
        """
        Start the broker consumers that do not run, without waiting for one before the
        next.

        @param no_ack: replaces the consumer's setting.
        @param prepare: called with the queues before; its Deferred is waited for.
        @return: fails with the broker's first refusal, when the others were started.
        """
        return self._lock.run(self._start_all, no_ack, prepare, self._cancels)

    @inlineCallbacks
    def _start_all(
        self,
        no_ack: bool | None,
        prepare: Callable[[list[Queue]], Deferred[Any] | None],
        cancels: int,
    ) -> Generator[Deferred[Any], Any, None]:
        preparing = prepare(self.queues)
        if preparing is not None:
            yield preparing
            self._check_wanted(cancels)
        yield self._all_at_once(
            [each for each in self.queues if self.tag_of(each) is None],
            lambda queue: self._declare_and_start(queue, no_ack, cancels),
        )

    @inlineCallbacks
    def _all_at_once(
        self, items: Iterable[_T], work: Callable[[_T], Deferred[Any]]
    ) -> Generator[Deferred[Any], Any, None]:
        """
        Work on all at once.  A refusal ends the channel, and with it the work on those
        behind, which is begun again.

        @return: fires when all is done; fails with the first refusal, if there is one.
        """
        waiting, batches = deque(items), Batches()
        failures: list[Failure] = []
        while waiting:
            batch = batches.take_next(waiting)
            results = yield gather_results([work(each) for each in batch])
            failed = [
                (each, result)
                for each, (fine, result) in zip(batch, results, strict=True)
                if not fine
            ]
            again = [each for each, failure in failed if failure.check(*_CUT_SHORT)]
            refused = [
                failure for _, failure in failed if not failure.check(*_CUT_SHORT)
            ]
            failures += refused
            if (again and not refused) or _is_cancelled(refused):
                failures += [failure for _, failure in failed]
                break
            waiting.extendleft(reversed(again))
            batches.batch_over(len(batch) - len(again), len(again))
            if again:
                self._channel.core.opener.wait_no_longer()
        refusals = [each for each in failures if each.check(BrokerError)]
        for failure in refusals or failures:
            failure.raiseException()

    @inlineCallbacks
    def _declare_and_start(
        self, queue: Queue, no_ack: bool | None, cancels: int
    ) -> Generator[Deferred[Any], Any, None]:
        """Declare a queue and start its broker consumer, unless it has one by then."""
        if not self._wants(queue, cancels):
            return
        yield self.declare(queue)
        name = queue.name
        if name in self._starting or self.tag_of(queue) is not None:
            return
        self._starting.add(name)
        try:
            yield self._start(queue, self.reads_no_ack(queue, no_ack), cancels)
        finally:
            self._starting.discard(name)

    def reads_no_ack(self, queue: Queue, no_ack: bool | None) -> bool:
        """Return whether a queue is read with no_ack."""
        wanted = self._settings.no_ack if no_ack is None else no_ack
        return queue.no_ack if wanted is None else wanted

    @inlineCallbacks
    def _start(
        self, queue: Queue, no_ack: bool, cancels: int
    ) -> Generator[Deferred[Any], Any, None]:
        """Start a broker consumer; fails with ChannelClosed if cancelled meanwhile."""
        self._check_wanted(cancels)
        if not self._wants(queue, cancels):
            return
        tag = self._consumers.new_tag(self._settings.tag_prefix)
        self._unconfirmed[tag] = queue
        try:
            yield self._consume(queue, tag, no_ack)
        except BaseException:
            self._dispatcher.hand_back_from([tag])
            self._dispatcher.accept_from([tag])
            raise
        finally:
            del self._unconfirmed[tag]
        if self._wants(queue, cancels):
            self._add_tag(tag, queue, no_ack)
            return
        yield self.cancel([tag])
        self._check_wanted(cancels)

    def _consume(self, queue: Queue, tag: str, no_ack: bool) -> Deferred[str]:
        settings = self._settings
        priority = settings.priority
        arguments = {} if priority is None else {"x-priority": priority}
        return self._consumers.consume(
            queue,
            self._dispatcher.deliver,
            consumer_tag=tag,
            no_ack=no_ack,
            exclusive=settings.exclusive,
            arguments=arguments,
            prefetch_count=settings.prefetch_count,
            accept=settings.accept,
            max_body_size=settings.max_body_size,
            on_cancel=settings.on_cancel,
            position=self._position_in(queue),
        )

    def _position_in(self, queue: Queue) -> StreamPosition | None:
        """Return where the consumer is in a stream; kept while it is started again."""
        if not is_stream(queue, queue.consumer_arguments):
            return None
        on_offset = self._settings.on_offset
        if id(queue) not in self._positions:
            tell = None if on_offset is None else partial(on_offset, queue.name)
            self._positions[id(queue)] = StreamPosition(tell)
        return self._positions[id(queue)]

    def _wants(self, queue: Queue, cancels: int) -> bool:
        return self._cancels == cancels and queue in self._queues

    def _check_wanted(self, cancels: int) -> None:
        if self._cancels != cancels:
            raise ChannelClosed("the consumer was cancelled while it was starting")

    # --- without starting ---------------------------------------------------

    @inlineCallbacks
    def get(self, no_ack: bool | None) -> Generator[Deferred[Any], Any, Message | None]:
        """Take one message, or C{None}, from the first queue that has one."""
        settings = self._settings
        for queue in self.queues:
            yield self.declare(queue)
            message: Message | None = yield self._channel.core.get(
                queue,
                self.reads_no_ack(queue, no_ack),
                settings.accept,
                settings.max_body_size,
            )
            if message is not None:
                return message
        return None

    @inlineCallbacks
    def purge(self) -> Generator[Deferred[Any], Any, int]:
        """Delete the ready messages of all queues; fires with their number."""
        purging = [queue.purge() for queue in self.queues]
        counts: list[int] = yield all_done(purging)
        return sum(counts)

    # --- changing -----------------------------------------------------------

    def set_prefetch(self, prefetch_count: int) -> Deferred[None]:
        """Start all broker consumers again with another prefetch count."""
        self._settings.prefetch_count = prefetch_count
        return self._lock.run(self._restart_all, self._cancels)

    @inlineCallbacks
    def _restart_all(self, cancels: int) -> Generator[Deferred[Any], Any, None]:
        yield self._all_at_once(
            list(self._tags), lambda tag: self._restart(tag, cancels)
        )

    @inlineCallbacks
    def _restart(self, tag: str, cancels: int) -> Generator[Deferred[Any], Any, None]:
        if tag not in self._tags:
            return
        queue, no_ack = self._tags[tag]
        if self._settings.exclusive:
            yield self._replace(tag, queue, no_ack, cancels)
            return
        # The old one ends last, so that an auto-delete queue is not deleted.
        yield self._start(queue, no_ack, cancels)
        yield self._consumers.cancel(tag)
        self._remove_tag(tag)

    @inlineCallbacks
    def _replace(
        self, tag: str, queue: Queue, no_ack: bool, cancels: int
    ) -> Generator[Deferred[Any], Any, None]:
        """
        Replace an exclusive consumer, which has to end before the next can start.  It
        is not restored in between, so start it again after a loss, too.
        """
        self._remove_tag(tag)
        yield self._consumers.cancel(tag)
        while not self.tag_of(queue):
            try:
                yield self.declare(queue)
                yield self._start(queue, no_ack, cancels)
                return
            except (SessionLost, ChannelClosed):
                self._check_wanted(cancels)
                if self._channel.closed:
                    raise

    # --- ending -------------------------------------------------------------

    def stop_starting(self) -> None:
        """
        End the broker consumers that are being started as soon as they run, and begin
        with none of their messages: STOMP brokers send some before they confirm.
        """
        self._cancels += 1
        self._dispatcher.put_aside(self._unconfirmed)

    def cancel(self, tags: list[str]) -> Deferred[None]:
        """
        End broker consumers, and hand back their messages that no handler has begun
        with.

        @return: fires when no more of their messages come; never fails.
        """
        for tag in tags:
            self._remove_tag(tag)
        ending = self._end(tags)
        # Now: a handler that ends meanwhile must not make room for one of them.
        self._dispatcher.hand_back_from(tags)
        return ending

    @inlineCallbacks
    def _end(self, tags: list[str]) -> Generator[Deferred[Any], Any, None]:
        self._dispatcher.refuse_from(tags)
        cancels = [self._consumers.cancel(tag) for tag in tags]
        yield DeferredList(cancels, consumeErrors=True)
        self._dispatcher.accept_from(tags)

    def cancel_queue(self, name: str) -> list[str]:
        """
        Drop a queue.

        @return: the tags of broker consumers that are to be cancelled.
        """
        tag = self.tag_of(name)
        named = [] if tag is None else [self._tags[tag][0]]
        if len(self._tags) < len(self.queues):  # some may have the name, and no tag
            named = self._queues.named(name)
        for queue in named:
            self._queues.drop(queue)
            self._positions.pop(id(queue), None)
        started = self._unconfirmed.items()
        self._dispatcher.put_aside(
            [tag for tag, queue in started if queue not in self._queues]
        )
        return [] if tag is None else [tag]
