"""Session channels on STOMP: order, settling, and the end."""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs, formatEvent
from zope.interface.verify import verifyObject

from tests.contract.harness import DEFAULT, Inbox, Probe, consume, publish
from tests.support.stomp_fakes import FakeSocket, StompTestCase
from txkombu.entity import Exchange, Queue, as_exchange, binding
from txkombu.exceptions import (
    ChannelClosed,
    NotFound,
    NotSent,
    NotSupported,
    SessionLost,
)
from txkombu.interfaces import Capability, ISessionChannel, Settlement
from txkombu.transport.stomp.connections import SPARE_SECONDS
from txkombu.transport.stomp.wire.parser import Frame

FEED = Exchange("feed", "topic")
VIDEO = Queue("video")
SENT, STALE = Settlement.SENT, Settlement.STALE


class ChannelTestCase(StompTestCase):
    """A channel."""

    def go_on(self) -> None:
        """Let the oldest recipe end."""
        self.dialect.next.pop(0).callback(None)

    def got(self, body: bytes = b"1", no_ack: bool = False) -> tuple[int, FakeSocket]:
        """Get a message; give its tag and its socket."""
        self.dialect.frame = Frame("MESSAGE", {}, body)
        delivery = self.successResultOf(self.channel.basic_get(VIDEO, no_ack))
        return delivery.tag, self.last


