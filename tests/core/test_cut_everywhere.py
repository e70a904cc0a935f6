"""
Every operation that users call, with a disturbance after every step of its run.

A step is one call of the reactor, which fires one event of each channel.  For each
operation and each disturbance, the disturbance comes after 0, 1, 2, ... steps, until
the operation ends before the disturbance.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import Probe
from tests.support.stepper import BRIEF, EXCHANGE, NAMELESS, OTHER, READY, WORK, World
from txkombu import BrokerConnection, Consumer, Exchange, Producer, Queue
from txkombu.exceptions import (
    ChannelClosed,
    ConnectionClosed,
    KombuError,
    NotSent,
    OutcomeUnknown,
    SessionLost,
)
from txkombu.simple import Empty, SimpleQueue
from txkombu.transport.memory import events

T = TypeVar("T")
Begin = Callable[[], Deferred[Any]]


def begins(method: str, *arguments: Any, of: Any = None) -> Callable[[World], Begin]:
    """Return a case: an operation of an entity that is bound to the channel."""

    def prepare(world: World) -> Begin:
        entity = (WORK if of is None else of)(world.channel)
        return lambda: getattr(entity, method)(*arguments)

    return prepare


def consumes(
    method: str, *arguments: Any, of: Queue = WORK, **options: Any
) -> Callable[[World], Begin]:
    """Return a case: an operation of a running consumer."""

    def prepare(world: World) -> Begin:
        consumer = world.working(of, **options)
        return lambda: getattr(consumer, method)(*arguments)

    return prepare


def settles(method: str, *arguments: Any) -> Callable[[World], Begin]:
    """Return a case: a settlement of the second of two messages."""

    def prepare(world: World) -> Begin:
        message = world.got_two()
        return lambda: getattr(message, method)(*arguments)

    return prepare


def publishes(**options: Any) -> Callable[[World], Begin]:
    """Publish a message to a queue without consumers."""

    def prepare(world: World) -> Begin:
        return lambda: world.producer.publish("published", "other", **options)

    return prepare


def of_simple(method: str, *arguments: Any) -> Callable[[World], Begin]:
    """Return a case: an operation of a SimpleQueue."""

    def prepare(world: World) -> Begin:
        simple = SimpleQueue(world.channel, "simple")
        world.done(simple.put(1))
        world.done(simple.put(2))
        return lambda: getattr(simple, method)(*arguments)

    return prepare


def iterates(world: World) -> Begin:
    """Take one message by iteration."""

    async def program() -> None:
        async with Consumer(world.connection, WORK) as consumer:
            async for _ in consumer:
                break

    return lambda: Deferred.fromCoroutine(program())


def consumes_and_cancels(world: World) -> Begin:
    """Begin to consume, and cancel while that is under way."""
    consumer = Consumer(world.channel, [WORK, OTHER])

    def begin() -> Deferred[Any]:
        return DeferredList([consumer.consume(), consumer.cancel()], consumeErrors=True)

    return begin


OPERATIONS: dict[str, Callable[[World], Begin]] = {
    "open": lambda world: world.connection.channel,
    "declare exchange": begins("declare", of=Exchange("new", "topic")),
    "delete exchange": begins("delete", of=Exchange("amiss")),
    "bind exchange": begins("bind_to", "amq.fanout", of=EXCHANGE),
    "unbind exchange": begins("unbind_from", "amq.fanout", of=EXCHANGE),
    "declare queue": begins("declare", of=BRIEF),
    "declare nameless": begins("declare", of=NAMELESS),
    "look up queue": begins("queue_declare", True),
    "bind queue": begins("bind_to", "amq.direct", "key"),
    "unbind queue": begins("unbind_from", "feed", "work"),
    "purge": begins("purge", of=OTHER),
    "delete queue": begins("delete", of=OTHER),
    "get": begins("get"),
    "get of none": begins("get", of=OTHER),
    "consume plainly": begins("consume", "plain", lambda message: None),
    "consume": lambda world: Consumer(world.channel, [WORK, BRIEF]).consume,
    "consume nameless": lambda world: Consumer(world.channel, NAMELESS).consume,
    "consume and cancel": consumes_and_cancels,
    "consume on a new channel": lambda world: Consumer(world.connection, WORK).consume,
    "declare for consuming": lambda world: Consumer(world.channel, BRIEF).declare,
    "cancel": consumes("cancel"),
    "cancel brief": consumes("cancel", of=BRIEF),
    "cancel by queue": consumes("cancel_by_queue", WORK),
    "close consumer": consumes("close"),
    "qos": consumes("qos", 0, 2),
    "qos of an exclusive one": consumes("qos", 0, 2, of=OTHER, exclusive=True),
    "qos by channel": consumes("qos", 0, 20, True),
    "recover": consumes("recover", True),
    "take": consumes("take"),
    "get by consumer": lambda world: Consumer(world.channel, [OTHER, WORK]).get,
    "purge by consumer": lambda world: Consumer(world.channel, [OTHER]).purge,
    "iterate": iterates,
    "publish": publishes(),
    "publish unconfirmed": publishes(confirm=False),
    "publish mandatory": publishes(mandatory=True),
    "publish to nowhere": publishes(mandatory=True, exchange="amq.fanout"),
    "publish to a missing exchange": publishes(exchange="missing"),
    "publish and declare": publishes(declare=[BRIEF, Exchange("new")]),
    "publish all": lambda world: (
        lambda: world.producer.publish_all(range(7), routing_key="other")
    ),
    "close producer": lambda world: Producer(world.connection).close,
    "be ready": lambda world: world.producer.when_ready,
    "ack": settles("ack"),
    "ack several": settles("ack", True),
    "reject": settles("reject"),
    "requeue": settles("requeue"),
    "flush": lambda world: world.channel.flush,
    "put": of_simple("put", 1),
    "get from simple": of_simple("get"),
    "get now": of_simple("get_nowait"),
    "clear": of_simple("clear"),
    "qsize": of_simple("qsize"),
    "close simple": of_simple("close"),
    "drain events": lambda world: lambda: world.connection.drain_events(3),
    "close channel": lambda world: world.channel.close,
    "close connection": lambda world: world.connection.close,
}
"""
Each prepares something, and returns the function that begins the operation.
"""

NEVER_FAIL = {
    name for name in OPERATIONS if name.split()[0] in ("cancel", "close", "flush")
} | {"ack", "ack several", "reject", "requeue"}
ENDS_CONSUMING = {"close channel", "close connection"}
READS_WORK = {"get", "get by consumer", "iterate", "take", "consume", "qos", "recover"}
"""
After these operations all messages are in their queue again.
"""


class SweepTests(SynchronousTestCase):
    """
    Whatever the disturbance: each Deferred fires once, with a typed error if it fails;
    the consumers consume again; no message is lost; nothing is left after the close.
    """

    def setUp(self) -> None:
        self.patch(events, "AT_ONCE", 1)
        self.allowed: type[Exception] = KombuError

    def sweep(
        self,
        disturb: Callable[[World, Probe], object],
        *,
        ends: bool = False,
        at: Iterable[int] | None = None,
    ) -> None:
        """
        Disturb each operation after each step.

        @param ends: whether the consumer may have ended after the disturbance.
        @param at: after which steps; by default after each.
        """
        for name, prepare in OPERATIONS.items():
            for steps in count() if at is None else at:
                world = World()
                begin = prepare(world)
                operation = Probe(begin())
                unused = world.run(steps)
                self.disturb_and_check(name, world, operation, disturb, ends)
                if unused:
                    break
        gc.collect()

    def disturb_and_check(
        self,
        name: str,
        world: World,
        operation: Probe,
        disturb: Callable[[World, Probe], object],
        ends: bool,
    ) -> None:
        """Run the rest of one run, from the disturbance on."""
        disturb(world, operation)
        world.settle(20)
        self.check_outcome(name, operation)
        if not ends and name not in ENDS_CONSUMING:
            self.assertTrue(world.connection.is_consuming, name)
            world.done(world.sender.publish("probe", "standing"))
            self.assertEqual(world.got, ["probe"], name)
            world.done(world.producer.publish("probe", "nowhere"))
        for closing in world.close():
            self.assertEqual(closing.outcomes, [None], name)
        self.check_nothing_left(name, world, operation)

    def check_outcome(self, name: str, operation: Probe) -> None:
        """
        Check that the operation fired once, and failed with one of our errors if it
        failed.
        """
        self.assertEqual(len(operation.outcomes), 1, name)
        if isinstance(operation.outcome, Exception):
            typed = KombuError | Empty | self.allowed
            self.assertIsInstance(operation.outcome, typed, name)
            if self.allowed is KombuError:
                self.assertNotIn(name, NEVER_FAIL)

    def check_published(self, name: str, world: World, outcome: Any) -> None:
        """
        Check that the queue has all messages that were taken over, and none that was
        not sent.
        """
        number = world.broker.waiting_in("other")
        if name == "publish all":
            self.assertEqual(number, 7 if outcome == 7 else min(number, 7), name)
        elif name == "publish unconfirmed" or isinstance(
            outcome, OutcomeUnknown | CancelledError
        ):
            self.assertLessEqual(number, 1, name)
        else:
            self.assertEqual(number, int(outcome is None), name)

    def check_nothing_left(self, name: str, world: World, operation: Probe) -> None:
        """Check that everything is closed."""
        self.assertEqual(world.clock.getDelayedCalls(), [], name)
        self.assertEqual(world.broker.memory.sessions, [], name)
        self.assertEqual(world.broker.sessions, [], name)
        self.assertEqual(world.connection.unfinished_work(), [], name)
        if name.startswith("publish"):
            self.check_published(name, world, operation.outcome)
        if name in READS_WORK:
            self.assertEqual(world.broker.waiting_in("work"), READY, name)

    def test_lost(self) -> None:
        """The session is lost."""
        self.sweep(lambda world, _: world.broker.drop())

    def test_cut(self) -> None:
        """The connection is cut; the session notices it a moment later."""
        self.sweep(lambda world, _: world.cut())

    def test_lost_twice(self) -> None:
        """The session is lost again while everything is restored."""

        def disturb(world: World, _: Probe) -> None:
            world.broker.drop()
            world.clock.rightNow += 1.0
            world.run(3)
            world.broker.drop()

        self.sweep(disturb)

    def test_dropped(self) -> None:
        """The program drops the session."""
        self.sweep(lambda world, _: world.connection.drop())

    def test_channel_lost(self) -> None:
        """The broker ends the channel, because of another operation on it."""

        def disturb(world: World, _: Probe) -> None:
            Probe(Queue("missing")(world.channel).queue_declare(passive=True))

        self.sweep(disturb)

    def test_cancelled_by_the_broker(self) -> None:
        """The broker ends all consumers."""

        def disturb(world: World, _: Probe) -> None:
            for queue in list(world.broker.memory.vhost().queues):
                world.broker.cancel_consumers(queue)

        self.sweep(disturb)

    def test_blocked(self) -> None:
        """The broker is blocked for a while, and then lost."""

        def disturb(world: World, _: Probe) -> None:
            world.broker.block()
            world.settle(1)
            world.broker.unblock()

        self.sweep(disturb)

    def test_cancelled(self) -> None:
        """The caller cancels the operation."""
        self.allowed = CancelledError
        self.sweep(lambda _, operation: operation.deferred.cancel())

    def test_channel_closed(self) -> None:
        """The channel is closed."""
        self.sweep(lambda world, _: world.channel.close(), ends=True)

    def test_connection_closed(self) -> None:
        """The connection is closed."""
        self.sweep(lambda world, _: world.connection.close(), ends=True)

    def test_lost_by_who_is_told(self) -> None:
        """The caller drops the session in the operation's callback."""

        def disturb(world: World, operation: Probe) -> None:
            operation.deferred.addBoth(lambda _: world.connection.drop())

        self.sweep(disturb, at=[0])

    def test_channel_closed_by_who_is_told(self) -> None:
        """The caller closes the channel in the operation's callback."""

        def disturb(world: World, operation: Probe) -> None:
            operation.deferred.addBoth(lambda _: Probe(world.channel.close()))

        self.sweep(disturb, ends=True, at=[0])

    def test_connection_closed_by_who_is_told(self) -> None:
        """The caller closes the connection in the operation's callback."""

        def disturb(world: World, operation: Probe) -> None:
            operation.deferred.addBoth(lambda _: Probe(world.connection.close()))

        self.sweep(disturb, ends=True, at=[0])


