"""From a message to its handlers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Future as ThreadFuture
from functools import partial
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import (
    LegacyLogObserverWrapper,
    globalLogPublisher,
)
from twisted.python.failure import Failure
from twisted.python.log import textFromEventDict
from twisted.trial.unittest import SynchronousTestCase

from tests.core.test_turn_budget import TurnClock
from tests.support.fakes import FakeChannel, delivery
from txkombu._util.awaitables import as_deferred
from txkombu._util.limits import MAX_BODY_SIZE
from txkombu.core.decoded_memory import BODIES, DecodedMemory
from txkombu.core.turn_budget import TurnBudget
from txkombu.core.unacked import UnackedMessages
from txkombu.message import Message
from txkombu.messaging.dispatcher import Dispatcher
from txkombu.policy import Hold


class Refused(Exception):
    """The error with which handlers in these tests fail."""


class DispatcherTestCase(SynchronousTestCase):
    """Has a dispatcher, and messages for it."""

    def setUp(self) -> None:
        self.channel = FakeChannel()
        self.unacked = UnackedMessages(self.channel, DecodedMemory())
        self.began: list[int] = []
        self.pending: list[Deferred[None]] = []
        self.failed: list[tuple[int, Failure]] = []
        self.handled = 0
        self.timers = Clock()
        self.dispatcher = Dispatcher(
            0,
            Clock(),
            TurnBudget(Clock()),
            DecodedMemory(),
            self.on_failure,
            self.on_handled,
        )

    def on_failure(self, message: Message, failure: Failure) -> None:
        """Record the failure, and reject the message."""
        self.failed.append((message.delivery_tag, failure))
        message.reject()

    def on_handled(self) -> None:
        """Count the message."""
        self.handled += 1

    def message(
        self, tag: int, consumer_tag: str = "tag", no_ack: bool = False
    ) -> Message:
        """Make a message."""
        unacked = None if no_ack else self.unacked
        return Message(delivery(tag, consumer_tag=consumer_tag), unacked)

    def deliver(self, *tags: int) -> None:
        """Deliver messages with these tags."""
        for tag in tags:
            self.dispatcher.deliver(self.message(tag))

    def handed_back(self) -> list[int]:
        """Give the tags of the messages that were handed back, in order."""
        return [tag for method, tag, *_ in self.channel.settled if method == "nack"]

    def slow(self, message: Message) -> Deferred[None]:
        """Handle a message until the test ends it."""
        self.began.append(message.delivery_tag)
        handling: Deferred[None] = Deferred()
        self.pending.append(handling)
        return handling

    def quick(self, message: Message) -> object:
        """Handle a message at once."""
        self.began.append(message.delivery_tag)
        return None

    def errors(self) -> list[str]:
        """Return the logged errors."""
        return [str(each.value) for each in self.flushLoggedErrors(Refused)]


class HandlerTests(DispatcherTestCase):
    """Handlers of each kind."""

    def test_plain(self) -> None:
        """A plain handler has finished when it returns."""
        self.dispatcher.set_handler(self.quick)
        self.deliver(1, 2)
        self.assertEqual(self.began, [1, 2])
        self.assertEqual(self.handled, 2)
        self.assertEqual(self.dispatcher.load, 0)

    def test_plain_with_a_result(self) -> None:
        """The result of a plain handler does not matter."""
        self.dispatcher.set_handler(lambda message: "anything")
        self.deliver(1)
        self.assertEqual(self.handled, 1)

    def test_deferred(self) -> None:
        """A handler that returns a Deferred has finished when that fires."""
        self.dispatcher.set_handler(self.slow)
        self.deliver(1)
        self.assertEqual((self.handled, self.dispatcher.running), (0, 1))
        self.pending[0].callback(None)
        self.assertEqual((self.handled, self.dispatcher.running), (1, 0))

    def test_fired_deferred(self) -> None:
        """A handler whose Deferred has fired has finished at once."""
        self.dispatcher.set_handler(lambda message: succeed(None))
        self.deliver(1)
        self.assertEqual((self.handled, self.dispatcher.running), (1, 0))

    def test_coroutine(self) -> None:
        """A coroutine handler has finished when the coroutine returns."""
        gate: Deferred[None] = Deferred()

        async def handle(message: Message) -> None:
            self.began.append(message.delivery_tag)
            await gate
            await message.ack()

        self.dispatcher.set_handler(handle)
        self.deliver(1)
        self.assertEqual((self.began, self.handled), ([1], 0))
        gate.callback(None)
        self.assertEqual(self.channel.settled, [("ack", 1, False)])
        self.assertEqual(self.handled, 0)
        self.channel.flush()
        self.assertEqual(self.handled, 1)

    def test_other_awaitable(self) -> None:
        """Anything that can be awaited is awaited."""
        gate: Deferred[str] = Deferred()

        class Later:
            def __await__(self) -> Generator[Any, Any, str]:
                return gate.__await__()

        self.dispatcher.set_handler(lambda message: Later())
        self.deliver(1)
        self.assertEqual(self.handled, 0)
        gate.callback("done")
        self.assertEqual(self.handled, 1)

    def test_failures_by_result(self) -> None:
        """
        A handler fails if it returns a Failure, a generator or an async generator, or
        if its Deferred or coroutine ends with one.
        """

        def generator() -> Generator[None, None, None]:
            yield

        async def async_generator() -> AsyncIterator[None]:
            yield

        def fires(make: Callable[[], object]) -> Deferred[object]:
            return succeed(make())

        async def returns(make: Callable[[], object]) -> object:
            return make()

        makers: list[Callable[[], object]] = [
            lambda: Failure(Refused()),
            generator,
            async_generator,
        ]

        def ignore_message(make: Callable[[], object], message: Message) -> object:
            return make()

        wrong: list[Callable[[], object]] = [
            *makers,
            *(partial(fires, make) for make in makers[1:]),
            *(partial(returns, make) for make in makers),
            partial(returns, lambda: fail(Refused())),
        ]
        for tag, make in enumerate(wrong):
            self.dispatcher.set_handler(partial(ignore_message, make))
            self.deliver(tag)
        tags = [tag for tag, _ in self.failed]
        self.assertEqual(tags, list(range(len(wrong))))
        self.assertEqual((self.handled, self.dispatcher.running), (len(wrong), 0))

    def test_work_that_ends_in_work(self) -> None:
        """
        If the result of a Deferred or coroutine can be awaited, it is awaited, too.
        """
        gate: Deferred[None] = Deferred()

        async def returns_it() -> object:
            return gate

        self.dispatcher.set_handler(lambda message: succeed(returns_it()))
        self.deliver(1)
        self.assertEqual((self.handled, self.dispatcher.running), (0, 1))
        gate.callback(None)
        self.assertEqual((self.handled, self.dispatcher.running), (1, 0))

    def test_thread_future(self) -> None:
        """A handler that returns a thread's future has finished when the future has."""
        good: ThreadFuture[None] = ThreadFuture()
        good.set_result(None)
        bad: ThreadFuture[None] = ThreadFuture()
        bad.set_exception(Refused())
        futures = iter([good, bad])
        self.dispatcher.set_handler(lambda message: next(futures))
        self.deliver(1, 2)
        self.assertEqual(([tag for tag, _ in self.failed], self.handled), ([2], 2))

    def test_asyncio_without_its_reactor(self) -> None:
        """A handler that needs asyncio fails, and its error says how to run it."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        future = loop.create_future()

        async def sleeps(message: Message) -> None:
            await asyncio.sleep(1)

        handlers: list[Callable[[Message], object]] = [lambda message: future, sleeps]
        for tag, handler in enumerate(handlers):
            self.dispatcher.set_handler(handler)
            self.deliver(tag)
            failed, failure = self.failed[-1]
            self.assertEqual(failed, tag)
            self.assertIn("asyncioreactor.install()", failure.getErrorMessage())

    def test_result_that_cannot_be_looked_at(self) -> None:
        """
        A result that raises when its class is asked for fails only its own message.
        """

        def look(_: object) -> type:
            raise SystemExit("broken")

        broken = type("Broken", (), {"__class__": property(look)})

        self.dispatcher.set_handler(lambda message: broken())
        self.deliver(1)
        self.assertEqual([tag for tag, _ in self.failed], [1])
        self.assertEqual(self.dispatcher.running, 0)

    def test_as_deferred(self) -> None:
        """A Deferred is used as it is; the result of a coroutine is passed on."""
        given: Deferred[int] = Deferred()
        self.assertIs(as_deferred(given), given)

        async def seven() -> int:
            return 7

        self.assertEqual(self.successResultOf(as_deferred(seven())), 7)


class ConcurrencyTests(DispatcherTestCase):
    """How many messages are handled at once, and in what order."""

    def test_limit(self) -> None:
        """At most the limit are handled; other messages wait in order."""
        self.dispatcher.set_limit(2)
        self.dispatcher.set_handler(self.slow)
        self.deliver(1, 2, 3, 4)
        self.assertEqual(self.began, [1, 2])
        self.assertEqual(self.dispatcher.load, 4)
        self.pending[1].callback(None)
        self.assertEqual(self.began, [1, 2, 3])
        self.pending[0].callback(None)
        self.assertEqual(self.began, [1, 2, 3, 4])
        self.assertEqual(self.dispatcher.running, 2)

    def test_failure_makes_room(self) -> None:
        """A failed message makes room, as a handled one does."""
        self.dispatcher.set_limit(1)
        self.dispatcher.set_handler(self.slow)
        self.deliver(1, 2)
        self.pending[0].errback(Failure(Refused()))
        self.assertEqual(self.began, [1, 2])

    def test_no_limit(self) -> None:
        """A limit of zero means no limit."""
        self.dispatcher.set_handler(self.slow)
        self.deliver(*range(500))
        self.assertEqual(len(self.began), 500)

    def test_raised_limit(self) -> None:
        """Raising the limit starts waiting messages; lowering it stops none."""
        self.dispatcher.set_limit(1)
        self.dispatcher.set_handler(self.slow)
        self.deliver(1, 2, 3)
        self.dispatcher.set_limit(3)
        self.assertEqual(self.began, [1, 2, 3])
        self.dispatcher.set_limit(1)
        self.deliver(4)
        self.pending[0].callback(None)
        self.pending[1].callback(None)
        self.assertEqual(self.began, [1, 2, 3])
        self.pending[2].callback(None)
        self.assertEqual(self.began, [1, 2, 3, 4])

    def test_late_handler(self) -> None:
        """
        Messages that arrived before there was a handler are handled first, in order.
        """
        self.deliver(1, 2)
        self.assertEqual(self.began, [])
        self.dispatcher.set_handler(self.quick)
        self.deliver(3)
        self.assertEqual(self.began, [1, 2, 3])

    def test_new_handler(self) -> None:
        """A new handler gets the messages that arrive from then on."""
        self.dispatcher.set_limit(1)
        self.dispatcher.set_handler(self.slow)
        self.deliver(1, 2)
        seen: list[int] = []
        self.dispatcher.set_handler(lambda message: seen.append(message.delivery_tag))
        self.pending[0].callback(None)
        self.assertEqual((self.began, seen), ([1], [2]))

    def test_many_wait(self) -> None:
        """Ten thousand messages that wait behind a slow one are all handled."""
        self.dispatcher.set_limit(1)

        def handle(message: Message) -> object:
            return self.slow(message) if not self.began else self.quick(message)

        self.dispatcher.set_handler(handle)
        self.deliver(*range(10_000))
        self.pending[0].callback(None)
        self.assertEqual(self.began, list(range(10_000)))
        self.assertEqual((self.handled, self.failed), (10_000, []))

    def test_many_coroutines_wait(self) -> None:
        """Ten thousand messages whose coroutines do not wait are all handled."""
        self.dispatcher.set_limit(1)
        gate: Deferred[None] = Deferred()

        async def handle(message: Message) -> None:
            self.began.append(message.delivery_tag)
            if len(self.began) == 1:
                await gate

        self.dispatcher.set_handler(handle)
        self.deliver(*range(2000))
        gate.callback(None)
        self.assertEqual(len(self.began), 2000)
        self.assertEqual((self.handled, self.failed), (2000, []))

    def test_delivered_from_a_handler(self) -> None:
        """A message that arrives while a waiting one is handled goes to the end."""
        self.dispatcher.set_limit(1)

        def handle(message: Message) -> object:
            if not self.began:
                return self.slow(message)
            self.quick(message)
            if message.delivery_tag == 2:
                self.deliver(4)
            return None

        self.dispatcher.set_handler(handle)
        self.deliver(1, 2, 3)
        self.pending[0].callback(None)
        self.assertEqual(self.began, [1, 2, 3, 4])

    def test_delivered_when_one_is_over(self) -> None:
        """
        A message that arrives when another one is finished goes behind those that wait.
        """
        late = [4]

        def on_handled() -> None:
            while late:
                self.deliver(late.pop())

        self.dispatcher = Dispatcher(
            1,
            Clock(),
            TurnBudget(Clock()),
            DecodedMemory(),
            self.on_failure,
            on_handled,
        )
        self.dispatcher.set_handler(self.slow)
        self.deliver(1, 2, 3)
        for number in range(4):
            self.pending[number].callback(None)
        self.assertEqual(self.began, [1, 2, 3, 4])


class FailureTests(DispatcherTestCase):
    """Handlers that fail."""

    def test_raises(self) -> None:
        """A message whose handler raises goes to on_failure."""

        def handle(message: Message) -> None:
            raise Refused("no")

        self.dispatcher.set_handler(handle)
        self.deliver(1)
        [(tag, failure)] = self.failed
        self.assertEqual(tag, 1)
        failure.trap(Refused)
        self.assertEqual(self.channel.settled, [("reject", 1, False)])

    def test_failed_deferred(self) -> None:
        """A message whose Deferred fails, now or later, goes to on_failure."""
        self.dispatcher.set_handler(lambda message: fail(Refused("no")))
        self.deliver(1)
        self.dispatcher.set_handler(self.slow)
        self.deliver(2)
        self.pending[0].errback(Failure(Refused("no")))
        self.assertEqual([tag for tag, _ in self.failed], [1, 2])

    def test_coroutine_raises(self) -> None:
        """A message whose coroutine raises goes to on_failure."""

        async def handle(message: Message) -> None:
            raise Refused("no")

        self.dispatcher.set_handler(handle)
        self.deliver(1)
        self.assertEqual([tag for tag, _ in self.failed], [1])

    def test_others_go_on(self) -> None:
        """A failure affects no other message."""

        def handle(message: Message) -> None:
            self.quick(message)
            if message.delivery_tag == 2:
                raise Refused("no")

        self.dispatcher.set_handler(handle)
        self.deliver(1, 2, 3)
        self.assertEqual(self.began, [1, 2, 3])
        self.assertEqual(self.handled, 3)

    def test_after_settling(self) -> None:
        """If a handler fails after it settled, that is only logged."""

        def handle(message: Message) -> None:
            message.ack()
            raise Refused("too late")

        self.dispatcher.set_handler(handle)
        self.deliver(1)
        self.assertEqual(self.failed, [])
        self.assertEqual(self.channel.settled, [("ack", 1, False)])
        self.assertEqual(self.errors(), ["too late"])
        self.assertEqual(self.handled, 1)

    def test_named_in_the_log(self) -> None:
        """Events for Twisted's older log name the message, too."""
        told: list[str | None] = []
        observer = LegacyLogObserverWrapper(
            cast("Any", lambda event: told.append(textFromEventDict(event)))
        )
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

        def handle(message: Message) -> None:
            message.ack()
            raise Refused("too late")

        self.dispatcher.set_handler(handle)
        self.deliver(1)
        self.assertEqual(self.errors(), ["too late"])
        self.assertRegex(str(told), "Handling <Message .* failed after it was settled")

    def test_on_failure_raises(self) -> None:
        """If on_failure raises, this is logged, and the message is requeued later."""

        def on_failure(message: Message, failure: Failure) -> None:
            raise Refused("policy")

        self.dispatcher = Dispatcher(
            1,
            self.timers,
            TurnBudget(Clock()),
            DecodedMemory(),
            on_failure,
            self.on_handled,
        )
        self.dispatcher.set_handler(lambda message: fail(ValueError()))
        self.deliver(1, 2)
        self.assertEqual(self.channel.settled, [])
        self.timers.advance(30)
        self.assertEqual(self.handed_back(), [1, 2])
        self.assertEqual(self.errors(), ["policy", "policy"])
        self.assertEqual((self.handled, self.dispatcher.running), (2, 0))

    def test_on_failure_raises_after_settling(self) -> None:
        """
        If on_failure raises after it settled the message, it is not settled again.
        """

        def on_failure(message: Message, failure: Failure) -> None:
            message.nack()
            raise Refused("policy")

        self.dispatcher = Dispatcher(
            1,
            Clock(),
            TurnBudget(Clock()),
            DecodedMemory(),
            on_failure,
            self.on_handled,
        )
        self.dispatcher.set_handler(lambda message: fail(ValueError()))
        self.deliver(1)
        self.assertEqual(self.channel.settled, [("nack", 1, False, True)])
        self.assertEqual(self.errors(), ["policy"])

    def test_on_failure_is_slow(self) -> None:
        """
        A message counts as handled only when the Deferred of on_failure has fired.
        """
        deciding: Deferred[None] = Deferred()
        self.dispatcher = Dispatcher(
            1,
            Clock(),
            TurnBudget(Clock()),
            DecodedMemory(),
            lambda *_: deciding,
            self.on_handled,
        )
        self.dispatcher.set_handler(lambda message: fail(ValueError()))
        self.deliver(1)
        self.assertEqual((self.handled, self.dispatcher.running), (0, 1))
        deciding.callback(None)
        self.assertEqual((self.handled, self.dispatcher.running), (1, 0))
        self.assertEqual(self.channel.settled, [])

    def test_on_failure_fails_later(self) -> None:
        """If the Deferred of on_failure fails, the message is requeued later."""
        deciding: Deferred[None] = Deferred()
        self.dispatcher = Dispatcher(
            1,
            self.timers,
            TurnBudget(Clock()),
            DecodedMemory(),
            lambda *_: deciding,
            self.on_handled,
        )
        self.dispatcher.set_handler(lambda message: fail(ValueError()))
        self.deliver(1)
        deciding.errback(Failure(Refused("late")))
        self.assertEqual(self.errors(), ["late"])
        self.timers.advance(30)
        self.assertEqual(self.handed_back(), [1])
        self.assertEqual((self.handled, self.dispatcher.running), (1, 0))

    def test_on_failure_is_a_coroutine(self) -> None:
        """on_failure may be a coroutine function."""

        async def on_failure(message: Message, failure: Failure) -> None:
            message.nack()

        self.dispatcher = Dispatcher(
            1,
            Clock(),
            TurnBudget(Clock()),
            DecodedMemory(),
            on_failure,
            self.on_handled,
        )
        self.dispatcher.set_handler(lambda message: fail(ValueError()))
        self.deliver(1)
        self.assertEqual(self.channel.settled, [("nack", 1, False, True)])
        self.assertEqual(self.handled, 1)

    def test_without_ack(self) -> None:
        """A no_ack message goes to on_failure, too, and settles nothing."""
        self.dispatcher.set_handler(lambda message: fail(Refused("no")))
        self.dispatcher.deliver(self.message(1, no_ack=True))
        self.assertEqual([tag for tag, _ in self.failed], [1])
        self.assertEqual(self.channel.settled, [])
        self.assertEqual(self.handled, 1)

    def test_fault_at_the_end(self) -> None:
        """
        An error of the function that is told of the end is logged, and nothing gets
        stuck.
        """

        def broken() -> None:
            self.handled += 1
            if self.handled == 1:
                raise Refused("fault")

        self.dispatcher = Dispatcher(
            1, Clock(), TurnBudget(Clock()), DecodedMemory(), self.on_failure, broken
        )
        self.dispatcher.set_handler(self.slow)
        self.deliver(1, 2)
        self.pending[0].callback(None)
        self.assertEqual(self.errors(), ["fault"])
        self.deliver(3)
        self.assertEqual(self.began, [1, 2])
        self.pending[1].callback(None)
        self.assertEqual(self.began, [1, 2, 3])

    def test_fault_after_a_failure(self) -> None:
        """An error of that function after a Deferred of on_failure is logged, too."""

        def broken() -> None:
            raise Refused("fault")

        deciding: Deferred[None] = Deferred()
        self.dispatcher = Dispatcher(
            1,
            Clock(),
            TurnBudget(Clock()),
            DecodedMemory(),
            lambda *_: deciding,
            broken,
        )
        self.dispatcher.set_handler(lambda message: fail(ValueError()))
        self.deliver(1)
        deciding.callback(None)
        self.assertEqual(self.errors(), ["fault"])
        self.assertEqual(self.dispatcher.running, 0)