class OperationTests(ChannelTestCase):
    """Operations, one after the other."""

    def setUp(self) -> None:
        super().setUp()
        self.dialect.waits = True

    def begin(self) -> dict[str, Probe]:
        """Begin one of each kind."""
        channel = self.channel
        return {
            "exchange feed topic": Probe(channel.exchange_declare(FEED, False)),
            "queue video": Probe(channel.queue_declare(VIDEO, False)),
            "bind video a": Probe(channel.queue_bind(VIDEO, FEED, "a", {})),
            "purge video": Probe(channel.queue_purge(VIDEO)),
            "get video": Probe(channel.basic_get(VIDEO, False)),
            "delete video": Probe(channel.queue_delete(VIDEO, False, False)),
        }

    def test_provides(self) -> None:
        """A channel provides what it says."""
        verifyObject(ISessionChannel, self.channel)

    def test_order(self) -> None:
        """Each begins when the one before it is over."""
        begun = self.begin()
        for number in range(len(begun)):
            fired = [probe.fired for probe in begun.values()]
            self.assertEqual(fired.count(True), number)
            self.go_on()
        self.assertEqual(self.dialect.recipes, list(begun))
        self.assertEqual(begun["purge video"].outcome, 3)
        self.assertEqual(begun["queue video"].outcome, ("video", None, None))

    def test_refused(self) -> None:
        """One that is refused says what it was about; the next goes on."""
        begun = list(self.begin().values())
        self.dialect.next.pop(0).errback(NotFound("no exchange"))
        self.assertIsInstance(begun[0].outcome, NotFound)
        self.assertEqual(begun[0].outcome.about, "feed")
        self.go_on()
        self.assertTrue(begun[1].fired)
        self.assertEqual(self.names(), [])

    def test_cancelled(self) -> None:
        """One that is cancelled gives up its sockets; the next goes on."""
        first = Probe(self.channel.queue_declare(VIDEO, False))
        second = Probe(self.channel.queue_declare(Queue("audio"), False))
        first.deferred.cancel()
        self.assertIsInstance(first.outcome, CancelledError)
        self.assertTrue(self.connector.connections[2].dropped)
        self.go_on()
        self.go_on()
        self.assertTrue(second.fired)
        self.clock.advance(SPARE_SECONDS)
        self.assertTrue(self.last.left)

    def test_cancelled_in_line(self) -> None:
        """One whose turn has not come is never begun."""
        begun = list(self.begin().values())
        begun[1].deferred.cancel()
        self.go_on()
        self.assertEqual(self.dialect.recipes, ["exchange feed topic", "bind video a"])

    def declare(self, name: str, error: Exception | None = None) -> FakeSocket:
        """Declare a queue; what it was declared on."""
        declared = Probe(self.channel.queue_declare(Queue(name), False))
        turn = self.dialect.next.pop(0)
        turn.callback(None) if error is None else turn.errback(error)
        self.assertTrue(declared.fired)
        return self.last

    def test_spare_socket(self) -> None:
        """A socket serves several declarations, one soon after the other."""
        socket = self.declare("a")
        for name in "bcd":
            self.clock.advance(SPARE_SECONDS - 0.01)
            self.assertIs(self.declare(name), socket)
        self.assertFalse(socket.left)
        self.clock.advance(SPARE_SECONDS)
        self.assertTrue(socket.left)
        self.assertIsNot(self.declare("e"), socket)

    def test_spare_socket_once(self) -> None:
        """It declares a queue only once, and is left if it has to be another."""
        socket = self.declare("a")
        self.assertIs(self.declare("b"), socket)
        other = self.declare("a")
        self.assertIsNot(other, socket)
        self.assertTrue(socket.left)
        self.assertIs(self.declare("b"), other)

    def test_spare_socket_in_time(self) -> None:
        """A socket that is always needed is replaced by another one some time."""
        self.dialect.waits = False
        for number in range(1000):
            declared = self.channel.queue_declare(Queue(f"q{number}"), False)
            self.successResultOf(declared)
            self.assertLessEqual(len(self.last.declared), 200)
        self.assertEqual(len(self.connector.connections), 2 + 5)
        self.assertEqual(len([each for each in self.open_sockets() if each.left]), 4)

    def open_sockets(self) -> list[FakeSocket]:
        """Those for declarations."""
        return self.connector.connections[2:]

    def test_spare_socket_refused(self) -> None:
        """It is left when something was refused on it."""
        socket = self.declare("a")
        self.assertIs(self.declare("b", NotFound("no")), socket)
        self.assertTrue(socket.left)
        self.assertIsNot(self.declare("c"), socket)

    def test_spare_socket_dead(self) -> None:
        """One that died while it was spare serves nobody."""
        socket = self.declare("a")
        socket.lose()
        self.assertIsNot(self.declare("b"), socket)
        self.assertEqual(self.names(), [])

    def test_spare_sockets(self) -> None:
        """What is declared at the same time has sockets of its own; one is kept."""
        other = self.open_channel()
        first = Probe(self.channel.queue_declare(VIDEO, False))
        second = Probe(other.queue_declare(Queue("audio"), False))
        self.assertEqual(len(self.connector.connections), 5)
        self.go_on()
        self.go_on()
        self.assertTrue(first.fired and second.fired)
        spare = self.connector.connections[3:]
        self.assertEqual([each.left for each in spare], [True, False])
        self.successResultOf(self.session.close())
        self.assertEqual([each.left for each in spare], [True, True])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_socket_of_the_end(self) -> None:
        """One that was given back behind the end of the session is not kept."""

        async def declare() -> None:
            async with self.session.connections.declaring():
                self.session.abort()

        Deferred.fromCoroutine(declare())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.last.dropped)

    def test_callback_begins_another(self) -> None:
        """What is begun from a callback has its turn."""
        again: list[Probe] = []
        declared = self.channel.queue_declare(VIDEO, False)
        declared.addCallback(
            lambda _: again.append(Probe(self.channel.queue_declare(VIDEO, False)))
        )
        self.go_on()
        self.go_on()
        self.assertTrue(again[0].fired)

    def test_not_supported(self) -> None:
        """What the broker cannot do fails, and nothing is begun."""
        self.dialect.capabilities = frozenset()  # type: ignore[misc]  # for this test, on the instance
        channel, headers = self.channel, Exchange("h", "headers")
        for begun in (
            channel.exchange_declare(FEED, True),
            channel.exchange_declare(headers, False),
            channel.exchange_delete(FEED, False),
            channel.exchange_bind(FEED, FEED, "", {}),
            channel.exchange_unbind(FEED, FEED, "", {}),
            channel.queue_declare(VIDEO, True),
            channel.queue_declare(Queue(""), False),
            channel.queue_declare(Queue("q", max_length=1), False),
            channel.queue_bind(VIDEO, headers, "", {}),
            channel.queue_bind(VIDEO, FEED, "overlapping", {}),
            channel.queue_unbind(VIDEO, FEED, "", {}),
            channel.queue_purge(VIDEO),
            channel.queue_delete(VIDEO, False, False),
            channel.basic_get(VIDEO, False),
            channel.basic_qos(1),
        ):
            error = Probe(begun).outcome
            self.assertIsInstance(error, NotSupported)
            self.assertEqual(error.transport, "stomp")
            self.assertIn("Toy", str(error))
        self.assertEqual(self.dialect.recipes, [])

    def test_conditions(self) -> None:
        """Deleting on a condition is another ability than deleting."""
        self.dialect.capabilities = frozenset({Capability.QUEUE_DELETE})  # type: ignore[misc]  # for this test, on the instance
        for conditions in ((True, False), (False, True)):
            deleted = Probe(self.channel.queue_delete(VIDEO, *conditions))
            self.assertIsInstance(deleted.outcome, NotSupported)
        self.assertFalse(Probe(self.channel.queue_delete(VIDEO, False, False)).fired)

    def test_warned_once(self) -> None:
        """What the dialect has to say of a queue is logged once, for all sessions."""
        self.dialect.waits = False
        fleeting = Queue("fleeting", durable=False)
        with capturedLogs() as events:
            for _ in range(2):
                self.successResultOf(self.channel.queue_declare(fleeting, False))
        [text] = [formatEvent(event) for event in events]
        self.assertEqual(text, "Queue 'fleeting': it is not durable")
        self.assertEqual(self.warned, {"fleeting"})


