"""
Exchange types that raise: the memory broker goes on, and says what is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twisted.internet.task import Clock

from tests.contract.harness import Inbox
from tests.support.memory_harness import DEFAULT, MemoryTestCase
from txkombu.entity import Exchange, Queue
from txkombu.interfaces import Properties
from txkombu.transport.memory.events import EventStream, Notification, Termination
from txkombu.transport.memory.pump import Pump
from txkombu.transport.memory.routing import Binding


class Failed(Exception):
    """What the exchange type raises."""


def fail(bindings: Sequence[Binding], key: str, of: Properties) -> Iterable[Binding]:
    """Route nothing."""
    raise Failed(key)


class DeadLetterTests(MemoryTestCase):
    """A dead letter exchange that raises."""

    def setUp(self) -> None:
        super().setUp()
        self.broker.register_exchange_type("failing", fail)
        self.one = self.channel()
        exchange = Exchange("failing", "failing")
        self.done(self.one.exchange_declare(exchange, False))

    def dying(self, name: str = "q", **arguments: object) -> Queue:
        """Declare a queue whose dead letters go there."""
        dead = {"x_dead_letter_exchange": "failing"}
        return self.queue(self.one, name, **dead, **arguments)

    def lost(self) -> int:
        """Return how many messages were lost, which was logged."""
        return len(self.flushLoggedErrors(Failed))

    def goes_on(self, queue: Queue) -> Inbox:
        """Check that a message still gets through, to a consumer that is returned."""
        inbox = self.consume(self.one, queue)
        self.put(self.one, queue, b"next")
        self.assertEqual(inbox.bodies[-1], b"next")
        return inbox

    def test_expired(self) -> None:
        """Messages that expire are lost, and others expire in time all the same."""
        first, second = self.dying(), self.queue(self.one, "r", x_message_ttl=1000)
        self.put(self.one, first, b"1", b"2", expiration="1000")
        self.put(self.one, second, b"3")
        self.clock.advance(1)
        self.assertEqual((self.waiting(), self.waiting("r")), ([], []))
        self.assertEqual(self.lost(), 2)
        self.put(self.one, second, b"4")
        self.clock.advance(1)
        self.assertEqual(self.waiting("r"), [])
        self.goes_on(first)

    def test_expired_while_delivering(self) -> None:
        """One that expires while others are delivered holds up no channel."""
        other = self.channel()
        queue, quiet = self.dying(), self.queue(other, "r")
        busy = self.consume(self.one, queue, no_ack=True)
        idle = self.consume(other, quiet)
        for number in range(257):
            more = {} if number < 256 else {"expiration": "1000"}
            self.one.basic_publish(b"x", more, DEFAULT, "q", False, False)
        other.basic_publish(b"y", {}, DEFAULT, "r", False, False)
        self.clock.rightNow += 2
        self.broker.flush()
        self.assertEqual((len(busy.bodies), idle.bodies), (256, [b"y"]))
        self.assertEqual(self.lost(), 1)
        self.one.basic_publish(b"z", {}, DEFAULT, "q", False, False)
        self.broker.flush()
        self.assertEqual(busy.bodies[-1], b"z")

    def test_caught_up(self) -> None:
        """A session begins although what expired before it is lost."""
        queue = self.dying()
        self.put(self.one, queue, b"1", expiration="1000")
        for session in self.broker.sessions:
            session.abort()
        self.clock.advance(5)
        self.one = self.channel()
        self.assertEqual(self.lost(), 1)
        self.goes_on(queue)

    def test_rejected(self) -> None:
        """A consumer that rejects a message goes on."""
        queue = self.dying()
        inbox = self.consume(self.one, queue, prefetch=1)
        self.put(self.one, queue, b"1", b"2")
        self.one.reject(inbox.journal.all("delivery")[0].tag, False)
        self.broker.flush()
        self.assertEqual((inbox.bodies, self.lost()), ([b"1", b"2"], 1))

    def test_over_limit(self) -> None:
        """A publish that drops another message has its confirm."""
        queue = self.dying(x_max_length=1)
        self.put(self.one, queue, b"1")
        self.done(self.one.basic_publish(b"2", {}, DEFAULT, "q", False, True))
        self.assertEqual((self.waiting(), self.lost()), ([b"2"], 1))


class PumpTests(MemoryTestCase):
    """Events that raise."""

    def test_others_go_on(self) -> None:
        """An event that raises holds up neither its stream nor the others."""
        pump = Pump(Clock())
        first, second = EventStream(pump), EventStream(pump)
        told: list[str] = []
        for stream, name in ((first, "first"), (second, "second")):
            stream.push(Raising())
            stream.push(Notification(told.append, name))
        pump.flush()
        first.push(Notification(told.append, "again"))
        pump.flush()
        self.assertEqual(told, ["first", "second", "again"])
        self.assertEqual(len(self.flushLoggedErrors(Failed)), 2)

    def test_deadlines(self) -> None:
        """A deadline whose check raises holds up no others."""
        self.connect()
        deadlines = self.broker.vhost().deadlines
        told: list[float] = []

        def check() -> None:
            told.append(deadlines.now())
            raise Failed

        for when in (3, 1, 1, 2):
            deadlines.schedule(when, check)
        self.clock.advance(2.5)
        self.assertEqual(told, [1, 1, 2])
        self.clock.advance(0.5)
        self.assertEqual(told, [1, 1, 2, 3])
        self.assertEqual(len(self.flushLoggedErrors(Failed)), 4)


class Raising:
    """An event that raises."""

    def deliver(self) -> None:
        raise Failed

    def fail(self, death: Termination) -> None:
        """Nothing."""
