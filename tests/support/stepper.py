"""
A connection to a test's broker that advances in single steps.
"""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.contract.harness import Probe
from txkombu import BrokerConnection, Consumer, Exchange, Producer, Queue
from txkombu.core.channel import Channel
from txkombu.message import Message
from txkombu.testing import RecordingBroker

T = TypeVar("T")

EXCHANGE = Exchange("feed", type="direct")
STANDING = Queue("standing", EXCHANGE, "standing")
WORK = Queue("work", EXCHANGE, "work")
OTHER = Queue("other", EXCHANGE, "other")
BRIEF = Queue("brief", EXCHANGE, "brief", auto_delete=True)
NAMELESS = Queue("", EXCHANGE, "nameless", exclusive=True)
READY = 3
"""
How many messages are in the work queue.
"""


class StepClock(Clock):
    """A clock that makes one call at a time."""

    def step(self) -> bool:
        """Make the first call that is due; return whether there was one."""
        if not self.calls or self.calls[0].getTime() > self.rightNow:
            return False
        call: Any = self.calls.pop(0)
        call.called = 1
        call.func(*call.args, **call.kw)
        return True


class World:
    """
    A connection whose channel has a consumer and a work queue, and a second client
    outside that nothing disturbs.

    @ivar got: the messages that the consumer received.
    """

    def __init__(self) -> None:
        self.clock = StepClock()
        self.broker = RecordingBroker(self.clock)
        self.connection = BrokerConnection(
            transport=self.broker, reactor=self.clock, operation_timeout=5
        )
        self.outside = BrokerConnection(
            transport=self.broker.memory, reactor=self.clock
        )
        self.got: list[Any] = []
        self.channel: Channel = self.done(self.connection.channel())
        self.consumer = Consumer(self.channel, STANDING, callbacks=[self.take])
        self.done(self.consumer.consume())
        for queue in (WORK, OTHER):
            self.done(queue(self.channel).declare())
        self.producer = Producer(self.channel, EXCHANGE, "work")
        self.sender = Producer(self.outside, EXCHANGE)
        for number in range(READY):
            self.done(self.sender.publish(number, "work"))

    def take(self, payload: Any, message: Message) -> None:
        """Handle a message of the consumer."""
        self.got.append(payload)
        message.ack()

    def run(self, steps: int) -> int:
        """Make at most so many steps; return how many were left."""
        while steps and self.clock.step():
            steps -= 1
        return steps

    def settle(self, seconds: int) -> None:
        """Let time pass, a second at a time."""
        for _ in range(seconds):
            self.run(-1)
            self.clock.rightNow += 1.0
        self.run(-1)

    def done(self, deferred: Deferred[T]) -> T:
        """Let a Deferred fire, and return its result."""
        probe = Probe(deferred)
        self.run(-1)
        if isinstance(probe.outcome, Exception):
            raise probe.outcome
        result: T = probe.outcome
        return result

    def cut(self) -> None:
        """Cut the connection: nothing in flight arrives any more."""
        session: Any = (
            self.broker.sessions[0].original if self.broker.sessions else None
        )
        if session is not None:
            session.wire.abortConnection()

    def got_two(self) -> Message:
        """Return the second of two messages that were got and wait for settlement."""
        queue = WORK(self.channel)
        self.done(queue.get())
        message = self.done(queue.get())
        assert message is not None
        return message

    def working(self, *queues: Queue, **options: Any) -> Consumer:
        """Return a running consumer whose messages wait until they are taken."""
        consumer = Consumer(self.channel, queues or WORK, **options)
        self.done(consumer.consume())
        return consumer

    def close(self) -> list[Probe]:
        """Close both connections, which takes no time."""
        closing = [Probe(each.close()) for each in (self.connection, self.outside)]
        self.run(-1)
        return closing
