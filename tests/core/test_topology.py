"""
Recording what a connection declared, and declaring it again.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any
from weakref import ref

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import Probe
from tests.support.fakes import FakeChannel, FakeSession, FakeTransport
from txkombu import BrokerConnection, Exchange, Queue
from txkombu._util.timeouts import gather_results_in_time
from txkombu.core.channel import Channel
from txkombu.core.recorded_bindings import RecordedBinding
from txkombu.core.topology import Topology
from txkombu.entity import as_exchange
from txkombu.exceptions import (
    AccessRefused,
    BrokerError,
    ChannelClosed,
    ConnectionForced,
    NotFound,
    NotSupported,
    OperationTimeout,
    PreconditionFailed,
    ResourceError,
    SessionLost,
)
from txkombu.interfaces import Capability, QueueDeclareOk

MEDIA = Exchange("media", "topic")
ARCHIVE = Exchange("archive", "fanout")
NAMED = "amq.gen-1"


class DyingChannel(FakeChannel):
    """A channel that a refusal ends, as AMQP's are."""

    def __init__(
        self, refusals: dict[str, Exception], declared: list[tuple[Any, ...]]
    ) -> None:
        super().__init__()
        self.refusals = refusals
        self.declared = declared

    def begin(self, name: str, *arguments: Any) -> Any:
        if name != "close":
            names = (getattr(each, "name", each) for each in arguments)
            self.declared.append((name, *names))
        about = arguments[0].name if arguments else ""
        error = self.refusals.get(f"{name} {about}")
        reply = super().begin(name, *arguments)
        if error is not None:
            self.calls[-1].reply.addErrback(lambda _: None)
            reply = self.calls[-1].reply = type(reply)()
            self.calls[-1].fail(error)
            self.dead = isinstance(error, BrokerError)
        return reply