class TakeTests(DispatcherTestCase):
    """Taking messages, where there is no handler."""

    def test_waits(self) -> None:
        """Each taker gets the next message, in order."""
        first, second = self.dispatcher.take_message(), self.dispatcher.take_message()
        self.deliver(1)
        self.assertEqual(self.successResultOf(first).delivery_tag, 1)
        self.assertNoResult(second)
        self.deliver(2)
        self.assertEqual(self.successResultOf(second).delivery_tag, 2)
        self.assertEqual(self.dispatcher.load, 0)

    def test_is_here(self) -> None:
        """A message that waits is taken at once."""
        self.deliver(1, 2)
        taken = self.successResultOf(self.dispatcher.take_message())
        self.assertEqual(taken.delivery_tag, 1)
        again = self.dispatcher.take_now()
        assert again is not None
        self.assertEqual(again.delivery_tag, 2)
        self.assertIsNone(self.dispatcher.take_now())

    def test_cancelled(self) -> None:
        """A cancelled taker gets no message, and takes none away from others."""
        gone = self.dispatcher.take_message()
        stays = self.dispatcher.take_message()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.deliver(1)
        self.assertEqual(self.successResultOf(stays).delivery_tag, 1)

    def test_no_more_come(self) -> None:
        """Takers fail when no more messages will come."""
        waiting = [self.dispatcher.take_message(), self.dispatcher.take_message()]
        self.dispatcher.fail_takers(Refused("closed"))
        for each in waiting:
            self.failureResultOf(each, Refused)

    def test_cancelled_by_another(self) -> None:
        """
        A taker that is cancelled while the others are failed fails with its
        cancellation.
        """
        first, second = self.dispatcher.take_message(), self.dispatcher.take_message()
        first.addErrback(lambda _: second.cancel())
        self.dispatcher.fail_takers(Refused("closed"))
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)

    def test_takes_again(self) -> None:
        """A taker that takes again in its errback waits for later messages."""
        again: list[Deferred[Message]] = []
        waiter = self.dispatcher.take_message()
        waiter.addErrback(lambda _: again.append(self.dispatcher.take_message()))
        self.dispatcher.fail_takers(Refused("closed"))
        self.assertNoResult(again[0])
        self.deliver(1)
        self.assertEqual(self.successResultOf(again[0]).delivery_tag, 1)

    def test_taken_in_a_callback(self) -> None:
        """A loop that takes one message after the other gets all of them in order."""
        seen: list[int] = []

        def took(message: Message) -> None:
            seen.append(message.delivery_tag)
            self.dispatcher.take_message().addCallback(took)

        self.dispatcher.take_message().addCallback(took)
        self.deliver(1, 2, 3)
        self.assertEqual(seen, [1, 2, 3])