class BindingTests(ChannelTestCase):
    """What a session knows of bindings."""

    def seen(self, queue: Queue) -> list[str]:
        """What a consumer of a queue would subscribe to."""
        self.successResultOf(consume(self.channel, queue, "of seen"))
        self.successResultOf(self.channel.basic_cancel("of seen"))
        frames = [each for each in self.last.frames if each.startswith("SUBSCRIBE")]
        return [frame.split("\n")[1].removeprefix("destination:") for frame in frames]

    def test_bound(self) -> None:
        """Bindings made in this session are known, on all channels, each once."""
        for key in ("a", "b", "a"):
            self.successResultOf(self.channel.queue_bind(VIDEO, FEED, key, {}))
        self.channel = self.open_channel()
        self.assertEqual(self.seen(VIDEO), ["video", "a", "b"])

    def test_carried(self) -> None:
        """So are those that a queue carries."""
        self.successResultOf(self.channel.queue_bind(VIDEO, FEED, "a", {}))
        queue = Queue("video", bindings=[binding(FEED, "a"), binding(FEED, "c")])
        self.assertEqual(self.seen(queue), ["video", "a", "c"])

    def test_refused(self) -> None:
        """One that was refused is not known, unless it was there before."""
        self.successResultOf(self.channel.queue_bind(VIDEO, FEED, "a", {}))
        self.dialect.waits = True
        for key in ("a", "b"):
            bound = Probe(self.channel.queue_bind(VIDEO, FEED, key, {}))
            self.dialect.next.pop(0).errback(NotFound("no"))
            self.assertIsInstance(bound.outcome, NotFound)
        self.dialect.waits = False
        self.assertEqual(self.seen(VIDEO), ["video", "a"])

    def test_cancelled_in_line(self) -> None:
        """One that was given up before its turn is not known."""
        self.dialect.waits = True
        self.channel.queue_purge(VIDEO)
        binding = self.channel.queue_bind(VIDEO, FEED, "a", {})
        binding.cancel()
        self.failureResultOf(binding, CancelledError)
        self.go_on()
        self.assertEqual(self.dialect.recipes, ["purge video"])
        self.dialect.waits = False
        self.assertEqual(self.seen(VIDEO), ["video"])

    def test_cancelled_under_way(self) -> None:
        """One that is given up is not known to what comes behind it."""
        self.dialect.waits = True
        bound = self.channel.queue_bind(VIDEO, FEED, "a", {})
        started = Probe(consume(self.channel, VIDEO, "tag"))
        bound.cancel()
        self.failureResultOf(bound, CancelledError)
        self.assertTrue(started.fired)
        self.assertEqual(len(self.last.subscribed), 1)

    def test_cancelled_once(self) -> None:
        """One that was begun twice, and given up once, is known."""
        self.dialect.waits = True
        first = self.channel.queue_bind(VIDEO, FEED, "a", {})
        second = Probe(self.channel.queue_bind(VIDEO, FEED, "a", {}))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.dialect.next.pop().callback(None)
        self.assertDone(second)
        self.assertEqual(self.seen(VIDEO), ["video", "a"])

    def test_never_begun(self) -> None:
        """One whose channel ends before its turn, or has ended, is not known."""
        self.dialect.waits = True
        channel = self.open_channel()
        channel.queue_purge(VIDEO).addErrback(lambda _: None)
        waiting = Probe(channel.queue_bind(VIDEO, FEED, "a", {}))
        self.last.lose(NotFound("what for"))
        self.assertIsInstance(waiting.outcome, ChannelClosed)
        late = Probe(channel.queue_bind(VIDEO, FEED, "b", {}))
        self.assertIsInstance(late.outcome, ChannelClosed)
        self.dialect.waits = False
        self.assertEqual(self.seen(VIDEO), ["video"])

    def test_not_asked_for(self) -> None:
        """Where no consumer has to know them none is kept; their exchanges are."""
        self.dialect.reads_bindings = False  # type: ignore[misc]  # for this test, on the instance
        self.successResultOf(self.channel.queue_bind(VIDEO, FEED, "a", {}))
        self.assertEqual(list(self.session.declarations.bindings(VIDEO)), [])
        self.assertIs(self.dialect.exchange_named("feed"), FEED)

    def test_deleted(self) -> None:
        """With the queue they go."""
        self.successResultOf(self.channel.queue_bind(VIDEO, FEED, "a", {}))
        self.successResultOf(self.channel.queue_delete(VIDEO, False, False))
        self.assertEqual(self.seen(VIDEO), ["video"])

    def test_by_name(self) -> None:
        """A binding to a mere name needs the exchange to be known."""
        named = as_exchange("feed")
        with self.assertRaises(ValueError):
            self.channel.queue_bind(VIDEO, named, "a", {})
        with self.assertRaises(ValueError):
            self.channel.exchange_declare(named, False)
        self.successResultOf(self.channel.exchange_declare(FEED, False))
        self.successResultOf(self.channel.exchange_declare(named, False))
        self.successResultOf(self.channel.queue_bind(VIDEO, named, "a", {}))
        self.assertEqual(self.dialect.recipes[1], "exchange feed topic")
        self.assertIs(self.dialect.exchange_named("feed"), FEED)
        self.assertIsNone(self.dialect.exchange_named("other"))