class StrictSession(FakeSession):
    """
    A session that refuses what the test says.

    @ivar refusals: errors, by a method's name and the name of its first argument.
    @ivar declared: the declared and bound names, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refusals: dict[str, Exception] = {}
        self.declared: list[tuple[Any, ...]] = []
        self.names_made = 1

    def open_channel(self, listener: Any) -> Any:
        opening = super().open_channel(listener)
        if self.lost:
            return opening
        channel = DyingChannel(self.refusals, self.declared)
        channel.prompt()
        channel.answers["queue_declare"] = self.declare
        channel.answers.update(self.refuse)
        self.channels[-1] = channel
        return opening.addCallback(lambda _: channel)

    def declare(self, queue: Queue, passive: bool) -> QueueDeclareOk:
        """Name a queue that has no name."""
        if not queue.name:
            self.names_made += 1
        return QueueDeclareOk(queue.name or f"amq.gen-{self.names_made}", 0, 0)


class TopologyTestCase(SynchronousTestCase):
    """Has a topology, and a session to replay it on."""

    def setUp(self) -> None:
        self.renamed: list[tuple[str, str]] = []
        self.topology = Topology(lambda old, new: self.renamed.append((old, new)))
        self.session = StrictSession()

    def bound(
        self,
        queue: Queue,
        key: str = "",
        exchange: Exchange = MEDIA,
        **arguments: object,
    ) -> RecordedBinding:
        """Record a binding, and return it."""
        bound = RecordedBinding(queue, exchange, key, arguments)
        self.topology.bound(bound)
        return bound

    def replay(self, strictly: Queue | None = None) -> list[tuple[Any, ...]]:
        """Replay everything, or one queue; return what was declared, in order."""
        if strictly is None:
            replaying = self.topology.replay(self.session)
        else:
            replaying = self.topology.replay_queue(self.session, strictly)
        self.successResultOf(replaying)
        return self.session.declared


class RecordTests(TopologyTestCase):
    """What is recorded and forgotten."""

    def test_empty(self) -> None:
        """An empty topology replays nothing."""
        self.assertEqual(self.replay(), [])
        self.assertEqual(self.session.channels, [])

    def test_forgets(self) -> None:
        """Anything that is recorded is replayed until it is forgotten."""
        queue = Queue("video")
        for record, forget in (
            (
                lambda: self.topology.exchange_declared(MEDIA),
                lambda: self.topology.exchange_deleted("media"),
            ),
            (
                lambda: self.topology.queue_declared(queue, False),
                lambda: self.topology.queue_deleted("video"),
            ),
            (
                lambda: self.topology.bound(RecordedBinding(queue, MEDIA, "", {})),
                lambda: self.topology.unbound(RecordedBinding(queue, MEDIA, "", {})),
            ),
        ):
            record()
            self.assertEqual(len(self.replay()), 1)
            self.session.declared.clear()
            forget()
            self.assertEqual(self.replay(), [])

    def test_order(self) -> None:
        """Exchanges come first, then queues, then bindings."""
        queue = Queue("video")
        self.bound(queue, "a")
        self.topology.queue_declared(queue, False)
        self.topology.exchange_declared(ARCHIVE)
        self.topology.bound(RecordedBinding(ARCHIVE, MEDIA, "#", {}))
        self.topology.exchange_declared(MEDIA)
        self.assertEqual(
            self.replay(),
            [
                ("exchange_declare", "archive", False),
                ("exchange_declare", "media", False),
                ("queue_declare", "video", False),
                ("queue_bind", "video", "media", "a", {}),
                ("exchange_bind", "archive", "media", "#", {}),
            ],
        )

    def test_whole(self) -> None:
        """Everything is declared with all its properties."""
        queue = Queue("video", max_length=5, durable=False)
        self.topology.queue_declared(queue, False)
        self.topology.exchange_declared(MEDIA)
        self.replay()
        [exchange], [again] = (
            [
                call.arguments[0]
                for each in self.session.channels
                for call in each.called(name)
            ]
            for name in ("exchange_declare", "queue_declare")
        )
        self.assertEqual((exchange, again), (MEDIA, queue))

    def test_redeclared(self) -> None:
        """The last declaration of a name counts."""
        self.topology.exchange_declared(Exchange("media", "fanout"))
        self.topology.exchange_declared(MEDIA)
        self.assertTrue(self.topology.knows(MEDIA))
        self.assertEqual(len(self.replay()), 1)

    def test_knows(self) -> None:
        """
        knows is true for an entity declared with the same properties, not for others or
        for other kinds with the same name.
        """
        self.topology.exchange_declared(MEDIA)
        self.topology.queue_declared(Queue("video"), False)
        self.assertTrue(self.topology.knows(Exchange("media", "topic")))
        self.assertTrue(self.topology.knows(Queue("video")))
        self.assertFalse(self.topology.knows(Exchange("media", "fanout")))
        self.assertFalse(self.topology.knows(Queue("video", max_length=1)))
        self.assertFalse(self.topology.knows(Queue("media")))
        self.assertFalse(self.topology.knows(Exchange("video")))

    def test_two_bindings(self) -> None:
        """Two bindings of the same pair are both restored."""
        queue = Queue("video")
        self.bound(queue, "a")
        self.bound(queue, "b")
        self.bound(queue, "a", x=1)
        self.assertEqual(len(self.replay()), 3)

    def test_same_binding(self) -> None:
        """The same binding made twice is restored once, whatever objects made it."""
        self.bound(Queue("video"), "a", x=1, y=[2])
        self.topology.bound(
            RecordedBinding(Queue("video"), Exchange("media"), "a", {"y": [2], "x": 1})
        )
        self.assertEqual(len(self.replay()), 1)

    def test_only_declarations(self) -> None:
        """
        A record keeps neither a channel nor entities bound to one, so these can be
        freed.
        """
        connection = BrokerConnection(transport=FakeTransport(), reactor=Clock())
        records = [self.record_queue, self.record_server_named]
        for record in records:
            channel = Channel(connection)
            bound = record(channel)
            left: list[Callable[[], object]] = [ref(channel), ref(bound)]
            self.successResultOf(channel.close())
            del channel, bound
            gc.collect()
            self.assertEqual([each() for each in left], [None, None])
        self.assertEqual(len(self.topology._queues), 2)

    def record_queue(self, channel: Channel) -> Queue:
        """Declare a queue with two bindings, and an exchange."""
        exchange = MEDIA(channel)
        bindings = [exchange.binding("a"), exchange.binding("b")]
        queue = Queue("video", bindings=bindings)(channel)
        self.topology.exchange_declared(exchange)
        self.topology.queue_declared(queue, False)
        for each in queue.bindings:
            self.topology.bound(
                RecordedBinding(queue, each.exchange, each.routing_key, {})
            )
        return queue

    def record_server_named(self, channel: Channel) -> Queue:
        """Declare a server-named queue with two bindings, and an exchange."""
        queue = Queue("", MEDIA)(channel)
        queue.name = NAMED
        self.topology.queue_declared(queue, True)
        self.topology.bound(RecordedBinding(queue, MEDIA(channel), "a", {}))
        return queue

    def test_namesakes(self) -> None:
        """A queue and an exchange of the same name each have their binding."""
        self.bound(Queue("archive"), "a")
        self.topology.bound(RecordedBinding(ARCHIVE, MEDIA, "a", {}))
        self.topology.queue_deleted("archive")
        self.assertEqual(
            self.replay(), [("exchange_bind", "archive", "media", "a", {})]
        )

    def test_unbound(self) -> None:
        """A removed binding is not restored; the others are."""
        queue = Queue("video")
        gone = self.bound(queue, "a")
        self.bound(queue, "b")
        self.topology.unbound(gone)
        self.topology.unbound(gone)
        self.assertEqual([call[3] for call in self.replay()], ["b"])

    def test_deleted_queue(self) -> None:
        """A deleted queue is forgotten with its bindings, and no others."""
        video, audio = Queue("video"), Queue("audio")
        for queue in (video, audio):
            self.topology.queue_declared(queue, False)
            self.bound(queue, "a")
        self.topology.queue_deleted("video")
        self.assertEqual({call[1] for call in self.replay()}, {"audio"})

    def test_deleted_exchange(self) -> None:
        """A deleted exchange is forgotten with the bindings from it and to it."""
        feed = Exchange("feed")
        for exchange in (MEDIA, ARCHIVE, feed):
            self.topology.exchange_declared(exchange)
        self.topology.bound(RecordedBinding(ARCHIVE, MEDIA, "", {}))
        self.topology.bound(RecordedBinding(MEDIA, feed, "", {}))
        self.topology.bound(RecordedBinding(ARCHIVE, feed, "kept", {}))
        self.bound(Queue("video"), "")
        self.topology.exchange_deleted("media")
        binds = [call for call in self.replay() if call[0].endswith("bind")]
        self.assertEqual(binds, [("exchange_bind", "archive", "feed", "kept", {})])

    def test_deletes_what_is_not_there(self) -> None:
        """Forgetting what was never recorded does nothing."""
        self.topology.queue_deleted("video")
        self.topology.exchange_deleted("media")
        self.assertEqual(self.replay(), [])


class RefusalTests(TopologyTestCase):
    """What the broker refuses when everything is declared again."""

    def replay_logged(self) -> list[str]:
        """Replay, and return what was logged."""
        with capturedLogs() as events:
            self.successResultOf(self.topology.replay(self.session))
        return [formatEvent(event) for event in events]

    def test_skipped(self) -> None:
        """A refused declaration is logged and skipped; those behind it are declared."""
        for name in ("a", "b", "c"):
            self.topology.queue_declared(Queue(name), False)
        self.session.refusals["queue_declare b"] = PreconditionFailed("other")
        [text] = self.replay_logged()
        self.assertIn("refused to restore <Queue 'b'", text)
        self.assertIn("406 other", text)
        self.assertEqual([call[1] for call in self.session.declared], ["a", "b", "c"])
        self.assertEqual(len(self.session.channels), 2)

    def test_several(self) -> None:
        """Each refusal ends a channel, and all are logged."""
        for name in ("a", "b", "c", "d"):
            self.topology.exchange_declared(Exchange(name))
        self.session.refusals = {
            f"exchange_declare {name}": AccessRefused("no") for name in ("a", "c", "d")
        }
        self.assertEqual(len(self.replay_logged()), 3)
        self.assertEqual([call[1] for call in self.session.declared], list("abcd"))
        self.assertEqual(len(self.session.channels), 3)

    def test_bindings(self) -> None:
        """The log names a refused binding by both its ends and its key."""
        self.bound(Queue("video"), "a.b")
        self.session.refusals["queue_bind video"] = NotFound("no exchange")
        [text] = self.replay_logged()
        self.assertIn("binding of 'video' to 'media' by 'a.b'", text)

    def test_not_supported(self) -> None:
        """
        A declaration that the transport cannot do ends no channel, and is logged, too.
        """
        for name in ("a", "b"):
            self.topology.exchange_declared(Exchange(name))
        self.session.refusals["exchange_declare a"] = NotSupported("it", "stomp")
        [text] = self.replay_logged()
        self.assertIn("it is not supported", text)
        self.assertEqual([call[1] for call in self.session.declared], ["a", "b"])

    def test_both_kinds(self) -> None:
        """Both kinds of refusals are logged, and nothing is declared twice."""
        for name in ("a", "b", "c"):
            self.topology.exchange_declared(Exchange(name))
        self.session.refusals["exchange_declare a"] = NotSupported("it", "stomp")
        self.session.refusals["exchange_declare b"] = AccessRefused("no")
        self.assertEqual(len(self.replay_logged()), 2)
        self.assertEqual([call[1] for call in self.session.declared], list("abc"))

    def test_raised(self) -> None:
        """An exception of the transport is a refusal, too, and skips no other step."""
        for name in ("a", "b"):
            self.topology.exchange_declared(Exchange(name))

        def declare(exchange: Exchange, passive: bool) -> None:
            if exchange.name == "a":
                raise ValueError("not declared in this session")

        self.session.refuse["exchange_declare"] = declare
        [text] = self.replay_logged()
        self.assertIn("not declared in this session", text)

    def test_channels_are_closed(self) -> None:
        """Each channel that it used is closed, without waiting for that."""
        self.topology.exchange_declared(MEDIA)
        self.session.prompt = True
        opened: list[FakeChannel] = []
        open_channel = self.session.open_channel

        def never_closes(listener: Any) -> Any:
            opening = open_channel(listener)
            channel = self.session.channels[-1]
            del channel.answers["close"]
            opened.append(channel)
            return opening

        self.session.open_channel = never_closes  # type: ignore[method-assign]  # replaced for this test
        self.successResultOf(self.topology.replay(self.session))
        self.assertEqual([each.names()[-1] for each in opened], ["close"])


class LossTests(TopologyTestCase):
    """The session ends, or the time is up, while everything is declared again."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("a", "b"):
            self.topology.exchange_declared(Exchange(name))
        self.session = FakeSession(prompt=False)  # type: ignore[assignment]  # replaced for this test

    def test_lost(self) -> None:
        """A loss ends the replay with that error."""
        replaying = self.topology.replay(self.session)
        self.assertNoResult(replaying)
        self.session.lost = True
        self.session.channels[0].die()
        self.failureResultOf(replaying, SessionLost)

    def test_connection_of_its_own(self) -> None:
        """
        A declaration that had no connection was not refused: nothing is skipped, and
        another session restores everything.
        """
        for error in (ResourceError("no more"), ConnectionForced("shutting down")):
            for lost in (0, 1):
                self.session = FakeSession()  # type: ignore[assignment]  # replaced for this test
                errors = [NotFound("no"), NotFound("no")]
                errors[lost] = error  # type: ignore[call-overload]  # any will do
                self.session.refuse["exchange_declare"] = lambda exchange, passive: (
                    errors.pop(0)  # noqa: B023  # called in this turn
                )
                self.failureResultOf(self.topology.replay(self.session), type(error))

    def test_no_channel(self) -> None:
        """
        If there is no connection for a channel, another session restores everything.
        """
        self.session.answers["open_channel"] = ResourceError("no more")
        self.failureResultOf(self.topology.replay(self.session), ResourceError)

    def test_lost_before(self) -> None:
        """A session that has already ended ends the replay."""
        self.session.lost = True
        self.failureResultOf(self.topology.replay(self.session), SessionLost)

    def test_channel_closed_for_no_reason(self) -> None:
        """
        If channels end without a refusal, the replay fails, and does not go on for
        ever.
        """
        replaying = self.topology.replay(self.session)
        self.session.channels[0].die(ChannelClosed("no reason"))
        self.failureResultOf(replaying, ChannelClosed)
        self.assertEqual(len(self.session.channels), 1)

    def test_cancelled(self) -> None:
        """Cancelling ends the replay in that turn, and closes its channel."""
        replaying = self.topology.replay(self.session)
        replaying.cancel()
        self.failureResultOf(replaying, CancelledError)
        [channel] = self.session.channels
        self.assertEqual(channel.names()[-1], "close")
        self.assertTrue(all(call.cancelled for call in channel.calls[:-1]))

    def test_cancelled_while_opening(self) -> None:
        """Cancelling while the channel is being opened ends the replay, too."""
        self.session.answers["open_channel"] = None
        opening: list[Any] = []

        def open_channel(listener: Any) -> Any:
            opening.append(FakeSession.begin(FakeSession(), "open_channel"))
            return opening[0]

        self.session.open_channel = open_channel  # type: ignore[method-assign]  # replaced for this test
        replaying = self.topology.replay(self.session)
        replaying.cancel()
        self.failureResultOf(replaying, CancelledError)


