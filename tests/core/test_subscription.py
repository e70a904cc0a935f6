"""One consumer of a channel, started as often as needed."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fakes import Call, FakeChannel, FakeSession, FakeTransport, delivery
from txkombu import BrokerConnection, Channel, Queue
from txkombu.core.subscription import Subscription
from txkombu.exceptions import (
    AccessRefused,
    ChannelClosed,
    ConsumerCancelled,
    NotFound,
    NotSupported,
    SessionLost,
)
from txkombu.interfaces import ISession, QueueDeclareOk
from txkombu.message import Message


class SubscriptionTestCase(SynchronousTestCase):
    """Has a channel of a connection with a fake transport, and its consumer."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = FakeTransport()
        self.connection = BrokerConnection(
            transport=self.transport, reactor=self.clock, operation_timeout=20
        )
        opening = self.connection.channel()
        self.session = self.accept()
        self.channel = self.successResultOf(opening)
        self.queue = Queue("video")
        self.received: list[Message] = []
        self.cancelled: list[tuple[str, Exception]] = []

    def accept(self, prompt: bool = True) -> FakeSession:
        """Let the last attempt to connect succeed."""
        session = FakeSession(prompt)
        self.transport.attempts[-1].succeed(session)
        return session

    def consume(self, **options: Any) -> Subscription:
        """Start a consumer."""
        consuming = self.channel.consume(
            self.queue,
            self.received.append,
            consumer_tag="tag",
            on_cancel=lambda tag, error: self.cancelled.append((tag, error)),
            **options,
        )
        self.assertEqual(self.successResultOf(consuming), "tag")
        subscription = self.channel.core.consumers._shared.subscriptions["tag"]
        subscription._backoff._jitter = lambda: 0.0
        return subscription

    @property
    def own(self) -> FakeChannel:
        """The session channel of the consumer."""
        return self.session.channels[0]

    def consumed(self) -> list[Call]:
        """Return each start of the consumer on this session, in order."""
        return [
            call
            for channel in self.session.channels
            for call in channel.called("basic_consume")
        ]

    def cancel_by_broker(self, error: Exception | None = None) -> None:
        """Let the broker end the consumer."""
        on_cancelled = self.consumed()[-1].arguments[7]
        on_cancelled(error or ConsumerCancelled("queue deleted"))

    def lose(self) -> FakeSession:
        """Lose the session, and open another."""
        old = self.session
        old.lost = True
        error = SessionLost("cut")
        self.transport.attempts[-1].listener.session_lost(error)
        for channel in old.channels:
            if not channel.dead:
                channel.die(error)
        self.clock.advance(1)
        self.session = self.accept()
        return self.session

    def end(self) -> None:
        """Close the connection, and check that nothing is left."""
        self.session.prompt = True
        self.successResultOf(self.connection.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def assertConsumes(self) -> None:
        """Check that the consumer runs, and receives a delivery."""
        self.assertTrue(self.channel.is_consuming)
        before = len(self.received)
        self.consumed()[-1].arguments[6](delivery(1))
        self.assertEqual(len(self.received), before + 1)


class StartTests(SubscriptionTestCase):
    """Starting a consumer, and its messages."""

    def test_what_is_asked_for(self) -> None:
        """The session channel gets all settings of the consumer."""
        self.queue = Queue("video", consumer_arguments={"x-priority": 3})
        subscription = self.consume(
            exclusive=True, arguments={"x": 1}, prefetch_count=7
        )
        [call] = self.consumed()
        self.assertEqual(
            call.arguments[:6],
            (self.queue, "tag", False, True, {"x-priority": 3, "x": 1}, 7),
        )
        self.assertTrue(subscription.running)
        self.end()

    def test_messages(self) -> None:
        """A delivery becomes a message of the queue that can be settled there."""
        self.consume()
        self.consumed()[0].arguments[6](delivery(5))
        [message] = self.received
        self.assertEqual(message.queue_name, "video")
        message.ack()
        self.assertEqual(self.own.settled, [("ack", 5, False)])
        self.end()

    def test_no_ack(self) -> None:
        """A no_ack message needs no settlement."""
        self.consume(no_ack=True)
        self.consumed()[0].arguments[6](delivery(5))
        [message] = self.received
        self.assertTrue(message.no_ack)
        self.assertEqual(self.channel.unfinished_work(), [])
        self.assertEqual(self.own.settled, [])
        message.begin()
        message.begin()
        self.assertEqual(self.own.settled, [("ack", 5, False)])
        self.assertEqual(self.channel.unsettled, [])
        self.end()

    def test_no_ack_at_the_broker(self) -> None:
        """
        The broker is asked for acks, so that the prefetch count limits a no_ack
        consumer.
        """
        self.consume(no_ack=True, prefetch_count=0)
        arguments = self.consumed()[0].arguments
        self.assertEqual((arguments[2], arguments[5]), (False, 100))
        self.end()

    def test_no_ack_on_a_stream(self) -> None:
        """A stream needs acks: a no_ack consumer of it fails, and nothing is sent."""
        for queue in (
            Queue("s", queue_type="stream"),
            Queue("s", consumer_arguments={"x-stream-offset": "first"}),
        ):
            consuming = self.channel.consume(queue, self.received.append, no_ack=True)
            error = self.failureResultOf(consuming, NotSupported).value
            self.assertEqual(
                str(error),
                "no_ack on a stream is not supported by the memory transport: "
                "leave it out",
            )
        self.assertEqual(self.consumed(), [])
        self.end()

    def test_direct_reply_to(self) -> None:
        """
        Replies of direct reply-to are consumed without acks, which RabbitMQ demands.
        """
        self.queue.name = "amq.rabbitmq.reply-to"
        self.consume(no_ack=True)
        arguments = self.consumed()[0].arguments
        self.assertIs(arguments[2], True)
        arguments[6](delivery(5))
        self.assertTrue(self.received[0].no_ack)
        self.received[0].begin()
        self.assertEqual(self.own.settled, [])
        self.end()

    def test_refused(self) -> None:
        """A refusal is passed on, and not tried again."""
        self.own.answers["basic_consume"] = AccessRefused("no")
        consuming = self.channel.consume(self.queue, self.received.append)
        self.failureResultOf(consuming, AccessRefused)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.channel.is_consuming)


