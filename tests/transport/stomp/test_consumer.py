"""Consumers on STOMP: a socket each."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError

from tests.contract.harness import Inbox, Probe, consume
from tests.support.stomp_fakes import FakeSocket, StompTestCase
from txkombu._util.state_machine import IllegalStep
from txkombu.entity import Exchange, Queue, binding
from txkombu.exceptions import (
    AccessRefused,
    ConsumerCancelled,
    NotFound,
    NotSupported,
    ResourceError,
    SessionLost,
)
from txkombu.interfaces import Delivery, Settlement
from txkombu.transport.protocol import Event
from txkombu.transport.stomp.consumer import _Event

FEED = Exchange("feed", "topic")
SENT, STALE = Settlement.SENT, Settlement.STALE


class ConsumerTestCase(StompTestCase):
    """A consumer of a queue."""

    prompt = False

    def setUp(self) -> None:
        super().setUp()
        self.inbox = Inbox()

    def begin(self, queue: Queue | None = None, **options: Any) -> Probe:
        """Begin to start it."""
        queue = queue or Queue("q")
        options.setdefault("inbox", self.inbox)
        return Probe(consume(self.channel, queue, options.pop("tag", "t"), **options))

    def start(self, queue: Queue | None = None, **options: Any) -> FakeSocket:
        """Start it; give its socket."""
        started = self.begin(queue, **options)
        socket = self.connector.accept()
        socket.answer_all()
        self.assertDone(started)
        socket.frames.clear()
        return socket

    @property
    def cancelled(self) -> list[type[Exception]]:
        """What it was ended by."""
        return [type(each) for each in self.inbox.journal.all("cancelled")]

    def tags(self) -> list[int]:
        """The tags of what came."""
        return [each.tag for each in self.inbox.journal.all("delivery")]


class StartTests(ConsumerTestCase):
    """Starting one."""

    def test_subscribes(self) -> None:
        """It has a socket of its own, and runs when the broker says so."""
        started = self.begin(prefetch_count=7)
        socket = self.connector.accept()
        self.assertEqual(
            socket.frames,
            ["SUBSCRIBE\ndestination:q\nid:s1\nprefetch:7\nreceipt:1\n\n"],
        )
        self.assertFalse(started.fired)
        socket.answer("1")
        self.assertDone(started)
        self.assertEqual(self.publishing.frames, [])

    def test_all_sources(self) -> None:
        """It subscribes to all sources of its queue, and waits for each."""
        queue = Queue("q", bindings=[binding(FEED, "a"), binding(FEED, "b")])
        started = self.begin(queue)
        socket = self.connector.accept()
        self.assertEqual(len(socket.frames), 3)
        socket.answer("3")
        socket.answer("1")
        self.assertFalse(started.fired)
        socket.answer("2")
        self.assertDone(started)

    def test_early(self) -> None:
        """What comes before the broker's word is handed out."""
        self.begin()
        self.connector.accept().deliver("s1", b"1")
        self.assertEqual(self.inbox.bodies, [b"1"])

    def test_refused(self) -> None:
        """A refusal is its own, and costs nothing but its socket."""
        queue = Queue("q", bindings=[binding(FEED, "a")])
        started = self.begin(queue)
        socket = self.connector.accept()
        socket.lose(NotFound("no queue"))
        self.assertIsInstance(started.outcome, NotFound)
        self.assertEqual(started.outcome.about, "q")
        self.assertEqual((self.names(), self.cancelled), ([], []))
        self.start()

    def test_no_socket(self) -> None:
        """If the broker takes no more connections that is what it fails with."""
        started = self.begin()
        self.connector.refuse()
        self.assertFalse(started.fired)
        self.main.answer_all()
        self.assertIsInstance(started.outcome, ResourceError)
        self.assertEqual(self.names(), [])

    def test_no_broker(self) -> None:
        """If it does not answer the session either, that is lost."""
        started = self.begin()
        self.connector.refuse()
        self.clock.advance(5)
        self.assertIsInstance(started.outcome, SessionLost)
        self.assertEqual(self.names(), ["session_lost", "channel_lost"])

    def test_not_supported(self) -> None:
        """What the broker cannot do fails before a socket is opened."""
        self.dialect.capabilities = frozenset()  # type: ignore[misc]  # for this test, on the instance
        probes = [self.begin(Queue("impossible")), self.begin(exclusive=True)]
        arguments: dict[str, object] = {"x-priority": 1}
        on_delivery, on_cancelled = self.inbox.on_delivery, self.inbox.on_cancelled
        begun = self.channel.basic_consume(
            Queue("q"), "t", False, False, arguments, 1, on_delivery, on_cancelled
        )
        for probe in (*probes, Probe(begun)):
            self.assertIsInstance(probe.outcome, NotSupported)
        self.assertEqual(self.connector.opening, [])

    def test_tags(self) -> None:
        """A tag is one's own, and not empty."""
        self.start()
        for tag in ("t", ""):
            with self.assertRaises(ValueError):
                self.begin(tag=tag)
        with self.assertRaises(ValueError):
            self.begin(tag="other", prefetch_count=70_000)

    def test_given_up(self) -> None:
        """Who does not wait for the start any more gets no consumer."""
        for accepted in (False, True):
            started = self.begin()
            socket = self.connector.accept() if accepted else None
            started.deferred.cancel()
            self.assertIsInstance(started.outcome, CancelledError)
            if socket is not None:
                self.assertTrue(socket.dropped)
                socket.deliver("s1")
        self.assertEqual(self.inbox.bodies, [])
        self.connector.opening.clear()
        self.start()

    def test_given_up_with_messages(self) -> None:
        """What it was given by then is stale."""
        started = self.begin()
        socket = self.connector.accept()
        socket.deliver("s1", b"1")
        self.assertIs(self.channel.ack(1, False), SENT)
        flushed = Probe(self.channel.when_flushed())
        socket.deliver("s1", b"2")
        started.deferred.cancel()
        self.assertDone(flushed, STALE)
        self.assertIs(self.channel.ack(2, False), STALE)
        self.turn()
        self.assertNotIn("ACK", socket.commands())

    def test_given_up_in_line(self) -> None:
        """Nor who gives up before its turn has come."""
        self.dialect.waits = True
        declared = Probe(self.channel.exchange_declare(FEED, False))
        started = self.begin()
        started.deferred.cancel()
        self.assertIsInstance(started.outcome, CancelledError)
        self.dialect.next[0].callback(None)
        self.assertDone(declared)
        self.assertEqual(self.connector.opening, [])
        self.start()


