"""
What is restored after a loss, on the memory broker under a Clock.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.support.fakes import FakeSession, FakeTransport
from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue
from txkombu.core.lifecycle import State
from txkombu.exceptions import (
    ChannelClosed,
    ConnectError,
    ConnectionClosed,
    ConsumerCancelled,
    NotFound,
    OperationTimeout,
    OutcomeUnknown,
    ProtocolError,
    ResourceLocked,
    SessionLost,
)
from txkombu.interfaces import Settlement
from txkombu.testing import BrokerTestCase
from txkombu.transport.memory import MemoryBroker

EXCHANGE = Exchange("feed", type="direct")
QUEUE = Queue("feed", EXCHANGE, "importer")


@implementer(ILogObserver)
class Lines:
    """Records the formats of log events."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, event: Any) -> None:
        self.lines.append(str(event.get("log_format")))


class RecoveryTestCase(BrokerTestCase):
    """The base of these cases: a clock, and the log."""

    def setUp(self) -> None:
        super().setUp()
        self.got: list[Any] = []
        lines = Lines()
        self.log = lines.lines
        globalLogPublisher.addObserver(lines)
        self.addCleanup(globalLogPublisher.removeObserver, lines)

    def take(self, payload: Any, message: Message) -> None:
        """Return a callback that records the payload and acks."""
        self.got.append(payload)
        message.ack()

    def consuming(self, *queues: Queue, **options: Any) -> Consumer:
        """Return a running consumer."""
        consumer = Consumer(self.connection, queues, callbacks=[self.take], **options)
        self.result_of(consumer.consume())
        return consumer

    def publish(self, body: object, key: str = "importer") -> None:
        """Publish over another connection."""
        producer = Producer(self.connect(), EXCHANGE, auto_declare=False)
        self.result_of(producer.publish(body, key))


class OrderTests(SynchronousTestCase):
    """The order in which a channel is restored."""

    def test_consumers_before_publishes(self) -> None:
        """
        Waiting messages are sent after the consumers are started, as they may ask for
        replies to one of them.
        """
        clock, transport = Clock(), FakeTransport()
        connection = BrokerConnection(transport=transport, reactor=clock)
        opening = connection.channel()
        transport.attempts[-1].succeed(FakeSession())
        channel = self.successResultOf(opening)
        consumer = Consumer(channel, Queue("replies"), auto_declare=False)
        self.successResultOf(consumer.consume())
        connection.drop()
        producer = Producer(channel, "", auto_declare=False)
        producer.publish("request", "server", reply_to="replies")
        clock.advance(2)
        session = FakeSession()
        transport.attempts[-1].succeed(session)
        [restored] = session.channels
        names = [call.name for call in restored.calls]
        self.assertLess(names.index("basic_consume"), names.index("basic_publish"))
        connection.close()


class ClosedTests(RecoveryTestCase):
    """After a close no handler begins."""

    def test_waiting_messages(self) -> None:
        """
        Waiting messages go back to their queue, whatever is closed, and acks still
        count.
        """
        for closing in ("consumer", "channel", "connection"):
            connection = self.connect()
            at_work: list[Message] = []
            gate: Deferred[None] = Deferred()

            def handle(
                payload: Any,
                message: Message,
                at_work: list[Message] = at_work,
                gate: Deferred[None] = gate,
            ) -> Deferred[None]:
                at_work.append(message)
                return gate

            consumer = Consumer(connection, QUEUE, callbacks=[handle], concurrency=1)
            self.result_of(consumer.consume())
            for number in range(3):
                self.publish(number)
            close = {
                "consumer": consumer.close,
                "channel": consumer.channel.close,
                "connection": connection.close,
            }[closing]
            closed = close()
            at_work[0].ack()
            gate.callback(None)
            self.flush()
            self.successResultOf(closed)
            self.assertEqual(len(at_work), 1)
            self.assertEqual(self.broker.waiting_in("feed"), 2, closing)
            self.result_of(QUEUE(self.connection).purge())