class SessionTests(SubscriptionTestCase):
    """Starting a consumer again in the next session."""

    def test_next_session(self) -> None:
        """After a loss it consumes again, with the same tag and settings."""
        self.consume(prefetch_count=7)
        [before] = self.consumed()
        self.lose()
        [after] = self.consumed()
        self.assertEqual(after.arguments[:6], before.arguments[:6])
        self.assertConsumes()
        self.assertEqual(self.cancelled, [])
        self.end()

    def test_stale_messages(self) -> None:
        """Messages of the lost session are stale, those of the next are not."""
        self.consume()
        self.consumed()[0].arguments[6](delivery(1))
        self.lose()
        self.consumed()[0].arguments[6](delivery(1))
        old, new = self.received
        old.ack()
        self.assertEqual(self.session.channels[-1].settled, [])
        new.ack()
        [channel] = [each for each in self.session.channels if each.settled]
        self.assertEqual(channel.settled, [("ack", 1, False)])
        self.end()

    def test_not_running_meanwhile(self) -> None:
        """While the session is lost, is_consuming is false."""
        self.consume()
        self.transport.attempts[-1].listener.session_lost(SessionLost("cut"))
        self.own.die(SessionLost("cut"))
        self.assertFalse(self.channel.is_consuming)
        self.successResultOf(self.connection.close())

    def test_refused_then(self) -> None:
        """A consumer that is refused in the next session keeps trying by itself."""
        self.consume()
        self.refuse_consume(NotFound("no queue 'video'"))
        with capturedLogs() as events:
            self.lose()
        texts = [formatEvent(event) for event in events]
        self.assertTrue(
            any("cannot consume from queue 'video': 404" in text for text in texts)
        )
        self.assertFalse(self.channel.is_consuming)
        self.stop_refusing()
        self.clock.advance(1)
        self.assertConsumes()
        self.end()

    def refuse_consume(self, error: Exception) -> None:
        """Let the next sessions refuse to consume."""
        accept = self.accept

        def refusing(prompt: bool = True) -> FakeSession:
            session = FakeSession(prompt)
            session.refuse["basic_consume"] = error
            self.transport.attempts[-1].succeed(session)
            return session

        self.accept = refusing  # type: ignore[method-assign]  # replaced for this test
        self.addCleanup(setattr, self, "accept", accept)

    def stop_refusing(self) -> None:
        """Let the session refuse no longer."""
        self.session.refuse.clear()
        for channel in self.session.channels:
            channel.answers["basic_consume"] = None

    def test_times_out_then(self) -> None:
        """A start without an answer times out, and is tried again."""
        self.consume()
        session = self.lose_to_silence()
        self.clock.advance(20)
        [call] = session.channels[0].called("basic_consume")
        self.assertTrue(call.cancelled)
        session.prompt = True
        for channel in session.channels:
            channel.prompt()
        self.clock.advance(1)
        self.assertConsumes()
        self.end()

    def lose_to_silence(self) -> FakeSession:
        """Lose the session; the channels of the next one do not answer."""
        accept = self.accept
        self.accept = lambda prompt=True: accept(False)  # type: ignore[method-assign]  # replaced for this test
        session = self.lose()
        self.accept = accept  # type: ignore[method-assign]  # replaced for this test
        return session


