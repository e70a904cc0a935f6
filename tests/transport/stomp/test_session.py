"""Sessions on STOMP: one socket that stands for it, and those beside."""

from __future__ import annotations

from collections.abc import Callable

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
    NotSupported,
    PreconditionFailed,
    ResourceError,
    ResourceLocked,
    SessionLost,
)
from txkombu.interfaces import ISession, Settlement

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
        self.assertEqual((self.session.product, self.session.version), ("Toy", "1.0"))
        self.assertIs(self.session.capabilities, self.dialect.capabilities)
        self.assertEqual(self.connector.rules, (True, False))

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
        self.assertTrue(other.dropped and self.publishing.dropped)

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
        self.assertTrue(self.main.dropped and self.publishing.dropped)
        self.assertIsInstance(self.opening().outcome, SessionLost)
        self.assertTrue(Probe(self.session.close()).fired)

    def test_close(self) -> None:
        """Closing ends the channels first, then what is left, its own socket last."""
        closing = Probe(self.session.close())
        again = Probe(self.session.close())
        self.assertTrue(self.publishing.left)
        self.assertFalse(self.main.left)
        self.publishing.go()
        self.assertTrue(self.main.left)
        self.assertFalse(closing.fired)
        self.main.go()
        self.assertTrue(closing.fired and again.fired)
        self.assertEqual(self.names(), [])

    def test_close_in_time(self) -> None:
        """A channel whose broker does not answer is given some seconds."""
        closing = Probe(self.session.close())
        self.clock.advance(5)
        self.assertTrue(self.publishing.dropped)
        self.main.go()
        self.assertTrue(closing.fired)

    def test_lost_while_closing(self) -> None:
        """A loss ends the closing; nobody is told."""
        closing = Probe(self.session.close())
        self.main.lose()
        self.assertTrue(closing.fired)
        self.assertEqual(self.names(), [])

    def test_channel_while_closed(self) -> None:
        """A channel that is being opened as the session closes fails as such."""
        opening = self.opening()
        Probe(self.session.close())
        self.publishing.go()
        self.assertIsInstance(opening.outcome, SessionLost)
        self.assertEqual(self.connector.opening, [])
        again = Probe(self.session.connections.open())
        self.assertIsInstance(again.outcome, SessionLost)

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


