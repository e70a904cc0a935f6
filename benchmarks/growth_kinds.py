"""
Kinds of work whose cost may grow only as the work does, on single parts of txkombu.

Each function prepares so much of the work, and returns what does it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txkombu._util.deadlines import Deadlines
from txkombu._util.operation_queue import OperationQueue
from txkombu.core.decoded_memory import DecodedMemory
from txkombu.core.publish_queue import PublishQueue, PublishRequest
from txkombu.core.recorded_bindings import RecordedBinding
from txkombu.core.topology import Topology
from txkombu.core.unacked import UnackedMessages
from txkombu.entity import Exchange, Queue
from txkombu.interfaces import Delivery, Returned, Settlement
from txkombu.message import Message
from txkombu.transport.amqp.confirms import Confirms
from txkombu.transport.amqp.consumers import AmqpConsumer, AmqpConsumers
from txkombu.transport.amqp.requests import Requests
from txkombu.transport.amqp.unacked import UnackedTags
from txkombu.transport.memory.backlog import Backlog
from txkombu.transport.memory.deadlines import QueueDeadlines
from txkombu.transport.memory.message import BrokerMessage, Envelope
from txkombu.transport.memory.pump import Pump
from txkombu.transport.memory.routing import BUILT_IN
from txkombu.transport.memory.vhost import VirtualHost
from txkombu.transport.stomp.connections import ConnectionPool
from txkombu.transport.stomp.declarations import Declarations
from txkombu.transport.stomp.dialect import StompBinding
from txkombu.transport.stomp.rabbitmq import RabbitMQDialect
from txkombu.transport.stomp.unacked import MessageHolder, UnackedFrames
from txkombu.transport.stomp.wire.parser import Frame

Work = Callable[[], object]


def deadlines(count: int) -> Work:
    """Expire items with different timeouts, one after the other."""
    clock = Clock()
    watched: Deadlines[int] = Deadlines(clock, lambda item: None)
    for each in range(count):
        watched.schedule(each, 1 + each)

    def work() -> None:
        for _ in range(count + 1):
            clock.advance(1)

    return work


def cancelled_publishes(count: int) -> Work:
    """Cancel publishes that wait, the newest first."""
    waiting = PublishQueue(
        Clock(), lambda: "waiting", lambda request, error: None, lambda: None
    )
    exchange = Exchange("x")
    publishes = [
        waiting.publish(PublishRequest(b"", {}, exchange, "", False, True, 30.0))
        for _ in range(count)
    ]

    def work() -> None:
        for publish in reversed(publishes):
            publish.addErrback(lambda failure: None)
            publish.cancel()

    return work


def put_back(count: int) -> Work:
    """Put messages back into a queue one by one, the oldest first."""
    backlog = Backlog()
    envelope = Envelope({}, "", "q")
    messages = [BrokerMessage(b"", envelope) for _ in range(count)]
    for place, message in enumerate(messages, 1):
        message.place = place

    def work() -> None:
        for message in messages:
            backlog.put_back([message])

    return work


def acks_in_runs(count: int) -> Work:
    """Acknowledge a long run of messages, fifty at a time."""
    tags = UnackedTags()
    for tag in range(1, count + 1):
        tags.awaiting[tag] = None

    def work() -> None:
        for tag in [*range(50, count, 50), count]:
            tags.ack(tag, True)
            tags.flush()

    return work


def _vhost() -> VirtualHost:
    return VirtualHost("/", QueueDeadlines(Pump(Clock())), BUILT_IN)


def headers_bindings(count: int) -> Work:
    """Bind one queue to a headers exchange by many arguments."""
    vhost = _vhost()
    vhost.declare_queue(Queue("q"), {}, False, None)
    queue = vhost.queues["q"]

    def work() -> None:
        for each in range(count):
            vhost.bind(lambda: queue, "amq.headers", "", {"id": each, "kind": "x"})

    return work


def deleted_queues(count: int) -> Work:
    """Delete queues that are bound to one exchange."""
    vhost = _vhost()
    for each in range(count):
        vhost.declare_queue(Queue(f"q{each}"), {}, False, None)
        find = partial(vhost.queue, f"q{each}", None)
        vhost.bind(find, "amq.topic", f"k{each}", {})

    def work() -> None:
        for each in range(count):
            vhost.delete_queue(f"q{each}", False, False, None)

    return work


def forgotten_queues(count: int) -> Work:
    """Forget queues that were declared and bound on a connection."""
    topology = Topology(lambda old, new: None)
    exchange = Exchange("x")
    for each in range(count):
        queue = Queue(f"q{each}")
        topology.queue_declared(queue, False)
        topology.bound(RecordedBinding(queue, exchange, "k", {}))

    def work() -> None:
        for each in range(count):
            topology.queue_deleted(f"q{each}")

    return work


def cancelled_operations(count: int) -> Work:
    """Cancel operations that wait for their turn, the newest first."""
    queue = OperationQueue()

    async def never() -> None:
        await Deferred()

    operations = [queue.run_in_turn(never) for _ in range(count)]

    def work() -> None:
        for operation in reversed(operations):
            operation.addErrback(lambda failure: None)
            operation.cancel()

    return work


def returned_publishes(count: int) -> Work:
    """Give back mandatory messages of many kinds, the newest first, then settle."""
    confirms = Confirms()
    for each in range(count):
        verdict = confirms.expect_confirm("", f"k{each}")
        verdict.addErrback(lambda failure: None)
        confirms.may_return(None)

    def work() -> None:
        for each in reversed(range(count)):
            back = Returned(312, "NO_ROUTE", "", f"k{each}", b"", {})
            assert confirms.give_back(back)
        confirms.settle(count, True, True)

    return work


def acks_in_one_turn(count: int) -> Work:
    """Acknowledge a long run of messages, ten at a time, and write the acks once."""
    tags = UnackedTags()
    for tag in range(1, count + 1):
        tags.awaiting[tag] = None

    def work() -> None:
        for tag in range(10, count, 10):
            tags.ack(tag, True)
        tags.ack(count, True)
        assert tags.flush() == [(count, count > 1)]

    return work


class _QuietChannel:
    """A channel that writes nothing."""

    is_open = True

    def flush(self) -> None:
        """Do nothing."""

    def pack(self, kind: object, **arguments: object) -> bytes:
        return b""

    def write_packets(self, packets: list[bytes]) -> None:
        """Do nothing."""

    def write_method(self, kind: object, **arguments: object) -> None:
        """Do nothing."""

    def expect_reply(self, kind: object, *arguments: object) -> None:
        """Do nothing."""


def limited_consumers(count: int) -> Work:
    """Start consumers on a channel that has a limit."""
    channel: Any = _QuietChannel()
    consumers = AmqpConsumers(channel, Requests())
    consumers.limit(100)

    def work() -> None:
        for each in range(count):
            started = AmqpConsumer(f"c{each}", b"", 1 + each % 2, _ignore, _ignore)
            consumers.start(started, "q")

    return work


def held_back_consumers(count: int) -> Work:
    """Give up consumers that wait for one tag, the newest first."""
    channel: Any = _QuietChannel()
    consumers = AmqpConsumers(channel, Requests())
    waiting = [AmqpConsumer("c", b"", 0, _ignore, _ignore) for _ in range(count)]

    def work() -> None:
        starting = [consumers.start(each, "q") for each in waiting]
        for start in reversed(starting):
            start.addErrback(lambda failure: None)
            start.cancel()

    return work


def _ignore(_: object) -> None:
    """Do nothing."""


def bindings_over_stomp(count: int) -> Work:
    """Note the bindings of one queue in a session over STOMP."""
    declarations = Declarations(set())
    exchange = Exchange("x", "headers")
    queue = Queue("q", exchange)

    def work() -> None:
        for each in range(count):
            bound = StompBinding(exchange, "", {"id": each})
            declarations.bound("q", bound)
        assert len(list(declarations.bindings(queue))) == count + 1
        for each in range(count):
            declarations.unbound("q", StompBinding(exchange, "", {"id": each}))

    return work


def lost_connections(count: int) -> Work:
    """Lose the connections of consumers over STOMP that hold messages each."""
    dialect, pool = RabbitMQDialect(), ConnectionPool.__new__(ConnectionPool)
    pool.clock = Clock()
    frames = UnackedFrames(dialect, pool)
    holders = [MessageHolder(pool) for _ in range(count)]
    for holder in holders * 2:
        frames.expect(holder, Frame("MESSAGE", {}, b""))

    def work() -> None:
        for holder in holders:
            frames.lose(holder)
        assert frames.ack(0, True) is Settlement.STALE

    return work


def lost_consumers(count: int) -> Work:
    """Lose the messages of consumers, one consumer after the other."""
    channel: Any = _QuietChannel()
    unacked = UnackedMessages(channel, DecodedMemory())
    tags = [f"c{each % count}" for each in range(2 * count)]
    messages = [
        Message(Delivery(number, tag, False, "", "q", b"", {}), unacked)
        for number, tag in enumerate(tags, 1)
    ]

    def work() -> None:
        for tag in tags[:count]:
            unacked.lose(tag)
        assert all(each.is_back for each in messages)

    return work