class SlowTests(TopologyTestCase):
    """A broker that is slow, and one that never answers."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.slow = FakeSession(prompt=False)

    def begin(self) -> Probe:
        """Begin to declare everything again."""
        return Probe(self.topology.replay(self.slow, self.in_time))

    def in_time(self, began: Sequence[Deferred[Any]]) -> Deferred[Any]:
        """Give up when no declaration completed for 30 s."""
        return gather_results_in_time(began, self.clock, 30, "restoring")

    def answer(self) -> bool:
        """Answer the oldest call after 2 s; return whether there was one."""
        self.clock.advance(2)
        for channel in self.slow.channels:
            for call in channel.outstanding():
                if call.name != "close":
                    call.succeed(QueueDeclareOk("q", 0, 0))
                    return True
        return False

    def test_many(self) -> None:
        """However many declarations there are, the timeout applies to each of them."""
        for number in range(50):
            self.topology.queue_declared(Queue(f"q{number}"), False)
        replaying = self.begin()
        while self.answer():
            pass
        self.assertEqual(replaying.outcomes, [None])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silent(self) -> None:
        """The replay fails when an answer takes longer than one operation may."""
        for number in range(50):
            self.topology.queue_declared(Queue(f"q{number}"), False)
        replaying = self.begin()
        self.answer()
        self.clock.advance(29)
        self.assertEqual(replaying.outcomes, [])
        self.clock.advance(1)
        self.assertIsInstance(replaying.outcome, OperationTimeout)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        [channel] = self.slow.channels
        self.assertEqual(channel.names()[-1], "close")


class ServerNamedTests(TopologyTestCase):
    """Server-named queues."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = Queue(exclusive=True)
        self.queue.name = NAMED
        self.topology.queue_declared(self.queue, True)

    def test_new_name(self) -> None:
        """It is declared without a name, and everything recorded gets the new name."""
        other, again = Queue(NAMED), copy(self.queue)
        self.bound(self.queue, "a")
        self.bound(other, "b")
        self.bound(again, "b")
        self.bound(Queue("video"), "c")
        self.assertEqual(
            self.replay(),
            [
                ("queue_declare", "", False),
                ("queue_bind", "amq.gen-2", "media", "a", {}),
                ("queue_bind", "amq.gen-2", "media", "b", {}),
                ("queue_bind", "video", "media", "c", {}),
            ],
        )
        names = [each.name for each in (self.queue, other, again)]
        self.assertEqual(names, ["amq.gen-2"] * 3)
        self.assertEqual(self.renamed, [(NAMED, "amq.gen-2")])

    def test_again(self) -> None:
        """At the next loss it gets another name again."""
        self.bound(self.queue, "a")
        self.replay()
        self.replay()
        self.assertEqual(self.queue.name, "amq.gen-3")
        self.assertEqual(
            self.renamed, [(NAMED, "amq.gen-2"), ("amq.gen-2", "amq.gen-3")]
        )
        self.assertEqual(len(list(self.topology._bindings)), 1)

    def test_properties(self) -> None:
        """It keeps its other properties."""
        self.replay()
        [call] = self.session.channels[0].called("queue_declare")
        self.assertTrue(call.arguments[0].exclusive)

    def test_several(self) -> None:
        """Several of them each get their own new name."""
        second = Queue()
        second.name = "amq.gen-x"
        self.topology.queue_declared(second, True)
        self.bound(self.queue, "a")
        self.bound(second, "b")
        self.replay()
        self.assertEqual((self.queue.name, second.name), ("amq.gen-2", "amq.gen-3"))
        binds = [call[1:4] for call in self.session.declared[2:]]
        self.assertEqual(
            binds, [("amq.gen-2", "media", "a"), ("amq.gen-3", "media", "b")]
        )

    def test_forgotten(self) -> None:
        """Under its new name it can be forgotten."""
        self.bound(self.queue, "a")
        self.replay()
        self.topology.queue_deleted("amq.gen-2")
        self.session.declared.clear()
        self.assertEqual(self.replay(), [])

    def test_name_used_again(self) -> None:
        """A name that was forgotten and then declared by a program is kept."""
        self.topology.queue_deleted(NAMED)
        self.topology.queue_declared(Queue(NAMED), False)
        self.assertEqual(self.replay(), [("queue_declare", NAMED, False)])

    def test_refused(self) -> None:
        """
        If it is refused it keeps its old name, and is tried again at the next replay.
        """
        self.session.refusals["queue_declare "] = AccessRefused("no")
        self.replay()
        self.assertEqual((self.queue.name, self.renamed), (NAMED, []))
        self.session = StrictSession()
        self.replay()
        self.assertEqual(self.queue.name, "amq.gen-2")

    def test_one_queue_is_there(self) -> None:
        """Declared alone, it is looked up first, and left as it is if it exists."""
        self.bound(self.queue, "a")
        self.assertEqual(self.replay(self.queue), [("queue_declare", NAMED, True)])
        self.assertEqual(self.renamed, [])

    def test_one_queue_is_gone(self) -> None:
        """If it does not exist it gets another name, and its bindings."""
        self.bound(self.queue, "a")
        self.session.refusals[f"queue_declare {NAMED}"] = NotFound("gone")
        self.assertEqual(
            self.replay(self.queue),
            [
                ("queue_declare", NAMED, True),
                ("queue_declare", "", False),
                ("queue_bind", "amq.gen-2", "media", "a", {}),
            ],
        )
        self.assertEqual(self.renamed, [(NAMED, "amq.gen-2")])

    def test_one_queue_is_refused(self) -> None:
        """
        Any other refusal of the lookup is logged: the queue may exist nevertheless.
        """
        self.session.refusals[f"queue_declare {NAMED}"] = AccessRefused("no")
        with capturedLogs() as logged:
            self.assertEqual(self.replay(self.queue), [("queue_declare", NAMED, True)])
        self.assertIn("refused to restore", formatEvent(logged[0]))