class GiveBackTests(DispatcherTestCase):
    """Messages that no handler has begun with, when a consumer ends."""

    def test_only_what_waits(self) -> None:
        """A message that a handler has begun with is not given back."""
        self.dispatcher.set_limit(1)
        self.dispatcher.set_handler(self.slow)
        self.deliver(1, 2, 3)
        self.dispatcher.hand_back_from(["tag"])
        self.assertEqual(self.handed_back(), [2, 3])
        self.assertEqual(self.dispatcher.load, 1)
        self.pending[0].callback(None)
        self.assertEqual(self.began, [1])

    def test_only_its_own(self) -> None:
        """Messages of other consumers stay, in order."""
        for tag, name in enumerate(["a", "b", "a", "b"]):
            self.dispatcher.deliver(self.message(tag, name))
        self.dispatcher.hand_back_from(["a"])
        self.assertEqual(self.handed_back(), [0, 2])
        self.dispatcher.set_handler(self.quick)
        self.assertEqual(self.began, [1, 3])

    def test_without_ack(self) -> None:
        """
        no_ack messages, which the broker would not take back, are kept and handled.
        """
        self.dispatcher.deliver(self.message(1, no_ack=True))
        self.dispatcher.hand_back_from(["tag"])
        self.assertEqual(self.handed_back(), [])
        self.dispatcher.set_handler(self.quick)
        self.assertEqual(self.began, [1])

    def test_from_a_handler(self) -> None:
        """A handler may end its consumer: waiting messages are given back."""
        self.dispatcher.set_limit(1)

        def handle(message: Message) -> object:
            if not self.began:
                return self.slow(message)
            self.quick(message)
            self.dispatcher.hand_back_from(["tag"])
            return None

        self.dispatcher.set_handler(handle)
        self.deliver(1, 2, 3, 4)
        self.pending[0].callback(None)
        self.assertEqual((self.began, self.handed_back()), ([1, 2], [3, 4]))


