"""
Kinds of work whose cost may grow only as the work does, done by programs as users write
them, on a memory broker under a clock.

Each function prepares so much of the work, and returns what does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from benchmarks.quick_clock import QuickClock
from txkombu import (
    BrokerConnection,
    Channel,
    Consumer,
    Exchange,
    Message,
    Producer,
    Queue,
)
from txkombu.transport.memory import MemoryBroker

Work = Callable[[], object]

_DEFAULT = Exchange("")
_AT_ONCE = 100
"""How many operations are begun before the broker answers."""


class Program:
    """A program with a broker of its own."""

    def __init__(self) -> None:
        self.clock = QuickClock()
        self.broker = MemoryBroker(self.clock)
        self.connection = self.connect()
        self.channel = Channel(self.connection)
        self.flush = self.broker.flush

    def connect(self) -> BrokerConnection:
        """Return one more connection."""
        return BrokerConnection(transport=self.broker, reactor=self.clock)

    def lose(self, connection: BrokerConnection) -> None:
        """Lose a connection, and wait until it has recovered."""
        session: Any = connection.core.reconnector.session
        session.wire.abortConnection()
        self.wait()

    def wait(self, seconds: int = 8) -> None:
        """Let time pass."""
        self.flush()
        for _ in range(seconds):
            self.clock.advance(1)
            self.flush()

    def consumer(self, queues: int, channel: Channel | None = None) -> Consumer:
        """Return a consumer without handler of many queues, which wait for it."""
        named = [Queue(f"q{each}", _DEFAULT) for each in range(queues)]
        return Consumer(channel or self.channel, named, prefetch_count=0)

    def publish(self, keys: list[str]) -> None:
        """Publish a message with each routing key."""
        producer = Producer(self.channel, _DEFAULT)
        for number, key in enumerate(keys):
            producer.publish(b"", routing_key=key)
            if number % _AT_ONCE == 0:
                self.flush()
        self.flush()


def server_named_queues(count: int) -> Work:
    """Restore queues that the broker names."""
    program = Program()
    for _ in range(count):
        Queue("", exclusive=True).bind(program.channel).declare()
    program.flush()

    def work() -> None:
        program.lose(program.connection)
        assert len(program.broker.vhost().queues) == count

    return work


def consumers_started(count: int) -> Work:
    """Start a consumer of many queues, and cancel it."""
    program = Program()
    consumer = program.consumer(count)

    def work() -> None:
        consumer.consume()
        program.flush()
        assert consumer.is_consuming
        consumer.cancel()
        program.flush()

    return work


def readers_of_one_queue(count: int) -> Work:
    """Start many consumers of one queue, look at each, and cancel them."""
    program = Program()
    consumers = [program.consumer(1) for _ in range(count)]

    def work() -> None:
        for consumer in consumers:
            consumer.consume()
        program.flush()
        assert all(each.consuming_from("q0") for each in consumers)
        for consumer in consumers:
            consumer.cancel()
        program.flush()

    return work


def consumers_refused(count: int) -> Work:
    """Restore consumers of which the broker refuses each second one."""
    program = Program()
    channel = Channel(program.connect())
    consumer = program.consumer(count, channel)
    consumer.consume()
    program.flush()
    second = [f"q{each}" for each in range(0, count, 2)]

    def work() -> None:
        session: Any = channel.connection.core.reconnector.session
        session.wire.abortConnection()
        others = [Queue(name, _DEFAULT) for name in second]
        Consumer(program.channel, others, exclusive=True).consume()
        program.wait()
        queues = program.broker.vhost().queues.values()
        assert [each.consumer_count for each in queues] == [1] * count

    return work


def queues_cancelled(count: int) -> Work:
    """Cancel the queues of a consumer one by one, while their messages wait."""
    program = Program()
    consumer = program.consumer(count)
    consumer.consume()
    program.flush()
    program.publish([f"q{each}" for each in range(count)])

    def work() -> None:
        for each in range(count):
            consumer.cancel_by_queue(f"q{each}")
        program.flush()
        assert len(program.broker.queue("q0").waiting) == 1

    return work


def queues_dropped(count: int) -> Work:
    """Drop the queues of a consumer that was not started."""
    program = Program()
    consumer = program.consumer(count)

    def work() -> None:
        for each in range(count):
            consumer.cancel_by_queue(f"q{each}")

    return work


def channel_limit(count: int) -> Work:
    """Hand messages out to consumers that share the limit of their channel."""
    program = Program()
    program.channel.basic_qos(1)
    consumers = [program.consumer(1) for _ in range(count)]
    for consumer in consumers:
        consumer.consume()
    program.flush()

    def work() -> None:
        for _ in range(count):
            program.publish(["q0", "q0"])
            for _ in range(2):
                [message] = program.channel.unsettled
                message.ack()
                program.flush()

    return work


def taken_by_iteration(count: int) -> Work:
    """Take messages by iteration that are settled in the end."""
    program = Program()
    consumer = program.consumer(1)
    consumer.consume()
    program.flush()
    program.publish(["q0"] * count)

    def work() -> None:
        taken = [consumer.take_now() for _ in range(count)]
        for message in taken:
            assert message is not None
            message.ack()
        program.flush()

    return work


def left_unsettled(count: int) -> Work:
    """Handle messages that are settled in the end, as many as there may be."""
    program = Program()
    kept: list[Message] = []
    keep = [lambda body, message: kept.append(message)]
    queue = Queue("q0", _DEFAULT)
    most = count + 1  # one more, or it is warned that no more come
    consumer = Consumer(program.channel, queue, callbacks=keep, prefetch_count=most)
    consumer.consume()
    program.flush()

    def work() -> None:
        program.publish(["q0"] * count)
        for message in kept:
            message.ack()
        program.flush()

    return work


def unroutable(count: int) -> Work:
    """Publish messages that no queue takes, to an exchange with many bindings."""
    program = Program()
    exchange = Exchange("x")
    for each in range(count):
        Queue(f"q{each}", exchange, f"k{each}").bind(program.channel).declare()
    program.flush()
    producer = Producer(program.channel, exchange, auto_declare=False)
    failed: list[object] = []

    def work() -> None:
        for each in range(count):
            publishing: Deferred[None] = producer.publish(b"", mandatory=True)
            publishing.addErrback(failed.append)
            if each % _AT_ONCE == 0:
                program.flush()
        program.flush()
        assert len(failed) == count

    return work


def exchanges_again(count: int) -> Work:
    """Declare exchanges again that were deleted with their bindings."""
    program = Program()
    exchanges = [Exchange(f"x{each}") for each in range(count)]
    for each in exchanges:
        Queue("q0", each, "k").bind(program.channel).declare()
    program.flush()
    for each in exchanges:
        program.broker.vhost().delete_exchange(each.name, False)
        program.connection.core.topology.not_found(each.name)

    def work() -> None:
        for each in exchanges:
            each.bind(program.channel).declare()
            program.flush()

    return work


def drained(count: int) -> Work:
    """Wait for one message after the other on a connection with many consumers."""
    program = Program()
    settle = [lambda body, message: message.ack()]
    for each in range(count):
        queue = Queue(f"q{each}", _DEFAULT)
        Consumer(program.channel, queue, callbacks=settle).consume()
    program.flush()

    def work() -> None:
        for each in range(count):
            handled = program.connection.drain_events()
            program.publish([f"q{each}"])
            assert handled.called

    return work


def priorities(count: int) -> Work:
    """Hand messages out to consumers of different priorities."""
    program = Program()
    queue = Queue("q0", _DEFAULT)
    consumers = [
        Consumer(program.channel, queue, priority=each, prefetch_count=1)
        for each in range(count)
    ]
    for consumer in consumers:
        consumer.consume()
    program.flush()

    def work() -> None:
        program.publish(["q0"] * count)
        for message in program.channel.unsettled:
            message.ack()
        program.flush()

    return work
