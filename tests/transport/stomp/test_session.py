"""Sessions on STOMP: one socket that stands for it, and those beside."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from zope.interface.verify import verifyObject

from tests.contract.harness import ChannelWatcher, Inbox, Probe, consume, publish
from tests.support.stomp_fakes import FakeSocket, StompTestCase
from txkombu.core.topology import Topology
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import (
    AuthenticationFailed,
    ConnectError,
    ConsumerCancelled,
    NotFound,
    PreconditionFailed,
    ResourceError,
    ResourceLocked,
    SessionLost,
)
from txkombu.interfaces import ISession
from txkombu.transport.stomp.dialect import Source, StompBinding
from txkombu.transport.stomp.protocol import IProtocolOwner

FEED = Exchange("feed", "topic")


class SessionTests(StompTestCase):
    """Its channels, and its end."""

    prompt = False

    def opening(self) -> Probe:
        """Begin to open a channel."""
        return Probe(self.session.open_channel(ChannelWatcher(self.journal)))

    def test_provides(self) -> None:
        """It provides what it says, and says what the dialect knows."""
        verifyObject(ISession, self.session)
        verifyObject(IProtocolOwner, self.session)
        self.assertEqual((self.session.product, self.session.version), ("Toy", "1.0"))
        self.assertIs(self.session.capabilities, self.dialect.capabilities)
        self.assertTrue(self.main.errors_are_fatal)

    def test_channels(self) -> None:
        """Each channel has a socket to publish on."""
        opening = self.opening()
        self.assertFalse(opening.fired)
        self.connector.accept()
        self.assertIsNot(opening.outcome, self.channel)
        self.assertEqual(len(self.connector.connections), 3)

    def test_channel_refused(self) -> None:
        """If the broker takes no more connections, there is no channel."""
        opening = self.opening()
        self.connector.refuse()
        self.main.answer_all()
        self.assertIsInstance(opening.outcome, ResourceError)
        self.assertIsInstance(opening.outcome.__cause__, ConnectError)
        self.assertEqual(self.names(), [])

    def test_login_refused(self) -> None:
        """A login that is refused by now is told as such."""
        opening = self.opening()
        self.connector.refuse(AuthenticationFailed("no"))
        self.assertIsInstance(opening.outcome, AuthenticationFailed)

    def test_channel_of_a_dead_broker(self) -> None:
        """If it turns out that the broker is gone, so is the session."""
        opening = self.opening()
        self.connector.refuse()
        self.main.lose()
        self.assertIsInstance(opening.outcome, SessionLost)
        self.assertEqual(self.names(), ["session_lost", "channel_lost"])

    def test_channel_cancelled(self) -> None:
        """Who does not wait for a channel any more leaves nothing open."""
        opening = self.opening()
        opening.deferred.cancel()
        self.assertIsInstance(opening.outcome, CancelledError)
        self.assertEqual(self.connector.opening, [])

    def test_lost(self) -> None:
        """When its socket is lost all is, its owner hears first."""
        other = self.open(2)
        sent = Probe(publish(self.channel, FEED, "a"))
        opening = self.opening()
        reason = SessionLost("cut")
        self.main.lose(reason)
        self.assertEqual(self.names(), ["session_lost"] + ["channel_lost"] * 2)
        self.assertIs(self.journal.all("session_lost")[0], reason)
        self.assertTrue(sent.fired)
        self.assertIsInstance(opening.outcome, SessionLost)
        self.assertTrue(other.dropped and self.declare_exclusive.dropped)

    def open(self, number: int) -> FakeSocket:
        """Open one more channel; give its socket."""
        self.opening()
        self.assertEqual(len(self.connector.connections), number)
        return self.connector.accept()

    def test_refused(self) -> None:
        """An error of the broker ends it, and is the cause of what channels hear."""
        self.main.lose(NotFound("what for"))
        session, channel = (what for _, what in self.journal.entries)
        self.assertIsInstance(session, NotFound)
        self.assertIsInstance(channel, SessionLost)
        self.assertIs(channel.__cause__, session)

    def test_abort(self) -> None:
        """Aborting drops all sockets, and tells nobody."""
        opening = self.opening()
        self.session.abort()
        self.assertIsInstance(opening.outcome, SessionLost)
        self.assertEqual(self.names(), [])
        self.assertTrue(self.main.dropped and self.declare_exclusive.dropped)
        self.assertIsInstance(self.opening().outcome, SessionLost)
        self.assertTrue(Probe(self.session.close()).fired)

    def test_close(self) -> None:
        """Closing ends the channels first, then what is left, its own socket last."""
        closing = Probe(self.session.close())
        again = Probe(self.session.close())
        self.assertTrue(self.declare_exclusive.left)
        self.assertFalse(self.main.left)
        self.declare_exclusive.go()
        self.assertTrue(self.main.left)
        self.assertFalse(closing.fired)
        self.main.go()
        self.assertTrue(closing.fired and again.fired)
        self.assertEqual(self.names(), [])

    def test_close_in_time(self) -> None:
        """A channel whose broker does not answer is given some seconds."""
        closing = Probe(self.session.close())
        self.clock.advance(5)
        self.assertTrue(self.declare_exclusive.dropped)
        self.main.go()
        self.assertTrue(closing.fired)

    def test_lost_while_closing(self) -> None:
        """A loss ends the closing; nobody is told."""
        closing = Probe(self.session.close())
        self.main.lose()
        self.assertTrue(closing.fired)
        self.assertEqual(self.names(), [])

    def test_channel_while_closing(self) -> None:
        """A session that closes opens no channel, not even one under way."""
        opening = self.opening()
        Probe(self.session.close())
        self.assertIsInstance(self.opening().outcome, SessionLost)
        late = self.connector.accept()
        self.assertIsInstance(opening.outcome, SessionLost)
        self.assertTrue(late.dropped)

    def test_restored(self) -> None:
        """
        If a socket fails while declarations are restored the queue is not taken for
        refused: restoring fails, and is begun again with another session.
        """
        for refused in (True, False):
            self.setUp()
            topology = Topology(lambda old, new: None)
            topology.queue_declared(Queue("q"), False)
            replaying = Probe(topology.replay(self.session))
            self.connector.accept()
            self.dialect.waits = True
            if refused:
                self.connector.refuse()
                self.main.answer_all()
                self.assertIsInstance(replaying.outcome, ResourceError)
            else:
                socket = self.connector.accept()
                _, done = socket.receipt()
                done.chainDeferred(self.dialect.next[0])
                socket.lose()
                self.assertIsInstance(replaying.outcome, SessionLost)
            self.session.abort()

    def test_owner_fails(self) -> None:
        """An error of the owner is logged."""

        def fail(_: Exception) -> None:
            raise ZeroDivisionError

        self.session._listener.session_lost = fail  # type: ignore[method-assign,assignment]  # in its place, for this test
        self.main.lose()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class OwnerTests(StompTestCase):
    """Exclusive queues: a socket that each lives on."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = Queue("q", exclusive=True)
        self.inbox = Inbox()
        self.successResultOf(self.channel.queue_declare(self.queue, False))
        self.owner = self.last

    def consume(self, tag: str = "t", **options: object) -> None:
        """Start a consumer."""
        options.setdefault("inbox", self.inbox)
        started = consume(self.channel, self.queue, tag, **options)  # type: ignore[arg-type]  # options of several types
        self.successResultOf(started)

    def subscriptions(self) -> list[str]:
        """The destinations that the owner is subscribed to."""
        return [
            frame.split("destination:")[1].split("\n")[0]
            for frame in self.owner.frames
            if frame.startswith("SUBSCRIBE")
        ]

    def test_declared(self) -> None:
        """It is declared on a socket that stays, once."""
        self.assertFalse(self.owner.left)
        self.successResultOf(self.channel.queue_declare(self.queue, False))
        self.assertIs(self.last, self.owner)

    def test_declared_twice_at_once(self) -> None:
        """Two channels that declare one at the same time share its socket."""
        queue = Queue("r", exclusive=True)
        channels = [self.channel, self.open_channel()]
        self.connector.prompt = False
        declared = [Probe(each.queue_declare(queue, False)) for each in channels]
        before = len(self.connector.connections)
        self.connector.prompt = True
        self.connector.accept()
        self.assertEqual([probe.outcome.queue for probe in declared], ["r", "r"])
        self.assertEqual(len(self.connector.connections), before + 1)

    def test_declared_again_in_vain(self) -> None:
        """Giving up a second declaration does no harm to the queue."""
        queue = Queue("r", exclusive=True)
        channels = [self.channel, self.open_channel()]
        self.connector.prompt = False
        first, second = [each.queue_declare(queue, False) for each in channels]
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.connector.prompt = True
        self.connector.accept()
        self.assertEqual(self.successResultOf(first).queue, "r")
        self.assertFalse(self.last.left)

    def test_declared_otherwise(self) -> None:
        """
        Declaring it again with other properties is refused, with the codes of
        AMQP, before anything is sent that would cost it.
        """
        self.consume()
        others = {
            Queue("q"): ResourceLocked,
            Queue("q", exclusive=True, expires=9): PreconditionFailed,
        }
        self.dialect.recipes.clear()
        before = list(self.owner.frames)
        for channel in (self.channel, self.open_channel()):
            for queue, kind in others.items():
                declared = channel.queue_declare(queue, False)
                error = self.failureResultOf(declared, kind).value
                self.assertIn("'q' of this session was declared with", str(error))
                self.assertEqual(error.about, "q")
        self.assertEqual((self.owner.frames, self.dialect.recipes), (before, []))
        self.owner.deliver("o1", b"1")
        self.assertEqual(self.inbox.bodies, [b"1"])

    def test_bound_otherwise(self) -> None:
        """It is bound as it was declared, whatever the binding says it is."""
        seen: list[Queue] = []
        source = self.dialect.binding_source

        def binding_source(queue: Queue, bound: StompBinding) -> Source:
            seen.append(queue)
            return source(queue, bound)

        self.dialect.binding_source = binding_source  # type: ignore[method-assign]  # for this test, on the instance
        bound = self.channel.queue_bind(Queue("q", expires=9), FEED, "a", {})
        self.successResultOf(bound)
        self.assertEqual(seen, [self.queue])

    def test_deleted_while_declared(self) -> None:
        """Deleting one that another channel declares waits for that."""
        queue = Queue("r", exclusive=True)
        other = self.open_channel()
        self.dialect.waits = True
        declared = Probe(self.channel.queue_declare(queue, False))
        socket = self.last
        deleted = Probe(other.queue_delete(queue, False, False))
        self.assertFalse(deleted.fired)
        self.dialect.next[0].callback(None)
        self.assertEqual(declared.outcome.queue, "r")
        self.assertIsNone(deleted.outcome)
        self.assertTrue(socket.left)
        self.assertEqual(list(self.session.connections.owners), ["q"])

    def test_given_up(self) -> None:
        """Giving up its declaration leaves no socket, and the name is free again."""
        queue = Queue("r", exclusive=True)
        self.dialect.waits = True
        declaring = self.channel.queue_declare(queue, False)
        socket = self.last
        declaring.cancel()
        self.failureResultOf(declaring, CancelledError)
        self.assertTrue(socket.left)
        self.dialect.waits = False
        self.successResultOf(self.channel.queue_declare(queue, False))
        self.assertIsNot(self.last, socket)

    def test_looked_up(self) -> None:
        """It is known to be there as long as its socket is."""
        self.dialect.recipes.clear()
        ok = self.successResultOf(self.channel.queue_declare(self.queue, True))
        self.assertEqual(ok, ("q", None, None))
        self.assertEqual(self.dialect.recipes, [])

    def test_refused(self) -> None:
        """One that is refused leaves no socket."""
        self.dialect.waits = True
        declared = Probe(self.channel.queue_declare(Queue("r", exclusive=True), False))
        self.dialect.next[0].errback(NotFound("no"))
        self.assertIsInstance(declared.outcome, NotFound)
        self.assertTrue(self.last.left)

    def test_nameless(self) -> None:
        """One without a name gets one, another each time; the entity is left alone."""
        nameless = Queue("", exclusive=True)
        names = {
            self.successResultOf(self.channel.queue_declare(nameless, False)).queue
            for _ in range(2)
        }
        self.assertEqual((len(names), nameless.name), (2, ""))

    def test_bound(self) -> None:
        """It is bound there, after a probe, and what comes is kept for who asks."""
        self.successResultOf(self.channel.queue_bind(self.queue, FEED, "a", {}))
        self.assertEqual(self.dialect.recipes[-1], "probe a")
        self.assertEqual(self.subscriptions(), ["feed/a"])
        self.owner.deliver("o1", b"1")
        self.dialect.reads_bindings = False  # type: ignore[misc]  # for this test, on the instance
        got = self.successResultOf(self.channel.basic_get(self.queue, False))
        self.assertEqual(got.body, b"1")
        self.channel.ack(got.tag, False)
        self.turn()
        self.assertIn("ACK 1", self.owner.frames)
        self.assertFalse(self.owner.left)

    def test_get(self) -> None:
        """A get subscribes once, and finds nothing if nothing comes."""
        self.dialect.reads_bindings = False  # type: ignore[misc]  # for this test, on the instance
        for _ in range(2):
            got = self.channel.basic_get(self.queue, False)
            self.assertIsNone(self.successResultOf(got))
        self.assertEqual(self.subscriptions(), ["q"])
        self.owner.deliver("o1", b"1")
        got = self.successResultOf(self.channel.basic_get(self.queue, True))
        self.assertEqual(got.body, b"1")
        self.assertEqual(self.owner.frames[-1], "ACK 1")

    def test_consumed(self) -> None:
        """Its consumers share the socket, each up to its limit, in turn."""
        other = Inbox()
        self.consume(prefetch_count=1)
        self.consume("other", inbox=other, prefetch_count=2)
        for number in range(4):
            self.owner.deliver("o1", b"%d" % number)
        self.assertEqual(self.inbox.bodies, [b"0"])
        self.assertEqual(other.bodies, [b"1", b"2"])
        self.channel.ack(1, False)
        self.turn()
        self.assertEqual(self.inbox.bodies, [b"0", b"3"])

    def test_no_ack(self) -> None:
        """What needs no ack is settled when it is handed out."""
        self.consume(no_ack=True)
        self.owner.deliver("o1", b"1")
        self.assertEqual(self.owner.frames[-1], "ACK 1")
        self.assertEqual(self.inbox.bodies, [b"1"])

    def test_cancelled(self) -> None:
        """
        One that ends leaves its subscription to the next, once what it holds is
        settled, which it can be.
        """
        self.consume("first", prefetch_count=1)
        self.owner.deliver("o1", b"1")
        self.consume("second", prefetch_count=1)
        self.successResultOf(self.channel.basic_cancel("first"))
        self.consume("third", prefetch_count=1)
        self.assertEqual(self.subscriptions(), ["q", "q", "q"])
        self.channel.nack(1, False, True)
        self.turn()
        self.assertIn("NACK 1 1", self.owner.frames)
        self.successResultOf(self.channel.basic_cancel("third"))
        for tag in ("fourth", "fifth"):
            self.consume(tag, prefetch_count=1)
        self.assertEqual(self.subscriptions(), ["q", "q", "q"])

    def test_last_cancelled(self) -> None:
        """With the last one the queue goes."""
        self.consume()
        self.successResultOf(self.channel.basic_cancel("t"))
        self.assertTrue(self.owner.left)
        self.successResultOf(self.channel.queue_declare(self.queue, False))
        self.assertIsNot(self.last, self.owner)

    def test_declared_while_going(self) -> None:
        """One of the same name waits until the old one has gone."""
        self.consume()
        self.owner.prompt = False
        self.successResultOf(self.channel.basic_cancel("t"))
        declared = Probe(self.channel.queue_declare(self.queue, False))
        self.assertFalse(declared.fired)
        self.owner.go()
        self.assertTrue(declared.fired)

    def test_channel_closed(self) -> None:
        """What a channel holds goes back when it closes."""
        self.consume()
        self.open_channel()
        self.owner.deliver("o1", b"1")
        self.successResultOf(self.channel.close())
        self.assertIn("NACK 1 1", self.owner.frames)

    def test_deleted(self) -> None:
        """Deleting it is to give up its socket; its consumers are told."""
        self.consume()
        deleted = self.channel.queue_delete(self.queue, False, False)
        self.assertIsNone(self.successResultOf(deleted))
        self.assertTrue(self.owner.left)
        [error] = self.inbox.journal.all("cancelled")
        self.assertIsInstance(error, ConsumerCancelled)

    def test_deleted_by_the_broker(self) -> None:
        """
        If the broker deletes it its consumers are told once, and it is declared
        and consumed again on another socket.
        """
        self.successResultOf(self.channel.queue_bind(self.queue, FEED, "a", {}))
        self.consume()
        error = ConsumerCancelled("deleted")
        for _, on_cancelled in list(self.owner.subscribed.values()):
            on_cancelled(error)
        self.assertEqual(self.inbox.journal.all("cancelled"), [error])
        self.assertEqual(self.names(), [])
        self.assertTrue(self.owner.left)
        self.successResultOf(self.channel.queue_declare(self.queue, False))
        self.consume()
        self.assertIsNot(self.last, self.owner)
        self.last.deliver("o1", b"1")
        self.assertEqual(self.inbox.bodies, [b"1"])

    def test_deleted_by_the_broker_unread(self) -> None:
        """If nobody consumes it then, whoever gets from it next hears of it."""
        self.dialect.reads_bindings = False  # type: ignore[misc]  # for this test, on the instance
        got = self.channel.basic_get(self.queue, False)
        self.assertIsNone(self.successResultOf(got))
        [(_, on_cancelled)] = self.owner.subscribed.values()
        on_cancelled(ConsumerCancelled("deleted"))
        self.assertTrue(self.owner.left)
        self.dialect.recipes.clear()
        self.channel.basic_get(self.queue, False)
        self.assertEqual(self.dialect.recipes, ["get q"])

    def test_purged(self) -> None:
        """What is kept is thrown away, too."""
        self.successResultOf(self.channel.queue_bind(self.queue, FEED, "a", {}))
        self.owner.deliver("o1", b"1")
        self.assertEqual(self.successResultOf(self.channel.queue_purge(self.queue)), 4)
        self.assertIn("ACK 1", self.owner.frames)

    def test_purged_to_the_end(self) -> None:
        """What comes because something was thrown away is thrown away with it."""
        self.successResultOf(self.channel.queue_bind(self.queue, FEED, "a", {}))
        self.owner.deliver("o1", b"1")
        self.dialect.waits = True
        purged = self.channel.queue_purge(self.queue)
        self.owner.deliver("o1", b"2")
        self.dialect.next.pop(0).callback(None)
        self.assertEqual(self.successResultOf(purged), 5)
        self.assertEqual(self.owner.frames[-1], "ACK 2")

    def test_lost(self) -> None:
        """When its socket is lost all is, as with a connection of AMQP."""
        self.owner.lose()
        self.assertEqual(self.names(), ["session_lost", "channel_lost"])

    def test_broker_says_why(self) -> None:
        """An error of the broker is told to its consumers, and costs only it."""
        self.consume()
        self.owner.lose(NotFound("gone"))
        self.assertEqual(self.names(), [])
        [error] = self.inbox.journal.all("cancelled")
        self.assertIsInstance(error, NotFound)
        self.successResultOf(self.channel.queue_declare(self.queue, False))
        self.assertIsNot(self.last, self.owner)

    def test_gone_before(self) -> None:
        """A consumer of one that is gone is as any other."""
        self.owner.lose(NotFound("gone"))
        self.dialect.reads_bindings = False  # type: ignore[misc]  # for this test, on the instance
        self.consume()
        self.last.deliver("s1", b"1")
        self.assertEqual(self.inbox.bodies, [b"1"])
        self.successResultOf(self.channel.queue_bind(self.queue, FEED, "a", {}))
        self.channel.ack(1, False)
        self.successResultOf(self.channel.basic_cancel("t"))
        self.assertTrue(self.last.left)