class GetTests(ChannelTestCase):
    """Messages got: each on a socket of its own until it is settled."""

    def test_settled(self) -> None:
        """Its socket is left when it is settled."""
        tag, socket = self.got()
        self.turn()
        self.assertFalse(socket.left)
        self.assertIs(self.channel.ack(tag, False), SENT)
        self.assertIs(self.channel.ack(tag, False), STALE)
        self.turn()
        self.assertEqual(socket.frames, ["ACK 1"])
        self.assertTrue(socket.left)

    def test_given_back(self) -> None:
        """To requeue it, leaving is enough; to drop it is not."""
        tag, socket = self.got()
        self.channel.nack(tag, False, True)
        self.turn()
        self.assertEqual((socket.frames, socket.left), ([], True))
        tag, socket = self.got()
        self.channel.reject(tag, False)
        self.turn()
        self.assertEqual((socket.frames, socket.left), (["NACK 1 0"], True))

    def test_no_ack(self) -> None:
        """With no_ack the socket is left at once."""
        tag, socket = self.got(no_ack=True)
        self.assertTrue(socket.left)
        self.assertIs(self.channel.ack(tag, False), STALE)

    def test_empty(self) -> None:
        """Nothing is nothing."""
        self.dialect.frame = None
        self.assertIsNone(self.successResultOf(self.channel.basic_get(VIDEO, False)))

    def test_lost(self) -> None:
        """When its socket is lost it is stale."""
        tag, socket = self.got()
        socket.lose()
        self.assertIs(self.channel.ack(tag, False), STALE)
        self.assertEqual(self.names(), [])

    def test_next_sees_it(self) -> None:
        """What was given back is back before the next operation."""
        tag, socket = self.got()
        socket.prompt = False
        self.channel.nack(tag, False, True)
        purged = Probe(self.channel.queue_purge(VIDEO))
        self.assertTrue(socket.left)
        self.assertFalse(purged.fired)
        socket.go()
        self.assertTrue(purged.fired)


