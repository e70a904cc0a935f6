"""
Queues: what waits, which consumer takes it, and what is dropped.

A message that arrives at an empty queue goes to the consumer whose turn it is, if one
has room; else it waits.  So, between two calls, either nothing waits or no consumer has
room.  A message that goes to a consumer goes into the stream of its channel, which the
broker's pump empties in a later turn of the reactor.

Only the message at the head can expire, as on RabbitMQ: one that waits behind another
that lives longer expires when it gets to the head.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .arguments import CHECKS, QueueArguments, read_arguments
from .backlog import Backlog, PriorityBacklog
from .consumer import MemoryConsumer, Move, Rotation, Turn
from .dead_letter import DELIVERY_LIMIT, EXPIRED, MAXLEN, REJECTED, dead_letter
from .errors import Refused, named
from .exchange import check_arguments, check_fields
from .interfaces import QueueHost
from .message import BrokerMessage
from .routing import Binding

if TYPE_CHECKING:
    from ...entity import Queue


class MemoryQueue:
    """
    A queue in the broker.

    @ivar owner: the session it is exclusive to, or C{None}.
    @ivar arguments: as they were declared; C{meaning} is what they mean.
    @ivar waiting: the messages that no consumer has taken yet.
    @ivar incoming: the bindings that lead to it.
    @ivar line_up: puts a consumer in line again; C{run} is to be called afterwards.
    @ivar deleted: whether it was deleted.
    """

    def __init__(
        self,
        vhost: QueueHost,
        name: str,
        declared: Queue,
        arguments: Mapping[str, object],
        owner: object,
    ) -> None:
        self.vhost: QueueHost = vhost
        self.name = name
        self.durable = declared.durable and owner is None
        self.auto_delete = declared.auto_delete
        self.arguments = arguments
        self.meaning: QueueArguments = read_arguments(name, vhost.name, arguments)
        if self.meaning.quorum:
            self._check_quorum(declared)
        self.owner = owner
        maximum = self.meaning.max_priority
        self.waiting = PriorityBacklog(maximum) if maximum else Backlog()
        self.incoming: dict[Binding, None] = {}
        self._consumers: dict[MemoryConsumer, None] = {}
        self._standby = Rotation()
        self.deleted = False
        self._check_at: float | None = None
        self._check_number = 0
        self._rotation = Rotation()
        self.line_up = self._rotation.line_up
        self._plain = self.meaning.ttl is None and not self.meaning.bounded
        self._has_ages = False
        self._used_at = 0.0
        self.touch()

    def _check_quorum(self, declared: Queue) -> None:
        for wrong, what in (
            (not declared.durable, "non-durable"),
            (declared.auto_delete, "auto-delete"),
            (declared.exclusive, "exclusive"),
        ):
            if wrong:
                about = named("queue", self.name, self.vhost.name)
                raise Refused(406, f"invalid property '{what}' for {about}", self.name)

    def check_equivalent(
        self, declared: Queue, arguments: Mapping[str, object]
    ) -> None:
        """
        Compare it with a second declaration.

        @raise Refused: they differ.
        """
        about = named("queue", self.name, self.vhost.name)
        durable = declared.durable and not declared.exclusive
        fields = {
            "durable": (durable, self.durable),
            "auto_delete": (declared.auto_delete, self.auto_delete),
        }
        check_fields(about, self.name, fields)
        check_arguments(about, self.name, CHECKS, arguments, self.arguments)

    # --- what comes in -------------------------------------------------------

    def publish(self, message: BrokerMessage) -> bool:
        """
        Take a message over.

        @return: whether it was; if not, its publisher is told (a full queue with
            C{x-overflow} C{reject-publish}).
        """
        if self._plain and message.envelope.ttl is None:
            if self.waiting.count or not self._hand_out(message):
                self.waiting.push(message)
            return True
        meaning = self.meaning
        if meaning.overflow != "drop-head" and self._would_overflow(message):
            if meaning.overflow == "reject-publish-dlx":
                dead_letter(self, message, MAXLEN)
            return False
        message.begin_to_age(self.vhost.now, meaning.ttl)
        self._has_ages = self._has_ages or message.expires is not None
        if self.waiting.count or not self._hand_out(message):
            self.waiting.push(message)
            self._drop_over_limit()
            self.drop_expired()
        return True

    def _would_overflow(self, message: BrokerMessage) -> bool:
        meaning, waiting = self.meaning, self.waiting
        maximum, size = meaning.max_length, meaning.max_bytes
        return (maximum is not None and len(waiting) + 1 > maximum) or (
            size is not None and waiting.size + len(message.body) > size
        )

    def _drop_over_limit(self) -> None:
        """Drop from the head what is too much; other modes refuse publishes only."""
        meaning, waiting = self.meaning, self.waiting
        if meaning.overflow != "drop-head":
            return
        if meaning.max_length is not None:
            while len(waiting) > meaning.max_length:
                dead_letter(self, waiting.pop(), MAXLEN)
        if meaning.max_bytes is not None:
            while waiting.size > meaning.max_bytes:
                dead_letter(self, waiting.pop(), MAXLEN)

    def requeue(self, messages: Iterable[BrokerMessage]) -> None:
        """Put messages that were handed out back to where they were."""
        if self.deleted:
            return
        limit = self.meaning.delivery_limit if self.meaning.quorum else None
        back = []
        for message in messages:
            message.came_back()
            if limit is not None and message.returns > limit:
                dead_letter(self, message, DELIVERY_LIMIT)
            else:
                back.append(message)
        self.waiting.put_back(back)
        self._drop_over_limit()
        self.drop_expired()
        self.run()

    def reject(self, message: BrokerMessage) -> None:
        """Drop a message that was handed out; a deleted queue has none any more."""
        if not self.deleted:
            dead_letter(self, message, REJECTED)

    # --- time ----------------------------------------------------------------

    def drop_expired(self) -> None:
        """Drop what has expired at the head, and check again when the next expires."""
        waiting = self.waiting
        while (head := waiting.peek()) is not None and head.expires is not None:
            if head.expires > self.vhost.now():
                self._check_by(head.expires)
                return
            dead_letter(self, waiting.pop(), EXPIRED)

    def touch(self) -> None:
        """Note that it is used: the time of C{x-expires} starts anew."""
        if self.meaning.expires is not None:
            self._used_at = self.vhost.now()
            self._check_by(self._unused_until())

    def _unused_until(self) -> float:
        return self._used_at + (self.meaning.expires or 0) / 1000

    def _check_by(self, when: float) -> None:
        if self._check_at is None or when < self._check_at:
            self._discard_check()
            self._check_at = when
            self._check_number = self.vhost.deadlines.schedule(when, self._check)

    def _discard_check(self) -> None:
        if self._check_at is not None:
            self._check_at = None
            self.vhost.deadlines.discard(self._check_number)

    def _check(self) -> None:
        """Drop the messages that have expired, or the queue itself if it has."""
        self._check_at = None
        if self.meaning.expires is not None and not self._consumers:
            if self._unused_until() <= self.vhost.now():
                self.vhost.drop_queue(self)
                return
            self._check_by(self._unused_until())
        self.drop_expired()

    # --- consumers -----------------------------------------------------------

    @property
    def consumers(self) -> list[MemoryConsumer]:
        """Its consumers, in the order they came."""
        return list(self._consumers)

    @property
    def consumer_count(self) -> int:
        """The number of its consumers."""
        return len(self._consumers)

    def pop_message(self) -> BrokerMessage | None:
        """Take one message for a get, if one waits."""
        self.touch()
        self.drop_expired()
        message = self.waiting.pop() if self.waiting else None
        self.drop_expired()
        return message

    def add_consumer(self, consumer: MemoryConsumer) -> None:
        """
        Hand out to one more consumer.

        @raise Refused: another one is exclusive, or this one cannot be.
        """
        others = self._consumers
        alone = self.meaning.single_active and consumer.exclusive
        if alone or (others and (consumer.exclusive or next(iter(others)).exclusive)):
            about = named("queue", self.name, self.vhost.name)
            raise Refused(403, f"{about} in exclusive use", self.name)
        others[consumer] = None
        if not self.meaning.single_active or len(others) == 1:
            self.line_up(consumer)
        else:
            self._standby.add(consumer)

    def remove_consumer(self, consumer: MemoryConsumer) -> None:
        """
        Forget a consumer; an auto-delete queue is deleted with its last.  C{run} is to
        be called afterwards, for another consumer may have become active.
        """
        was_active = consumer.turn.state is not Turn.STANDBY
        del self._consumers[consumer]
        self._rotation.discard(consumer)
        self._standby.discard(consumer)
        consumer.turn.step(Move.END)
        if not self._consumers:
            self.touch()
            if self.auto_delete:
                self.vhost.drop_queue(self)
        elif self.meaning.single_active and was_active:
            self.line_up(self._standby.pop_first())

    def run(self) -> None:
        """Hand out what waits as long as a consumer has room."""
        waiting = self.waiting
        if waiting.count and self._consumers:
            if self._has_ages:
                self.drop_expired()
            next_consumer = self._rotation.next_consumer
            while waiting.count and (consumer := next_consumer()) is not None:
                consumer.channel.send(consumer, waiting.pop())
                if self._has_ages:
                    self.drop_expired()

    def _hand_out(self, message: BrokerMessage) -> bool:
        if not self._consumers:
            return False
        consumer = self._rotation.next_consumer()
        if consumer is None:
            return False
        consumer.channel.send(consumer, message)
        return True

    # --- its end -------------------------------------------------------------

    def end(self) -> int:
        """
        Drop the messages, and end the consumers.

        @return: how many messages were waiting.
        """
        self.deleted = True
        self._discard_check()
        lost = len(self.waiting.clear())
        consumers, self._consumers = self._consumers, {}
        for consumer in consumers:
            consumer.turn.step(Move.END)
            reason = f"queue {self.name!r} was deleted"
            consumer.channel.consumer_ended(consumer, reason)
        return lost

    def __repr__(self) -> str:
        return f"<queue {self.name!r}: {len(self.waiting)} waiting>"