class OneQueueTests(TopologyTestCase):
    """Declaring one queue again, for a consumer that lost it."""

    def setUp(self) -> None:
        super().setUp()
        self.video = Queue("video")
        self.topology.exchange_declared(MEDIA)
        self.topology.exchange_declared(ARCHIVE)
        self.topology.queue_declared(self.video, False)
        self.topology.queue_declared(Queue("audio"), False)
        self.bound(self.video, "a")
        self.bound(Queue("audio"), "b", ARCHIVE)

    def test_what_it_needs(self) -> None:
        """
        The exchanges that it is bound to, itself, and its bindings are declared;
        nothing else.
        """
        self.assertEqual(
            self.replay(Queue("video")),
            [
                ("exchange_declare", "media", False),
                ("queue_declare", "video", False),
                ("queue_bind", "video", "media", "a", {}),
            ],
        )

    def test_others_exchange(self) -> None:
        """An exchange that this connection did not declare is not declared."""
        self.topology.exchange_deleted("media")
        self.bound(self.video, "a", Exchange("amq.topic", "topic"))
        self.assertEqual(
            [call[:2] for call in self.replay(self.video)],
            [("queue_declare", "video"), ("queue_bind", "video")],
        )

    def test_bound_by_name(self) -> None:
        """An exchange is declared as it was, though it was bound by its name."""
        self.topology.queue_deleted("video")
        self.topology.queue_declared(self.video, False)
        self.bound(self.video, "a", Exchange("media"))
        self.replay(self.video)
        [call] = self.session.channels[0].called("exchange_declare")
        self.assertEqual(call.arguments[0], MEDIA)

    def test_twice_bound(self) -> None:
        """An exchange with two bindings to the queue is declared once."""
        self.bound(self.video, "b")
        calls = [call[0] for call in self.replay(self.video)]
        self.assertEqual(calls.count("exchange_declare"), 1)
        self.assertEqual(calls.count("queue_bind"), 2)

    def test_not_recorded(self) -> None:
        """A queue that this connection did not declare is only looked up."""
        self.assertEqual(
            self.replay(Queue("other")), [("queue_declare", "other", True)]
        )

    def test_cannot_be_looked_up(self) -> None:
        """If queues cannot be looked up, nothing is declared."""
        self.session.capabilities -= {Capability.QUEUE_PASSIVE}
        self.assertEqual(self.replay(Queue("other")), [])

    def test_known_and_bound_by_name(self) -> None:
        """
        An exchange that was described is not forgotten when a binding names it only.
        """
        self.topology.exchange_declared(as_exchange("media"))
        self.replay(self.video)
        [call] = self.session.channels[0].called("exchange_declare")
        self.assertEqual(call.arguments[0], MEDIA)

    def test_not_there(self) -> None:
        """
        If that queue does not exist, the Deferred fails with the broker's refusal.
        """
        self.session.refusals["queue_declare other"] = NotFound("no queue")
        replaying = self.topology.replay_queue(self.session, Queue("other"))
        self.failureResultOf(replaying, NotFound)

    def test_refused(self) -> None:
        """A refusal of any step is logged, and everything else is declared."""
        for step, error in (
            ("exchange_declare media", PreconditionFailed("other type")),
            ("queue_declare video", PreconditionFailed("other arguments")),
            ("queue_declare video", AccessRefused("no right to configure")),
            ("queue_bind video", NotFound("no exchange")),
            ("queue_bind video", NotSupported("it", "stomp")),
        ):
            self.session = StrictSession()
            self.session.refusals[step] = error
            with capturedLogs() as logged:
                made = self.replay(self.video)
            self.assertIn(str(error), formatEvent(logged[0]))
            self.assertEqual(
                list(dict.fromkeys(each[:2] for each in made)),
                [
                    ("exchange_declare", "media"),
                    ("queue_declare", "video"),
                    ("queue_bind", "video"),
                ],
            )

    def test_lost(self) -> None:
        """A loss is passed on."""
        self.session.lost = True
        replaying = self.topology.replay_queue(self.session, self.video)
        self.failureResultOf(replaying, SessionLost)


