"""
When the memory broker does things: one round per turn of the reactor.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from zope.interface import implementer

from tests.contract.harness import Journal, Probe, SessionWatcher
from tests.support.memory_harness import DEFAULT, MemoryTestCase
from txkombu.interfaces import Delivery, ISessionChannel
from txkombu.transport.memory import MemoryBroker, NeverQuiet
from txkombu.transport.memory.consumer import WINDOW
from txkombu.transport.memory.events import AT_ONCE
from txkombu.url import Parameters


class TurnClock(Clock):
    """A clock that tells turns of the reactor apart, as Clock itself does not."""

    def turn(self) -> None:
        """Run what is due now, and nothing that comes of it."""
        due, self.calls = list(self.calls), []
        for call in due:
            if call.getTime() <= self.seconds() and call.active():
                call.called = 1
                call.func(*call.args, **call.kw)
            elif call.active():
                self.calls.append(call)
        self._sortCalls()


class TurnTests(MemoryTestCase):
    """What happens in which turn."""

    def setUp(self) -> None:
        super().setUp()
        self.turns = self.clock = TurnClock()
        self.broker = MemoryBroker(self.turns)
        self.one = self.channel()

    def publish(self, channel: ISessionChannel, *bodies: bytes) -> list[Probe]:
        """Publish with confirms, without waiting."""
        return [
            Probe(channel.basic_publish(body, {}, DEFAULT, "q", False, True))
            for body in bodies
        ]

    def test_next_turn(self) -> None:
        """A message is delivered, and confirmed, in the turn after its publishing."""
        queue = self.queue(self.one)
        inbox = self.consume(self.one, queue)
        self.broker.flush()
        (verdict,) = self.publish(self.one, b"1")
        self.assertEqual(inbox.bodies, [])
        self.assertFalse(verdict.fired)
        self.turns.turn()
        self.assertEqual(inbox.bodies, [b"1"])
        self.assertTrue(verdict.fired)

    def test_published_by_a_callback(self) -> None:
        """What a callback publishes is delivered one turn later."""
        queue = self.queue(self.one)

        def again(delivery: Delivery) -> None:
            if len(inbox.bodies) < 3:
                self.publish(self.one, delivery.body + b"+")

        inbox = self.consume(self.one, queue, then=again)
        self.broker.flush()
        self.publish(self.one, b"1")
        lengths = []
        for _ in range(5):
            self.turns.turn()
            lengths.append(len(inbox.bodies))
        self.assertEqual(lengths, [1, 2, 3, 4, 4])

    def test_requeued_by_a_callback(self) -> None:
        """What a callback gives back is delivered again one turn later."""
        queue = self.queue(self.one)
        inbox = self.consume(
            self.one, queue, then=lambda each: self.one.nack(each.tag, False, True)
        )
        self.put_quietly(b"1")
        for turns in range(1, 5):
            self.turns.turn()
            self.assertEqual(len(inbox.bodies), turns)
        self.one.close()

    def put_quietly(self, *bodies: bytes) -> None:
        """Let all that is under way happen, and then publish."""
        self.broker.flush()
        for body in bodies:
            self.one.basic_publish(body, {}, DEFAULT, "q", False, False)

    def test_bounded(self) -> None:
        """One channel fires only so many events in one turn."""
        inbox = self.consume(self.one, self.queue(self.one))
        self.put_quietly(*[b"x"] * (3 * AT_ONCE))
        counts = []
        for _ in range(4):
            self.turns.turn()
            counts.append(len(inbox.bodies))
        self.assertEqual(counts, [AT_ONCE, 2 * AT_ONCE, 3 * AT_ONCE, 3 * AT_ONCE])

    def test_fair(self) -> None:
        """A channel with much to do does not hold up another."""
        other = self.channel()
        busy = self.consume(self.one, self.queue(self.one))
        idle = self.consume(other, self.queue(other, "r"))
        self.put_quietly(*[b"x"] * (2 * AT_ONCE))
        other.basic_publish(b"y", {}, DEFAULT, "r", False, False)
        self.turns.turn()
        self.assertEqual(idle.bodies, [b"y"])
        self.assertEqual(len(busy.bodies), AT_ONCE)
        self.broker.flush()

    def test_window(self) -> None:
        """
        A consumer without a prefetch count has a bounded number of messages on
        their way; the rest waits in the queue until some have arrived.
        """
        self.consume(self.one, self.queue(self.one), no_ack=True)
        self.put_quietly(*[b"x"] * (WINDOW + 10))
        self.assertEqual(len(self.waiting()), 10)
        self.broker.flush()
        self.assertEqual(self.waiting(), [])

    def test_quiet(self) -> None:
        """While nothing happens there is nothing on the clock."""
        self.consume(self.one, self.queue(self.one))
        self.put(self.one, self.queue(self.one), b"1")
        self.assertEqual(self.turns.getDelayedCalls(), [])


class FlushTests(MemoryTestCase):
    """Letting everything happen at once."""

    def test_chain(self) -> None:
        """Flushing runs a chain of messages to its end."""
        channel = self.channel()
        first, second = self.queue(channel, "a"), self.queue(channel, "b")

        def pass_on(delivery: Delivery) -> None:
            channel.basic_publish(delivery.body, {}, DEFAULT, "b", False, False)

        self.consume(channel, first, "one", pass_on)
        inbox = self.consume(channel, second, "two")
        channel.basic_publish(b"1", {}, DEFAULT, "a", False, False)
        self.broker.flush()
        self.assertEqual(inbox.bodies, [b"1"])

    def test_time_stands(self) -> None:
        """Flushing does not advance the clock."""
        channel = self.channel()
        self.put(channel, self.queue(channel, x_message_ttl=1000), b"1")
        self.broker.flush()
        self.assertEqual(self.clock.seconds(), 0)
        self.assertEqual(self.waiting(), [b"1"])

    def test_others_calls(self) -> None:
        """Flushing also runs other calls that are due on the clock."""
        channel = self.channel()
        queue = self.queue(channel)
        inbox = self.consume(channel, queue)
        self.clock.callLater(
            0, channel.basic_publish, b"1", {}, DEFAULT, "q", False, False
        )
        self.broker.flush()
        self.assertEqual(inbox.bodies, [b"1"])

    def test_never_quiet(self) -> None:
        """Messages that go round for ever end in an error, not in a hang."""
        channel = self.channel()
        queue = self.queue(channel)
        self.put(channel, queue, b"1")
        self.consume(
            channel, queue, then=lambda each: channel.nack(each.tag, False, True)
        )
        with self.assertRaises(NeverQuiet):
            self.broker.flush()
        with self.assertRaises(NeverQuiet):
            self.clock.advance(0)

    def test_within(self) -> None:
        """Flushing from within a callback is refused."""
        channel = self.channel()
        errors: list[RuntimeError] = []

        def flush(delivery: Delivery) -> None:
            errors.append(self.assertRaises(RuntimeError, self.broker.flush))

        self.consume(channel, self.queue(channel), then=flush)
        self.put(channel, self.queue(channel), b"1")
        self.assertEqual(len(errors), 1)

    def test_without_a_session(self) -> None:
        """Flushing a broker that was never used does nothing."""
        MemoryBroker().flush()

    def test_reactor(self) -> None:
        """Flushing works on a reactor, which cannot be advanced."""
        clock = Clock()
        reactor = Bare(clock)
        broker = MemoryBroker(reactor)
        listener = SessionWatcher(Journal())
        connecting = Probe(
            broker.connect(Parameters("memory"), None, reactor, listener)
        )
        self.assertFalse(connecting.fired)
        broker.flush()
        connecting.outcome.abort()
        self.assertEqual(clock.getDelayedCalls(), [])


@implementer(IReactorTime)
class Bare:
    """A reactor of which only the time and its calls can be used."""

    def __init__(self, clock: Clock) -> None:
        self.seconds = clock.seconds
        self.callLater = clock.callLater
        self.getDelayedCalls = clock.getDelayedCalls