class CancelledTests(SubscriptionTestCase):
    """A consumer that the broker ends."""

    def test_starts_again(self) -> None:
        """
        on_cancel is called; after a wait its queue is looked up, and it starts again.
        """
        self.consume()
        error = ConsumerCancelled("queue deleted")
        with capturedLogs() as events:
            self.cancel_by_broker(error)
        self.assertEqual(self.cancelled, [("tag", error)])
        self.assertFalse(self.channel.is_consuming)
        [text] = [formatEvent(event) for event in events]
        self.assertIn("'tag' of queue 'video' was ended", text)
        self.clock.advance(0.9)
        self.assertEqual(len(self.consumed()), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.consumed()), 2)
        [look] = self.session.channels[1].called("queue_declare")
        self.assertEqual(look.arguments, (self.queue, True))
        self.assertEqual(self.session.channels[1].names()[-1], "close")
        self.assertConsumes()
        self.end()

    def test_lost_alone(self) -> None:
        """
        If the consumer lost a connection of its own, messages that wait for its handler
        are dropped, as the broker redelivers them.
        """
        self.consume()
        [call] = self.consumed()
        call.arguments[6](delivery(3, consumer_tag="tag"))
        self.cancel_by_broker(SessionLost("of its own"))
        self.assertTrue(self.received[-1].is_back)
        self.assertEqual(self.channel.unsettled_count, 0)
        self.clock.advance(1)
        self.assertConsumes()
        self.end()

    def test_declared_again(self) -> None:
        """A queue that this connection declared is declared again."""
        self.queue = self.queue(self.channel)
        self.successResultOf(self.queue.declare())
        self.consume()
        self.cancel_by_broker()
        self.clock.advance(1)
        [again] = self.session.channels[1].called("queue_declare")
        self.assertEqual(again.arguments[1], False)
        self.assertConsumes()
        self.end()

    def test_new_name(self) -> None:
        """A server-named queue has another name then."""
        self.own.answers["queue_declare"] = self.name_it
        self.queue = Queue(exclusive=True)(self.channel)
        self.successResultOf(self.queue.declare())
        self.consume()
        self.session.refuse["queue_declare"] = self.name_it
        self.cancel_by_broker()
        self.clock.advance(1)
        self.assertEqual(self.consumed()[-1].arguments[0].name, "amq.gen-2")
        self.assertConsumes()
        self.end()

    names = 0

    def name_it(self, queue: Queue, passive: bool) -> object:
        """Name a queue that has no name; report one that has a name as missing."""
        if passive:
            return NotFound(f"no queue {queue.name!r}")
        self.names += 1
        return QueueDeclareOk(f"amq.gen-{self.names}", 0, 0)

    def test_queue_is_missing(self) -> None:
        """While the queue is missing the waits grow, and nothing else is affected."""
        self.consume()
        self.session.refuse["queue_declare"] = NotFound("no queue")
        waits: list[float] = []
        with capturedLogs() as events:
            self.cancel_by_broker()
            for _ in range(7):
                [timer] = self.clock.getDelayedCalls()
                waits.append(timer.getTime() - self.clock.seconds())
                self.clock.advance(waits[-1])
        self.assertEqual(waits, [1, 2, 4, 8, 16, 30, 30])
        self.assertEqual(len(self.consumed()), 1)
        self.assertFalse(self.own.dead)
        self.assertEqual(len(events), 8)
        self.session.refuse.clear()
        self.clock.advance(30)
        self.assertConsumes()
        self.end()

    def test_refused(self) -> None:
        """A consumer that is refused keeps trying."""
        self.consume()
        self.own.answers["basic_consume"] = AccessRefused("no")
        self.cancel_by_broker()
        self.clock.advance(1)
        channels = len(self.session.channels)
        self.clock.advance(1)
        self.assertFalse(self.channel.is_consuming)
        # This refusal ended no channel, so it needs none for itself.
        self.assertEqual(len(self.session.channels), channels)
        self.own.answers["basic_consume"] = None
        self.clock.advance(2)
        self.assertConsumes()
        self.end()

    def test_refused_and_asked_again(self) -> None:
        """
        A caller that consumes again after a refusal that ended no channel uses the same
        channel.
        """
        self.consume()
        for _ in range(2):
            self.own.answers["basic_consume"] = AccessRefused("no")
            refused = self.channel.consume(Queue("audio"), print)
            self.failureResultOf(refused, AccessRefused)
        self.assertEqual(len(self.session.channels), 1)

    def test_again_after_a_long_life(self) -> None:
        """A consumer that ran for five seconds has a short wait the next time."""
        self.consume()
        for _ in range(3):
            self.cancel_by_broker()
            self.clock.advance(30)
        self.clock.advance(5)
        self.cancel_by_broker()
        self.clock.advance(1)
        self.assertConsumes()
        self.end()

    def test_again_and_again(self) -> None:
        """A consumer that is ended again at once waits longer each time."""
        self.consume()
        for wait in (1, 2, 4, 8):
            self.cancel_by_broker()
            self.clock.advance(wait - 0.1)
            self.assertFalse(self.channel.is_consuming)
            self.clock.advance(0.1)
            self.assertTrue(self.channel.is_consuming)
        self.end()

    def test_life_ended_by_a_loss(self) -> None:
        """A long life that a loss ended makes the waits short, too."""
        subscription = self.consume()
        self.cancel_by_broker()
        self.clock.advance(1)
        self.cancel_by_broker()
        self.clock.advance(2)
        self.clock.advance(5)
        self.lose()
        self.cancel_by_broker()
        [wait] = [
            each.getTime() - self.clock.seconds()
            for each in self.clock.getDelayedCalls()
        ]
        self.assertEqual(wait, 1)
        self.assertFalse(subscription.running)
        self.end()

    def test_on_cancel_raises(self) -> None:
        """An error of on_cancel is logged, and the consumer starts again."""

        def on_cancel(tag: str, error: Exception) -> None:
            raise ZeroDivisionError

        subscription = self.consume()
        subscription._on_cancel = on_cancel
        self.cancel_by_broker()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(1)
        self.assertConsumes()
        self.end()

    def test_on_cancel_ends_it(self) -> None:
        """on_cancel may end the consumer for good."""
        subscription = self.consume()
        subscription._on_cancel = lambda tag, error: self.channel.basic_cancel(tag)
        self.cancel_by_broker()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.consumed()), 1)
        self.end()

    def test_told_twice(self) -> None:
        """A second report of the end begins no second start."""
        self.consume()
        self.cancel_by_broker()
        self.cancel_by_broker()
        self.clock.advance(30)
        self.assertEqual(len(self.consumed()), 2)
        self.end()

    def test_lost_while_waiting(self) -> None:
        """A loss while it waits leads to one consumer, not two."""
        self.consume()
        self.cancel_by_broker()
        self.lose()
        self.clock.advance(30)
        self.assertEqual(len(self.consumed()), 1)
        self.assertConsumes()
        self.end()

    def test_lost_while_declaring(self) -> None:
        """A loss while its queue is looked up leads to one consumer, not two."""
        self.consume()
        self.cancel_by_broker()
        self.session.prompt = False
        self.clock.advance(1)
        [look] = self.session.channels[1].called("queue_declare")
        self.assertFalse(look.reply.called)
        self.lose()
        self.clock.advance(30)
        self.assertEqual(len(self.consumed()), 1)
        self.assertConsumes()
        self.end()

    def test_lost_while_starting(self) -> None:
        """A loss while it is being started leads to one consumer, not two."""
        self.consume()
        del self.own.answers["basic_consume"]
        self.cancel_by_broker()
        self.clock.advance(1)
        self.assertFalse(self.consumed()[-1].reply.called)
        self.lose()
        self.clock.advance(30)
        self.assertEqual(len(self.consumed()), 1)
        self.assertConsumes()
        self.end()

    def test_no_answer(self) -> None:
        """A lookup without an answer times out, and is tried again."""
        self.consume()
        self.cancel_by_broker()
        self.session.prompt = False
        self.clock.advance(1)
        self.session.prompt = True
        self.clock.advance(20)
        [look] = self.session.channels[1].called("queue_declare")
        self.assertTrue(look.cancelled)
        self.clock.advance(2)
        self.assertConsumes()
        self.end()

    def test_stray_cancellation(self) -> None:
        """A step that is cancelled from an unknown place does not end the consumer."""
        self.consume()
        self.session.prompt = False
        self.cancel_by_broker()
        self.clock.advance(1)
        self.session.channels[1].called("queue_declare")[0].reply.cancel()
        self.session.prompt = True
        self.clock.advance(30)
        self.assertConsumes()
        self.end()