class PresentTests(TopologyTestCase):
    """What exists at the broker, as far as the session knows."""

    def setUp(self) -> None:
        super().setUp()
        self.video = Queue("video", MEDIA, "a")
        self.topology.exchange_declared(MEDIA)
        self.topology.queue_declared(self.video, False)
        self.bound(self.video, "a")

    def test_declared(self) -> None:
        """A declared queue is known, with its bindings."""
        self.assertTrue(self.topology.knows(MEDIA))
        self.assertTrue(self.topology.knows(self.video))
        self.assertFalse(self.topology.knows(Queue("video", MEDIA, "b")))
        self.assertFalse(self.topology.knows(Queue("video", max_length=1)))
        self.assertFalse(self.topology.knows(Exchange("media", "fanout")))

    def test_looked_up(self) -> None:
        """A queue that was only looked up is present, and was not declared."""
        other = Queue("other")
        self.topology.note_present(other)
        self.assertTrue(self.topology.is_present(other))
        self.assertFalse(self.topology.knows(other))

    def test_may_vanish(self) -> None:
        """A queue or exchange that the broker may delete by itself is never known."""
        for entity in (
            Exchange("x", auto_delete=True),
            Queue("q", auto_delete=True),
            Queue("q", exclusive=True),
            Queue("q", expires=60),
            Queue("q", queue_arguments={"x-expires": 60_000}),
        ):
            if isinstance(entity, Exchange):
                self.topology.exchange_declared(entity)
            else:
                self.topology.queue_declared(entity, False)
            self.assertFalse(self.topology.knows(entity), entity)
            self.assertFalse(self.topology.is_present(entity), entity)

    def test_lost(self) -> None:
        """After a loss nothing is known until everything is restored."""
        self.topology.session_lost()
        self.assertFalse(self.topology.knows(MEDIA))
        self.assertFalse(self.topology.knows(self.video))
        self.replay()
        self.assertTrue(self.topology.knows(MEDIA))
        self.assertTrue(self.topology.knows(self.video))

    def test_refused(self) -> None:
        """What the broker refuses to restore is not known, whatever it is."""
        for step, gone, left in (
            ("exchange_declare media", MEDIA, self.video),
            ("queue_declare video", self.video, MEDIA),
            ("queue_bind video", self.video, MEDIA),
        ):
            self.session = StrictSession()
            self.session.refusals[step] = AccessRefused("no")
            self.replay()
            self.assertFalse(self.topology.knows(gone), step)
            self.assertTrue(self.topology.knows(left), step)

    def test_refused_and_tried_again(self) -> None:
        """Only refused declarations are tried again; then they are known."""
        self.session.refusals["queue_bind video"] = NotFound("not yet")
        self.replay()
        self.assertEqual(len(self.topology.refused), 1)
        self.session = StrictSession()
        self.successResultOf(self.topology.replay_refused(self.session))
        self.assertEqual(
            self.session.declared, [("queue_bind", "video", "media", "a", {})]
        )
        self.assertTrue(self.topology.knows(self.video))
        self.assertEqual(self.topology.refused, set())

    def test_refused_and_deleted(self) -> None:
        """What this program deletes is not tried again."""
        self.session.refusals["queue_declare video"] = NotFound("home node is down")
        self.replay()
        self.topology.queue_deleted("video")
        self.session = StrictSession()
        self.successResultOf(self.topology.replay_refused(self.session))
        self.assertEqual(self.session.declared, [])

    def test_not_found(self) -> None:
        """What the broker reports as missing is not known; the rest is."""
        audio = Queue("audio")
        self.topology.queue_declared(audio, False)
        self.topology.not_found("video")
        self.assertFalse(self.topology.knows(self.video))
        self.assertTrue(self.topology.knows(MEDIA))
        self.topology.not_found("media")
        self.assertFalse(self.topology.knows(MEDIA))
        self.assertTrue(self.topology.knows(audio))

    def test_not_found_without_a_name(self) -> None:
        """If the broker does not say what is missing, nothing is known."""
        self.topology.not_found("")
        self.assertFalse(self.topology.knows(MEDIA))
        self.assertFalse(self.topology.knows(self.video))

    def test_not_found_is_restored(self) -> None:
        """What was reported as missing is declared again in the next session."""
        self.topology.not_found("media")
        self.assertIn(("exchange_declare", "media", False), self.replay())

    def test_lapses(self) -> None:
        """A number changes whenever a caller that asked once has to ask again."""
        for forget in (
            lambda: self.topology.not_found("video"),
            self.topology.session_lost,
            lambda: self.topology.queue_deleted("video"),
            lambda: self.topology.exchange_deleted("media"),
        ):
            before = self.topology.lapses
            forget()
            self.assertGreater(self.topology.lapses, before)


