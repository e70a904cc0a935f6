"""Handlers that are functions, marked with @consumer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from functools import partial, wraps
from threading import Event, current_thread, main_thread
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.task import deferLater
from twisted.internet.threads import blockingCallFromThread
from twisted.trial.unittest import TestCase

from txkombu import BrokerConnection, Consumer, Message, Producer, Queue
from txkombu.core.channel import Channel
from txkombu.exceptions import MessageStateError, Unroutable
from txkombu.policy import Drop, Reject, park, reject
from txkombu.service import ConsumerService, PublisherService, consumer
from txkombu.service.handlers import THREADS
from txkombu.service.hosted_consumer import Hostable, check_factory
from txkombu.testing import BrokerTestCase

QUEUE = Queue("work")


class AcknowledgedMessage:
    """A message that needs no acknowledgement."""

    acknowledged = True


class MarkTests(BrokerTestCase):
    """@consumer"""

    def test_called_as_before(self) -> None:
        """A marked function can be called, as by its tests."""

        @consumer(QUEUE)
        def double(body: int, message: object) -> int:
            return 2 * body

        self.assertEqual(double(4, None), 8)

    def test_no_queue(self) -> None:
        """It needs queues."""
        error = self.assertRaises(ValueError, consumer)
        self.assertIn("@consumer(Queue('feeds'))", str(error))
        error = self.assertRaises(TypeError, consumer, "work")
        self.assertEqual(
            str(error), "@consumer takes Queue objects, not a value of type str"
        )

    def test_used_without_call(self) -> None:
        """It needs its parentheses."""
        error = self.assertRaises(TypeError, consumer, lambda body, message: None)
        self.assertIn("takes Queue objects, not a value of type function", str(error))

    def test_decorated(self) -> None:
        """What a decorator above it returns is what handles messages."""

        def decorated(function: Any) -> Any:
            @wraps(function)
            def called(body: str, message: Message) -> object:
                return function(body.upper(), message)

            return called

        got: list[object] = []

        @decorated
        @consumer(QUEUE)
        def handle(body: object, message: Message) -> None:
            got.append(body)

        made = check_factory("it", handle)(Channel(self.connect()))
        message: Any = AcknowledgedMessage()
        made.receive("x", message)
        self.assertEqual(got, ["X"])

    def test_methods(self) -> None:
        """Methods of objects and partials are handlers, and show no arguments."""

        class Handlers:
            def handle(self, body: object, message: object) -> str:
                return f"{body}"

        def handle(password: str, body: object, message: object) -> None:
            """Do nothing."""

        method = consumer(QUEUE)(Handlers().handle)
        self.assertEqual(method("x", None), "x")
        for function, name in (
            (method, "Handlers.handle"),
            (
                consumer(QUEUE)(partial(handle, "secret")),
                "test_methods.<locals>.handle",
            ),
        ):
            made: Any = check_factory("it", function)(Channel(self.connect()))
            self.assertTrue(made.handler_name.endswith(name), made.handler_name)
            self.assertIn(f"{name} of 'work'>", repr(made))
            self.assertNotIn("secret", repr(made))

    def test_generators(self) -> None:
        """A generator function is refused: a call would begin nothing."""

        def generator(body: object, message: object) -> Iterator[None]:
            yield None

        async def asynchronous(body: object, message: object) -> AsyncIterator[None]:
            yield None

        class Called:
            def __call__(self, body: object, message: object) -> Iterator[None]:
                yield None

        def keyed(key: str, body: object, message: object) -> Iterator[None]:
            yield None

        for wrong in (generator, Called(), partial(keyed, "secret")):
            error = self.assertRaises(TypeError, consumer(QUEUE), wrong)
            self.assertIn("is @inlineCallbacks missing?", str(error))
            self.assertNotIn("secret", str(error))
        error = self.assertRaises(TypeError, consumer(QUEUE), asynchronous)
        self.assertIn("must not yield", str(error))

        @consumer(QUEUE)
        @inlineCallbacks
        def fine(body: object, message: object) -> Generator[Deferred[None], Any, None]:
            yield succeed(None)

        self.assertIsNone(self.successResultOf(fine(None, None)))

    def test_coroutine_in_thread(self) -> None:
        """A coroutine function would not run in a thread, and is refused there."""

        async def handle(body: object, message: object) -> None:
            """Do nothing."""

        error = self.assertRaises(TypeError, consumer(QUEUE, thread=True), handle)
        self.assertIn("thread is for functions that block", str(error))

    def test_publisher_by_position(self) -> None:
        """A publisher is given by its name, so its parameter has to allow that."""

        def handle(body: object, message: object, publisher: object, /) -> None:
            """Do nothing."""

        error = self.assertRaises(TypeError, consumer(QUEUE), handle)
        self.assertIn("is called with 2 arguments", str(error))

    def test_unknown_option(self) -> None:
        """An option that a Consumer does not have is refused, with a suggestion."""
        error = self.assertRaises(TypeError, consumer, QUEUE, prefetch=3)
        self.assertIn(
            "no option 'prefetch'; did you mean 'prefetch_count'?", str(error)
        )
        for name in ("callbacks", "no_ack", "on_message", "channel"):
            self.assertRaises(TypeError, consumer, QUEUE, **{name: []})

    def test_arity(self) -> None:
        """It is for functions of (body, message)."""
        error = self.assertRaises(TypeError, consumer(QUEUE), lambda body: None)
        self.assertIn("a handler is called with 2 arguments", str(error))

    def test_not_marked(self) -> None:
        """A service says what a function without the mark lacks."""

        def handle(body: object, message: Message) -> None:
            """Do nothing."""

        error = self.assertRaises(TypeError, ConsumerService, self.connection, [handle])
        self.assertIn("a function with @consumer(Queue(...)) above it", str(error))


class HandlerCase(BrokerTestCase):
    """
    Has a producer for the queue C{work}.

    @ivar got: the messages that handlers got.
    """

    def setUp(self) -> None:
        super().setUp()
        self.got: list[Message] = []
        self.producer = Producer(self.connection, routing_key="work")

    def host(self, *handlers: Hostable) -> ConsumerService:
        """Host handlers."""
        service = ConsumerService(self.connect(), handlers)
        self.addCleanup(self.flush)
        self.addCleanup(service.stopService)
        service.startService()
        self.flush()
        return service

    def publish(self, *bodies: object) -> None:
        """Publish to the queue."""
        for body in bodies:
            self.result_of(self.producer.publish(body))
        self.flush()

    def settled(self) -> list[bool]:
        """Return which messages are settled."""
        self.flush()
        return [each.acknowledged for each in self.got]


class HandlerTests(HandlerCase):
    """What becomes of messages."""

    def test_acknowledged(self) -> None:
        """A message is acknowledged when its function has returned."""
        before: list[bool] = []

        @consumer(QUEUE)
        def handle(body: object, message: Message) -> None:
            self.got.append(message)
            before.append(message.acknowledged)

        self.assertTrue(self.host(handle).consuming)
        self.publish("x")
        self.assertEqual((before, self.settled()), ([False], [True]))

    def test_waits(self) -> None:
        """It is acknowledged when the coroutine or Deferred is done."""
        end: Deferred[None] = Deferred()

        @consumer(QUEUE)
        async def coroutine(body: object, message: Message) -> None:
            self.got.append(message)
            await end

        self.host(coroutine)
        self.publish("x")
        self.assertEqual(self.settled(), [False])
        end.callback(None)
        self.assertEqual(self.settled(), [True])

    def test_deferred_of_work(self) -> None:
        """What the result itself is to be waited for, is."""
        end: Deferred[None] = Deferred()

        async def later() -> None:
            await end

        @consumer(QUEUE)
        def handle(body: object, message: Message) -> object:
            self.got.append(message)
            return succeed(later())

        self.host(handle)
        self.publish("x")
        self.assertEqual(self.settled(), [False])
        end.callback(None)
        self.assertEqual(self.settled(), [True])

    def test_settled_by_itself(self) -> None:
        """A message that the function has settled is left as it is."""

        @consumer(QUEUE, Queue("other"))
        def handle(body: object, message: Message) -> None:
            self.got.append(message)
            message.reject()

        self.host(handle)
        self.publish("x")
        self.result_of(self.producer.publish("y", routing_key="other"))
        self.assertEqual(self.settled(), [True, True])

    def test_fails(self) -> None:
        """A message whose handler fails is left to the policy, and not acknowledged."""
        failed: list[object] = []

        @consumer(QUEUE, on_failure=lambda message, failure: failed.append(failure))
        def handle(body: object, message: Message) -> None:
            self.got.append(message)
            raise ValueError(body)

        self.host(handle)
        self.publish("x")
        self.assertEqual((len(failed), self.settled()), (1, [False]))

    def test_no_generators(self) -> None:
        """A generator is not mistaken for success."""
        failed: list[object] = []

        def note(message: Message, failure: object) -> None:
            failed.append(failure)
            message.reject()

        def generator() -> Iterator[None]:
            yield

        async def agenerator() -> AsyncIterator[None]:
            yield

        @consumer(QUEUE, on_failure=note)
        def returns(body: object, message: Message) -> object:
            return generator()

        @consumer(Queue("other"), on_failure=note)
        def returns_other(body: object, message: Message) -> object:
            return agenerator()

        self.host(returns, returns_other)
        self.publish("x")
        self.result_of(self.producer.publish("y", routing_key="other"))
        self.flush()
        self.assertEqual(len(failed), 2)

    def test_options(self) -> None:
        """Options are those of a Consumer."""

        @consumer(QUEUE, prefetch_count=3, concurrency=2, accept=["text/plain"])
        def handle(body: object, message: Message) -> None:
            """Do nothing."""

        self.host(handle)
        factory: Any = handle
        made = factory.consumer_factory(self.connection)
        self.assertEqual((made.prefetch_count, made.concurrency), (3, 2))
        self.assertEqual(made.accept, ["text/plain"])
        self.assertRegex(repr(made), r"^<HandlerTests.*handle of 'work'>$")

    def test_verdicts(self) -> None:
        """A handler may raise what is to become of its message."""

        @consumer(QUEUE)
        def handle(body: object, message: Message) -> None:
            self.got.append(message)
            raise Drop("not wanted")

        self.host(handle)
        self.publish("x")
        self.assertEqual(self.settled(), [True])


class MiddlewareTests(HandlerCase):
    """Functions around handlers."""

    def test_order(self) -> None:
        """The first is the outermost, and each sees the result of the next."""
        said: list[str] = []

        async def outer(handle: Any, body: Any, message: Message) -> None:
            said.append("outer begins")
            await handle(body + 1, message)
            said.append("outer ends")

        def inner(handle: Any, body: Any, message: Message) -> Any:
            said.append(f"inner {body}")
            return handle(body * 10, message)

        @consumer(QUEUE, middleware=[outer, inner])
        async def handler(body: int, message: Message) -> None:
            self.got.append(message)
            said.append(f"handler {body}")

        self.host(handler)
        self.publish(1)
        self.assertEqual(said, ["outer begins", "inner 2", "handler 20", "outer ends"])
        self.assertEqual(self.settled(), [True])

    def test_not_called(self) -> None:
        """A middleware may settle the message and call nothing."""

        def filtering(handle: Any, body: Any, message: Message) -> Any:
            self.got.append(message)
            return message.ack() if body == "no" else handle(body, message)

        class Filtered(Consumer):
            queues = QUEUE
            middleware = (filtering,)
            bodies: list[object] = []  # noqa: RUF012  # of this test

            def receive(self, body: object, message: Message) -> object:
                self.bodies.append(body)
                return message.ack()

        self.host(Filtered)
        self.publish("yes", "no", "yes")
        self.assertEqual(Filtered.bodies, ["yes", "yes"])
        self.assertEqual(self.settled(), [True] * 3)

    def test_fails(self) -> None:
        """
        What a middleware raises is a failure of handling; so is what the handler
        raises, SystemExit included, which the middleware may catch.
        """
        caught: list[str] = []

        async def catching(handle: Any, body: Any, message: Message) -> None:
            try:
                await handle(body, message)
            except Exception as error:
                caught.append(type(error).__name__)
                raise ValueError("from the middleware") from error

        failed: list[Any] = []

        def note(message: Message, failure: Any) -> None:
            failed.append(str(failure.value))
            message.reject()

        @consumer(QUEUE, middleware=[catching], on_failure=note)
        def handler(body: int, message: Message) -> None:
            raise SystemExit(3) if body else KeyError("k")

        self.host(handler)
        self.publish(0, 1)
        self.assertEqual(caught, ["KeyError", "RuntimeError"])
        self.assertEqual(failed, ["from the middleware"] * 2)

    def test_refused(self) -> None:
        """What cannot be one is refused when the consumer is made."""
        wrong: Any = [lambda body, message: None]
        error = self.assertRaises(
            TypeError, Consumer, self.connection, QUEUE, middleware=wrong
        )
        self.assertIn("a middleware is called with 3 arguments", str(error))
        error = self.assertRaises(
            TypeError,
            Consumer,
            self.connection,
            QUEUE,
            on_message=print,
            middleware=[lambda handle, body, message: None],
        )
        self.assertIn("on_message", str(error))


class PublisherTests(HandlerCase):
    """Handlers that publish."""

    def setUp(self) -> None:
        super().setUp()
        self.publisher = PublisherService(self.connect())

    def host_with(self, handler: Hostable) -> ConsumerService:
        """Host a handler and the publisher."""
        service = ConsumerService(self.connect(), handler, publisher=self.publisher)
        self.addCleanup(self.flush)
        self.addCleanup(service.stopService)
        service.startService()
        self.flush()
        return service

    def test_given(self) -> None:
        """Functions, classes and factories with a parameter publisher get it."""
        given: list[object] = []

        @consumer(QUEUE)
        async def handler(
            body: object, message: Message, *, publisher: PublisherService
        ) -> None:
            await publisher.publish(body, routing_key="results")
            given.append(publisher)

        class Class(Consumer):
            queues = QUEUE

            def __init__(self, channel: Channel, publisher: PublisherService) -> None:
                super().__init__(channel)
                given.append(publisher)

            def receive(self, body: object, message: Message) -> object:
                return message.ack()

        def factory(channel: Channel, *, publisher: PublisherService) -> Consumer:
            return Class(channel, publisher)

        hosted: list[Hostable] = [handler, Class, factory]
        for number, each in enumerate(hosted):
            service = self.host_with(each)
            if number == 0:
                self.publish("x")
                self.assertEqual(self.published[-1].body, b"x")
                self.assertEqual(self.published[-1].routing_key, "results")
            self.assertEqual(given, [self.publisher])
            given.clear()
            service.stopService()
            self.flush()

    def test_missing(self) -> None:
        """Without a publisher the service is not made, and the error says why."""

        @consumer(QUEUE)
        def handler(body: object, message: Message, *, publisher: object) -> None:
            """Do nothing."""

        error = self.assertRaises(TypeError, ConsumerService, self.connection, handler)
        self.assertIn("has a parameter publisher", str(error))
        self.assertIn("'publisher: true'", str(error))

    def test_default(self) -> None:
        """Without a publisher a parameter that has a default keeps that."""
        given: list[object] = []

        @consumer(QUEUE)
        def handler(body: object, message: Message, publisher: object = "own") -> None:
            given.append(publisher)

        def factory(channel: Channel, publisher: object = "own") -> Consumer:
            given.append(publisher)
            return Consumer(channel, Queue("other"), callbacks=[handler])

        self.host(handler, factory)
        self.publish("x")
        self.assertEqual(given, ["own", "own"])

    def test_restarted_meanwhile(self) -> None:
        """Started again before the last handlers have ended, it keeps its publisher."""
        end: Deferred[None] = Deferred()

        @consumer(QUEUE)
        async def handler(
            body: object, message: Message, *, publisher: PublisherService
        ) -> None:
            self.got.append(message)
            await end

        service = self.host_with(handler)
        self.publish("x")
        stopping = service.stopService()
        self.flush()
        self.assertNoResult(stopping)
        service.startService()
        self.flush()
        end.callback(None)
        self.flush()
        self.successResultOf(stopping)
        self.assertTrue(self.publisher.running)
        self.result_of(self.publisher.publish("y", routing_key="results"))

    def test_halts_at_once(self) -> None:
        """So does one that halts as it is started."""

        class Hopeless(PublisherService):
            def startService(self) -> None:
                super().startService()
                self.halt(ValueError("no library"))

        @consumer(QUEUE)
        def handler(body: object, message: Message, *, publisher: object) -> None:
            """Do nothing."""

        self.publisher = Hopeless(self.connect())
        service = self.host_with(handler)
        self.assertFalse(service.running)
        self.assertIsInstance(service.halted, ValueError)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_child_of_publisher(self) -> None:
        """
        A service that is a child of its publisher, or further below, stops at once, and
        stops no publisher that others still use.
        """

        @consumer(QUEUE)
        def handler(body: object, message: Message, *, publisher: object) -> None:
            """Do nothing."""

        for depth in range(3):
            self.publisher = PublisherService(self.connect())
            parent: MultiService = self.publisher
            for _ in range(depth):
                below = MultiService()
                below.setServiceParent(parent)
                parent = below
            service = self.host_with(handler)
            service.setServiceParent(parent)
            self.publisher.startService()
            self.successResultOf(self.stopped(service))
            self.assertTrue(self.publisher.running)
            service.startService()
            self.flush()
            self.successResultOf(self.stopped(self.publisher))
            self.assertFalse(service.running)

    def stopped(self, service: Service) -> Deferred[Any]:
        """Stop a service, as far as that goes without time passing."""
        stopping: Deferred[Any] = service.stopService()
        self.flush()
        return stopping

    def test_stops_after(self) -> None:
        """The publisher is stopped when the handlers have ended, and not before."""
        end: Deferred[None] = Deferred()
        outcomes: list[object] = []

        @consumer(QUEUE)
        async def handler(
            body: object, message: Message, *, publisher: PublisherService
        ) -> None:
            self.got.append(message)
            await end
            await publisher.publish("last", routing_key="results")
            outcomes.append("published")

        service = self.host_with(handler)
        self.publish("x")
        stopping = service.stopService()
        self.flush()
        self.assertNoResult(stopping)
        self.assertNoResult(service.when_stopped())
        self.assertTrue(self.publisher.running)
        end.callback(None)
        self.flush()
        self.successResultOf(stopping)
        self.successResultOf(service.when_stopped())
        self.assertEqual((outcomes, self.settled()), (["published"], [True]))
        self.assertFalse(self.publisher.running)
        self.successResultOf(self.publisher.when_stopped())

    def test_halts(self) -> None:
        """A publisher that halts halts the service."""

        @consumer(QUEUE)
        def handler(body: object, message: Message, *, publisher: object) -> None:
            """Do nothing."""

        service = self.host_with(handler)
        self.publisher.halt(ValueError("no library"))
        self.flush()
        self.assertFalse(service.running)
        self.assertIsInstance(service.halted, ValueError)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_again(self) -> None:
        """It can be started again."""

        @consumer(QUEUE)
        async def handler(
            body: object, message: Message, *, publisher: PublisherService
        ) -> None:
            self.got.append(message)
            await publisher.publish("y", routing_key="results")

        service = self.host_with(handler)
        service.stopService()
        self.flush()
        service.startService()
        self.flush()
        self.publish("x")
        self.assertEqual(self.settled(), [True])


class InReactor(PublisherService):
    """Notes in which threads it is asked to publish."""

    def __init__(self, broker: str) -> None:
        super().__init__(broker)
        self.threads: set[object] = set()

    def publish(self, body: object, *args: Any, **options: Any) -> Deferred[None]:
        """Note the thread."""
        self.threads.add(current_thread())
        return super().publish(body, *args, **options)


class ThreadTests(TestCase):
    """Handlers in threads, on the real reactor."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.connection = BrokerConnection(f"memory://{self.id()}")
        self.producer = Producer(self.connection, routing_key="work")
        self.got: list[Any] = []

    async def host(
        self, handler: Hostable, publisher: PublisherService | None = None
    ) -> ConsumerService:
        """Host a handler."""
        service = ConsumerService(
            BrokerConnection(f"memory://{self.id()}"),
            [handler],
            shutdown_timeout=5,
            publisher=publisher,
        )
        self.addCleanup(self.connection.close)
        self.addCleanup(service.stopService)
        service.startService()
        await service.when_started()
        return service

    async def until(self, holds: Any) -> None:
        """Wait until something holds."""
        for _ in range(500):
            if holds():
                return
            await deferLater(self.reactor, 0.01)
        self.fail("it did not come to hold")

    async def test_blocks(self) -> None:
        """
        It runs outside of the reactor's thread, which goes on meanwhile, and its
        message is acknowledged in the reactor when it returns.
        """
        goes_on = Event()
        threads: list[bool] = []

        @consumer(QUEUE, thread=True)
        def handle(body: object, message: Message) -> None:
            threads.append(current_thread() is main_thread())
            goes_on.wait(5)
            self.got.append(message)

        await self.host(handle)
        await self.producer.publish("x")
        await self.until(lambda: threads)
        self.assertEqual((threads, self.got), ([False], []))
        goes_on.set()
        await self.until(lambda: self.got and self.got[0].acknowledged)

    async def test_bounded(self) -> None:
        """As many run at the same time as concurrency says, and not more."""
        goes_on = Event()
        at_work: list[object] = []

        @consumer(QUEUE, thread=True, concurrency=2)
        def handle(body: object, message: Message) -> None:
            at_work.append(body)
            goes_on.wait(5)
            self.got.append(message)

        await self.host(handle)
        for number in range(5):
            await self.producer.publish(number)
        await self.until(lambda: len(at_work) == 2)
        await deferLater(self.reactor, 0.05)
        self.assertEqual(sorted(map(str, at_work)), ["0", "1"])
        goes_on.set()
        await self.until(lambda: len(self.got) == 5)
        await self.until(lambda: all(each.acknowledged for each in self.got))

    async def test_settles_nothing(self) -> None:
        """In its thread a message can be read, and not settled."""
        told: list[str] = []

        @consumer(QUEUE, thread=True, on_failure=reject)
        def handle(body: object, message: Message) -> None:
            for name in ("ack", "nack", "reject", "requeue", "respond"):
                try:
                    getattr(message, name)()
                except MessageStateError as error:
                    told.append(str(error))
            self.got.append((body, message.headers, message.routing_key))

        await self.host(handle)
        await self.producer.publish("x", headers={"a": 1})
        await self.until(lambda: self.got)
        self.assertEqual(self.got, [("x", {"a": 1}, "work")])
        self.assertEqual(len(told), 5)
        self.assertIn("cannot call message.ack(): return to acknowledge", told[0])

    async def test_publishes_in_reactor(self) -> None:
        """Its publisher refuses to block the reactor's thread, and goes on."""

        @consumer(QUEUE, thread=True)
        def handle(body: object, message: Message, *, publisher: Any) -> None:
            try:
                blockingCallFromThread(self.reactor, publisher.publish, "y", "z")
            except RuntimeError as error:
                self.got.append(str(error))

        publisher = PublisherService(BrokerConnection(f"memory://{self.id()}"))
        await self.host(handle, publisher)
        await self.producer.publish("x")
        await self.until(lambda: self.got)
        self.assertIn("call it in that thread", self.got[0])

    async def test_fails(self) -> None:
        """What it raises is what became of the message, a verdict too."""
        parked = Queue("parked")
        await parked(self.connection).declare()

        @consumer(QUEUE, thread=True, on_failure=park("parked"))
        def handle(body: object, message: Message) -> None:
            raise Reject("no") if body == "reject" else ValueError(body)

        await self.host(handle)
        for body in ("reject", "park"):
            await self.producer.publish(body)
        message = None
        for _ in range(500):
            message = await parked(self.connection).get()
            if message is not None:
                break
            await deferLater(self.reactor, 0.01)
        assert message is not None
        self.assertEqual(message.payload, "park")
        self.flushLoggedErrors()

    async def test_publishes(self) -> None:
        """
        What it publishes with waits in its thread for the broker's verdict, and works
        in the reactor's.
        """
        publisher = InReactor(f"memory://{self.id()}")
        results = Queue("results")(self.connection)
        await results.declare()

        @consumer(QUEUE, thread=True)
        def handle(body: object, message: Message, *, publisher: Any) -> None:
            publisher.publish("y", routing_key="results")
            try:
                publisher.publish("y", routing_key="nowhere", mandatory=True)
            except Unroutable as error:
                self.got.append(error)
            try:
                publisher.producer()
            except AttributeError as error:
                self.got.append(error)

        await self.host(handle, publisher)
        await self.producer.publish("x")
        await self.until(lambda: len(self.got) == 2)
        self.assertIsInstance(self.got[0], Unroutable)
        self.assertIn("only publisher.publish", str(self.got[1]))
        self.assertEqual(publisher.threads, {main_thread()})
        self.assertIsNotNone(await results.get())

    async def test_stop(self) -> None:
        """A stop waits for threads at work, and ends their pool."""
        goes_on = Event()

        @consumer(QUEUE, thread=True)
        def handle(body: object, message: Message) -> None:
            self.got.append(current_thread())
            goes_on.wait(5)

        service = await self.host(handle)
        await self.producer.publish("x")
        await self.until(lambda: self.got)
        stopping = service.stopService()
        self.assertNoResult(stopping)
        goes_on.set()
        await stopping
        await self.until(lambda: not self.got[0].is_alive())
        left = await Queue("work")(self.connection).get()
        self.assertIsNone(left)

    async def test_default(self) -> None:
        """There are ten threads by default."""

        @consumer(QUEUE, thread=True)
        def handle(body: object, message: Message) -> None:
            """Do nothing."""

        factory: Any = handle
        made = factory.consumer_factory(self.connection)
        self.assertEqual(made.concurrency, THREADS)
        await made.close()
