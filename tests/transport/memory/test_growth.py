"""The work of the memory broker does not grow with what it is not about."""

from __future__ import annotations

from gc import collect
from weakref import ReferenceType, ref

from twisted.internet.task import Clock

from tests.support.memory_harness import DEFAULT, MemoryTestCase
from txkombu.entity import Exchange, Queue
from txkombu.transport.memory.backlog import Backlog
from txkombu.transport.memory.deadlines import QueueDeadlines
from txkombu.transport.memory.message import BrokerMessage, Envelope
from txkombu.transport.memory.pump import Pump
from txkombu.transport.memory.queue import MemoryQueue


class BacklogTests(MemoryTestCase):
    """Messages that are put back one by one."""

    def test_order(self) -> None:
        """Messages put back in any order come in their old order, before newer ones."""
        envelope = Envelope({}, "", "q")
        messages = [BrokerMessage(b"%d" % each, envelope) for each in range(6)]
        backlog = Backlog()
        for message in messages:
            backlog.push(message)
        taken = [backlog.pop() for _ in range(4)]
        for place, message in enumerate(taken, 1):
            message.place = place
        for at in (2, 0, 3, 1):
            backlog.put_back([taken[at]])
        bodies = [each.body for each in messages]
        self.assertEqual([each.body for each in backlog], bodies)
        self.assertEqual((len(backlog), backlog.size), (6, 6))
        self.assertIs(backlog.peek(), taken[0])
        self.assertEqual([each.body for each in backlog.clear()], bodies)
        self.assertEqual((len(backlog), backlog.size), (0, 0))


class ChannelLimitTests(MemoryTestCase):
    """Consumers that share the limit of their channel."""

    def test_goes_on(self) -> None:
        """However messages are settled, those that wait for the limit come."""
        for settle in ("ack", "nack", "reject"):
            channel = self.channel()
            queue = self.queue(channel, settle)
            self.done(channel.basic_qos(2))
            inbox = self.consume(channel, queue, prefetch=1)
            self.put(channel, queue, *[b"%d" % each for each in range(5)])
            for tag in range(1, 6):
                if settle == "ack":
                    channel.ack(tag, False)
                elif settle == "nack":
                    channel.nack(tag, True, False)
                else:
                    channel.reject(tag, False)
                self.broker.flush()
            self.assertEqual(inbox.bodies, [b"0", b"1", b"2", b"3", b"4"], settle)

    def test_takes_turns(self) -> None:
        """Consumers of several queues that wait for the limit go on in turn."""
        channel = self.channel()
        queues = [self.queue(channel, name) for name in "abc"]
        self.done(channel.basic_qos(1))
        inboxes = [self.consume(channel, each, each.name) for each in queues]
        for queue in queues:
            self.put(channel, queue, b"1", b"2")
        for tag in range(1, 4):
            self.assertEqual(sum(len(each.bodies) for each in inboxes), tag)
            channel.ack(tag, False)
            self.broker.flush()
        self.assertEqual([each.bodies[0] for each in inboxes], [b"1"] * 3)

    def test_only_who_waits(self) -> None:
        """A settlement looks only at the consumers that wait for the limit."""
        channel = self.channel()
        busy = self.queue(channel, "busy")
        for number in range(20):
            self.consume(channel, self.queue(channel, f"q{number}"), f"c{number}")
        self.done(channel.basic_qos(1))
        self.consume(channel, busy)
        self.put(channel, busy, b"1", b"2")
        self.broker.flush()
        self.assertEqual(list(channel.starved), [channel.consumers["c"]])  # type: ignore[attr-defined]


class HeadersTests(MemoryTestCase):
    """Bindings that differ in their arguments only."""

    def test_hashes_differ(self) -> None:
        """Bindings of one queue by other arguments are found by other hashes."""
        channel = self.channel()
        exchange, queue = Exchange("h", "headers"), self.queue(channel)
        self.done(channel.exchange_declare(exchange, False))
        for number in range(50):
            self.done(channel.queue_bind(queue, exchange, "", {"id": number}))
        bindings = self.broker.exchange("h").bindings
        self.assertEqual(len(bindings), 50)
        self.assertGreater(len({hash(each) for each in bindings}), 40)

    def test_any_and_all(self) -> None:
        """A message finds the bindings that want one of its headers, or all."""
        channel = self.channel()
        exchange = Exchange("h", "headers")
        self.done(channel.exchange_declare(exchange, False))
        wanted: dict[str, dict[str, object]] = {
            "all": {"kind": "x", "id": 1},
            "other": {"kind": "x", "id": 2},
            "any": {"x-match": "any", "kind": "y", "id": 1.0},
            "present": {"id": None},
            "everything": {},
            "nothing": {"x-match": "any"},
        }
        for name, arguments in wanted.items():
            queue = self.queue(channel, name)
            self.done(channel.queue_bind(queue, exchange, "", arguments))
        headers = {"kind": "x", "id": 1}
        self.done(
            channel.basic_publish(b"1", {"headers": headers}, exchange, "", False, True)
        )
        found = [name for name in wanted if self.waiting(name)]
        self.assertEqual(found, ["all", "any", "present", "everything"])


class DeletingTests(MemoryTestCase):
    """What is deleted takes its own bindings and queues along."""

    def test_auto_delete_chain(self) -> None:
        """Exchanges that go with their last binding go, one after the other."""
        channel = self.channel()
        queue = self.queue(channel)
        first, second = (Exchange(each, auto_delete=True) for each in "ab")
        for exchange in (first, second):
            self.done(channel.exchange_declare(exchange, False))
        self.done(channel.exchange_bind(second, first, "k", {}))
        self.done(channel.queue_bind(queue, second, "k", {}))
        self.done(channel.queue_bind(queue, second, "l", {}))
        self.done(channel.queue_delete(queue, False, False))
        for name in "ab":
            self.assertRaises(LookupError, self.broker.exchange, name)

    def test_exclusive_queues(self) -> None:
        """The end of a session deletes its exclusive queues, and no others."""
        session = self.connect()
        channel, other = self.channel(session), self.channel()
        for number in range(3):
            own = Queue(f"own{number}", exclusive=True)
            self.done(channel.queue_declare(own, False))
        self.done(other.queue_declare(Queue("theirs", exclusive=True), False))
        self.done(session.close())
        self.assertEqual(list(self.broker.vhost().queues), ["theirs"])

    def test_deadlines(self) -> None:
        """A deleted queue leaves nothing, however far away its deadlines were."""
        channel = self.channel()
        gone: list[ReferenceType[MemoryQueue]] = []
        for number in range(1000):
            day = 86_400_000
            queue = self.queue(channel, f"q{number}", x_expires=day, x_message_ttl=day)
            channel.basic_publish(b"1", {}, DEFAULT, queue.name, False, False)
            gone.append(ref(self.broker.queue(queue.name)))
            self.done(channel.queue_delete(queue, False, False))
        collect()
        self.assertEqual([each for each in gone if each() is not None], [])

    def test_list_of_deadlines(self) -> None:
        """The list of deadlines is as long as there are queues that have some."""
        deadlines = QueueDeadlines(Pump(Clock()))
        kept = deadlines.schedule(5, lambda: None)
        for number in range(10_000):
            deadlines.discard(deadlines.schedule(number, lambda: None))
        self.assertLess(len(deadlines._heap), 200)
        deadlines.discard(kept)
        deadlines.discard(kept)
        deadlines.wake()