class ExclusiveQueueTests(StompTestCase):
    """Exclusive queues: a socket that each lives on."""

    def setUp(self) -> None:
        super().setUp()
        self.dialect.reads_bindings = False  # type: ignore[misc]  # for this test, on the instance
        self.queue = Queue("q", exclusive=True)
        self.inbox = Inbox()
        self.successResultOf(self.channel.queue_declare(self.queue, False))
        self.owner = self.last

    def consume(self, queue: Queue | None = None, tag: str = "t") -> None:
        """Start a consumer."""
        queue = queue or self.queue
        self.successResultOf(consume(self.channel, queue, tag, self.inbox))

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
        self.owner.deliver("s1", b"1")
        self.assertEqual(self.inbox.bodies, [b"1"])

    def test_bound_otherwise(self) -> None:
        """It is bound as it was declared, whatever the binding says it is."""
        bound = self.channel.queue_bind(Queue("q", expires=9), FEED, "a", {})
        self.successResultOf(bound)
        self.assertEqual(self.dialect.bound, [self.queue])

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
        self.assertEqual(list(self.session.connections.own), ["q"])

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
        """It is bound before and after it is consumed from."""
        for key in ("a", "b"):
            self.successResultOf(self.channel.queue_bind(self.queue, FEED, key, {}))
            self.assertEqual(self.dialect.recipes[-1], f"bind q {key}")
            if key == "a":
                self.consume()
        self.assertFalse(self.owner.left)

    def test_not_supported(self) -> None:
        """Only its consumer can read from it, and it can have only one."""
        self.dialect.recipes.clear()
        for queue in (self.queue, Queue("q"), Queue("other", exclusive=True)):
            for begun in (
                self.channel.basic_get(queue, False),
                self.channel.queue_purge(queue),
            ):
                error = self.failureResultOf(begun, NotSupported).value
                self.assertIn("an exclusive queue", str(error))
        self.consume()
        second = consume(self.channel, self.queue, "second")
        error = self.failureResultOf(second, NotSupported).value
        self.assertIn("a second consumer of an exclusive queue", str(error))
        self.assertEqual(self.dialect.recipes, [])
        self.owner.deliver("s1", b"1")
        self.assertEqual(self.inbox.bodies, [b"1"])

    def test_consumed(self) -> None:
        """Its consumer takes its socket over, and settles on it."""
        self.consume()
        self.assertIs(self.last, self.owner)
        self.owner.deliver("s1", b"1")
        self.channel.ack(1, False)
        self.turn()
        self.assertIn("ACK 1", self.owner.frames)

    def test_start_refused(self) -> None:
        """A consumer that the broker refuses costs the queue."""
        self.owner.prompt = False
        started = Probe(consume(self.channel, self.queue, "t", self.inbox))
        self.owner.lose(NotFound("gone"))
        self.assertIsInstance(started.outcome, NotFound)
        self.assertEqual(self.names(), [])
        self.successResultOf(self.channel.queue_declare(self.queue, False))
        self.assertIsNot(self.last, self.owner)
        self.consume()

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
        cancelled = Probe(self.channel.basic_cancel("t"))
        declared = Probe(self.channel.queue_declare(self.queue, False))
        self.assertFalse(cancelled.fired or declared.fired)
        self.owner.go()
        self.assertTrue(cancelled.fired and declared.fired)

    def test_declared_while_held(self) -> None:
        """
        A consumer that has ended holds the old queue no longer when that is declared
        again: what it holds is stale.
        """
        self.dialect.stops = True
        self.consume()
        self.owner.deliver("s1", b"1")
        self.successResultOf(self.channel.basic_cancel("t"))
        self.assertFalse(self.owner.left)
        self.successResultOf(self.channel.queue_declare(self.queue, False))
        self.assertTrue(self.owner.left)
        self.assertIs(self.channel.ack(1, False), Settlement.STALE)
        self.assertEqual(self.inbox.journal.all("cancelled"), [])

    def assertForgotten(self) -> None:
        """Nothing is kept of it."""
        self.assertEqual(self.session.connections.own, {})
        self.assertEqual(self.session.exclusive_queues._queues, {})
        self.assertNotIn(self.owner, self.session.connections._open)

    def test_forgotten(self) -> None:
        """Whatever ends it, nothing is kept of it."""

        def consumed(end: Callable[[], object]) -> Callable[[], object]:
            def work() -> None:
                self.consume()
                end()

            return work

        def cancel_holding() -> None:
            self.dialect.stops = True
            self.owner.deliver("s1", b"1")
            self.channel.basic_cancel("t")
            self.assertFalse(self.owner.left)
            self.channel.ack(1, False)
            self.turn()

        ends: list[Callable[[], object]] = [
            lambda: self.owner.lose(NotFound("gone")),
            lambda: self.channel.queue_delete(self.queue, False, False),
            consumed(lambda: self.channel.basic_cancel("t")),
            consumed(cancel_holding),
            consumed(lambda: self.owner.lose(NotFound("gone"))),
            consumed(lambda: self.owner.subscribed["s1"][1](NotFound("gone"))),
            consumed(lambda: self.successResultOf(self.channel.close())),
            consumed(lambda: self.channel.end(NotFound("gone"))),
            consumed(lambda: self.channel.queue_delete(self.queue, False, False)),
        ]
        for end in ends:
            self.setUp()
            end()
            self.assertForgotten()
            self.session.abort()

    def test_not_exclusive_any_more(self) -> None:
        """When it has ended one of its name is declared and bound like any other."""
        plain = Queue("q")
        for is_held in (False, True):
            self.setUp()
            self.consume()
            if is_held:
                self.dialect.stops = True
                self.owner.deliver("s1", b"1")
            self.channel.basic_cancel("t")
            self.successResultOf(self.channel.queue_declare(plain, False))
            self.assertTrue(self.owner.left)
            self.assertIsNot(self.last, self.owner)
            self.assertForgotten()
            self.successResultOf(self.channel.queue_bind(plain, FEED, "a", {}))
            self.assertEqual(self.dialect.bound, [plain])
            self.session.abort()

    def test_not_exclusive_while_going(self) -> None:
        """To declare, look up or bind one of its name waits for its end."""
        plain = Queue("q")
        for begin in (
            lambda: self.channel.queue_declare(plain, False),
            lambda: self.channel.queue_declare(plain, True),
            lambda: self.channel.queue_bind(plain, FEED, "a", {}),
        ):
            self.setUp()
            self.consume()
            self.owner.prompt = False
            self.channel.basic_cancel("t")
            self.dialect.recipes.clear()
            begun = Probe(begin())
            self.assertEqual((begun.fired, self.dialect.recipes), (False, []))
            self.owner.go()
            self.assertTrue(begun.fired)
            self.assertEqual(len(self.dialect.recipes), 1)
            self.session.abort()

    def test_channel_closed(self) -> None:
        """It goes with the channel of its consumer."""
        self.consume()
        self.open_channel()
        self.owner.deliver("s1", b"1")
        self.successResultOf(self.channel.close())
        self.assertTrue(self.owner.left)

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
        If the broker deletes it, its consumer is told once, and it is declared and
        consumed again on another socket, whatever is still held.
        """
        for is_held in (False, True):
            self.consume()
            owner, self.inbox.journal.entries[:] = self.last, []
            if is_held:
                owner.deliver("s1", b"1")
            self.inbox.journal.entries.clear()
            error = ConsumerCancelled("deleted")
            owner.subscribed["s1"][1](error)
            self.assertEqual(self.inbox.journal.all("cancelled"), [error])
            self.assertEqual(self.names(), [])
            self.successResultOf(self.channel.queue_declare(self.queue, False))
            self.assertTrue(owner.left)
            self.assertIsNot(self.last, owner)
        self.consume()
        self.last.deliver("s1", b"2")
        self.assertEqual(self.inbox.bodies, [b"2"])

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
        self.consume()
        self.last.deliver("s1", b"1")
        self.assertEqual(self.inbox.bodies, [b"1"])
        self.successResultOf(self.channel.queue_bind(self.queue, FEED, "a", {}))
        self.channel.ack(1, False)
        self.successResultOf(self.channel.basic_cancel("t"))
        self.assertTrue(self.last.left)
