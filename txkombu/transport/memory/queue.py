"""
Queues: what waits, who takes it, and what is dropped.

A message that arrives at an empty queue goes to the consumer whose turn it is,
if one has room; else it waits.  So either nothing waits or no consumer has
room, but for the moments in between within one call.  Going to a consumer
means: into the stream of its channel, which the broker's pump empties in a
later turn of the reactor.

Time counts at the head only, as on RabbitMQ: a message that waits behind one
that lives longer expires when it gets to the head.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .arguments import CHECKS, QueueArguments, read_arguments
from .backlog import Backlog, PriorityBacklog
from .consumer import MemoryConsumer, Rotation
from .dead_letter import (
    DELIVERY_LIMIT,
    EXPIRED,
    MAXLEN,
    REJECTED,
    _dead,
    _deaths,
    _goes_round,
)
from .errors import Refused, named
from .exchange import check_arguments, check_field
from .interfaces import QueueHost
from .message import BrokerMessage

if TYPE_CHECKING:
    from ...entity import Queue


class MemoryQueue:
    """
    A queue in the broker.

    @ivar owner: the session it is exclusive to, or None.
    @ivar arguments: as they were declared; C{meaning} is what they mean.
    @ivar waiting: the messages that no one has taken yet.
    @ivar consumers: in the order they came.
    @ivar deleted: whether it is no more.
    @ivar check_at: when its deadlines are looked at next, or None.
    """

    __slots__ = (
        "_plain",
        "_position",
        "_rotation",
        "_used_at",
        "arguments",
        "auto_delete",
        "check_at",
        "consumers",
        "deleted",
        "durable",
        "meaning",
        "name",
        "owner",
        "vhost",
        "waiting",
    )

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
        self.meaning: QueueArguments = read_arguments(name, vhost.name, self.arguments)
        if self.meaning.quorum:
            self._check_quorum(declared)
        self.owner = owner
        self.waiting = self._backlog()
        self.consumers: list[MemoryConsumer] = []
        self.deleted = False
        self.check_at: float | None = None
        self._rotation = Rotation()
        self._position = 0
        self._plain = self.meaning.ttl is None and not self.meaning.bounded
        self._used_at = 0.0
        self.touch()

    def _backlog(self) -> Backlog:
        maximum = self.meaning.max_priority
        return Backlog() if not maximum else PriorityBacklog(maximum)

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
        @raise Refused: it is declared again, and otherwise than it is.
        """
        about = named("queue", self.name, self.vhost.name)
        durable = declared.durable and not declared.exclusive
        for field, wanted, current in (
            ("durable", durable, self.durable),
            ("auto_delete", declared.auto_delete, self.auto_delete),
        ):
            check_field(about, self.name, field, wanted, current)
        check_arguments(about, self.name, CHECKS, arguments, self.arguments)

    # --- what comes in -------------------------------------------------------

    def publish(self, message: BrokerMessage) -> bool:
        """
        Take a message over.

        @return: whether it was; if not, its publisher is told (a full queue
            with C{x-overflow} C{reject-publish}).
        """
        if self._plain and message.ttl is None:
            self._position += 1
            message.position = self._position
            if self.waiting or not self._hand_out(message):
                self.waiting.push(message)
            return True
        return self._publish_limited(message)

    def _publish_limited(self, message: BrokerMessage) -> bool:
        meaning = self.meaning
        if self._would_overflow(message) and meaning.overflow != "drop-head":
            if meaning.overflow == "reject-publish-dlx":
                dead_letter(self, message, MAXLEN)
            return False
        self._position += 1
        message.position = self._position
        message.expires = self._expiry(message)
        if self.waiting or not self._hand_out(message):
            self.waiting.push(message)
            self._drop_over_limit()
            self.drop_expired()
        return True

    def _expiry(self, message: BrokerMessage) -> float | None:
        times = [ms for ms in (message.ttl, self.meaning.ttl) if ms is not None]
        return self.vhost.now() + min(times) / 1000 if times else None

    def _would_overflow(self, message: BrokerMessage) -> bool:
        meaning, waiting = self.meaning, self.waiting
        maximum, size = meaning.max_length, meaning.max_bytes
        return (maximum is not None and len(waiting) + 1 > maximum) or (
            size is not None and waiting.size + len(message.body) > size
        )

    def _drop_over_limit(self) -> None:
        meaning, waiting = self.meaning, self.waiting
        if meaning.max_length is not None:
            while len(waiting) > meaning.max_length:
                dead_letter(self, waiting.pop(), MAXLEN)
        if meaning.max_bytes is not None:
            while waiting.size > meaning.max_bytes:
                dead_letter(self, waiting.pop(), MAXLEN)

    def requeue(self, messages: Iterable[BrokerMessage]) -> None:
        """Put messages that were handed out back to where they were."""
        back = []
        for message in messages:
            message.redelivered = True
            message.returns += 1
            if self._too_often(message):
                dead_letter(self, message, DELIVERY_LIMIT)
            else:
                back.append(message)
        if self.deleted:
            return
        self.waiting.put_back(back)
        self._drop_over_limit()
        self.drop_expired()
        self.run()

    def _too_often(self, message: BrokerMessage) -> bool:
        limit = self.meaning.delivery_limit
        return self.meaning.quorum and limit is not None and message.returns > limit

    def reject(self, message: BrokerMessage) -> None:
        """Drop a message that was handed out."""
        dead_letter(self, message, REJECTED)

    # --- time ----------------------------------------------------------------

    def drop_expired(self) -> None:
        """Drop what has expired at the head, and see to it that the next will."""
        waiting = self.waiting
        while (head := waiting.peek()) is not None and head.expires is not None:
            if head.expires > self.vhost.now():
                self._check_by(head.expires)
                return
            dead_letter(self, waiting.pop(), EXPIRED)

    def touch(self) -> None:
        """It is in use: start the time of C{x-expires} anew."""
        if self.meaning.expires is not None:
            self._used_at = self.vhost.now()
            self._check_by(self._unused_until())

    def _unused_until(self) -> float:
        return self._used_at + (self.meaning.expires or 0) / 1000

    def _check_by(self, when: float) -> None:
        if self.check_at is None or when < self.check_at:
            self.check_at = when
            self.vhost.deadlines.schedule(when, self)

    def check(self) -> None:
        """Its deadline is here: drop messages, or the queue itself."""
        self.check_at = None
        if self.meaning.expires is not None and not self.consumers:
            if self._unused_until() <= self.vhost.now():
                self.vhost.drop_queue(self)
                return
            self._check_by(self._unused_until())
        self.drop_expired()

    # --- who takes it --------------------------------------------------------

    def pop_message(self) -> BrokerMessage | None:
        """Take one message for a get."""
        self.touch()
        self.drop_expired()
        if not self.waiting:
            return None
        return self.waiting.pop()

    def add_consumer(self, consumer: MemoryConsumer) -> None:
        """
        @raise Refused: another one is exclusive, or this one cannot be.
        """
        others = self.consumers
        if others and (consumer.exclusive or others[0].exclusive):
            about = named("queue", self.name, self.vhost.name)
            raise Refused(403, f"{about} in exclusive use", self.name)
        others.append(consumer)
        if not self.meaning.single_active or len(others) == 1:
            self._rotation.add_consumer(consumer)

    def remove_consumer(self, consumer: MemoryConsumer) -> None:
        """
        Forget a consumer; without any, an auto-delete queue goes.  C{run} is to
        be called after it, for another one may have become active.
        """
        self.consumers.remove(consumer)
        was_active = consumer.parked or consumer in self._rotation
        self._rotation.discard(consumer)
        consumer.parked = False
        if not self.consumers:
            self.touch()
            if self.auto_delete:
                self.vhost.drop_queue(self)
        elif self.meaning.single_active and was_active:
            self._rotation.add_consumer(
                max(self.consumers, key=lambda each: each.priority)
            )

    def unpark(self, consumer: MemoryConsumer) -> None:
        """A consumer may have room again; C{run} is to be called after it."""
        consumer.parked = False
        self._rotation.add_consumer(consumer)

    def run(self) -> None:
        """Hand out what waits as long as someone has room."""
        waiting = self.waiting
        if waiting and self.consumers:
            self.drop_expired()
            while waiting and (consumer := self._rotation.next_consumer()) is not None:
                consumer.channel.send(consumer, waiting.pop())

    def _hand_out(self, message: BrokerMessage) -> bool:
        if not self.consumers:
            return False
        consumer = self._rotation.next_consumer()
        if consumer is None:
            return False
        consumer.channel.send(consumer, message)
        return True

    # --- its end -------------------------------------------------------------

    def end(self) -> int:
        """
        Drop the messages, and tell the consumers.

        @return: how many messages were waiting.
        """
        self.deleted = True
        lost = len(self.waiting.clear())
        consumers, self.consumers = self.consumers, []
        for consumer in consumers:
            channel = consumer.channel
            channel.consumers.pop(consumer.tag, None)
            channel.tell_cancelled(consumer, f"queue {self.name!r} was deleted")
        return lost

    def __repr__(self) -> str:
        return f"<queue {self.name!r}: {len(self.waiting)} waiting>"


def dead_letter(queue: MemoryQueue, message: BrokerMessage, reason: str) -> None:
    """Route a dropped message through its queue's dead letter exchange, if any."""
    arguments = queue.meaning
    if arguments.dead_letter_exchange is None:
        return
    exchanges = queue.vhost.exchanges
    exchange = exchanges.get(arguments.dead_letter_exchange)
    if exchange is None:
        return
    dead = _dead(queue, message, reason)
    found: dict[MemoryQueue, None] = {}
    for key in (dead.routing_key, *dead.copies):
        found.update(dict.fromkeys(queue.vhost.route(exchange, key, dead.properties)))
    deaths = _deaths(dead.properties)
    for target in found:
        if not _goes_round(target.name, deaths, reason):
            target.publish(dead.twin())