class AutoDeleteTests(TopologyTestCase):
    """Exchanges that the broker deletes with their last binding."""

    def setUp(self) -> None:
        super().setUp()
        self.source = Exchange("source", "fanout", auto_delete=True)
        self.topology.exchange_declared(self.source)
        self.one, self.two = Queue("one"), Queue("two")
        for queue in (self.one, self.two):
            self.topology.queue_declared(queue, False)
            self.bound(queue, "", self.source)

    def declares_source(self) -> bool:
        """Return whether a new session declares the exchange."""
        self.session = StrictSession()
        return ("exchange_declare", "source", False) in self.replay()

    def test_last_binding(self) -> None:
        """Without its last binding it is gone, and not declared again."""
        self.topology.unbound(RecordedBinding(self.one, self.source, "", {}))
        self.assertTrue(self.declares_source())
        self.topology.unbound(RecordedBinding(self.two, self.source, "", {}))
        self.assertFalse(self.declares_source())

    def test_last_queue(self) -> None:
        """When its last queue is deleted it is gone, too."""
        self.topology.queue_deleted("one")
        self.assertTrue(self.declares_source())
        self.topology.queue_deleted("two")
        self.assertFalse(self.declares_source())

    def test_one_behind_the_other(self) -> None:
        """An exchange that is gone takes the binding of the exchange before it away."""
        first = Exchange("first", "fanout", auto_delete=True)
        self.topology.exchange_declared(first)
        self.topology.bound(RecordedBinding(self.source, first, "", {}))
        self.topology.queue_deleted("one")
        self.topology.queue_deleted("two")
        self.session = StrictSession()
        self.assertEqual(self.replay(), [])

    def test_never_bound(self) -> None:
        """An exchange to which nothing was bound stays."""
        self.topology.exchange_declared(Exchange("new", auto_delete=True))
        self.session = StrictSession()
        self.assertIn(("exchange_declare", "new", False), self.replay())

    def test_others_stay(self) -> None:
        """An exchange that is not auto-delete stays without a binding."""
        self.topology.exchange_declared(MEDIA)
        self.bound(self.one, "a")
        self.topology.queue_deleted("one")
        self.session = StrictSession()
        self.assertIn(("exchange_declare", "media", False), self.replay())
