"""
Corner cases in which several things happen at once, on the memory broker under a Clock.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import Probe
from tests.support.fakes import FakeSession, FakeTransport
from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue
from txkombu.core.channel import Channel
from txkombu.core.publish_queue import PublishQueue
from txkombu.exceptions import (
    ChannelClosed,
    ConnectionClosed,
    NotSupported,
    OperationTimeout,
    OutcomeUnknown,
    SerializerNotInstalled,
    SessionLost,
)
from txkombu.testing import BrokerTestCase

EXCHANGE = Exchange("feed", type="direct")
QUEUE = Queue("feed", EXCHANGE, "importer")


def messages_alive() -> list[Message]:
    """Return all messages that something still refers to."""
    gc.collect()
    return [each for each in gc.get_objects() if issubclass(type(each), Message)]


class CornerTestCase(BrokerTestCase):
    """The base of these cases: a handler, and a clock."""

    def setUp(self) -> None:
        super().setUp()
        self.got: list[Any] = []

    def take(self, payload: Any, message: Message) -> None:
        """Return a callback that records the payload and acks."""
        self.got.append(payload)
        message.ack()

    def producer(self) -> Producer:
        """Return a producer whose exchange is declared."""
        producer = Producer(self.connection, EXCHANGE, "importer")
        self.result_of(producer.declare())
        return producer

    def publish(self, body: object, key: str = "importer") -> None:
        """Publish over another connection."""
        producer = Producer(self.connect(), EXCHANGE)
        self.result_of(producer.publish(body, key))


class PublishingTests(CornerTestCase):
    """A channel with nothing but publishers is restored for them."""

    def test_who_waits_for_room_at_a_loss(self) -> None:
        """
        A caller that waits for room when the session is lost hears of the next session.
        """
        producer = self.producer()
        self.broker.hold_confirms()
        publishes = [Probe(producer.publish(number)) for number in range(1000)]
        waiting = producer.when_ready()
        self.flush()
        self.assertNoResult(waiting)
        self.broker.drop()
        self.assertIsInstance(publishes[0].outcome, OutcomeUnknown)
        self.assertNoResult(waiting)
        self.advance(1)
        self.successResultOf(waiting)
        self.broker.release_confirms()

    def test_many_at_a_loss(self) -> None:
        """publish_all ends when the session is lost while it waits for room."""
        producer = self.producer()
        self.broker.hold_confirms()
        publishing = producer.publish_all(range(3000))
        self.flush()
        self.broker.drop()
        self.advance(1)
        self.failureResultOf(publishing, OutcomeUnknown)
        self.broker.release_confirms()

    def test_published_when_opened_and_dropped(self) -> None:
        """A publish waits if the program drops the session when its channel opens."""
        channel = Channel(self.connection)
        publishes: list[Probe] = []

        def opened(_: object) -> None:
            self.connection.drop()
            publishes.append(Probe(Producer(channel).publish("x", "q")))

        channel.core.opener.when_open().addCallback(opened)
        self.advance(2)
        self.assertEqual([each.outcomes for each in publishes], [[None]])


class DeclaringTests(CornerTestCase):
    """What a publish declares first."""

    def test_a_queue_without_its_bindings(self) -> None:
        """A queue that was declared alone still gets its bindings."""
        channel = self.result_of(self.connection.channel())
        self.result_of(QUEUE(channel).queue_declare())
        producer = Producer(channel, EXCHANGE, "importer")
        self.result_of(producer.publish("x", declare=[QUEUE]))
        self.assertEqual(self.broker.waiting_in("feed"), 1)

    def test_an_exchange_that_was_only_checked(self) -> None:
        """An exchange that was only checked is not declared after a loss."""
        exchange = Exchange("theirs", passive=True)
        self.result_of(Exchange("theirs")(self.connect()).declare())
        self.result_of(exchange(self.connection).declare())
        session = FakeSession()
        self.result_of(self.connection.core.topology.replay(session))
        self.assertEqual(session.channels, [])

    def test_on_declared_after_a_loss(self) -> None:
        """on_declared is called for each declaration, with the name of the queue."""
        for name in ("mine", ""):
            told: list[tuple[object, ...]] = []
            queue = Queue(name, on_declared=lambda *each, told=told: told.append(each))
            bound = queue(self.connect())
            self.result_of(bound.declare())
            first = bound.name
            self.broker.drop()
            self.advance(2)
            self.assertEqual(told, [(first, 0, 0), (bound.name, 0, 0)])
            self.assertEqual(first == bound.name, bool(name))
            self.broker.memory.queue(bound.name)

    def test_on_declared_that_fails(self) -> None:
        """An error of on_declared is logged, and does not stop the restoring."""

        def note(
            name: str, messages: int | None, consumers: int | None
        ) -> Deferred[None]:
            if not messages:
                raise ZeroDivisionError
            return fail(ZeroDivisionError())

        queue = Queue("mine", on_declared=note)(self.connection)
        self.result_of(queue.declare())
        self.result_of(Producer(self.connection).publish("x", "mine"))
        self.result_of(queue.declare())
        self.broker.drop()
        self.advance(2)
        self.assertTrue(self.connection.connected)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_what_cannot_be_declared(self) -> None:
        """
        A declaration that cannot be sent is refused at once, and delays no message
        behind it.
        """
        producer = self.producer()
        self.result_of(producer.publish("first"))
        for wrong in (5, "feed", ["feed"], QUEUE, [QUEUE, None]):
            with self.assertRaisesRegex(TypeError, "list of exchanges and queues"):
                producer.publish("refused", declare=wrong)  # type: ignore[arg-type]  # wrong on purpose
        self.result_of(producer.publish("next", declare=[]))
        self.assertEqual([each.payload for each in self.published], ["first", "next"])

    def test_accept_of_a_single_operation(self) -> None:
        """An unknown serializer in accept fails the Deferred of get."""
        queue = QUEUE(self.connection)
        self.result_of(queue.declare())
        unknown = queue.get(accept=["jsno"])
        self.failureResultOf(unknown, SerializerNotInstalled)
        consuming = queue.channel.consume(queue, self.got.append, accept=["jsno"])
        self.failureResultOf(consuming, SerializerNotInstalled)
        self.assertTrue(self.connection.is_consuming)

    def test_a_queue_whose_binding_was_removed(self) -> None:
        """
        A queue that lost a binding is declared again; one that has all is left alone.
        """
        channel = self.result_of(self.connection.channel())
        queue = QUEUE(channel)
        self.result_of(queue.declare())
        self.assertTrue(self.connection.core.topology.knows(QUEUE))
        self.result_of(queue.unbind_from(EXCHANGE, "importer"))
        self.assertFalse(self.connection.core.topology.knows(QUEUE))


class ConsumerTests(CornerTestCase):
    """The end of consumers, by themselves or with their channel or connection."""

    def consumer(self, *callbacks: Any, **options: Any) -> Consumer:
        """Return a running consumer."""
        consumer = Consumer(self.connection, QUEUE, callbacks=callbacks, **options)
        self.result_of(consumer.consume())
        return consumer

    def test_iteration_ends_with_the_connection(self) -> None:
        """An iteration ends when the connection closes."""
        consumer = self.consumer()

        async def program() -> str:
            async for message in consumer:
                await message.ack()
            return "ended"

        done = Deferred.fromCoroutine(program())
        self.publish(1)
        self.assertNoResult(done)
        self.result_of(self.connection.close())
        self.assertEqual(self.successResultOf(done), "ended")

    def test_iteration_ends_with_the_channel(self) -> None:
        """
        An iteration ends when its channel closes, now or before; other channels do not
        matter.
        """
        consumer, other = self.consumer(), self.consumer()
        waiting, others = consumer.take(), other.take()
        self.result_of(consumer.channel.close())
        self.failureResultOf(waiting, ChannelClosed)
        self.failureResultOf(consumer.take(), ChannelClosed)
        self.assertNoResult(others)
        self.result_of(other.close())
        self.failureResultOf(others, ChannelClosed)

    def test_all_who_close_wait(self) -> None:
        """A second close fires when the first does; cancelling one affects no other."""
        consumer = self.consumer(self.take)
        impatient = Probe(consumer.close())
        patient = consumer.close()
        impatient.deferred.cancel()
        self.assertIsInstance(impatient.outcome, CancelledError)
        self.assertNoResult(patient)
        self.flush()
        self.successResultOf(patient)
        self.successResultOf(consumer.close())
        self.assertTrue(consumer.channel.closed)

    def test_cancelled_cancel(self) -> None:
        """Cancelling the Deferred of cancel changes nothing about the cancel."""
        consumer = self.consumer(self.take)
        cancelling = consumer.cancel()
        cancelling.cancel()
        self.assertIsNone(self.successResultOf(cancelling))
        self.flush()
        self.publish("kept")
        self.assertEqual((self.got, self.broker.waiting_in("feed")), ([], 1))

    def slow(self) -> tuple[Consumer, list[tuple[Message, Deferred[None]]]]:
        """Return a consumer that handles one message at a time, and what it handles."""
        at_work: list[tuple[Message, Deferred[None]]] = []

        def handle(payload: Any, message: Message) -> Deferred[None]:
            self.got.append(payload)
            at_work.append((message, Deferred()))
            return at_work[-1][1]

        return self.consumer(handle, concurrency=1), at_work

    def finish(self, at_work: list[tuple[Message, Deferred[None]]]) -> None:
        """Let all messages be handled and acked."""
        while at_work:
            message, handled = at_work.pop(0)
            if not message.acknowledged:
                message.ack()
            handled.callback(None)
            self.flush()

    def test_what_waits_at_a_loss(self) -> None:
        """
        A message that no handler has begun with when the session is lost is
        redelivered, so it is handled once, and old copies do not pile up.
        """
        consumer, at_work = self.slow()
        for number in range(5):
            self.publish(number)
        for _ in range(3):
            self.broker.drop()
            self.advance(20)
        self.assertEqual(consumer.running, 1)
        self.finish(at_work)
        self.assertEqual(self.got, [0, 0, 1, 2, 3, 4])

    def test_what_waits_to_be_taken_at_a_loss(self) -> None:
        """A message that waits to be taken when the session is lost is taken once."""
        consumer = self.consumer()
        for number in range(3):
            self.publish(number)
        self.broker.drop()
        self.advance(2)
        for number in range(3):
            message = self.result_of(consumer.take())
            self.assertEqual((message.payload, message.redelivered), (number, True))
            message.ack()
        self.assertFalse(Probe(consumer.take()).fired)
        self.result_of(consumer.close())

    def test_what_waits_when_recovered(self) -> None:
        """A message that recover gave back is redelivered, and then handled."""
        consumer, at_work = self.slow()
        for number in range(3):
            self.publish(number)
        self.result_of(consumer.recover(requeue=True))
        self.finish(at_work)
        self.assertEqual(self.got, [0, 0, 1, 2])

    def test_what_waits_when_its_channel_closes(self) -> None:
        """
        No handler begins with a message whose channel has closed: the broker has it
        again.
        """
        consumer, at_work = self.slow()
        for number in range(3):
            self.publish(number)
        self.result_of(consumer.channel.close())
        self.finish(at_work)
        self.assertEqual((self.got, self.broker.waiting_in("feed")), ([0], 3))

    def test_handlers_of_what_is_gone_hold_up_no_others(self) -> None:
        """Such messages keep no other consumer of the channel from its own."""
        consumer, at_work = self.slow()
        needless = Queue("needless", EXCHANGE, "needless", no_ack=True)
        self.result_of(consumer.cancel())
        consumer.qos(prefetch_count=4)
        consumer.add_queue(needless)
        self.result_of(consumer.consume())
        for number in range(5):
            self.publish(number)
        self.publish("n", "needless")
        self.broker.drop()
        self.advance(2)
        self.finish(at_work)
        self.assertEqual(
            sorted(map(str, self.got)), ["0", "0", "1", "2", "3", "4", "n"]
        )

    def test_starting_again_on_a_brief_queue(self) -> None:
        """
        A queue that was deleted with its last consumer is declared for the next one; a
        server-named queue gets another name.
        """
        for name in ("brief", ""):
            self.got.clear()
            queue = Queue(name, EXCHANGE, "brief", auto_delete=True)
            consumer = Consumer(self.connection, queue, callbacks=[self.take])
            self.result_of(consumer.consume())
            self.result_of(consumer.flow(False))
            self.result_of(consumer.flow(True))
            self.publish("again", "brief")
            self.assertEqual(self.got, ["again"])
            self.broker.drop()
            self.advance(8)
            self.publish("restored", "brief")
            self.assertEqual(self.got, ["again", "restored"])
            self.result_of(consumer.close())

    def test_qos_of_the_only_consumer_of_a_brief_queue(self) -> None:
        """
        qos is refused for an exclusive consumer whose queue is deleted with it: it
        would have to end before it starts with another limit.
        """
        for exclusive in (False, True):
            queue = Queue(
                "brief", EXCHANGE, "brief", auto_delete=True, exclusive=exclusive
            )
            consumer = Consumer(
                self.connection, queue, callbacks=[self.take], exclusive=True
            )
            self.result_of(consumer.consume())
            refused = self.failureResultOf(consumer.qos(prefetch_count=3), NotSupported)
            self.assertIn("'brief' goes with its last consumer", str(refused.value))
            self.publish("again", "brief")
            self.assertEqual(self.got, ["again"])
            self.result_of(consumer.close())
            self.got.clear()

    def test_qos_of_a_brief_queue(self) -> None:
        """
        A consumer that is not exclusive starts anew before the old one ends, so its
        queue stays.
        """
        queue = Queue("brief", EXCHANGE, "brief", auto_delete=True)
        consumer = Consumer(self.connection, queue, prefetch_count=1)
        self.result_of(consumer.consume())
        for number in range(4):
            self.publish(number, "brief")
        self.result_of(consumer.qos(prefetch_count=3))
        for number in range(4):
            message = self.result_of(consumer.take())
            self.assertEqual(message.payload, number)
            self.result_of(message.ack())

    def test_flow_of_a_brief_queue(self) -> None:
        """
        flow(False) does not delete a queue that is deleted with its last consumer.
        """
        queue = Queue("brief", EXCHANGE, "brief", auto_delete=True)
        consumer = Consumer(self.connection, queue, callbacks=[self.take])
        self.result_of(consumer.consume())
        self.result_of(consumer.flow(False))
        self.publish("kept", "brief")
        self.assertEqual(self.got, [])
        self.result_of(consumer.flow(True))
        self.assertEqual(self.got, ["kept"])

    def test_dropping_a_queue_while_others_start(self) -> None:
        """Cancelling one queue affects no other, whatever is under way."""
        one, two = Queue("one", EXCHANGE), Queue("two", EXCHANGE)
        consumer = Consumer(self.connection, [one, QUEUE, two], callbacks=[self.take])
        starting = consumer.consume()
        ending = consumer.cancel_by_queue(QUEUE)
        self.flush()
        self.successResultOf(starting)
        self.successResultOf(ending)
        names = ("one", "feed", "two")
        running = [consumer.consuming_from(name) for name in names]
        self.assertEqual(running, [True, False, True])

    def test_dropping_a_queue_that_is_being_started(self) -> None:
        """
        A consumer whose queue is cancelled while it starts ends as soon as it runs;
        consume fires.
        """
        consumer = Consumer(self.connection, QUEUE, callbacks=[self.take])
        self.result_of(consumer.declare())
        starting = consumer.consume()
        ending = consumer.cancel_by_queue(QUEUE)
        self.flush()
        self.successResultOf(starting)
        self.successResultOf(ending)
        self.assertEqual(self.broker.memory.queue("feed").consumers, [])

    def test_dropping_a_queue_during_qos(self) -> None:
        """
        If one queue is cancelled during qos, the other one's consumer starts with the
        new limit.
        """
        other = Queue("other", EXCHANGE, "other")
        for exclusive in (False, True):
            consumer = Consumer(self.connection, [QUEUE, other], exclusive=exclusive)
            self.result_of(consumer.consume())
            changing = consumer.qos(prefetch_count=7)
            ending = consumer.cancel_by_queue(QUEUE)
            self.flush()
            self.successResultOf(changing)
            self.successResultOf(ending)
            self.assertEqual(self.broker.memory.queue("feed").consumers, [])
            [running] = self.broker.memory.queue("other").consumers
            self.assertEqual(running.limit, 7)
            self.result_of(consumer.close())

    def test_a_loss_while_an_exclusive_one_changes(self) -> None:
        """
        An exclusive consumer that changes its limit has to end first; if the session or
        channel is lost then, it is still started again.
        """
        lost: list[Callable[[Channel], object]] = [
            lambda channel: self.broker.drop(),
            lambda channel: Probe(Queue("?")(channel).queue_declare(passive=True)),
        ]
        for lose in lost:
            consumer = self.consumer(exclusive=True)
            channel = consumer.channel
            changing = Probe(consumer.qos(prefetch_count=7))
            while consumer.consuming_from("feed"):
                self.clock.advance(0)
            lose(channel)
            self.advance(9)
            self.assertIsNone(changing.outcome)
            [running] = self.broker.memory.queue("feed").consumers
            self.assertEqual(running.limit, 7)
            self.result_of(consumer.close())

    def test_closed_while_an_exclusive_one_changes(self) -> None:
        """
        A close or a refusal while an exclusive consumer changes its limit is reported,
        and ends the consumer.
        """
        consumer = self.consumer(exclusive=True)
        changing = consumer.qos(prefetch_count=7)
        closing = consumer.channel.close()
        self.flush()
        self.successResultOf(closing)
        self.failureResultOf(changing, ChannelClosed)
        self.assertFalse(consumer.consuming_from("feed"))

    def test_slow_without_acks_after_a_loss(self) -> None:
        """
        A slow no_ack consumer gets no more messages than its prefetch on a new session
        either.
        """
        at_work: list[Deferred[None]] = []

        def handle(payload: Any, message: Message) -> Deferred[None]:
            self.got.append(payload)
            at_work.append(Deferred())
            return at_work[-1]

        self.consumer(handle, no_ack=True, prefetch_count=2)
        for number in range(10):
            self.publish(number)
        self.assertEqual(self.broker.waiting_in("feed"), 6)
        self.broker.drop()
        self.advance(2)
        self.assertEqual(self.broker.waiting_in("feed"), 6)
        while at_work:
            at_work.pop(0).callback(None)
            self.flush()
        self.assertEqual(self.got, list(range(10)))

    def test_nobody_waits_for_one_without_acks(self) -> None:
        """A slow no_ack consumer delays neither other consumers nor confirms."""
        slow = Consumer(self.connection, QUEUE, no_ack=True, prefetch_count=2)
        channel = slow.channel
        other = Queue("other", EXCHANGE, "other")
        beside = Consumer(channel, other, callbacks=[self.take])
        self.result_of(slow.consume())
        self.result_of(beside.consume())
        producer = Producer(channel, EXCHANGE)
        for number in range(5):
            self.result_of(producer.publish(number, "importer"))
        self.result_of(producer.publish("first", "other"))
        self.assertEqual(self.got, ["first"])
        for end in (slow.cancel, slow.close):
            self.result_of(end())
            self.assertEqual(self.broker.waiting_in("feed"), 5, "none was begun with")

    def test_what_needs_no_ack_is_not_kept(self) -> None:
        """Nothing keeps a no_ack message after the caller has taken it."""
        before = messages_alive()
        consumer = self.consumer(no_ack=True)
        for number in range(5):
            self.publish(number)
            self.assertEqual(self.result_of(consumer.take()).payload, number)
        # Other tests may have left some.
        known = {id(each) for each in before}
        kept = [each for each in messages_alive() if id(each) not in known]
        self.assertEqual(kept, [])

    def test_what_comes_after_a_cancel(self) -> None:
        """Messages that arrive after a cancel are given back unhandled."""
        consumer = self.consumer(self.take)
        producer = self.producer()
        self.result_of(producer.publish("before"))
        for number in range(3):
            producer.publish(number)
        cancelling = consumer.cancel()
        self.flush()
        self.successResultOf(cancelling)
        self.assertEqual((self.got, self.broker.waiting_in("feed")), (["before"], 3))

    def test_what_was_taken_when_it_closes(self) -> None:
        """
        Closing gives taken and unsettled messages back, though the channel stays open.
        """
        channel = self.result_of(self.connection.channel())
        consumer = Consumer(channel, QUEUE)
        self.result_of(consumer.consume())
        for number in range(3):
            self.publish(number)
        first, second = (self.result_of(consumer.take()) for _ in range(2))
        self.result_of(first.ack())
        self.result_of(consumer.close())
        self.assertTrue(channel.is_open)
        self.assertEqual(self.broker.waiting_in("feed"), 2)
        self.assertTrue(second.acknowledged)

    def test_several_settled_at_once(self) -> None:
        """
        After ack(multiple=True) neither the message nor those before it are unsettled.
        """
        for settle in (Message.ack, Message.nack):
            channel = self.result_of(self.connection.channel())
            consumer = Consumer(channel, QUEUE)
            self.result_of(consumer.consume())
            for number in range(3):
                self.publish(number)
            messages = [self.result_of(consumer.take()) for _ in range(3)]
            self.result_of(settle(messages[1], multiple=True))
            self.assertEqual(channel.unsettled[0], messages[2])
            self.assertTrue(messages[0].acknowledged)
            self.result_of(channel.close())
            self.result_of(QUEUE(self.connection).purge())

    def test_get_after_close(self) -> None:
        """A closed consumer gets no message, though its channel is open."""
        channel = self.result_of(self.connection.channel())
        consumer = Consumer(channel, QUEUE)
        self.result_of(consumer.close())
        self.failureResultOf(consumer.get(), ChannelClosed)


class ClosingTests(CornerTestCase):
    """Operations that begin while the connection closes, or after."""

    def closing(self) -> Deferred[None]:
        """Close the connection; it waits for a verdict."""
        producer = self.producer()
        self.broker.hold_confirms()
        producer.publish("x")
        self.flush()
        closing = self.connection.close()
        self.flush()
        self.assertNoResult(closing)
        return closing

    def test_a_channel_made_meanwhile(self) -> None:
        """
        A channel made while the connection closes is closed from the start, and says
        so.
        """
        closing = self.closing()
        opening = self.connection.channel()
        producer = Producer(self.connection, EXCHANGE)
        publishing = producer.publish("late")
        self.failureResultOf(opening, ConnectionClosed)
        self.failureResultOf(publishing, ConnectionClosed)
        self.failureResultOf(producer.when_ready(), ConnectionClosed)
        self.broker.release_confirms()
        self.flush()
        self.successResultOf(closing)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_consumer_begun_meanwhile(self) -> None:
        """A channel that is closing accepts no consumer, which would outlive it."""
        producer = self.producer()
        queue = QUEUE(producer.channel)
        self.result_of(queue.declare())
        self.broker.hold_confirms()
        publishing = producer.publish("x")
        before = Probe(queue.consume("before", self.got.append))
        closing = producer.close()
        after = queue.consume("after", self.got.append)
        self.failureResultOf(after, ConnectionClosed, ChannelClosed)
        self.flush()
        self.broker.release_confirms()
        self.flush()
        self.successResultOf(closing)
        self.successResultOf(publishing)
        self.assertIsInstance(before.outcome, ChannelClosed)
        self.assertTrue(producer.channel.is_consuming)

    def test_published_meanwhile(self) -> None:
        """
        A channel that is closing accepts no message, so publishers cannot keep it open.
        """
        producer = self.producer()
        verdicts: list[Probe] = []

        def go_on(_: object = None) -> None:
            publishing = producer.publish("x")
            publishing.addCallback(go_on)
            verdicts.append(Probe(publishing))

        go_on()
        closing = producer.close()
        self.flush()
        self.successResultOf(closing)
        self.assertIsNone(verdicts[0].outcome)
        self.failureResultOf(producer.publish("late"), ChannelClosed)

    def test_drain_events(self) -> None:
        """drain_events fails, as no message will arrive."""
        closing = self.closing()
        self.failureResultOf(self.connection.drain_events(), ConnectionClosed)
        self.broker.release_confirms()
        self.flush()
        self.successResultOf(closing)
        self.failureResultOf(self.connection.drain_events(), ConnectionClosed)


class ChannelErrorTests(CornerTestCase):
    """Channels that the broker ends while they have consumers."""

    def setUp(self) -> None:
        super().setUp()
        self.channel = self.result_of(self.connection.channel())
        consumer = Consumer(self.channel, QUEUE, callbacks=[self.take])
        self.result_of(consumer.consume())

    def lose(self) -> None:
        """Make the broker end the channel."""
        Probe(Queue("?")(self.channel).queue_declare(passive=True))
        self.flush()

    def test_now_and_then(self) -> None:
        """A channel that lasted for a while is opened again at once, each time."""
        for number in range(6):
            self.advance(6)
            self.lose()
            self.assertTrue(self.channel.is_consuming, number)

    def test_again_and_again(self) -> None:
        """
        If a channel ends again and again, the waits before it is opened again grow.
        """
        self.lose()
        waits = []
        for _ in range(3):
            self.lose()
            waited = 0
            while not self.channel.is_consuming:
                self.advance(1)
                waited += 1
            waits.append(waited)
        self.assertEqual(waits, [1, 2, 4])

    def test_closed_while_it_waits(self) -> None:
        """
        A channel that waits to be opened again leaves nothing behind when it is closed.
        """
        self.lose()
        self.lose()
        self.assertFalse(self.channel.is_open)
        self.result_of(self.channel.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SilentTests(SynchronousTestCase):
    """A broker that no longer answers."""

    def test_closed_at_last(self) -> None:
        """
        A channel whose cancels are not answered is closed without waiting, so that its
        messages are requeued should the broker answer again.
        """
        clock, transport = Clock(), FakeTransport()
        connection = BrokerConnection(transport=transport, reactor=clock)
        opening = connection.channel()
        session = FakeSession()
        transport.attempts[0].succeed(session)
        channel = self.successResultOf(opening)
        self.successResultOf(channel.consume(Queue("q"), lambda message: None))
        [own] = session.channels
        for silent in ("basic_cancel", "close"):
            del own.answers[silent]
        closing = channel.close()
        self.assertEqual(own.names()[-1], "basic_cancel")
        clock.advance(5)
        self.successResultOf(closing)
        self.assertEqual(own.names()[-1], "close")
        self.successResultOf(connection.close())
        clock.advance(5)
        self.assertEqual(clock.getDelayedCalls(), [])


class RestoringTests(SynchronousTestCase):
    """A broker that does not answer while everything is declared again."""

    def test_it_is_given_up(self) -> None:
        """
        After the operation timeout the session is aborted, and another one is made.
        """
        clock, transport = Clock(), FakeTransport()
        connection = BrokerConnection(
            transport=transport, reactor=clock, operation_timeout=5
        )
        declaring = Queue("q")(connection).declare()
        transport.attempts[0].succeed(FakeSession())
        self.successResultOf(declaring)
        transport.attempts[0].listener.session_lost(SessionLost("cut"))
        clock.advance(1)
        silent = FakeSession(prompt=False)
        transport.attempts[1].succeed(silent)
        clock.advance(4.9)
        self.assertFalse(silent.aborted)
        clock.advance(0.2)
        self.assertTrue(silent.aborted)
        self.assertIsInstance(connection.last_error, OperationTimeout)
        clock.advance(2)
        transport.attempts[2].succeed(FakeSession())
        self.assertTrue(connection.connected)
        self.successResultOf(connection.close())
        self.assertEqual(clock.getDelayedCalls(), [])


class PublisherTests(SynchronousTestCase):
    """A caller that waits for room of a channel that cannot be opened."""

    def test_give_up(self) -> None:
        """The Deferred of when_ready fails with the reason."""
        publisher = PublishQueue(
            Clock(), lambda: "waiting", lambda *told: None, lambda: None
        )
        waiting: Deferred[None] = publisher.when_ready()
        publisher.give_up(SessionLost("no more"))
        self.failureResultOf(waiting, SessionLost)