class ConsumersComeBackTests(RecoveryTestCase):
    def test_consumer_consumes_again(self) -> None:
        """After a loss a consumer consumes again, without code of the user's."""
        consumer = self.consuming(QUEUE)
        self.broker.drop()
        self.assertFalse(self.connection.connected)
        self.assertFalse(self.connection.is_consuming)
        self.advance(1)
        self.assertTrue(self.connection.connected)
        self.assertTrue(self.connection.is_consuming)
        self.assertTrue(consumer.consuming_from("feed"))
        self.publish("after")
        self.assertEqual(self.got, ["after"])
        self.assertIn("reconnected in {seconds:.2f} s to {url}", self.log)

    def test_again_and_again(self) -> None:
        """Each loss is restored; the waits grow while losses follow each other."""
        self.consuming(QUEUE)
        waits = []
        for _ in range(4):
            self.broker.drop()
            waited = 0
            while not self.connection.connected:
                self.advance(1)
                waited += 1
            waits.append(waited)
        self.assertEqual(waits, sorted(waits))
        self.assertGreater(waits[-1], 4)
        self.advance(6)
        self.broker.drop()
        self.advance(1)
        self.assertTrue(self.connection.connected)

    def test_topology_comes_back(self) -> None:
        """Transient exchanges, queues and bindings are declared again."""
        source = Exchange("source", type="topic", auto_delete=True)
        queue = Queue("mine", EXCHANGE, "importer", exclusive=True)
        self.consuming(queue)
        bound = queue(self.connection)
        self.result_of(source(self.connection).declare())
        self.result_of(bound.bind_to(source, "a.#"))
        self.result_of(bound.bind_to(source, "b.#"))
        self.broker.drop()
        with self.assertRaises(LookupError):
            self.broker.memory.queue("mine")
        self.advance(1)
        producer = Producer(self.connection, source)
        for key in ("a.1", "b.1"):
            self.result_of(producer.publish(key, key))
        self.assertEqual(self.got, ["a.1", "b.1"])

    def test_what_was_undone_does_not_come_back(self) -> None:
        """Deleted queues and exchanges and removed bindings are not declared again."""
        channel = self.result_of(self.connection.channel())
        queue = Queue("gone", EXCHANGE, "gone", exclusive=True)(channel)
        kept = Queue("kept", EXCHANGE, "kept", exclusive=True)(channel)
        temporary = Exchange("temporary", auto_delete=True)(channel)
        self.result_of(queue.declare())
        self.result_of(kept.declare())
        self.result_of(temporary.declare())
        self.result_of(kept.unbind_from(EXCHANGE, "kept"))
        self.result_of(queue.delete())
        self.result_of(temporary.delete())
        self.broker.drop()
        self.advance(1)
        self.result_of(self.connection.connect())
        self.broker.memory.queue("kept")
        for look, name in (
            (self.broker.memory.queue, "gone"),
            (self.broker.memory.exchange, "temporary"),
        ):
            with self.assertRaises(LookupError):
                look(name)
        self.publish("nowhere", "kept")
        self.assertEqual(self.broker.waiting_in("kept"), 0)

    def test_auto_delete_queue_of_a_cancelled_consumer(self) -> None:
        """A queue that was deleted with its last consumer is not declared again."""
        consumer = self.consuming(Queue("brief", EXCHANGE, "brief", auto_delete=True))
        self.result_of(consumer.cancel())
        self.broker.drop()
        self.advance(1)
        with self.assertRaises(LookupError):
            self.broker.memory.queue("brief")

    def test_server_named_queue_gets_a_new_name(self) -> None:
        """The bindings and consumers of a server-named queue follow its new name."""
        consumer = self.consuming(Queue("", EXCHANGE, "importer", exclusive=True))
        [queue] = consumer.queues  # type: ignore[misc]  # a list by now
        first = queue.name
        self.assertTrue(first.startswith("amq.gen-"))
        self.broker.drop()
        self.advance(1)
        self.assertNotEqual(queue.name, first)
        self.publish("renamed")
        self.assertEqual(self.got, ["renamed"])

    def test_messages_of_the_old_session_are_stale(self) -> None:
        """
        Settling a message of the old session fires with STALE and does no harm; its
        redelivered copy is acked.
        """
        held: list[Message] = []
        consumer = Consumer(self.connection, QUEUE, on_message=held.append)
        self.result_of(consumer.consume())
        self.publish("x")
        self.broker.drop()
        self.advance(1)
        old, new = held
        self.assertIs(self.result_of(old.ack()), Settlement.STALE)
        self.assertTrue(new.redelivered)
        self.assertIs(self.result_of(new.ack()), Settlement.SENT)
        self.assertEqual(self.broker.waiting_in("feed"), 0)

    def test_server_cancel(self) -> None:
        """A consumer whose queue is deleted is told, and is restored with the queue."""
        told: list[Any] = []
        self.consuming(QUEUE, on_cancel=lambda tag, error: told.append((tag, error)))
        other = self.connect()
        self.result_of(QUEUE(other).delete())
        self.assertEqual(len(told), 1)
        self.assertFalse(self.connection.is_consuming)
        self.advance(1)
        self.assertTrue(self.connection.is_consuming)
        self.publish("again")
        self.assertEqual(self.got, ["again"])

    def test_server_cancel_of_a_plain_consumer(self) -> None:
        """So is one that C{Queue.consume} started; it comes back, too."""
        told: list[Any] = []
        bound = QUEUE(self.connection)
        self.result_of(bound.declare())
        tag = self.result_of(
            bound.consume(
                callback=lambda message: self.take(message.payload, message),
                on_cancel=lambda *ended: told.append(ended),
            )
        )
        self.result_of(QUEUE(self.connect()).delete())
        [(name, error)] = told
        self.assertEqual(name, tag)
        self.assertIsInstance(error, ConsumerCancelled)
        self.advance(1)
        self.publish("again")
        self.assertEqual(self.got, ["again"])

    def test_cancelled_by_fault(self) -> None:
        """
        A consumer that the broker cancels while its queue exists is restored, too.
        """
        self.consuming(QUEUE)
        self.broker.cancel_consumers("feed")
        self.flush()
        self.advance(1)
        self.publish("again")
        self.assertEqual(self.got, ["again"])

    def test_missing_queue_is_retried(self) -> None:
        """
        A consumer of a queue that it does not declare keeps trying while the queue is
        missing, disturbs no other consumer, and is restored with the queue.
        """
        other = self.connect()
        self.result_of(QUEUE(other).declare())
        healthy = Queue("healthy", EXCHANGE, "healthy")
        channel = self.result_of(self.connection.channel())
        lacking = Consumer(channel, QUEUE, auto_declare=False, callbacks=[self.take])
        beside = Consumer(channel, healthy, callbacks=[self.take])
        self.result_of(lacking.consume())
        self.result_of(beside.consume())
        self.result_of(QUEUE(other).delete())
        self.broker.drop()
        self.advance(10)
        self.assertFalse(self.connection.is_consuming)
        self.publish("beside", "healthy")
        self.assertEqual(self.got, ["beside"])
        self.result_of(QUEUE(self.connect()).declare())
        self.advance(31)
        self.assertTrue(self.connection.is_consuming)
        self.publish("back")
        self.assertEqual(self.got, ["beside", "back"])
        self.assertTrue(any("cannot consume from queue" in line for line in self.log))

    def test_refused_declarations_are_left_out(self) -> None:
        """
        A declaration that the broker refuses to restore is logged; the rest is
        restored.
        """
        self.consuming(Queue("good", EXCHANGE, "good"), QUEUE)
        other = self.connect()
        self.broker.drop()
        self.advance(0)
        self.result_of(QUEUE(other).delete())
        self.result_of(Queue("feed", durable=False)(other).declare())
        self.advance(2)
        self.publish("fine", "good")
        self.assertEqual(self.got, ["fine"])
        self.assertIn("The broker refused to restore {what}: {error}", self.log)

    def test_loss_from_within_a_callback(self) -> None:
        """A callback may drop the connection; its ack is stale."""
        settled: list[Any] = []

        def callback(payload: Any, message: Message) -> None:
            if not message.redelivered:
                self.connection.drop()
            message.ack().addCallback(settled.append)

        consumer = Consumer(self.connection, QUEUE, callbacks=[callback])
        self.result_of(consumer.consume())
        self.publish("x")
        self.advance(1)
        self.assertEqual(settled, [Settlement.STALE, Settlement.SENT])


