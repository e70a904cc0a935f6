"""
All places where the library calls users' code, and all that such code may do there.

For each place and each thing that users may do there: everything fires, the consumers
continue, and nothing is left at the end.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import Probe
from tests.support.stepper import BRIEF, EXCHANGE, OTHER, WORK, World
from txkombu import Consumer, Message, Producer, Queue
from txkombu.exceptions import KombuError

Action = Callable[[World, Consumer], object]


def cancels_consumers(world: World, consumer: Consumer) -> None:
    """Let the broker end the consumers of the queue."""
    if WORK.name in world.broker.memory.vhost().queues:
        world.broker.cancel_consumers(WORK.name)


def blocks(world: World, consumer: Consumer) -> None:
    """Let the broker be blocked for a second."""
    world.broker.block()
    world.clock.callLater(1, world.broker.unblock)


def adds_queue(world: World, consumer: Consumer) -> Deferred[None]:
    """Consume from one more queue."""
    consumer.add_queue(BRIEF)
    return consumer.consume()


ACTIONS: dict[str, Action] = {
    "close connection": lambda world, _: world.connection.close(),
    "close channel": lambda world, _: world.channel.close(),
    "cancel": lambda _, consumer: consumer.cancel(),
    "close consumer": lambda _, consumer: consumer.close(),
    "cancel by queue": lambda _, consumer: consumer.cancel_by_queue(WORK),
    "qos": lambda _, consumer: consumer.qos(prefetch_count=1),
    "consume": lambda _, consumer: consumer.consume(),
    "add a queue": adds_queue,
    "register": lambda _, consumer: consumer.register_callback(ack),
    "recover": lambda _, consumer: consumer.recover(True),
    "drop": lambda world, _: world.connection.drop(),
    "lose": lambda world, _: world.broker.drop(),
    "cut": lambda world, _: world.cut(),
    "publish": lambda world, _: world.producer.publish("x", OTHER.name),
    "publish to nowhere": lambda world, _: world.producer.publish(
        "x", "nowhere", mandatory=True
    ),
    "lose the channel": lambda world, _: world.producer.publish("x", exchange="?"),
    "delete the queue": lambda world, _: WORK(world.channel).delete(),
    "get": lambda world, _: WORK(world.channel).get(),
    "be cancelled": cancels_consumers,
    "block": blocks,
    "raise": lambda world, _: 1 / 0,
}
ENDS = {"close connection", "close channel", "delete the queue"}
"""
After these actions some consumers do not consume.
"""


def ack(payload: Any, message: Message) -> None:
    """Ack a message unless it is settled."""
    if not message.acknowledged:
        message.ack()


class User:
    """
    Does one thing where it is called, the first two times.

    @ivar consumer: the consumer that it acts on.
    @ivar calls: how often it was called.
    """

    consumer: Consumer

    def __init__(self, action: Action) -> None:
        self.world = World()
        self.calls = 0
        self._action = action

    def act(self, *_: object) -> None:
        """Act, the first two times."""
        self.calls += 1
        if self.calls <= 2:
            result = self._action(self.world, self.consumer)
            if isinstance(result, Deferred):
                Probe(result)

    def consuming(self, *callbacks: Any, **options: Any) -> Deferred[None]:
        """Begin to consume from the queue."""
        channel = self.world.channel
        self.consumer = Consumer(channel, WORK, callbacks=callbacks, **options)
        return self.consumer.consume()

    def waiting(self) -> Consumer:
        """Return a running consumer from which messages can be taken."""
        self.consumer = self.world.working(WORK)
        return self.consumer


class ReentrancyTests(SynchronousTestCase):
    """Users may do everything everywhere, and the library continues."""

    def check(self, begin: Callable[[User], Deferred[Any]]) -> None:
        """
        Check each action in one place.

        @param begin: makes the library call the user there; the Deferred that it
            returns has to fire.
        """
        for name, action in ACTIONS.items():
            user = User(action)
            probe = Probe(begin(user))
            user.world.settle(15)
            self.assertGreater(user.calls, 0, name)
            self.check_run(name, user.world, probe)
        gc.collect()
        for failure in self.flushLoggedErrors():
            failure.trap(ArithmeticError)

    def check_run(self, name: str, world: World, probe: Probe) -> None:
        """
        Check that it fired, and that the consumers consume until everything is closed.
        """
        self.assertEqual(len(probe.outcomes), 1, name)
        if isinstance(probe.outcome, Exception):
            self.assertIsInstance(probe.outcome, KombuError | ArithmeticError, name)
        if name not in ENDS:
            self.assertTrue(world.connection.is_consuming, name)
            world.done(world.sender.publish("probe", "standing"))
            self.assertEqual(world.got, ["probe"], name)
        for closing in world.close():
            self.assertEqual(closing.outcomes, [None], name)
        self.assertEqual(world.clock.getDelayedCalls(), [], name)
        self.assertEqual(world.broker.memory.sessions, [], name)
        self.assertEqual(world.connection.unfinished_work(), [], name)

    def check_then(self, operation: Callable[[User, World], Deferred[Any]]) -> None:
        """Check each action in the callback of an operation."""

        def begin(user: User) -> Deferred[Any]:
            user.waiting()
            return operation(user, user.world).addBoth(user.act)

        self.check(begin)

    # --- called with messages -----------------------------------------------

    def test_handler(self) -> None:
        """In a handler, before the ack."""
        self.check(lambda user: user.consuming(lambda *_: user.act(), ack))

    def test_handler_that_acked(self) -> None:
        """In a handler, after the ack, with other messages waiting."""
        self.check(
            lambda user: user.consuming(ack, lambda *_: user.act(), concurrency=1)
        )

    def test_coroutine(self) -> None:
        """In a handler that is a coroutine function."""

        def begin(user: User) -> Deferred[Any]:
            async def handle(payload: Any, message: Message) -> None:
                await message.ack()
                user.act()

            return user.consuming(handle, concurrency=2)

        self.check(begin)

    def test_acked(self) -> None:
        """When an ack was sent."""

        def begin(user: User) -> Deferred[Any]:
            def handle(payload: Any, message: Message) -> None:
                Probe(message.ack().addCallback(user.act))

            return user.consuming(handle, prefetch_count=1)

        self.check(begin)

    def test_on_failure(self) -> None:
        """In on_failure."""

        def begin(user: User) -> Deferred[Any]:
            def fail(payload: Any, message: Message) -> None:
                raise ArithmeticError

            def decide(message: Message, failure: object) -> None:
                message.reject()
                user.act()

            return user.consuming(fail, on_failure=decide)

        self.check(begin)

    def test_taken(self) -> None:
        """When take has a message."""
        self.check_then(lambda user, world: user.consumer.take())

    def test_iteration(self) -> None:
        """In the body of an iteration."""

        async def program(user: User) -> None:
            async for message in user.waiting():
                ack(None, message)
                user.act()
                break

        self.check(lambda user: Deferred.fromCoroutine(program(user)))

    # --- told of something --------------------------------------------------

    def test_on_cancel(self) -> None:
        """In on_cancel."""

        def begin(user: User) -> Deferred[Any]:
            user.world.done(user.consuming(ack, on_cancel=user.act))
            user.world.broker.cancel_consumers(WORK.name)
            return user.consumer.consume()

        self.check(begin)

    def test_on_declared(self) -> None:
        """In on_declared."""

        def begin(user: User) -> Deferred[Any]:
            told = Queue("told", EXCHANGE, on_declared=user.act)
            channel = user.world.channel
            user.consumer = Consumer(channel, [WORK, told], callbacks=[ack])
            return user.consumer.consume()

        self.check(begin)

    def test_on_return(self) -> None:
        """In on_return, with and without confirm."""

        def begin(user: User, confirm: bool) -> Deferred[Any]:
            user.waiting()
            producer = Producer(user.world.channel, EXCHANGE, on_return=user.act)
            return producer.publish("x", "nowhere", mandatory=True, confirm=confirm)

        self.check(lambda user: begin(user, True))
        self.check(lambda user: begin(user, False))

    # --- told of the end of an operation ------------------------------------

    def test_opened(self) -> None:
        """When a channel has opened."""
        self.check_then(lambda user, world: world.connection.channel())

    def test_declared(self) -> None:
        """When a queue is declared."""
        self.check_then(lambda user, world: BRIEF(world.channel).declare())

    def test_consuming(self) -> None:
        """When a consumer runs."""
        self.check_then(lambda user, world: Consumer(world.channel, OTHER).consume())

    def test_cancelled(self) -> None:
        """When a consumer is cancelled."""
        self.check_then(lambda user, world: user.consumer.cancel())

    def test_published(self) -> None:
        """With the verdict on a message."""
        self.check_then(lambda user, world: world.producer.publish("y", "other"))

    def test_written(self) -> None:
        """When a message without confirm is written."""
        self.check_then(
            lambda user, world: world.producer.publish("y", "other", confirm=False)
        )

    def test_ready(self) -> None:
        """When there is room to publish."""
        self.check_then(lambda user, world: world.producer.when_ready())

    def test_drained(self) -> None:
        """When drain_events has fired."""
        self.check_then(lambda user, world: world.connection.drain_events(3))

    def test_closed(self) -> None:
        """When a channel has closed."""
        self.check_then(lambda user, world: Producer(world.connection).close())
