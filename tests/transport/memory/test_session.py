"""
Sessions of the memory broker as Twisted protocols, and callbacks that interfere.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IProtocol, ITransport
from zope.interface.verify import verifyObject

from tests.contract.harness import ChannelWatcher, Journal, Probe, SessionWatcher
from tests.support.memory_harness import DEFAULT, MemoryTestCase
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import (
    ChannelClosed,
    ConnectError,
    NotSent,
    NotSupported,
    OutcomeUnknown,
    PreconditionFailed,
    SessionLost,
)
from txkombu.interfaces import (
    Capability,
    Delivery,
    IBrokerTransport,
    ISession,
    ISessionChannel,
    Settlement,
)
from txkombu.transport.memory import MemoryBroker, broker_named, forget_brokers
from txkombu.url import Parameters


class InterfaceTests(MemoryTestCase):
    """The interfaces that each part provides."""

    def test_provides(self) -> None:
        """Broker, session, channel and wire provide what they should."""
        session = self.connect()
        verifyObject(IBrokerTransport, self.broker)
        verifyObject(ISession, session)
        verifyObject(IProtocol, session)
        verifyObject(ITransport, session.transport)
        verifyObject(IAddress, session.wire.getPeer())
        verifyObject(ISessionChannel, self.channel(session))

    def test_capabilities(self) -> None:
        """The memory broker has every capability."""
        self.assertEqual(self.connect().capabilities, frozenset(Capability))

    def test_texts(self) -> None:
        """The texts that show a broker, a queue and a consumer."""
        channel = self.channel()
        self.consume(channel, self.queue(channel))
        self.broker.flush()
        queue = self.broker.queue("q")
        self.assertEqual(repr(self.broker), "<MemoryBroker 'memory' with 1 sessions>")
        self.assertEqual(repr(queue), "<queue 'q': 0 waiting>")
        self.assertEqual(repr(queue.consumers[0]), "<consumer 'c' of 'q'>")

    def test_no_streams(self) -> None:
        """A stream is refused before anything is declared."""
        channel = self.channel()
        stream = Queue("s", queue_type="stream")
        error = self.failureResultOf(channel.queue_declare(stream, False), NotSupported)
        self.assertIn("declaring a stream is not supported", str(error.value))
        self.assertNotIn("s", self.broker.vhost().queues)


class NamedTests(MemoryTestCase):
    """The brokers that URLs name."""

    def setUp(self) -> None:
        super().setUp()
        forget_brokers()
        self.addCleanup(forget_brokers)

    def test_named(self) -> None:
        """There is one broker for each name, until they are forgotten."""
        broker = broker_named("a")
        self.assertIs(broker_named("a"), broker)
        self.assertIsNot(broker_named(""), broker)
        self.assertEqual(broker.name, "a")
        forget_brokers()
        self.assertIsNot(broker_named("a"), broker)


class WireTests(MemoryTestCase):
    """Ending a session from the broker's side."""

    def setUp(self) -> None:
        super().setUp()
        self.journal = Journal()
        self.session = self.connect(self.journal)
        self.one = self.channel(self.session, self.journal)

    def names(self) -> list[str]:
        """What the listeners were told."""
        return [name for name, _ in self.journal.entries]

    def test_abort_loses_replies(self) -> None:
        """When the wire is cut, what is on its way to the client is lost."""
        queue = self.queue(self.one)
        self.put(self.one, queue, b"1")
        got = Probe(self.one.basic_get(queue, False))
        verdict = Probe(self.one.basic_publish(b"2", {}, DEFAULT, "q", False, True))
        self.session.wire.abortConnection()
        self.assertFalse(got.fired)
        late = Probe(self.one.basic_publish(b"3", {}, DEFAULT, "q", False, True))
        declared = Probe(self.one.queue_declare(queue, True))
        opening = Probe(self.session.open_channel(ChannelWatcher(self.journal)))
        self.broker.flush()
        self.assertIsInstance(got.outcome, SessionLost)
        self.assertIsInstance(got.outcome.__cause__, SessionLost)
        self.assertIsInstance(got.outcome.__cause__.__cause__, ConnectionLost)
        self.assertIsInstance(verdict.outcome, OutcomeUnknown)
        self.assertIsInstance(late.outcome, OutcomeUnknown)
        self.assertIsInstance(declared.outcome, SessionLost)
        self.assertIsInstance(opening.outcome, SessionLost)
        self.assertEqual(self.names(), ["session_lost", "channel_lost"])
        self.assertEqual(self.waiting(), [b"1", b"2"])

    def test_lose_keeps_replies(self) -> None:
        """When the wire is closed in order, what is on its way still comes."""
        queue = self.queue(self.one)
        verdict = Probe(self.one.basic_publish(b"1", {}, DEFAULT, "q", False, True))
        inbox = self.consume(self.one, queue, no_ack=True)
        self.session.wire.loseConnection()
        self.session.wire.loseConnection()
        self.broker.flush()
        self.assertIsNone(verdict.outcome)
        self.assertEqual(inbox.bodies, [b"1"])
        self.assertEqual(self.names(), ["session_lost", "channel_lost"])
        (lost,) = self.journal.all("session_lost")
        self.assertIsInstance(lost.__cause__, ConnectionDone)

    def test_lose_answers_nothing_more(self) -> None:
        """Requests made after an orderly close has begun get no answer, and fail."""
        queue = self.queue(self.one)
        self.session.wire.loseConnection()
        late = Probe(self.one.basic_publish(b"1", {}, DEFAULT, "q", False, True))
        declared = Probe(self.one.queue_declare(queue, True))
        opening = Probe(self.session.open_channel(ChannelWatcher(self.journal)))
        self.broker.flush()
        self.assertIsInstance(late.outcome, OutcomeUnknown)
        self.assertIsInstance(declared.outcome, SessionLost)
        self.assertIsInstance(opening.outcome, SessionLost)
        self.assertEqual(self.waiting(), [])

    def test_another_channel_ends_the_session(self) -> None:
        """After a hard error on one channel, the requests of another one fail."""
        other = self.channel(self.session)
        self.queue(other)
        answered = Probe(other.queue_purge(Queue("q")))
        Probe(self.one.exchange_declare(Exchange("e", "unknown"), False))
        late = Probe(other.basic_publish(b"1", {}, DEFAULT, "q", False, True))
        declared = Probe(other.queue_declare(Queue("q"), True))
        self.broker.flush()
        self.assertEqual(answered.outcome, 0)
        self.assertIsInstance(late.outcome, OutcomeUnknown)
        self.assertIsInstance(declared.outcome, SessionLost)
        self.assertEqual(self.waiting(), [])

    def test_settling_while_cut(self) -> None:
        """An ack that a cut wire loses counts as sent, as the client cannot know."""
        queue = self.queue(self.one)
        self.put(self.one, queue, b"1")
        got = self.done(self.one.basic_get(queue, False))
        assert got is not None
        self.session.wire.abortConnection()
        self.assertIs(self.one.ack(got.tag, False), Settlement.SENT)
        self.broker.flush()
        self.assertIs(self.one.ack(got.tag, False), Settlement.STALE)
        self.assertEqual(self.waiting(), [b"1"])

    def test_no_bytes(self) -> None:
        """No bytes pass the wire."""
        wire = self.session.wire
        self.assertRaises(NotImplementedError, wire.write, b"x")
        self.assertRaises(NotImplementedError, wire.writeSequence, [b"x"])

    def test_addresses(self) -> None:
        """Both ends are at the broker of that name."""
        wire = self.session.wire
        self.assertEqual(wire.getPeer().name, "memory")
        self.assertEqual(wire.getPeer(), wire.getHost())

    def test_cut_in_the_login(self) -> None:
        """A connection cut before it is open fails, and has no listener yet."""
        journal = Journal()
        connecting = Probe(
            self.broker.connect(
                Parameters("memory"), None, self.clock, SessionWatcher(journal)
            )
        )
        self.broker.sessions[-1].wire.abortConnection()
        self.broker.flush()
        self.assertIsInstance(connecting.outcome, ConnectError)
        self.assertIsInstance(connecting.outcome.__cause__, SessionLost)
        self.assertEqual(journal.entries, [])

    def test_cancelled_login(self) -> None:
        """A cancelled connection is aborted at once."""
        broker = MemoryBroker(self.clock)
        listener = SessionWatcher(Journal())
        connecting = broker.connect(Parameters("memory"), None, self.clock, listener)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertEqual(broker.sessions, [])

    def test_closing_takes_all_along(self) -> None:
        """All verdicts arrive before an orderly close is over, however many."""
        self.queue(self.one)
        verdicts = [
            Probe(self.one.basic_publish(b"x", {}, DEFAULT, "q", False, True))
            for _ in range(1000)
        ]
        self.done(self.session.close())
        self.assertEqual({probe.outcome for probe in verdicts}, {None})

    def test_aborted_while_cancelling(self) -> None:
        """Cancelling a consumer succeeds, also when the session ends first."""
        self.consume(self.one, self.queue(self.one), "c")
        self.broker.flush()
        cancelling = Probe(self.one.basic_cancel("c"))
        self.assertFalse(cancelling.fired)
        self.session.abort()
        self.assertIsNone(cancelling.outcome)

    def test_aborted_while_closing(self) -> None:
        """A session that is closed and then aborted is over, and says so once."""
        closing = Probe(self.session.close())
        self.session.abort()
        self.assertIsNone(closing.outcome)
        self.session.abort()
        self.assertEqual(self.journal.entries, [])


