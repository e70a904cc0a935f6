"""
The calls that the memory broker leaves on the clock, and how it catches up.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import Journal
from tests.support.jumpy_reactor import JumpyReactor
from tests.support.memory_harness import DEFAULT, MemoryTestCase
from txkombu._util import steady_clock
from txkombu.entity import Exchange, Queue
from txkombu.transport.memory.deadlines import QueueDeadlines
from txkombu.transport.memory.pump import Pump


class TimerTests(MemoryTestCase):
    """One delayed call for the earliest deadline, and none without a session."""

    def setUp(self) -> None:
        super().setUp()
        self.session = self.connect()
        self.one = self.channel(self.session)

    def test_one_call(self) -> None:
        """However many messages can expire, one call is on the clock."""
        for name in "abc":
            queue = self.queue(self.one, name, x_message_ttl=1000)
            self.put(self.one, queue, *[b"x"] * 10)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_earliest(self) -> None:
        """The call is for the earliest deadline."""
        self.put(self.one, self.queue(self.one, "slow", x_message_ttl=9000), b"x")
        self.put(self.one, self.queue(self.one, "fast", x_message_ttl=1000), b"x")
        (call,) = self.clock.getDelayedCalls()
        self.assertEqual(call.getTime(), 1.0)
        self.clock.advance(1)
        (call,) = self.clock.getDelayedCalls()
        self.assertEqual(call.getTime(), 9.0)
        self.clock.advance(8)
        self.assertEqual((self.waiting("slow"), self.waiting("fast")), ([], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_precise(self) -> None:
        """A message waits until its time has come, and not longer."""
        self.put(self.one, self.queue(self.one, x_message_ttl=1000), b"x")
        self.clock.advance(0.999)
        self.assertEqual(self.waiting(), [b"x"])
        self.clock.advance(0.001)
        self.assertEqual(self.waiting(), [])

    def test_expired_is_not_delivered(self) -> None:
        """A message that expired while a turn was late is not delivered."""
        queue = self.queue(self.one)
        self.put(self.one, queue, b"x", expiration="1000")
        self.clock.rightNow += 2
        inbox = self.consume(self.one, queue)
        self.broker.flush()
        self.assertEqual(inbox.bodies, [])

    def test_nothing_without_a_session(self) -> None:
        """Without a session nothing is on the clock."""
        self.put(self.one, self.queue(self.one, x_message_ttl=1000), b"x")
        self.session.abort()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_after_a_close(self) -> None:
        """Nothing is on the clock after a close with something under way."""
        self.put(self.one, self.queue(self.one, x_expires=1000), b"x")
        self.one.basic_publish(b"y", {}, DEFAULT, "q", False, False)
        self.done(self.session.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_catches_up(self) -> None:
        """Deadlines that passed without a session are caught up for the next one."""
        self.put(self.one, self.queue(self.one, x_message_ttl=1000), b"x")
        self.queue(self.one, "unused", x_expires=1000)
        self.session.abort()
        self.clock.advance(5)
        self.connect()
        self.assertEqual(self.waiting(), [])
        self.assertNotIn("unused", self.broker.vhost().queues)

    def test_not_due(self) -> None:
        """A deadline that has not passed is waited for by the next session."""
        self.put(self.one, self.queue(self.one, x_message_ttl=1000), b"x")
        self.session.abort()
        self.clock.advance(0.5)
        self.connect()
        self.assertEqual(self.waiting(), [b"x"])
        self.clock.advance(0.5)
        self.assertEqual(self.waiting(), [])

    def test_catches_up_in_order(self) -> None:
        """
        A message that expired into another queue while no session was there has
        expired there at its own time, too.
        """
        dead = {"x_dead_letter_exchange": "", "x_message_ttl": 1000}
        first = self.queue(self.one, "a", x_dead_letter_routing_key="b", **dead)
        self.queue(self.one, "b", x_dead_letter_routing_key="c", **dead)
        self.queue(self.one, "c")
        self.put(self.one, first, b"x")
        self.session.abort()
        self.clock.advance(10)
        self.connect()
        (message,) = self.broker.queue("c").waiting
        deaths = message.envelope.headers["x-death"]
        assert isinstance(deaths, list)
        self.assertEqual([death["time"].timestamp() for death in deaths], [2, 1])

    def test_one_advance(self) -> None:
        """Messages expire in the same order in one long step of the clock."""
        dead = {"x_dead_letter_exchange": "", "x_message_ttl": 1000}
        first = self.queue(self.one, "a", x_dead_letter_routing_key="b", **dead)
        self.queue(self.one, "b", x_dead_letter_routing_key="c", **dead)
        self.queue(self.one, "c", x_message_ttl=7500)
        self.put(self.one, first, b"x")
        self.clock.advance(9)
        self.assertEqual(self.waiting("c"), [b"x"])
        self.clock.advance(0.5)
        self.assertEqual(self.waiting("c"), [])

    def test_deleted_queue(self) -> None:
        """The deadlines of a deleted queue do no harm."""
        queue = self.queue(self.one, x_message_ttl=1000, x_expires=2000)
        self.put(self.one, queue, b"x")
        self.done(self.one.queue_delete(queue, False, False))
        self.queue(self.one)
        self.put(self.one, queue, b"y")
        self.clock.advance(5)
        self.assertEqual(self.waiting(), [b"y"])

    def test_queue_expires_under_a_consumer(self) -> None:
        """A queue with a consumer does not expire, however long it takes."""
        queue = self.queue(self.one, x_expires=1000)
        inbox = self.consume(self.one, queue)
        self.clock.advance(5)
        self.put(self.one, queue, b"x")
        self.assertEqual(inbox.bodies, [b"x"])

    def test_clock_of_the_first_session(self) -> None:
        """A broker without a clock takes that of its first session."""
        from txkombu.transport.memory import MemoryBroker

        self.broker = MemoryBroker()
        self.assertIsNone(self.broker.clock)
        self.connect()
        self.assertIs(self.broker.clock, self.clock)


class KeepingTests(MemoryTestCase):
    """State that outlives the sessions."""

    def test_shared(self) -> None:
        """Sessions share the queues of the broker, at the same time and later."""
        session = self.connect()
        queue = self.queue(self.channel(session))
        self.put(self.channel(session), queue, b"1")
        session.abort()
        got = self.done(self.channel().basic_get(queue, True))
        assert got is not None
        self.assertEqual(got.body, b"1")

    def test_virtual_hosts(self) -> None:
        """Virtual hosts know nothing of each other."""
        here = self.channel(self.connect(vhost="/"))
        there = self.channel(self.connect(vhost="there"))
        for channel in (here, there):
            self.queue(channel)
            exchange = Exchange("x", "fanout" if channel is here else "direct")
            self.done(channel.exchange_declare(exchange, False))
        self.put(here, Queue("q"), b"1")
        self.assertEqual(len(self.broker.queue("q").waiting), 1)
        self.assertEqual(len(self.broker.queue("q", "there").waiting), 0)
        self.assertEqual(self.broker.exchange("x", "there").type, "direct")

    def test_looking_in(self) -> None:
        """A broker shows its queues and bindings; an unknown name is a LookupError."""
        channel = self.channel()
        queue = self.queue(channel)
        self.done(channel.queue_bind(queue, Exchange("amq.topic"), "a.#", {}))
        (binding,) = self.broker.exchange("amq.topic").bindings
        self.assertIs(binding.destination, self.broker.queue("q"))
        self.assertEqual((binding.source, binding.key), ("amq.topic", "a.#"))
        self.assertRaises(LookupError, self.broker.queue, "none")
        self.assertRaises(LookupError, self.broker.exchange, "none")

    def test_copies(self) -> None:
        """Neither publisher nor consumers can change a message in the broker."""
        channel = self.channel()
        queue = self.queue(channel)
        self.queue(channel, "r")
        for name in "qr":
            fanout = Exchange("amq.fanout")
            self.done(channel.queue_bind(Queue(name), fanout, "", {}))
        headers: dict[str, object] = {"list": [1], "table": {"key": [2]}}
        channel.basic_publish(
            b"1", {"headers": headers}, Exchange("amq.fanout"), "", False, False
        )
        headers["list"] = "changed"
        for name in "qr":
            got = self.done(channel.basic_get(Queue(name), False))
            assert got is not None
            seen = got.properties["headers"]
            assert isinstance(seen, dict)
            self.assertEqual(seen, {"list": [1], "table": {"key": [2]}})
            seen["table"]["key"].append(3)
            channel.nack(got.tag, False, True)
        again = self.done(channel.basic_get(queue, True))
        assert again is not None
        self.assertEqual(
            again.properties, {"headers": {"list": [1], "table": {"key": [2]}}}
        )

    def test_exclusive_goes_at_a_cut(self) -> None:
        """An exclusive queue goes when its session is cut."""
        journal = Journal()
        session = self.connect(journal)
        channel = self.channel(session)
        mine = Queue("mine", exclusive=True)
        self.done(channel.queue_declare(mine, False))
        session.wire.abortConnection()
        self.assertNotIn("mine", self.broker.vhost().queues)
        self.assertEqual(journal.entries, [])
        self.broker.flush()
        self.assertEqual([name for name, _ in journal.entries], ["session_lost"])


class SetClockTests(SynchronousTestCase):
    """Deadlines when the wall clock is set."""

    def test_steady(self) -> None:
        """A deadline comes after as long as it would; dates follow the clock."""
        reactor = JumpyReactor()
        self.patch(steady_clock, "monotonic", reactor.monotonic)
        deadlines = QueueDeadlines(Pump(reactor))
        deadlines.wake()
        seen: list[float] = []
        dates: list[float] = []

        def check() -> None:
            seen.append(deadlines.now())
            dates.append(deadlines.date())

        deadlines.schedule(deadlines.now() + 10, check)
        reactor.set_clock(3600)
        self.assertEqual(seen, [])
        reactor.set_clock(-7200)
        reactor.advance(9.5)
        self.assertEqual(seen, [])
        reactor.advance(0.5)
        deadlines.wake()
        self.assertEqual((seen, dates), ([10.0], [reactor.seconds()]))