class ChannelTests(RecoveryTestCase):
    def test_a_channel_error_touches_only_its_channel(self) -> None:
        """
        The channel on which a mistake was made works again; other channels are not
        affected.
        """
        one = self.result_of(self.connection.channel())
        two = self.result_of(self.connection.channel())
        session_channel = self.result_of(two.core.opener.when_open())
        with self.assertRaisesRegex(NotFound, "no queue 'nope'"):
            self.result_of(Queue("nope")(one).queue_declare(passive=True))
        self.result_of(Queue("fine")(one).declare())
        self.assertIs(self.result_of(two.core.opener.when_open()), session_channel)
        self.assertTrue(self.connection.connected)

    def test_others_on_the_channel_fail_too(self) -> None:
        """
        Operations under way beside the refused one fail, with its error as their cause.
        """
        channel = self.result_of(self.connection.channel())
        refused = Queue("nope")(channel).queue_declare(passive=True)
        beside = Queue("beside")(channel).queue_declare()
        self.flush()
        self.failureResultOf(refused, NotFound)
        error = self.failureResultOf(beside, ChannelClosed).value
        self.assertIsInstance(error.__cause__, NotFound)

    def test_consumers_of_the_channel_come_back(self) -> None:
        """
        A channel error interrupts other consumers of the channel only for a moment.
        """
        channel = self.result_of(self.connection.channel())
        consumer = Consumer(channel, QUEUE, callbacks=[self.take])
        self.result_of(consumer.consume())
        self.advance(6)
        with self.assertRaises(NotFound):
            self.result_of(Queue("nope")(channel).queue_declare(passive=True))
        self.advance(1)
        self.publish("on")
        self.assertEqual(self.got, ["on"])

    def test_operations_wait_for_the_session(self) -> None:
        """Operations that begin while reconnecting are done in the next session."""
        channel = self.result_of(self.connection.channel())
        self.broker.drop()
        declaring = QUEUE(channel).declare()
        self.flush()
        self.assertNoResult(declaring)
        self.advance(1)
        self.assertEqual(self.successResultOf(declaring), "feed")

    def test_operations_time_out(self) -> None:
        """
        Operations that begin while reconnecting wait up to their timeout; the error
        says what they waited for.
        """
        connection = self.connect(operation_timeout=3)
        channel = self.result_of(connection.channel())
        self.broker.refuse()
        self.broker.drop()
        getting = QUEUE(channel).get()
        self.advance(3)
        error = self.failureResultOf(getting, OperationTimeout).value
        self.assertIn("getting from queue 'feed'", str(error))
        self.assertIsInstance(error, TimeoutError)

    def test_operations_under_way_fail_at_a_loss(self) -> None:
        """
        Operations that were sent fail in the turn of the loss, with a typed error.
        """
        channel = self.result_of(self.connection.channel())
        declaring = QUEUE(channel).queue_declare()
        self.broker.drop()
        self.failureResultOf(declaring, SessionLost)

    def test_close(self) -> None:
        """
        Operations on a closed channel say that it is closed; closing again does
        nothing.
        """
        channel = self.result_of(self.connection.channel())
        self.result_of(channel.close())
        self.result_of(channel.close())
        self.failureResultOf(QUEUE(channel).declare(), ChannelClosed)
        self.failureResultOf(channel.core.opener.when_open(), ChannelClosed)
        self.assertTrue(self.connection.connected)

    def test_cancelled_open(self) -> None:
        """Cancelling the opening of a channel leaves nothing behind."""
        opening = self.connection.channel()
        opening.addErrback(lambda failure: None)
        opening.cancel()
        self.flush()
        self.result_of(self.connection.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_consumer_tag_taken(self) -> None:
        """
        A consumer tag that is in use on the channel raises a ValueError that names it.
        """
        channel = self.result_of(self.connection.channel())
        queue = QUEUE(channel)
        self.result_of(queue.declare())
        self.result_of(queue.consume("mine", lambda message: None))
        with self.assertRaisesRegex(ValueError, "'mine'"):
            queue.consume("mine", lambda message: None)
        self.result_of(queue.cancel("mine"))
        self.result_of(queue.cancel("mine"))


class ConnectionTests(RecoveryTestCase):
    def test_connect_fails_at_once(self) -> None:
        """
        The first attempt to connect fails with the reason; the next operation tries
        again.
        """
        self.broker.refuse(ConnectError("nobody there"))
        self.failureResultOf(self.connection.connect(), ConnectError)
        self.failureResultOf(self.connection.channel(), ConnectError)
        self.assertIs(self.connection.state, State.IDLE)
        self.broker.accept()
        self.assertIs(self.result_of(self.connection.connect()), self.connection)
        self.assertTrue(self.connection.connected)

    def test_close_wins_from_every_state(self) -> None:
        """
        close works while idle, connecting and waiting, and twice; nothing is left.
        """
        self.result_of(self.connection.close())
        connecting = self.connect()
        began = connecting.connect()
        closing = connecting.close()
        self.flush()
        self.successResultOf(closing)
        self.failureResultOf(began, ConnectionClosed)
        waiting = self.connect()
        self.result_of(waiting.connect())
        self.broker.refuse()
        self.broker.drop()
        self.assertIs(waiting.state, State.WAITING)
        again = waiting.connect()
        self.result_of(waiting.close())
        self.result_of(waiting.close())
        self.failureResultOf(again, ConnectionClosed)
        self.assertIs(waiting.state, State.CLOSED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_use_after_close(self) -> None:
        """Every operation says that the connection was closed."""
        channel = self.result_of(self.connection.channel())
        self.result_of(self.connection.close())
        for later in (
            self.connection.connect(),
            self.connection.channel(),
            QUEUE(channel).declare(),
            QUEUE(self.connection).declare(),
        ):
            self.flush()
            self.failureResultOf(later, ConnectionClosed)

    def test_close_while_blocked(self) -> None:
        """A blocked broker does not keep a connection from closing."""
        producer = Producer(self.connection)
        self.result_of(producer.publish(1, "q"))
        self.broker.block()
        waiting = producer.publish(2, "q")
        waiting.addErrback(lambda failure: None)
        self.result_of(self.connection.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close_of_a_silent_broker(self) -> None:
        """A broker that answers nothing delays the close of a consumer by 5 s."""
        self.consuming(QUEUE)
        [session] = self.broker.sessions
        [channel] = session.channels
        answer: Deferred[None] = Deferred()
        self.patch(channel, "basic_cancel", lambda tag: answer)
        self.patch(channel, "close", lambda: answer)
        closing = self.connection.close()
        self.advance(4)
        self.assertNoResult(closing)
        self.advance(1)
        self.successResultOf(closing)
        answer.callback(None)

    def test_close_from_within_a_callback(self) -> None:
        """
        A callback may close its connection; a message that it acked before is acked.
        """
        closed: list[Deferred[None]] = []

        def callback(payload: Any, message: Message) -> None:
            message.ack()
            closed.append(self.connection.close())

        consumer = Consumer(self.connection, QUEUE, callbacks=[callback])
        self.result_of(consumer.consume())
        self.publish("last")
        self.successResultOf(closed[0])
        self.assertEqual(self.broker.waiting_in("feed"), 0)

    def test_async_with(self) -> None:
        """A connection is connected inside C{async with}, and closed after it."""

        async def program() -> State:
            async with self.connection as connection:
                return connection.state

        self.assertIs(self.result_of(program()), State.CONNECTED)
        self.assertIs(self.connection.state, State.CLOSED)

    def test_blocked_reason(self) -> None:
        """blocked_reason says why the broker accepts nothing."""
        self.result_of(self.connection.connect())
        self.broker.block("disk")
        self.assertEqual(self.connection.blocked_reason, "disk")
        self.broker.unblock()
        self.assertEqual(self.connection.blocked_reason, "")


class SettingsTests(RecoveryTestCase):
    def test_constructors_do_no_io(self) -> None:
        """The default is amqp on localhost; nothing connects."""
        for connection in (
            BrokerConnection(),
            BrokerConnection("localhost", "guest", "guest", "/"),
            BrokerConnection(hostname="localhost", port=5672, userid="guest"),
        ):
            self.assertEqual(connection.as_uri(), "amqp://guest:**@localhost:5672//")
            self.assertIs(connection.state, State.IDLE)

    def test_password_is_never_shown(self) -> None:
        """repr, info and as_uri do not show the password unless asked to."""
        connection = BrokerConnection("amqp://u:hidden@h/v;amqp://u:hidden@h2/v")
        shown = f"{connection!r} {connection.info()} {connection.as_uri()}"
        self.assertNotIn("hidden", shown)
        self.assertIn("hidden", connection.as_uri(include_password=True))

    def test_clone(self) -> None:
        """A clone has the same settings, and connects and closes independently."""
        original = self.connect(operation_timeout=3)
        twin = original.clone()
        self.assertEqual(twin.info(), original.info())
        self.result_of(twin.connect())
        self.assertIs(original.state, State.IDLE)
        self.result_of(twin.close())

    def test_transport_is_checked(self) -> None:
        """
        A transport that is neither a scheme nor a transport object raises TypeError.
        """
        with self.assertRaisesRegex(TypeError, "IBrokerTransport"):
            BrokerConnection(transport=object())  # type: ignore[arg-type]  # wrong on purpose

    def test_unknown_keyword(self) -> None:
        """An unknown keyword is refused."""
        with self.assertRaisesRegex(TypeError, "pasword"):
            BrokerConnection(pasword="x")  # type: ignore[call-arg]  # wrong on purpose

    def test_errors_for_kombu_users(self) -> None:
        """connection_errors and channel_errors can be used in C{except}."""
        with self.assertRaises(self.connection.channel_errors):
            raise NotFound("no such thing")
        with self.assertRaises(self.connection.connection_errors):
            raise SessionLost("gone")

    def test_recoverable_errors_for_kombu_users(self) -> None:
        """The recoverable errors are among the others, and C{except} takes them."""
        connection = self.connection
        for some, all_of_them in (
            (connection.recoverable_connection_errors, connection.connection_errors),
            (connection.recoverable_channel_errors, connection.channel_errors),
        ):
            for kind in some:
                self.assertTrue(issubclass(kind, all_of_them), kind)
        with self.assertRaises(connection.recoverable_connection_errors):
            raise SessionLost("gone")
        with self.assertRaises(connection.recoverable_channel_errors):
            raise ResourceLocked("exclusive to another connection")
        for final in (NotFound, ConnectionClosed, ProtocolError, OutcomeUnknown):
            self.assertFalse(
                issubclass(final, connection.recoverable_connection_errors), final
            )
            self.assertFalse(
                issubclass(final, connection.recoverable_channel_errors), final
            )

    def test_publishing_errors_for_kombu_users(self) -> None:
        """connection_errors has the errors of publishes whose session is lost."""
        producer = Producer(self.connection)
        self.result_of(producer.publish(0, "q"))
        self.broker.hold_confirms()
        unknown, late = producer.publish(1, "q"), producer.publish(2, "q", timeout=1)
        self.advance(1)
        [session] = self.broker.sessions
        session.write_paused()
        unsent = producer.publish(3, "q")
        self.broker.drop()
        self.broker.refuse(ConnectError("down"))
        waiting = producer.publish(4, "q", timeout=2)
        self.advance(3)
        self.advance(30)
        for publish in (unknown, late, unsent, waiting):
            error = self.failureResultOf(publish).value
            self.assertIsInstance(error, self.connection.connection_errors)
        self.broker.release_confirms()

    def test_supports_exchange_type(self) -> None:
        """Exchange types of the broker's own count as supported."""
        self.assertTrue(self.connection.supports_exchange_type("headers"))
        self.assertTrue(self.connection.supports_exchange_type("x-own"))
        self.assertFalse(
            BrokerConnection("stomp://h").supports_exchange_type("headers")
        )
        self.assertFalse(self.connection.supports_exchange_type(""))

    def test_heartbeat_check_does_nothing(self) -> None:
        """heartbeat_check exists for loops written for Kombu."""
        self.connection.heartbeat_check()
        self.assertIs(self.connection.state, State.IDLE)

    def test_factories(self) -> None:
        """A connection can make a Producer, a Consumer and a SimpleQueue."""
        consumer = self.connection.Consumer(QUEUE, callbacks=[self.take])
        self.result_of(consumer.consume())
        producer = self.connection.Producer(exchange=EXCHANGE, routing_key="importer")
        self.result_of(producer.publish("made"))
        self.assertEqual(self.got, ["made"])
        simple = self.connection.SimpleQueue("simple")
        self.result_of(simple.put(1))
        message = self.result_of(simple.get())
        self.assertEqual(message.payload, 1)
        message.ack()

    def test_broker_is_shared_by_name(self) -> None:
        """Each memory://name of a process is one broker."""
        broker = MemoryBroker(self.clock)
        one = BrokerConnection(transport=broker, reactor=self.clock)
        two = BrokerConnection(transport=broker, reactor=self.clock)
        for connection in (one, two):
            declaring = QUEUE(connection).declare()
            broker.flush()
            self.successResultOf(declaring)
        for connection in (one, two):
            closing = connection.close()
            broker.flush()
            self.successResultOf(closing)