class HoldTests(DispatcherTestCase):
    """Messages that are held after a failure."""

    def setUp(self) -> None:
        super().setUp()
        self.hold = Hold(5)
        self.limited(0)

    def limited(self, limit: int) -> None:
        """Make a dispatcher that handles so many at the same time."""
        self.dispatcher = Dispatcher(
            limit,
            self.timers,
            TurnBudget(Clock()),
            DecodedMemory(),
            lambda message, failure: self.hold,
            self.on_handled,
        )
        self.dispatcher.set_handler(self.fail_first)

    def fail_first(self, message: Message) -> None:
        """Fail the first attempt at the first message."""
        self.began.append(message.delivery_tag)
        if self.began == [1]:
            raise Refused("for now")
        message.ack()

    def test_handled_again(self) -> None:
        """It is handled again after the delay; the others go on meanwhile."""
        self.deliver(1, 2)
        self.assertEqual((self.began, self.dispatcher.held), ([1, 2], 1))
        self.assertEqual((self.dispatcher.running, self.dispatcher.load), (0, 1))
        self.timers.advance(4.9)
        self.assertEqual(self.began, [1, 2])
        self.timers.advance(0.1)
        self.assertEqual(self.began, [1, 2, 1])
        self.assertEqual(self.channel.settled, [("ack", 2, False), ("ack", 1, False)])
        self.assertEqual((self.dispatcher.held, self.dispatcher.load), (0, 0))

    def test_in_order(self) -> None:
        """With one at a time the others wait for it."""
        self.limited(1)
        self.deliver(1, 2, 3)
        self.assertEqual(self.began, [1])
        self.assertTrue(self.dispatcher.is_stuck)
        idle = self.dispatcher.when_idle()
        self.timers.advance(5)
        self.assertEqual(self.began, [1, 1, 2, 3])
        self.successResultOf(idle)

    def test_requeued(self) -> None:
        """It may be requeued after the delay, and keeps no slot meanwhile."""
        self.hold = Hold(5, requeue=True)
        self.limited(1)
        self.deliver(1, 2)
        self.assertEqual(self.began, [1, 2])
        self.assertEqual(self.handed_back(), [])
        self.timers.advance(5)
        self.assertEqual(self.handed_back(), [1])
        self.assertEqual(self.began, [1, 2])

    def test_before_others(self) -> None:
        """When its delay is over it is handled before messages that wait."""
        self.limited(2)
        self.dispatcher.set_handler(self.slow)
        self.deliver(1, 2, 3, 4)
        self.pending[0].errback(Failure(Refused("for now")))
        self.assertEqual(self.began, [1, 2, 3])
        self.timers.advance(5)
        self.pending[1].callback(None)
        self.assertEqual(self.began, [1, 2, 3, 1])

    def test_counted(self) -> None:
        """Each failure counts as an attempt."""
        message = self.message(7)
        self.dispatcher.set_handler(self.refuse)
        self.dispatcher.deliver(message)
        self.timers.pump([5, 5])
        self.assertEqual(message.attempts, 3)

    def refuse(self, message: Message) -> None:
        """Fail."""
        raise Refused("always")

    def test_closed(self) -> None:
        """A close hands it back, and leaves no timer; no slot is kept."""
        for limit in (0, 1):
            self.setUp()
            self.limited(limit)
            self.deliver(1)
            idle = self.dispatcher.when_idle()
            self.dispatcher.close()
            self.assertEqual(self.handed_back(), [1])
            self.assertEqual(self.timers.getDelayedCalls(), [])
            self.successResultOf(idle)

    def test_cancelled(self) -> None:
        """So does the end of its consumer; those of other consumers stay."""
        self.dispatcher.set_handler(self.refuse)
        self.dispatcher.deliver(self.message(1, "a"))
        self.dispatcher.deliver(self.message(2, "b"))
        self.dispatcher.hand_back_from(["a"])
        self.assertEqual((self.handed_back(), self.dispatcher.held), ([1], 1))

    def test_fails_while_its_consumer_ends(self) -> None:
        """One that fails while its consumer is being ended is handed back at once."""
        self.dispatcher.set_handler(self.slow)
        self.deliver(1)
        self.dispatcher.refuse_from(["tag"])
        self.pending[0].errback(Failure(Refused("now")))
        self.assertEqual((self.handed_back(), self.dispatcher.held), ([1], 0))

    def test_lost(self) -> None:
        """After a loss it is forgotten: the broker delivers it again."""
        self.limited(1)
        self.deliver(1)
        self.unacked.die()
        self.unacked = UnackedMessages(self.channel, DecodedMemory())
        self.deliver(2)
        self.assertEqual(self.began, [1, 2])
        self.assertEqual(self.timers.getDelayedCalls(), [])

    def test_memory_is_full(self) -> None:
        """It is handled again though decoded messages fill the memory: it is one."""
        memory = DecodedMemory()
        self.dispatcher = Dispatcher(
            0,
            self.timers,
            TurnBudget(Clock()),
            memory,
            lambda message, failure: self.hold,
            self.on_handled,
        )
        self.dispatcher.set_handler(self.fail_first)
        self.deliver(1)
        memory.hold(BODIES * MAX_BODY_SIZE + 1)
        self.deliver(2)
        self.assertEqual(self.began, [1])
        self.timers.advance(5)
        self.assertEqual(self.began, [1, 1])
        memory.let_go(BODIES * MAX_BODY_SIZE + 1)
        self.assertEqual(self.began, [1, 1, 2])

    def test_memory_and_time(self) -> None:
        """It waits for the next turn only, though another one waits for memory."""
        memory, turns = DecodedMemory(), Clock()
        budget = TurnBudget(turns)
        self.dispatcher = Dispatcher(
            0, self.timers, budget, memory, lambda *_: self.hold, self.on_handled
        )
        self.dispatcher.set_handler(self.fail_first)
        self.deliver(1)
        memory.hold(BODIES * MAX_BODY_SIZE + 1)
        self.deliver(2)
        budget.spend(1)
        self.timers.advance(5)
        self.assertEqual(self.began, [1])
        turns.advance(0)
        self.assertEqual(self.began, [1, 1])
        memory.let_go(BODIES * MAX_BODY_SIZE + 1)

    def test_many_released(self) -> None:
        """Thousands of messages are held, wait when they are due, and go back."""
        self.dispatcher.set_handler(self.refuse)
        self.deliver(*range(1, 3001))
        self.assertEqual(self.dispatcher.held, 3000)
        self.dispatcher.pause()
        self.timers.advance(5)
        self.dispatcher.hand_back_from(["tag"])
        self.assertEqual(self.handed_back(), list(range(1, 3001)))