class SettleTests(ChannelTestCase):
    """Settling what consumers hold."""

    def setUp(self) -> None:
        super().setUp()
        self.inbox = Inbox()
        self.successResultOf(consume(self.channel, VIDEO, "t", self.inbox))
        self.socket = self.last
        self.socket.frames.clear()
        for number in range(1, 6):
            self.socket.deliver("s1", b"%d" % number)

    def test_one_write(self) -> None:
        """Settlements of one turn leave together, in their order."""
        writes: list[bytes] = []
        self.socket.write = writes.append  # type: ignore[assignment,method-assign]  # in its place, for this test
        self.channel.ack(2, False)
        self.channel.reject(1, True)
        self.channel.ack(4, False)
        self.assertEqual(writes, [])
        self.turn()
        self.assertEqual(writes, [b"ACK 2\0NACK 1 1\0ACK 4\0"])
        self.turn()
        self.assertEqual(len(writes), 1)

    def test_multiple(self) -> None:
        """A multiple one settles all up to it; 0 is all."""
        self.channel.ack(2, False)
        self.channel.nack(3, True, False)
        self.channel.ack(0, True)
        self.channel.flush()
        self.assertEqual(
            self.socket.frames, ["ACK 2", "NACK 1 0", "NACK 3 0", "ACK 4", "ACK 5"]
        )
        self.assertIs(self.channel.ack(0, True), STALE)
        self.assertIs(self.channel.nack(5, True, True), STALE)
        self.assertIs(self.channel.reject(5, True), STALE)

    def test_flushed(self) -> None:
        """Who asks hears when all so far was written."""
        self.assertDone(Probe(self.channel.when_flushed()), SENT)
        self.channel.ack(1, False)
        flushed = Probe(self.channel.when_flushed())
        self.assertFalse(flushed.fired)
        self.turn()
        self.assertDone(flushed, SENT)

    def test_recover(self) -> None:
        """All goes back; old tags are stale."""
        self.channel.ack(1, False)
        self.socket.prompt = False
        recovered = Probe(self.channel.basic_recover())
        self.assertIs(self.channel.ack(2, False), STALE)
        self.assertEqual(
            self.socket.frames[:5],
            ["ACK 1", "NACK 2 1", "NACK 3 1", "NACK 4 1", "NACK 5 1"],
        )
        self.assertFalse(recovered.fired)
        self.socket.answer_all()
        self.assertDone(recovered)

    def test_closed(self) -> None:
        """Closing writes what was settled; the rest is stale."""
        self.channel.ack(1, False)
        flushed = Probe(self.channel.when_flushed())
        self.successResultOf(self.channel.close())
        self.assertEqual(self.socket.frames, ["ACK 1"])
        self.assertTrue(self.socket.left)
        self.assertDone(flushed, SENT)
        self.assertIs(self.channel.ack(2, False), STALE)
        self.assertDone(Probe(self.channel.when_flushed()), STALE)

    def test_flushed_late(self) -> None:
        """Whoever asks after a loss hears of what that took."""
        self.channel.ack(1, False)
        self.socket.lose(NotFound("no queue"))
        self.assertDone(Probe(self.channel.when_flushed()), STALE)
        self.assertDone(Probe(self.channel.when_flushed()), SENT)

    def test_consumer_lost(self) -> None:
        """What was not written when the consumer's socket is lost is stale."""
        for settle in (
            lambda: self.channel.ack(1, False),
            lambda: self.channel.ack(2, True),
            lambda: self.channel.nack(1, False, True),
            lambda: self.channel.reject(1, False),
        ):
            self.setUp()
            self.assertIs(settle(), SENT)
            flushed = Probe(self.channel.when_flushed())
            self.socket.lose(NotFound("no queue"))
            self.assertDone(flushed, STALE)
            self.turn()
            self.assertEqual(self.socket.frames, [])
            self.session.abort()

    def other(self) -> FakeSocket:
        """Start another consumer, which is given the message 6."""
        self.successResultOf(consume(self.channel, VIDEO, "other", self.inbox))
        other = self.last
        other.frames.clear()
        other.deliver("s1", b"6")
        return other

    def test_other_lost(self) -> None:
        """What goes by another consumer's socket is written all the same."""
        for first, second in ((1, 6), (6, 1)):
            self.setUp()
            other = self.other()
            flushed = {}
            for tag in (first, second):
                self.channel.ack(tag, False)
                flushed[tag] = Probe(self.channel.when_flushed())
            other.lose(NotFound("no queue"))
            self.turn()
            self.assertDone(flushed[1], SENT)
            self.assertDone(flushed[6], STALE)
            self.assertEqual(self.socket.frames, ["ACK 1"])
            self.session.abort()

    def test_one_of_several_lost(self) -> None:
        """Whoever waits for several hears that not all of them were written."""
        other = self.other()
        self.channel.ack(0, True)
        flushed = Probe(self.channel.when_flushed())
        also = Probe(self.channel.when_flushed())
        other.lose(NotFound("no queue"))
        self.assertFalse(flushed.fired)
        self.turn()
        self.assertDone(flushed, STALE)
        self.assertDone(also, STALE)
        self.assertEqual(len(self.socket.frames), 5)

    def test_several(self) -> None:
        """Whoever waits for several waits for each, and may give up."""
        other = self.other()
        self.channel.ack(0, True)
        flushed = [Probe(self.channel.when_flushed()) for _ in range(2)]
        flushed[1].deferred.cancel()
        self.assertIsInstance(flushed[1].outcome, CancelledError)
        self.turn()
        self.assertDone(flushed[0], SENT)
        self.assertEqual(other.frames, ["ACK 6"])

    def test_lost_when_told(self) -> None:
        """What was written by then stays sent, whatever a callback drops."""
        other = self.other()
        self.channel.ack(1, False)
        first = self.channel.when_flushed()
        first.addCallback(lambda _: other.lose(NotFound("no queue")))
        self.channel.ack(6, False)
        flushed = Probe(self.channel.when_flushed())
        self.turn()
        self.assertDone(flushed, SENT)
        self.assertEqual(other.frames, ["ACK 6"])

    def test_got_and_lost(self) -> None:
        """So it is with a message that was got."""
        tag, socket = self.got()
        self.channel.ack(tag, False)
        flushed = Probe(self.channel.when_flushed())
        socket.lose()
        self.assertDone(flushed, STALE)

    def test_lost(self) -> None:
        """At a loss what was not written is stale."""
        self.channel.ack(1, False)
        flushed = Probe(self.channel.when_flushed())
        self.publishing.lose()
        self.assertDone(flushed, STALE)
        self.assertEqual(self.socket.frames, [])
        self.assertTrue(self.socket.dropped)