class TagTests(MemoryTestCase):
    """Delivery tags that mean nothing."""

    def test_never_handed_out(self) -> None:
        """Settling what was never handed out ends the channel, in RabbitMQ's words."""
        for settle, method in (
            (lambda channel: channel.ack(1, False), 80),
            (lambda channel: channel.ack(1, True), 80),
            (lambda channel: channel.nack(1, False, True), 120),
            (lambda channel: channel.reject(1, True), 90),
            (lambda channel: channel.ack(0, False), 80),
        ):
            journal = Journal()
            channel = self.channel(journal=journal)
            self.assertIs(settle(channel), Settlement.SENT)
            self.broker.flush()
            ((name, error),) = journal.entries
            self.assertEqual(name, "channel_lost")
            self.assertIsInstance(error, PreconditionFailed)
            self.assertIn("PRECONDITION_FAILED - unknown delivery tag", error.text)
            self.assertEqual((error.class_id, error.method_id), (60, method))

    def test_on_its_way(self) -> None:
        """Settling all messages means those that have arrived, and no others."""
        channel = self.channel()
        queue = self.queue(channel)
        inbox = self.consume(channel, queue)
        self.put(channel, queue, b"1")
        channel.basic_publish(b"2", {}, DEFAULT, "q", False, False)
        channel.ack(0, True)
        self.broker.flush()
        self.assertEqual(inbox.bodies, [b"1", b"2"])
        self.done(channel.close())
        self.assertEqual(self.waiting(), [b"2"])

    def test_got_is_seen(self) -> None:
        """A message that was got counts among those that have arrived."""
        channel = self.channel()
        queue = self.queue(channel)
        self.put(channel, queue, b"1")
        self.done(channel.basic_get(queue, False))
        self.assertIs(channel.ack(0, True), Settlement.SENT)
        self.assertIs(channel.ack(0, True), Settlement.STALE)