class IdleTests(DispatcherTestCase):
    """Waiting until no handler runs."""

    def test_idle(self) -> None:
        """If no handler runs it fires at once."""
        self.successResultOf(self.dispatcher.when_idle())

    def test_busy(self) -> None:
        """It fires when the last handler has finished."""
        self.dispatcher.set_handler(self.slow)
        self.deliver(1, 2)
        idle = self.dispatcher.when_idle()
        self.pending[0].callback(None)
        self.assertNoResult(idle)
        self.pending[1].errback(Failure(Refused()))
        self.successResultOf(idle)

    def test_between_two(self) -> None:
        """It does not fire between a message and the one that waits behind it."""
        self.dispatcher.set_limit(1)
        self.dispatcher.set_handler(self.slow)
        self.deliver(1, 2)
        idle = self.dispatcher.when_idle()
        self.pending[0].callback(None)
        self.assertNoResult(idle)
        self.pending[1].callback(None)
        self.successResultOf(idle)

    def test_all_at_once(self) -> None:
        """It fires after all waiting messages if those are finished at once."""
        self.dispatcher.set_limit(1)

        def handle(message: Message) -> object:
            return self.slow(message) if not self.began else self.quick(message)

        self.dispatcher.set_handler(handle)
        self.deliver(1, 2, 3)
        handled: list[int] = []
        self.dispatcher.when_idle().addCallback(
            lambda _: handled.append(len(self.began))
        )
        self.pending[0].callback(None)
        self.assertEqual(handled, [3])

    def test_delivered_when_idle(self) -> None:
        """A message that is delivered in its callback is handled as usual."""
        self.dispatcher.set_handler(self.slow)
        self.deliver(1)
        self.dispatcher.when_idle().addCallback(lambda _: self.deliver(2))
        self.pending[0].callback(None)
        self.assertEqual(self.began, [1, 2])
        self.assertEqual(self.dispatcher.running, 1)