def drains(connection: BrokerConnection) -> Deferred[None]:
    """Wait for a message of a consumer on which nothing was called before."""
    consumer = connection.Consumer(WORK, callbacks=[lambda *_: None])
    return connection.drain_events(15).addBoth(pass_on, consumer)


def pass_on(result: T, kept: object) -> T:
    """Record a result."""
    return result


FIRST: dict[str, Callable[[BrokerConnection], Deferred[Any]]] = {
    "connect": lambda connection: connection.connect(),
    "open": lambda connection: connection.channel(),
    "declare": lambda connection: WORK(connection).declare(),
    "publish": lambda connection: Producer(connection, EXCHANGE).publish("x"),
    "publish all": lambda connection: Producer(connection).publish_all(
        "xyz", routing_key="work"
    ),
    "be ready": lambda connection: Producer(connection).when_ready(),
    "consume": lambda connection: Consumer(connection, BRIEF).consume(),
    "get": lambda connection: Consumer(connection, WORK).get(),
    "put": lambda connection: connection.SimpleQueue("simple").put(1),
    "drain events": drains,
}
"""
Operations that may be the first on a connection, which then connects.
"""


class FirstUseTests(SynchronousTestCase):
    """The first operation on a connection, disturbed after every step."""

    def setUp(self) -> None:
        self.patch(events, "AT_ONCE", 1)

    def sweep(self, disturb: Callable[[World, Probe], object]) -> None:
        """Disturb each operation after each step."""
        for name, begin in FIRST.items():
            for steps in count():
                world = World()
                world.done(world.connection.close())
                world.connection = world.connection.clone()
                operation = Probe(begin(world.connection))
                unused = world.run(steps)
                disturb(world, operation)
                world.settle(20)
                self.assertEqual(len(operation.outcomes), 1, name)
                self.check(name, operation.outcome)
                self.assertTrue(world.connection.is_consuming, name)
                for closing in world.close():
                    self.assertEqual(closing.outcomes, [None], name)
                self.assertEqual(world.clock.getDelayedCalls(), [], name)
                self.assertEqual(world.connection.unfinished_work(), [], name)
                if unused:
                    break
        gc.collect()

    def check(self, name: str, outcome: Any) -> None:
        """Check that the operation succeeded, or failed with a fitting error."""
        if isinstance(outcome, Exception):
            typed = ConnectionClosed | ChannelClosed | SessionLost | CancelledError
            self.assertIsInstance(outcome, typed | OutcomeUnknown | NotSent, name)

    def test_lost(self) -> None:
        """The session is lost."""
        self.sweep(lambda world, _: world.broker.drop())

    def test_cut(self) -> None:
        """The connection is cut; the session notices it a moment later."""
        self.sweep(lambda world, _: world.cut())

    def test_refused(self) -> None:
        """The session is lost, and the broker is unreachable for a while."""

        def disturb(world: World, _: Probe) -> None:
            world.broker.refuse()
            world.broker.drop()
            world.settle(1)
            world.broker.accept()

        self.sweep(disturb)

    def test_cancelled(self) -> None:
        """The caller cancels the operation."""
        self.sweep(lambda _, operation: operation.deferred.cancel())

    def test_closed(self) -> None:
        """The connection is closed."""
        self.sweep(lambda world, _: world.connection.close())