class DeliveryTests(ConsumerTestCase):
    """What comes."""

    def test_several(self) -> None:
        """Messages of all sources have tags of one channel."""
        queue = Queue("q", bindings=[binding(FEED, "a")])
        socket = self.start(queue)
        other = self.start(tag="other")
        socket.deliver("s1")
        other.deliver("s1")
        socket.deliver("s2")
        self.assertEqual(self.tags(), [1, 2, 3])
        of = [each.consumer_tag for each in self.inbox.journal.all("delivery")]
        self.assertEqual(of, ["t", "other", "t"])

    def test_limit(self) -> None:
        """
        However many sources there are, no more are handed out unsettled than the
        prefetch allows; the rest comes when there is room, not within a call.
        """
        queue = Queue("q", bindings=[binding(FEED, "a")])
        socket = self.start(queue, prefetch_count=2)
        for number in range(4):
            socket.deliver(f"s{number % 2 + 1}", b"%d" % number)
        self.assertEqual(self.inbox.bodies, [b"0", b"1"])
        self.assertIs(self.channel.ack(1, False), SENT)
        self.channel.flush()
        self.assertEqual(len(self.inbox.bodies), 2)
        self.turn()
        self.assertEqual(self.inbox.bodies, [b"0", b"1", b"2"])
        self.channel.ack(0, True)
        self.turn()
        self.assertEqual(self.inbox.bodies, [b"0", b"1", b"2", b"3"])

    def test_no_ack(self) -> None:
        """What awaits no settlement is stale at once."""
        socket = self.start(no_ack=True)
        socket.deliver("s1")
        self.assertIs(self.channel.ack(1, False), STALE)

    def test_failing(self) -> None:
        """An error of a callback is logged, and the next message comes."""

        def fail(_: Delivery) -> None:
            raise ZeroDivisionError

        inbox = Inbox(fail)
        socket = self.start(inbox=inbox)
        socket.deliver("s1")
        socket.deliver("s1")
        self.assertEqual(len(inbox.bodies), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_bound_later(self) -> None:
        """What its queue is bound to later comes to it, too."""
        socket = self.start()
        bound = Probe(self.channel.queue_bind(Queue("q"), FEED, "late", {}))
        self.assertEqual(
            socket.frames,
            ["SUBSCRIBE\ndestination:late\nid:s2\nprefetch:100\nreceipt:2\n\n"],
        )
        self.assertFalse(bound.fired)
        socket.answer_all()
        self.assertDone(bound)
        socket.deliver("s2")
        self.assertEqual(len(self.inbox.bodies), 1)

    def test_bound_while_starting(self) -> None:
        """So does what it is bound to, by another channel, while it starts."""
        started = self.begin()
        socket = self.connector.accept()
        other = self.connector
        other.prompt = True
        binder = self.open_channel()
        bound = Probe(binder.queue_bind(Queue("q"), FEED, "late", {}))
        self.assertDone(bound)
        self.assertEqual(len(socket.subscribed), 1)
        socket.answer_all()
        self.assertFalse(started.fired)
        self.assertIn("destination:late\nid:s2\n", socket.frames[-1])
        socket.answer_all()
        self.assertDone(started)
        socket.deliver("s2")
        self.assertEqual(len(self.inbox.bodies), 1)

    def test_bound_as_one_is_lost(self) -> None:
        """
        One that is lost while its queue is bound fails no binding, and keeps no other
        consumer from what was bound: it is started again with that.
        """
        first, second = self.start(), self.start(tag="second")
        bound = Probe(self.channel.queue_bind(Queue("q"), FEED, "late", {}))
        first.lose()
        self.assertFalse(bound.fired)
        self.assertIn("destination:late\n", second.frames[-1])
        second.answer_all()
        self.assertDone(bound)
        self.main.answer_all()
        self.assertEqual(self.cancelled, [SessionLost])

    def test_bound_and_refused_to_one(self) -> None:
        """A consumer whose source is refused keeps no other one from it."""
        first, second = self.start(), self.start(tag="second")
        bound = Probe(self.channel.queue_bind(Queue("q"), FEED, "late", {}))
        first.refuse("2", AccessRefused("not you"))
        self.assertIsInstance(bound.outcome, AccessRefused)
        second.answer_all()
        second.deliver("s2")
        self.assertEqual(len(self.inbox.bodies), 1)

    def test_bound_again(self) -> None:
        """A source that was refused is tried again when its queue is bound again."""
        socket = self.start()
        refused = Probe(self.channel.queue_bind(Queue("q"), FEED, "late", {}))
        socket.refuse("2", AccessRefused("not you"))
        self.assertIsInstance(refused.outcome, AccessRefused)
        bound = Probe(self.channel.queue_bind(Queue("q"), FEED, "late", {}))
        self.assertIn("destination:late\nid:s3\n", socket.frames[-1])
        socket.answer_all()
        self.assertDone(bound)
        socket.deliver("s3")
        self.assertEqual(len(self.inbox.bodies), 1)


class BoundLaterTests(ConsumerTestCase):
    """A binding that somebody does not wait for any more."""

    def setUp(self) -> None:
        super().setUp()
        self.socket = self.start()

    def bind(self) -> Probe:
        """Bind the queue once more."""
        return Probe(self.channel.queue_bind(Queue("q"), FEED, "late", {}))

    def give_up(self) -> None:
        """Bind it, and wait no longer."""
        bound = self.bind()
        bound.deferred.cancel()
        self.assertIsInstance(bound.outcome, CancelledError)

    def test_messages(self) -> None:
        """What it brings comes, before the broker's word and after it."""
        self.give_up()
        self.socket.deliver("s2", b"1")
        self.socket.answer_all()
        self.socket.deliver("s2", b"2")
        self.assertEqual(self.inbox.bodies, [b"1", b"2"])
        self.channel.ack(0, True)
        self.turn()
        self.assertEqual(self.socket.frames[1:], ["ACK 1", "ACK 2"])

    def test_again(self) -> None:
        """To bind it again adds no second subscription, and waits for the first."""
        self.give_up()
        bound = self.bind()
        self.assertEqual(self.socket.commands(), ["SUBSCRIBE"])
        self.assertFalse(bound.fired)
        self.socket.answer_all()
        self.assertDone(bound)
        self.assertDone(self.bind())
        self.assertEqual(self.socket.commands(), ["SUBSCRIBE"])

    def test_again_and_refused(self) -> None:
        """It fails if the broker refuses the first one."""
        self.give_up()
        bound = self.bind()
        self.socket.refuse("2", AccessRefused("not you"))
        self.assertIsInstance(bound.outcome, AccessRefused)

    def test_refused(self) -> None:
        """If it is refused in the end, the next binding subscribes again."""
        self.give_up()
        self.socket.refuse("2", AccessRefused("not you"))
        bound = self.bind()
        self.assertIn("destination:late\nid:s3\n", self.socket.frames[-1])
        self.socket.answer_all()
        self.assertDone(bound)
        self.assertEqual(list(self.socket.subscribed), ["s1", "s3"])

    def test_by_two_channels(self) -> None:
        """One that gives up takes nothing from another that binds the same."""
        self.connector.prompt = True
        other = self.open_channel()
        first = self.bind()
        second = Probe(other.queue_bind(Queue("q"), FEED, "late", {}))
        first.deferred.cancel()
        self.assertFalse(second.fired)
        self.socket.answer_all()
        self.assertDone(second)
        self.socket.deliver("s2")
        self.assertEqual(len(self.inbox.bodies), 1)

    def test_lost(self) -> None:
        """The end of the socket is no error of a binding that is over."""
        self.give_up()
        self.socket.lose(NotFound("no queue"))
        self.assertEqual(self.cancelled, [NotFound])


class ExclusiveTests(ConsumerTestCase):
    """A consumer that is on the connection of its exclusive queue."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = Queue("q", exclusive=True)
        self.connector.prompt = True
        self.other = self.open_channel()
        declared = self.channel.queue_declare(self.queue, False)
        self.socket = self.last
        self.successResultOf(declared)
        self.last.prompt = self.connector.prompt = False
        self.started = self.begin(self.queue)
        self.deleted = Probe(self.other.queue_delete(self.queue, False, False))

    def check(self) -> None:
        """The start has failed, and the tag is free."""
        error = self.started.outcome
        self.assertIsInstance(error, ConsumerCancelled)
        self.assertEqual(str(error), "queue 'q' was deleted")
        self.assertEqual(self.cancelled, [])
        self.assertTrue(self.socket.left)
        self.start(Queue("other"))

    def test_deleted_and_answered(self) -> None:
        """When its queue is deleted as it starts, it fails to start."""
        self.socket.answer_all()
        self.socket.go()
        self.assertDone(self.deleted)
        self.check()

    def test_deleted_and_not_answered(self) -> None:
        """So it does if its connection ends before the broker's word."""
        self.socket.go()
        self.check()

    def test_deleted_and_cancelled(self) -> None:
        """Whoever cancels it meanwhile waits for nothing."""
        self.assertDone(Probe(self.channel.basic_cancel("t")))
        self.socket.go()
        self.check()


class CancelTests(ConsumerTestCase):
    """Cancelling one."""

    def cancel(self) -> Probe:
        """Cancel it."""
        return Probe(self.channel.basic_cancel("t"))

    def test_holds_nothing(self) -> None:
        """One that holds nothing leaves, and then nothing more comes."""
        socket = self.start()
        cancelling = self.cancel()
        self.assertTrue(socket.left)
        self.assertFalse(cancelling.fired)
        socket.deliver("s1")
        socket.go()
        self.assertDone(cancelling)
        self.assertEqual(self.inbox.bodies, [])

    def test_holds_some(self) -> None:
        """One that holds messages stays until they are settled, and gets no more."""
        socket = self.start()
        socket.deliver("s1", b"1")
        socket.deliver("s1", b"2")
        self.assertDone(self.cancel())
        socket.deliver("s1", b"3")
        self.assertFalse(socket.left)
        self.assertIs(self.channel.ack(1, False), SENT)
        self.turn()
        self.assertFalse(socket.left)
        self.assertIs(self.channel.nack(2, False, True), SENT)
        self.turn()
        self.assertTrue(socket.left)
        # What is requeued goes back with the socket: room would bring another.
        self.assertEqual(socket.frames, ["ACK 1"])
        self.assertEqual(len(self.inbox.bodies), 2)

    def test_stopped(self) -> None:
        """
        Where a subscription can be stopped alone, it is, and what comes meanwhile
        goes back.
        """
        self.dialect.stops = True
        socket = self.start()
        socket.deliver("s1", b"1")
        cancelling = self.cancel()
        self.assertEqual(socket.commands(), ["STOP s1", "BEGIN", "ABORT"])
        socket.deliver("s1", b"2")
        self.assertEqual(socket.frames[-1], "NACK 2 1")
        socket.answer_all()
        self.assertFalse(cancelling.fired)
        socket.answer_all()
        self.assertDone(cancelling)
        self.channel.nack(1, False, True)
        self.turn()
        self.assertEqual(socket.frames[-1], "NACK 1 1")
        self.assertTrue(socket.left)
        self.assertEqual(self.inbox.bodies, [b"1"])

    def test_settled_last(self) -> None:
        """What was settled in the turn that ends it is not forgotten."""
        self.dialect.stops = True
        socket = self.start()
        socket.deliver("s1", b"1")
        self.cancel()
        socket.answer_all()
        self.channel.ack(1, False)
        socket.answer_all()
        self.assertEqual(socket.frames[-1], "ACK 1")
        self.assertTrue(socket.left)

    def test_stopped_in_vain(self) -> None:
        """A broker that does not answer holds nobody up for ever."""
        self.dialect.stops = True
        socket = self.start()
        socket.deliver("s1", b"1")
        cancelling = self.cancel()
        self.clock.advance(5)
        self.assertDone(cancelling)

    def test_no_ack(self) -> None:
        """What is under way to one that settles nothing is handed out."""
        self.dialect.stops = True
        socket = self.start(no_ack=True)
        cancelling = self.cancel()
        socket.deliver("s1", b"1")
        socket.answer_all()
        socket.deliver("s1", b"2")
        socket.answer_all()
        self.assertTrue(socket.left)
        self.assertFalse(cancelling.fired)
        socket.go()
        self.assertDone(cancelling)
        self.assertEqual(self.inbox.bodies, [b"1", b"2"])

    def test_no_ack_by_hand(self) -> None:
        """
        Where the broker does not settle by itself, each is acked when it is handed
        out, and what was not goes back.
        """
        self.dialect.settles_by_itself = False  # type: ignore[misc]  # for this test, on the instance
        socket = self.start(no_ack=True)
        socket.deliver("s1", b"1")
        self.assertIs(self.channel.ack(1, False), STALE)
        self.turn()
        self.assertEqual(socket.frames, ["ACK 1"])
        socket.deliver("s1", b"2")
        self.cancel()
        socket.deliver("s1", b"3")
        self.assertEqual(socket.frames, ["ACK 1", "ACK 2"])
        self.assertTrue(socket.left)
        self.assertEqual(self.inbox.bodies, [b"1", b"2"])

    def test_lost_meanwhile(self) -> None:
        """The end of its socket ends it, too."""
        self.dialect.stops = True
        socket = self.start(no_ack=True)
        cancelling = self.cancel()
        socket.lose()
        self.assertDone(cancelling)
        self.assertEqual(self.cancelled, [])

    def test_starting(self) -> None:
        """One that is being started ends when it runs."""
        started = self.begin()
        socket = self.connector.accept()
        cancelling = self.cancel()
        again = self.begin()
        socket.deliver("s1")
        socket.answer_all()
        self.assertDone(started)
        self.assertTrue(socket.left)
        socket.go()
        self.assertDone(cancelling)
        self.assertEqual(self.inbox.bodies, [])
        self.connector.accept().answer_all()
        self.assertDone(again)

    def test_starting_fails(self) -> None:
        """One that fails to start is cancelled all the same."""
        started = self.begin()
        cancelling = self.cancel()
        self.connector.accept().lose(NotFound("no queue"))
        self.assertIsInstance(started.outcome, NotFound)
        self.assertDone(cancelling)

    def test_waiting(self) -> None:
        """One whose turn has not come is not started."""
        self.dialect.waits = True
        Probe(self.channel.exchange_declare(FEED, False))
        started = self.begin()
        self.assertDone(self.cancel())
        self.dialect.next[0].callback(None)
        self.assertDone(started)
        self.assertEqual(self.connector.opening, [])


class StateTests(ConsumerTestCase):
    """The states of a consumer, of a channel and of a session."""

    def test_over_is_over(self) -> None:
        """A consumer that is over does nothing but end, however often."""
        self.start()
        consumer = self.channel._consumers["t"]
        self.cancel_and_go()
        for event in _Event:
            if event is _Event.END:
                consumer._step(event)
                continue
            with self.assertRaisesRegex(IllegalStep, "a consumer that is over cannot"):
                consumer._step(event)

    def cancel_and_go(self) -> None:
        """Cancel the consumer."""
        Probe(self.channel.basic_cancel("t"))
        self.last.go()

    def test_started_twice(self) -> None:
        """Nor is a running one started."""
        self.start()
        consumer = self.channel._consumers["t"]
        for event in (_Event.START, _Event.STARTED):
            with self.assertRaisesRegex(IllegalStep, "a consumer that is running"):
                consumer._step(event)

    def test_channel(self) -> None:
        """A channel is opened once, and ends once."""
        with self.assertRaisesRegex(IllegalStep, "a channel that is open cannot log"):
            self.channel.opened(self.publishing)
        self.session.abort()
        for event in Event:
            with self.assertRaisesRegex(IllegalStep, "a channel that is over"):
                self.channel._step(event)


class EndTests(ConsumerTestCase):
    """What ends one by no wish of ours."""

    def test_queue_gone(self) -> None:
        """When its queue goes it is told, once; what it holds can be settled."""
        socket = self.start()
        socket.deliver("s1", b"1")
        self.inbox.journal.entries.clear()
        socket.subscribed["s1"][1](ConsumerCancelled("gone"))
        self.assertEqual(self.cancelled, [ConsumerCancelled])
        self.assertIs(self.channel.ack(1, False), SENT)
        self.turn()
        self.assertEqual(socket.frames, ["ACK 1"])
        self.assertTrue(socket.left)
        self.start()

    def test_queue_gone_in_the_same_turn(self) -> None:
        """What was settled in that turn is written before it leaves."""
        socket = self.start()
        socket.deliver("s1", b"1")
        self.channel.ack(1, False)
        socket.subscribed["s1"][1](ConsumerCancelled("gone"))
        self.assertEqual(socket.frames, ["ACK 1"])
        self.assertTrue(socket.left)

    def test_queue_gone_holding_nothing(self) -> None:
        """One that holds nothing leaves at once."""
        socket = self.start()
        socket.subscribed["s1"][1](ConsumerCancelled("gone"))
        self.assertTrue(socket.left)
        self.assertEqual(self.cancelled, [ConsumerCancelled])

    def test_queue_gone_while_starting(self) -> None:
        """It is told when it has started."""
        started = self.begin()
        socket = self.connector.accept()
        socket.subscribed["s1"][1](ConsumerCancelled("gone"))
        self.assertEqual(self.cancelled, [])
        socket.answer_all()
        self.assertDone(started)
        self.assertEqual(self.cancelled, [ConsumerCancelled])

    def test_lost(self) -> None:
        """
        One that loses its socket hears it when the broker is still there; what it
        held is stale, and its tag is free.
        """
        socket = self.start()
        socket.deliver("s1")
        socket.lose()
        self.assertIs(self.channel.ack(1, False), STALE)
        self.assertEqual(self.cancelled, [])
        self.main.answer_all()
        self.assertEqual(self.cancelled, [SessionLost])
        self.assertEqual(self.names(), [])
        self.start()

    def test_lost_with_the_session(self) -> None:
        """One that was lost with the session hears nothing by itself."""
        socket = self.start()
        socket.lose()
        self.main.lose()
        self.assertEqual(self.cancelled, [])
        self.assertEqual(self.names(), ["session_lost", "channel_lost"])

    def test_lost_and_cancelled(self) -> None:
        """Nor one that was cancelled meanwhile."""
        socket = self.start()
        socket.lose()
        self.assertDone(Probe(self.channel.basic_cancel("t")))
        self.main.answer_all()
        self.assertEqual(self.cancelled, [])

    def test_broker_says_why(self) -> None:
        """An error of the broker is passed on at once."""
        self.start().lose(NotFound("no queue"))
        self.assertEqual(self.cancelled, [NotFound])
        self.assertEqual(self.names(), [])

    def test_several_lost(self) -> None:
        """Of several that are lost at once each is told, the broker asked once."""
        connections = [self.start(tag=tag) for tag in "ab"]
        for socket in connections:
            socket.lose()
        self.assertEqual(self.main.commands(), ["BEGIN", "ABORT"])
        self.main.answer_all()
        self.assertEqual(self.cancelled, [SessionLost] * 2)

    def test_callback_fails(self) -> None:
        """An error of whoever is told is logged."""

        def fail(_: Exception) -> None:
            raise ZeroDivisionError

        on_delivery = self.inbox.on_delivery
        begin = partial(self.channel.basic_consume, Queue("q"), "t", False, False, {})
        started = Probe(begin(1, on_delivery, fail))
        socket = self.connector.accept()
        socket.answer_all()
        self.assertDone(started)
        socket.lose(NotFound("no queue"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_callback_aborts(self) -> None:
        """A callback may drop everything; nothing more is handed out."""
        inbox = Inbox(lambda _: self.session.abort())
        queue = Queue("q", bindings=[binding(FEED, "a")])
        socket = self.start(queue, inbox=inbox, prefetch_count=1)
        socket.deliver("s1", b"1")
        socket.deliver("s2", b"2")
        self.turn()
        self.assertEqual(inbox.bodies, [b"1"])