class StopTests(SubscriptionTestCase):
    """A consumer that the program ends."""

    def stop(self) -> None:
        """End the consumer, and check that nothing continues."""
        self.successResultOf(self.channel.basic_cancel("tag"))
        before = len(self.consumed())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(100)
        self.assertEqual(len(self.consumed()), before)
        self.assertTrue(self.channel.is_consuming)
        self.end()

    def test_running(self) -> None:
        """A running consumer is cancelled at the broker."""
        self.consume()
        self.stop()
        self.assertEqual(self.own.called("basic_cancel")[0].arguments, ("tag",))

    def test_waiting(self) -> None:
        """A consumer that waits to be started again is not started."""
        self.consume()
        self.cancel_by_broker()
        self.stop()

    def test_declaring(self) -> None:
        """A lookup of its queue is cancelled."""
        self.consume()
        self.cancel_by_broker()
        self.session.prompt = False
        self.clock.advance(1)
        self.stop()
        self.assertTrue(self.session.channels[1].calls[0].cancelled)

    def test_starting(self) -> None:
        """A start that is under way is cancelled."""
        self.consume()
        del self.own.answers["basic_consume"]
        self.cancel_by_broker()
        self.clock.advance(1)
        self.stop()
        self.assertTrue(self.consumed()[-1].cancelled)

    def test_cancelled_afterwards(self) -> None:
        """A later report from the broker that it has ended does nothing."""
        self.consume()
        self.successResultOf(self.channel.basic_cancel("tag"))
        self.cancel_by_broker()
        self.assertEqual(self.cancelled, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.end()

    def test_closed_connection(self) -> None:
        """Closing the connection ends it in any state."""
        for prompt in (True, False):
            self.setUp()
            self.consume()
            self.cancel_by_broker()
            self.session.prompt = prompt
            self.clock.advance(0 if prompt else 1)
            self.end()


class DirectTests(SynchronousTestCase):
    """Cases that are hard to cause from outside."""

    def test_no_start_when_stopped(self) -> None:
        """A stopped consumer is not started on a new session channel."""
        connection = BrokerConnection(transport=FakeTransport(), reactor=Clock())
        opener = Channel(connection).core.opener
        subscription = Subscription(
            opener,
            lambda refused: refused.opener,
            Queue("video"),
            lambda message: None,
            tag="tag",
            no_ack=False,
            exclusive=False,
            arguments={},
            prefetch_count=1,
            accept=None,
            on_cancel=None,
        )
        subscription.stop()
        opened = FakeChannel()
        self.successResultOf(subscription.start_again(opened))
        self.assertEqual(opened.calls, [])

    def test_lost_again_while_starting(self) -> None:
        """A loss during the start on a new session channel is not a refusal."""
        clock = Clock()
        transport = FakeTransport()
        connection = BrokerConnection(transport=transport, reactor=clock)
        opening = connection.channel()
        session: ISession = FakeSession()
        transport.attempts[-1].succeed(session)
        channel = self.successResultOf(opening)
        for error in (SessionLost("cut"), ChannelClosed("another's fault")):
            opener = channel.core.opener
            subscription = Subscription(
                opener,
                lambda refused: refused.opener,
                Queue("video"),
                lambda message: None,
                tag="tag",
                no_ack=False,
                exclusive=False,
                arguments={},
                prefetch_count=1,
                accept=None,
                on_cancel=None,
            )
            opened = FakeChannel()
            opened.answers["basic_consume"] = error
            self.successResultOf(subscription.start_again(opened))
            self.assertEqual(clock.getDelayedCalls(), [])
        self.successResultOf(connection.close())