class EndTests(ChannelTestCase):
    """How a channel ends."""

    def outstanding(self) -> dict[str, Probe]:
        """Begin what waits, of each kind."""
        self.connector.prompt = False
        for socket in self.connector.connections:
            socket.prompt = False
        self.dialect.waits = True
        return {
            "sent": Probe(publish(self.channel, DEFAULT, "q")),
            "declared": Probe(self.channel.exchange_declare(FEED, False)),
            "held": Probe(publish(self.channel, DEFAULT, "q")),
            "consume": Probe(consume(self.channel, VIDEO)),
            "get": Probe(self.channel.basic_get(VIDEO, False)),
        }

    def note(self, name: str, _: object) -> None:
        """Note that something has fired."""
        self.journal.note(name)

    def test_lost(self) -> None:
        """Its owner hears first, then all that is outstanding fires, once."""
        begun = self.outstanding()
        for name, probe in begun.items():
            probe.deferred.addBoth(partial(self.note, name))
        reason = SessionLost("cut")
        self.publishing.lose(reason)
        self.assertEqual(self.names()[0], "channel_lost")
        self.assertEqual(sorted(self.names()[1:]), sorted(begun))
        self.assertIsInstance(begun["held"].outcome, NotSent)
        self.assertIsInstance(begun["get"].outcome, SessionLost)

    def test_refused(self) -> None:
        """After a refused publish operations fail with C{ChannelClosed}."""
        begun = self.outstanding()
        error = NotFound("no exchange")
        self.publishing.lose(error)
        self.assertIs(self.journal.all("channel_lost")[0], error)
        for name in ("declared", "consume", "get"):
            self.assertIsInstance(begun[name].outcome, ChannelClosed)
            self.assertIs(begun[name].outcome.__cause__, error)

    def test_others_live(self) -> None:
        """Other channels go on."""
        other = self.open_channel()
        self.publishing.lose(NotFound("no exchange"))
        self.successResultOf(publish(other, DEFAULT, "q"))
        self.assertEqual(self.names(), ["channel_lost"])

    def test_close(self) -> None:
        """Closing lets what was begun come to its end, and tells nobody."""
        begun = self.outstanding()
        closing = Probe(self.channel.close())
        self.publishing.answer_all()
        self.dialect.next.pop(0).callback(None)
        self.publishing.answer_all()
        for name in ("sent", "declared", "held", "consume"):
            self.assertDone(begun[name])
        self.dialect.next.pop(0).callback(None)
        self.assertDone(begun["get"])
        self.assertTrue(self.publishing.left)
        self.assertFalse(closing.fired)
        self.publishing.go()
        self.assertDone(closing)
        self.assertEqual(self.names(), [])

    def test_close_in_time(self) -> None:
        """A broker that does not answer is given some seconds."""
        begun = self.outstanding()
        closing = Probe(self.channel.close())
        again = Probe(self.channel.close())
        self.clock.advance(5)
        for probe in (*begun.values(), closing, again):
            self.assertTrue(probe.fired)
        self.assertTrue(self.publishing.dropped)
        self.assertEqual(self.names(), [])

    def test_lost_while_closing(self) -> None:
        """A refusal that crosses the close is told to whom it is about."""
        self.publishing.prompt = False
        sent = Probe(publish(self.channel, FEED, "a"))
        closing = Probe(self.channel.close())
        self.publishing.lose(NotFound("no exchange"))
        self.assertIsInstance(sent.outcome, NotFound)
        self.assertDone(closing)
        self.assertEqual(self.names(), [])

    def test_closed_with_consumers(self) -> None:
        """Consumers leave, and hand out nothing more; so does what was got."""
        inbox = Inbox()
        self.successResultOf(consume(self.channel, VIDEO, "t", inbox))
        consumer = self.last
        consumer.deliver("s1")
        _, got = self.got()
        consumer.prompt = False
        closing = Probe(self.channel.close())
        self.assertTrue(consumer.left and got.left)
        consumer.deliver("s1")
        self.assertEqual(len(inbox.bodies), 1)
        self.assertFalse(closing.fired)
        consumer.go()
        self.assertDone(closing)

    def test_used_when_over(self) -> None:
        """A channel that is over does nothing."""
        self.successResultOf(self.channel.close())
        self.assertDone(Probe(self.channel.close()))
        self.assertIsInstance(
            Probe(consume(self.channel, VIDEO)).outcome, ChannelClosed
        )
        sent = Probe(publish(self.channel, DEFAULT, "q"))
        self.assertIsInstance(sent.outcome, NotSent)
        recovered = Probe(self.channel.basic_recover())
        self.assertIsInstance(recovered.outcome, ChannelClosed)

    def test_listener_fails(self) -> None:
        """An error of its owner is logged, and all fires all the same."""

        def fail(_: Exception) -> None:
            raise ZeroDivisionError

        sent = self.outstanding()["sent"]
        self.channel._listener.channel_lost = fail
        self.publishing.lose()
        self.assertTrue(sent.fired)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
