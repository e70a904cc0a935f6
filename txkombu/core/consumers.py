"""
The consumers of one channel: those that share its session channel, and those that
were refused and have a session channel each.

On AMQP a refusal ends the session channel it happens on, and what the consumers there
hold goes back to the queues.  After its first refusal a consumer gets a dedicated
session channel, so that further refusals do not close the shared one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, DeferredList, fail
from twisted.python.failure import Failure

from .._util.limits import MAX_BODY_SIZE
from .._util.timeouts import all_done
from .._util.validation import check_count, check_short_string
from ..entity import Queue
from ..exceptions import ChannelError, KombuError, NotSupported, SerializerNotInstalled
from ..interfaces import ISessionChannel, Settlement
from ..message import Message
from ..serialization.serializers import accept_set
from .connection_core import ConnectionCore
from .consumer_group import ConsumerGroup
from .decoded_memory import DecodedMemory
from .opener import ChannelOpener
from .stream_position import StreamPosition, is_stream
from .subscription import Subscription

T = TypeVar("T")

PREFETCH = 100
"""How many unsettled messages a consumer may hold by default."""
_LOOKED_AT: Final = 16
"""How many ended consumers are looked at each time."""


class ChannelConsumers:
    """
    Start, isolate and end the consumers of one channel.

    @param connection: what they belong to.
    @param opener: opens the session channels that they share.
    @param memory: counts what their unsettled messages hold decoded.
    """

    def __init__(
        self, connection: ConnectionCore, opener: ChannelOpener, memory: DecodedMemory
    ) -> None:
        self._connection = connection
        self._memory = memory
        self._shared = ConsumerGroup(connection, memory, opener)
        self._isolated: dict[str, ConsumerGroup] = {}
        self._ended: deque[ConsumerGroup] = deque()
        self._refused: set[str] = set()
        self._tags = 0

    def _groups(self) -> Iterator[ConsumerGroup]:
        yield self._shared
        yield from self._isolated.values()
        yield from self._ended

    @property
    def share_channel(self) -> bool:
        """Whether consumers share the session channel."""
        return self._shared.has_consumers

    @property
    def is_consuming(self) -> bool:
        """Whether every consumer that was started runs at the broker."""
        return all(each.is_consuming for each in self._groups())

    @property
    def last_error(self) -> Exception | None:
        """Why one of the consumers does not run, as far as is known."""
        told = (each.last_error for each in self._groups())
        return next((error for error in told if error is not None), None)

    @property
    def unsettled(self) -> list[Message]:
        """The messages that await settlement."""
        return [message for each in self._groups() for message in each.unsettled]

    @property
    def unsettled_count(self) -> int:
        """The number of messages that await settlement."""
        unacked = (each.opener.unacked for each in self._groups())
        return sum(len(each.unsettled) for each in unacked if each is not None)

    # --- starting -----------------------------------------------------------

    def new_tag(self, tag_prefix: str = "") -> str:
        """Make up a consumer tag."""
        self._tags += 1
        return f"{tag_prefix or self._connection.tag_prefix}{self._tags}"

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
        position: StreamPosition | None = None,
    ) -> Deferred[str]:
        """Start a consumer; see L{txkombu.Channel.consume}."""
        tag = check_short_string(
            "consumer_tag", consumer_tag or self.new_tag(tag_prefix)
        )
        if self.has_tag(tag):
            raise ValueError(f"consumer_tag {tag!r} is taken on this channel")
        check_count("prefetch_count", prefetch_count, 0, 65535)
        shared = self._shared
        if shared.opener.closed is not None:
            return fail(shared.opener.closed)
        try:
            accepted = accept_set(accept)
        except SerializerNotInstalled:
            return fail()
        isolates = self.share_channel and self.was_refused(queue)
        group = self._new_group() if isolates else shared
        arguments = {**queue.consumer_arguments, **(arguments or {})}
        reads_stream = is_stream(queue, arguments)
        if reads_stream and no_ack:
            name = self._connection.settings.transport_name
            return fail(NotSupported("no_ack on a stream", name, "leave it out"))
        if reads_stream and position is None:
            position = StreamPosition()
        subscription = Subscription(
            group.opener,
            self._isolate,
            queue,
            callback,
            tag=tag,
            no_ack=no_ack,
            exclusive=exclusive,
            arguments=arguments,
            prefetch_count=(prefetch_count or PREFETCH) if no_ack else prefetch_count,
            accept=accepted,
            max_body_size=max_body_size,
            on_cancel=on_cancel,
            position=position,
        )

        def started(_: object) -> str:
            if shared.opener.closed is not None:
                raise shared.opener.closed
            group.add_subscription(subscription)
            if group is not shared:
                self._isolated[tag] = group
                self._close_settled()
            return tag

        def failed(failure: Failure) -> Failure:
            subscription.stop()  # the broker may have ended it, and it tries again
            if group is not shared:
                group.close(KombuError("the consumer was refused"))
            elif failure.check(ChannelError) and subscription.has_ended_channel:
                self.note_refused(queue)
            return failure

        what = f"consuming from queue {queue.name!r}"
        starting = group.opener.call(what, subscription.start, [queue.name])
        return starting.addCallback(started).addErrback(failed)

    def has_tag(self, tag: str) -> bool:
        """Return whether a consumer was started with this tag, and not cancelled."""
        return tag in self._shared.subscriptions or tag in self._isolated

    # --- isolating ----------------------------------------------------------

    def was_refused(self, queue: Queue) -> bool:
        """Return whether a further refusal of this queue would be no surprise."""
        return queue.name in self._refused

    def note_refused(self, queue: Queue) -> None:
        """Remember that the broker refused an operation on this queue."""
        self._refused.add(queue.name)

    def _isolate(self, subscription: Subscription) -> ChannelOpener:
        """
        Give a refused consumer a session channel of its own, unless it has one.

        @return: opens the session channel it is to use.
        """
        shared, tag = self._shared, subscription.tag
        if shared.opener.closed is not None or tag in self._isolated:
            return subscription.opener
        self.note_refused(subscription.queue)
        shared.opener.wait_no_longer()
        group = self._isolated[tag] = self._new_group()
        group.subscriptions[tag] = shared.subscriptions.pop(tag)
        self._close_settled()
        return group.opener

    def _new_group(self) -> ConsumerGroup:
        return ConsumerGroup(self._connection, self._memory)

    def _close_settled(self) -> None:
        """
        Close the session channels of ended consumers that hold nothing any more; look
        at some of them each time.
        """
        for _ in range(min(_LOOKED_AT, len(self._ended))):
            group = self._ended.popleft()
            if group.holds_messages:
                self._ended.append(group)
            else:
                group.close(KombuError("the consumer was cancelled"))

    # --- all of them --------------------------------------------------------

    def recover(self) -> Deferred[None]:
        """Hand all unsettled messages back; fires when the broker has taken them."""
        return self._on_all(lambda each: each.recover())

    def flush(self) -> Deferred[Settlement]:
        """Write all settlements so far; fires when the sockets have them."""
        return self._on_all(lambda each: each.flush())

    def _on_all(self, operate: Callable[[ConsumerGroup], Deferred[T]]) -> Deferred[T]:
        """
        Do something on the shared session channel and on each other one that is open.

        @return: fires with the result of the shared one when all is done; fails with
            the first failure.
        """
        [shared, *others] = self._groups()
        began = [operate(shared)]
        began += [operate(each) for each in others if each.opener.session_channel]
        if len(began) == 1:
            return began[0]
        return all_done(began).addCallback(lambda results: results[0])

    # --- ending -------------------------------------------------------------

    def cancel(self, tag: str) -> Deferred[None]:
        """
        End a consumer; the messages it holds can still be settled.

        @return: fires when no more of its messages come; never fails.
        """
        self._close_settled()
        group = self._isolated.pop(tag, None)
        if group is None:
            return self._shared.cancel(tag)
        # Its session channel stays as long as it holds messages.
        self._ended.append(group)
        return group.cancel(tag).addCallback(lambda _: self._close_settled())

    def cancel_shared(self) -> Deferred[bool]:
        """
        End the consumers that share the session channel.

        @return: fires with whether the broker answered within 5 s; never fails.
        """
        return self._shared.cancel_all()

    def close_isolated(self, error: KombuError) -> Deferred[Any]:
        """
        Close the session channels that consumers have for themselves.

        @param error: what later operations fail with.
        @return: fires when all are closed; never fails.
        """
        groups = [*self._isolated.values(), *self._ended]
        self._isolated.clear()
        self._ended.clear()
        return DeferredList([each.close(error) for each in groups])

    def session_dropped(self, error: Exception) -> None:
        """Note that this program has aborted the session."""
        for group in list(self._groups()):
            group.opener.channel_lost(error)

    # --- for the owner of the session channel -------------------------------

    def start_all(self, opened: ISessionChannel) -> Deferred[None]:
        """Start the consumers that share a new session channel; never fails."""
        return self._shared.channel_up(opened)

    def channel_lost(self, error: Exception) -> None:
        """Note that the consumers that share the session channel do not run."""
        self._shared.channel_lost(error)