class MeddlingTests(MemoryTestCase):
    """Callbacks that close, cancel, publish or drop."""

    def setUp(self) -> None:
        super().setUp()
        self.journal = Journal()
        self.session = self.connect(self.journal)
        self.one = self.channel(self.session, self.journal)
        self.q = self.queue(self.one)

    def three(self) -> None:
        """Publish three messages, to be delivered in one turn."""
        for body in (b"1", b"2", b"3"):
            self.one.basic_publish(body, {}, DEFAULT, "q", False, False)
        self.broker.flush()

    def test_cut(self) -> None:
        """Nothing more is delivered once a callback cuts the wire."""
        inbox = self.consume(
            self.one,
            self.q,
            then=lambda _: self.session.wire.abortConnection(),
        )
        self.three()
        self.assertEqual(inbox.bodies, [b"1"])
        self.assertEqual(self.waiting(), [b"1", b"2", b"3"])
        self.assertTrue(all(each.returns for each in self.broker.queue("q").waiting))

    def test_delete_the_queue(self) -> None:
        """What was sent before a callback deletes the queue still comes."""

        def delete(delivery: Delivery) -> None:
            self.one.queue_delete(self.q, False, False)

        inbox = self.consume(self.one, self.q, then=delete)
        self.three()
        self.assertEqual(inbox.bodies, [b"1", b"2", b"3"])
        self.assertEqual(len(inbox.journal.all("cancelled")), 1)

    def test_close_session_from_verdict(self) -> None:
        """A verdict's callback may close the session; the other verdicts come."""
        first = self.one.basic_publish(b"1", {}, DEFAULT, "q", False, True)
        first.addCallback(lambda _: self.session.close())
        second = Probe(self.one.basic_publish(b"2", {}, DEFAULT, "q", False, True))
        self.broker.flush()
        self.assertIsNone(second.outcome)
        self.successResultOf(first)

    def test_abort_from_verdict(self) -> None:
        """A verdict's callback may abort; the others are unknown."""
        first = self.one.basic_publish(b"1", {}, DEFAULT, "q", False, True)
        first.addCallback(lambda _: self.session.abort())
        second = Probe(self.one.basic_publish(b"2", {}, DEFAULT, "q", False, True))
        self.broker.flush()
        self.assertIsInstance(second.outcome, OutcomeUnknown)

    def test_use_from_failure(self) -> None:
        """A channel that ends is over for the first callback that hears of it."""
        probes: list[Probe] = []

        def use(_: object) -> None:
            probes.append(Probe(self.one.queue_declare(self.q, True)))
            publish = self.one.basic_publish(b"1", {}, DEFAULT, "q", False, True)
            probes.append(Probe(publish))
            probes.append(Probe(self.one.close()))

        self.one.queue_declare(Queue("missing"), True).addErrback(use)
        self.broker.flush()
        declared, published, closed = (probe.outcome for probe in probes)
        self.assertIsInstance(declared, ChannelClosed)
        self.assertIsInstance(published, NotSent)
        self.assertIsNone(closed)

    def test_use_another_from_failure(self) -> None:
        """When a session ends all of its channels are over at once."""
        other = self.channel(self.session, self.journal)
        probes: list[Probe] = []

        def use(_: object) -> None:
            publish = other.basic_publish(b"1", {}, DEFAULT, "q", False, True)
            probes.append(Probe(publish))

        self.one.basic_recover().addErrback(use)
        self.session.abort()
        (probe,) = probes
        self.assertIsInstance(probe.outcome, NotSent)

    def test_abandoned_consumer(self) -> None:
        """A consumer cancelled before it began gets no messages, and holds none."""
        inbox = self.consume_and_cancel()
        self.three()
        self.assertEqual(inbox, [])
        self.assertEqual(self.waiting(), [b"1", b"2", b"3"])
        self.assertEqual(self.broker.queue("q").consumers, [])

    def consume_and_cancel(self) -> list[Delivery]:
        """Start a consumer of a queue with a message, and cancel that at once."""
        self.one.basic_publish(b"0", {}, DEFAULT, "q", False, False)
        seen: list[Delivery] = []
        consuming = self.one.basic_consume(
            self.q, "c", False, False, {}, 0, seen.append, self.fail
        )
        consuming.cancel()
        self.failureResultOf(consuming, CancelledError)
        self.broker.flush()
        self.assertEqual(self.waiting(), [b"0"])
        self.done(self.one.queue_purge(self.q))
        return seen

    def test_cancelled_get_in_a_dying_channel(self) -> None:
        """The message of a cancelled get goes back once, also if the channel ends."""
        self.put(self.one, self.q, b"1")
        getting = self.one.basic_get(self.q, False)
        getting.cancel()
        self.failureResultOf(getting, CancelledError)
        self.done(self.one.close())
        self.assertEqual(self.waiting(), [b"1"])

    def test_failing_on_cancelled(self) -> None:
        """An error of C{on_cancelled} is logged, and harms nothing."""

        def fail(error: Exception) -> None:
            raise KeyError("of the test")

        self.one.basic_consume(self.q, "c", False, False, {}, 0, self.fail, fail)
        self.done(self.one.queue_delete(self.q, False, False))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.queue(self.one)

    def test_cancelled_from_the_broker(self) -> None:
        """The broker can end a consumer, which can still settle what it holds."""
        inbox = self.consume(self.one, self.q, prefetch=1)
        self.put(self.one, self.q, b"1", b"2")
        (consumer,) = self.broker.queue("q").consumers
        consumer.channel.cancel_from_broker("c", "its node was lost")
        consumer.channel.cancel_from_broker("c", "again")
        self.broker.flush()
        (error,) = inbox.journal.all("cancelled")
        self.assertIn("its node was lost", str(error))
        self.assertEqual(self.waiting(), [b"2"])
        (delivery,) = inbox.journal.all("delivery")
        self.assertIs(self.one.ack(delivery.tag, False), Settlement.SENT)

    def test_unacknowledged_are_lost(self) -> None:
        """Messages on their way to a no_ack consumer are lost with the session."""
        self.consume(self.one, self.q, no_ack=True)
        self.broker.flush()
        self.one.basic_publish(b"1", {}, DEFAULT, "q", False, False)
        self.session.abort()
        self.assertEqual(self.waiting(), [])