class SlowHandlerTests(DispatcherTestCase):
    """Plain handlers that take a long time."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = TurnClock()
        self.budget = TurnBudget(self.clock)
        self.budget.now = lambda: self.seconds
        self.seconds = 0.0
        self.dispatcher = Dispatcher(
            0, Clock(), self.budget, DecodedMemory(), self.on_failure, self.on_handled
        )
        self.begun: list[int] = []

    def work(self, message: Message) -> None:
        """Take 20 ms."""
        self.begun.append(message.delivery_tag)
        self.seconds += 0.02

    def test_rest_waits(self) -> None:
        """After 50 ms the other messages wait for the next turn, in order."""
        self.dispatcher.set_handler(self.work)
        self.deliver(*range(1, 9))
        self.assertEqual(self.begun, [1, 2, 3])
        self.clock.turn()
        self.assertEqual(self.begun, [1, 2, 3, 4, 5, 6])
        self.deliver(9)
        self.clock.turn()
        self.assertEqual(self.begun, list(range(1, 10)))
        self.clock.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failing(self) -> None:
        """Handlers that fail take time, too."""

        def fails(message: Message) -> None:
            self.work(message)
            raise Refused("slowly")

        self.dispatcher.set_handler(fails)
        self.deliver(*range(1, 6))
        self.assertEqual(self.begun, [1, 2, 3])
        self.clock.turn()
        self.assertEqual(self.begun, [1, 2, 3, 4, 5])

    def test_together(self) -> None:
        """All consumers of a connection share the 50 ms."""
        other = Dispatcher(
            0, Clock(), self.budget, DecodedMemory(), self.on_failure, self.on_handled
        )
        self.dispatcher.set_handler(self.work)
        other.set_handler(self.work)
        self.deliver(1, 2, 3)
        other.deliver(self.message(4))
        self.assertEqual(self.begun, [1, 2, 3])
        self.clock.turn()
        self.assertEqual(self.begun, [1, 2, 3, 4])

    def test_fast_ones(self) -> None:
        """Handlers that take no time all run at once, and leave no timer."""
        self.dispatcher.set_handler(lambda message: self.begun.append(1))
        self.deliver(*range(1, 500))
        self.assertEqual(len(self.begun), 499)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_iteration(self) -> None:
        """The work on messages that are taken one by one counts, too."""
        self.deliver(*range(1, 9))

        def next_one(message: Message) -> None:
            self.work(message)
            self.dispatcher.take_message().addCallback(next_one)

        self.dispatcher.take_message().addCallback(next_one)
        self.assertEqual(self.begun, [1, 2, 3])
        for _ in range(3):
            self.clock.turn()
        self.assertEqual(self.begun, list(range(1, 9)))


class MemoryTests(DispatcherTestCase):
    """Messages that take much memory when they are decoded."""

    def setUp(self) -> None:
        super().setUp()
        self.memory = DecodedMemory()
        self.budget = TurnBudget(Clock())
        self.dispatcher = Dispatcher(
            0, Clock(), self.budget, self.memory, self.on_failure, self.on_handled
        )

    def fill(self, message: Message) -> Deferred[None]:
        """Use more memory than the limit, and take time."""
        self.memory.hold(BODIES * MAX_BODY_SIZE + 1)
        return self.slow(message)

    def empty(self) -> None:
        """Free the memory."""
        self.memory.let_go(BODIES * MAX_BODY_SIZE + 1)

    def test_handlers(self) -> None:
        """While the memory is full no handler begins; then they continue in order."""
        self.dispatcher.set_handler(self.fill)
        self.deliver(1, 2, 3)
        self.assertEqual(self.began, [1])
        self.pending[0].callback(None)
        self.assertEqual(self.began, [1], "it is not settled yet")
        self.empty()
        self.assertEqual(self.began, [1, 2])
        self.empty()
        self.assertEqual(self.began, [1, 2, 3])

    def test_takers(self) -> None:
        """While the memory is full no taker gets a message either."""
        self.memory.hold(BODIES * MAX_BODY_SIZE + 1)
        self.deliver(1)
        taking = self.dispatcher.take_message()
        self.assertNoResult(taking)
        self.empty()
        self.assertEqual(self.successResultOf(taking).delivery_tag, 1)


class ClosedTests(DispatcherTestCase):
    """After a close no handler begins."""

    def test_waiting(self) -> None:
        """Waiting messages are given back, and so are those that arrive later."""
        self.dispatcher.set_limit(1)
        self.dispatcher.set_handler(self.slow)
        self.deliver(1, 2, 3)
        self.dispatcher.close()
        self.assertEqual(
            self.channel.settled, [("nack", 2, False, True), ("nack", 3, False, True)]
        )
        self.deliver(4)
        self.assertEqual(self.channel.settled[2:], [("nack", 4, False, True)])
        self.pending[0].callback(None)
        self.assertEqual(len(self.pending), 1)

    def test_resumed(self) -> None:
        """A pause can be undone, a close cannot."""
        begun: list[int] = []
        self.dispatcher.set_handler(lambda message: begun.append(message.delivery_tag))
        self.dispatcher.pause()
        self.deliver(1)
        self.assertEqual(begun, [])
        self.dispatcher.resume()
        self.assertEqual(begun, [1])
        self.dispatcher.close()
        self.dispatcher.resume()
        self.deliver(2)
        self.assertEqual(begun, [1])