class ValueTests(MemoryTestCase):
    """Values that no wire can carry are refused before anything happens."""

    def setUp(self) -> None:
        super().setUp()
        self.one = self.channel()
        self.q = self.queue(self.one)

    def publish(self, **properties: object) -> None:
        """Publish a message with these properties."""
        self.done(self.one.basic_publish(b"1", properties, DEFAULT, "q", False, True))

    def test_prefetch(self) -> None:
        """A prefetch count has 16 bits."""
        for count in (-1, 2**16):
            with self.assertRaisesRegex(ValueError, "0 to 65535"):
                self.consume(self.one, self.q, prefetch=count)

    def test_tag(self) -> None:
        """A consumer needs a tag that no other consumer of the channel has."""
        self.consume(self.one, self.q, "c")
        self.broker.flush()
        for tag in ("", "c"):
            with self.assertRaisesRegex(ValueError, "a tag of its own"):
                self.consume(self.one, self.q, tag)

    def test_numbers(self) -> None:
        """A number in a header has 64 bits."""
        self.publish(headers={"least": -(2**63), "most": 2**63 - 1})
        for number in (2**63, -(2**63) - 1):
            with self.assertRaisesRegex(ValueError, "64 bits"):
                self.publish(headers={"number": number})
        self.assertEqual(self.waiting(), [b"1"])

    def test_keys(self) -> None:
        """A name in a header is a string of up to 255 bytes."""
        with self.assertRaises(ValueError):
            self.publish(headers={"table": {"x" * 256: 1}})
        with self.assertRaises(TypeError):
            self.publish(headers={"table": {1: 1}})

    def test_types(self) -> None:
        """A tuple arrives as a list, a bytearray as text or bytes."""
        arrays = {"text": bytearray(b"3"), "bytes": bytearray(b"\xff")}
        self.publish(headers={"tuple": (1, 2), **arrays})
        got = self.done(self.one.basic_get(self.q, True))
        assert got is not None
        wanted = {"tuple": [1, 2], "text": "3", "bytes": b"\xff"}
        self.assertEqual(got.properties, {"headers": wanted})


class RefusedPublishTests(MemoryTestCase):
    """The outcome of publishes around a refused one."""

    def test_too_large(self) -> None:
        """A body beyond 128 MiB ends the channel, as it does on RabbitMQ."""
        channel = self.channel()
        self.queue(channel)
        refused = channel.basic_publish(bytes(2**27 + 1), {}, DEFAULT, "q", False, True)
        self.broker.flush()
        error = self.failureResultOf(refused, PreconditionFailed).value
        self.assertIn("134217729 is larger than configured max size", str(error))

    def test_others_are_unknown(self) -> None:
        """Publishes behind a refused one, to another exchange, are unknown."""
        channel = self.channel()
        self.queue(channel)
        nowhere = Exchange("nowhere")
        before = Probe(channel.basic_publish(b"1", {}, DEFAULT, "q", False, True))
        refused = Probe(channel.basic_publish(b"2", {}, nowhere, "q", False, True))
        same = Probe(channel.basic_publish(b"3", {}, nowhere, "q", False, True))
        behind = Probe(channel.basic_publish(b"4", {}, DEFAULT, "q", False, True))
        self.broker.flush()
        self.assertIsNone(before.outcome)
        self.assertEqual(refused.outcome.code, 404)
        self.assertEqual(same.outcome.code, 404)
        self.assertIsNot(same.outcome, refused.outcome)
        self.assertIsInstance(behind.outcome, OutcomeUnknown)
        self.assertIs(behind.outcome.__cause__, refused.outcome)
        self.assertEqual(self.waiting(), [b"1"])
