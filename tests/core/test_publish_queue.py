"""
The outgoing messages of one channel.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fakes import Call, FakeChannel
from txkombu import Exchange
from txkombu.core.publish_queue import (
    AT_ONCE,
    MAX_PENDING,
    MAX_PENDING_BYTES,
    TURN,
    TURN_BYTES,
    WINDOW,
    WINDOW_BYTES,
    PublishQueue,
    PublishRequest,
)
from txkombu.exceptions import (
    AccessRefused,
    AuthenticationFailed,
    BackpressureError,
    ChannelClosed,
    ConnectionForced,
    InternalError,
    KombuError,
    Nacked,
    NotAllowed,
    NotFound,
    NotSent,
    NotSentInTime,
    NotSupported,
    OperationTimeout,
    Outcome,
    OutcomeUnknown,
    OutcomeUnknownInTime,
    PreconditionFailed,
    SessionLost,
    Unroutable,
)
from txkombu.interfaces import NotWritten, Returned

EXCHANGE = Exchange("media")
NOT_SENT, REFUSED, UNKNOWN = Outcome.NOT_SENT, Outcome.REFUSED, Outcome.UNKNOWN
MIB = 1024 * 1024


class PublisherTestCase(SynchronousTestCase):
    """Has a publish queue, and a channel for it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.phase = "waiting for the connection"
        self.refused: list[tuple[PublishRequest, Exception]] = []
        self.needed = 0
        self.publisher = PublishQueue(
            self.clock,
            lambda: self.phase,
            lambda *told: self.refused.append(told),
            self.note_needed,
        )
        self.channel = FakeChannel()

    def note_needed(self) -> None:
        """Count how often another channel was asked for."""
        self.needed += 1

    def up(self) -> None:
        """Give the queue its channel."""
        self.publisher.channel_up(self.channel)

    def lose(self, error: Exception | None = None) -> None:
        """Lose the channel: the queue is told first, then the written messages fail."""
        lost = SessionLost("cut") if error is None else error
        self.publisher.channel_down()
        self.channel.die(lost)

    def message(
        self,
        body: bytes = b"hello",
        timeout: float = 30.0,
        confirm: bool = True,
        held: bool = False,
    ) -> PublishRequest:
        """Make a message."""
        return PublishRequest(body, {}, EXCHANGE, "key", False, confirm, timeout, held)

    def publish(self, body: bytes = b"hello", **options: Any) -> Deferred[None]:
        """Publish a message; record failures that nothing handles."""
        return self.publisher.publish(self.message(body, **options))

    def fill(self, count: int = WINDOW) -> list[Deferred[None]]:
        """Publish as many messages as fit into the window."""
        return [self.publish(b"%d" % number) for number in range(count)]

    def raises(self, error: Exception) -> Any:
        """Return an answer that raises."""

        def answer(*arguments: object) -> None:
            raise error

        return answer

    def quietly(self, *publishes: Deferred[None]) -> None:
        """Expect that these fail, with any error."""
        for each in publishes:
            each.addErrback(lambda _: None)

    @property
    def sent(self) -> list[bytes]:
        """Return the bodies in flight, in order."""
        return self.channel.bodies

    @property
    def verdicts(self) -> list[Call]:
        """Return the calls that wait for a verdict, in order."""
        return self.channel.called("basic_publish")

    def assertPhase(self, publish: Deferred[None], *parts: str) -> None:
        """Check that a publish timed out, and what it says it waited for."""
        error = self.failureResultOf(publish, OperationTimeout).value
        assert isinstance(error, OperationTimeout)
        for part in parts:
            self.assertIn(part, error.phase)
            self.assertIn(part, str(error))


class SendingTests(PublisherTestCase):
    """A message for which there is room."""

    def test_at_once(self) -> None:
        """It is sent within the call, with all its properties."""
        self.up()
        properties: dict[str, object] = {"message_id": "7"}
        message = PublishRequest(b"body", properties, EXCHANGE, "key", True, True, 30.0)
        publishing = self.publisher.publish(message)
        [call] = self.verdicts
        self.assertEqual(
            call.arguments, (b"body", properties, EXCHANGE, "key", True, True)
        )
        self.assertNoResult(publishing)
        call.succeed()
        self.assertIsNone(self.successResultOf(publishing))

    def test_verdict(self) -> None:
        """The Deferred fails with the broker's refusal."""
        self.up()
        publishing = self.publish()
        error = Nacked("full")
        self.verdicts[0].fail(error)
        self.assertIs(self.failureResultOf(publishing).value, error)

    def test_verdicts_out_of_order(self) -> None:
        """Each message has its own verdict, in whatever order verdicts arrive."""
        self.up()
        first, second, third = self.fill(3)
        self.verdicts[2].succeed()
        self.verdicts[0].fail(Nacked("full"))
        self.successResultOf(third)
        self.failureResultOf(first, Nacked)
        self.assertNoResult(second)

    def test_without_confirm(self) -> None:
        """Without confirm the Deferred fires when the message is written."""
        self.up()
        self.successResultOf(self.publish(confirm=False))
        self.assertEqual(self.sent, [b"hello"])

    def test_waits_for_the_channel(self) -> None:
        """
        Messages published before there is a channel are sent in order when it opens.
        """
        waiting = [self.publish(b"1"), self.publish(b"2", confirm=False)]
        self.assertTrue(self.publisher.is_waiting)
        self.up()
        self.assertFalse(self.publisher.is_waiting)
        self.assertEqual(self.sent, [b"1", b"2"])
        self.successResultOf(waiting[1])
        self.assertNoResult(waiting[0])
        self.verdicts[0].succeed()
        self.successResultOf(waiting[0])

    def test_cannot_be_expressed(self) -> None:
        """A message that the transport cannot express fails, and takes no room."""
        self.up()
        for error in (TypeError("a set"), ValueError("too long")):
            self.channel.answers["basic_publish"] = self.raises(error)
            for confirm in (True, False):
                failed = self.publish(b"bad", confirm=confirm)
                self.failureResultOf(failed, type(error))
        del self.channel.answers["basic_publish"]
        self.assertTrue(self.successResultOf(self.publisher.when_idle()) is None)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.fill()
        self.assertEqual(len(self.sent), 4 + WINDOW)

    def test_cannot_be_expressed_later(self) -> None:
        """
        A waiting message that the transport cannot express fails when its turn comes,
        and those behind it are sent.
        """
        bad = self.publish(b"bad")
        quick = self.publish(b"bad", confirm=False)
        good = self.publish(b"good")

        def answer(body: bytes, *arguments: object) -> object:
            if body == b"bad":
                raise ValueError("too long")
            return None

        self.channel.answers["basic_publish"] = answer
        self.up()
        self.failureResultOf(bad, ValueError)
        self.failureResultOf(quick, ValueError)
        self.successResultOf(good)
        self.successResultOf(self.publisher.when_idle())
        self.publisher.close(ChannelClosed("over"))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WindowTests(PublisherTestCase):
    """How many messages may be in flight."""

    def test_by_count(self) -> None:
        """A thousand messages are in flight; a verdict lets the next one go."""
        self.up()
        self.fill()
        last = self.publish(b"last")
        self.assertEqual(len(self.sent), WINDOW)
        self.verdicts[500].succeed()
        self.assertEqual(self.sent[-1], b"last")
        self.assertNoResult(last)
        self.verdicts[-1].succeed()
        self.successResultOf(last)

    def test_by_bytes(self) -> None:
        """16 MiB are in flight; a message that does not fit waits."""
        self.up()
        half = b"x" * (WINDOW_BYTES // 2)
        self.publish(half)
        self.publish(half)
        self.publish(b"")
        self.publish(b"y")
        self.assertEqual(len(self.sent), 3)
        self.verdicts[0].succeed()
        self.assertEqual(self.sent[-1], b"y")

    def test_larger_than_the_window(self) -> None:
        """A message that is larger than the window is sent alone."""
        self.up()
        self.publish(b"small")
        self.publish(b"x" * (WINDOW_BYTES + 1))
        self.publish(b"behind")
        self.assertEqual(len(self.sent), 1)
        self.verdicts[0].succeed()
        self.assertEqual(len(self.sent), 2)
        self.verdicts[1].succeed()
        self.assertEqual(self.sent[-1], b"behind")

    def test_refusals_make_room(self) -> None:
        """A refused message makes room, as a confirmed one does."""
        self.up()
        self.quietly(*self.fill())
        self.publish(b"last")
        self.verdicts[0].fail(Nacked("full"))
        self.assertEqual(self.sent[-1], b"last")

    def test_order(self) -> None:
        """A small message does not overtake a large one that waits."""
        self.up()
        self.publish(b"x" * WINDOW_BYTES)
        self.publish(b"large" * 10)
        self.publish(b"")
        self.assertEqual(len(self.sent), 1)
        self.verdicts[0].succeed()
        self.assertEqual(self.sent[1:], [b"large" * 10, b""])

    def test_mixed_order(self) -> None:
        """A message without confirm does not overtake one that waits for room."""
        self.up()
        self.fill()
        self.publish(b"a")
        quick = self.publish(b"b", confirm=False)
        self.assertNoResult(quick)
        self.verdicts[0].succeed()
        self.successResultOf(quick)
        self.assertEqual(self.sent[-2:], [b"a", b"b"])

    def test_ten_thousand_wait(self) -> None:
        """Ten thousand waiting messages are sent and confirmed in order."""
        waiting = [self.publish(b"%d" % number) for number in range(MAX_PENDING)]
        self.up()
        self.assertEqual(len(self.sent), WINDOW)
        for number in range(MAX_PENDING):
            self.verdicts_at(number).succeed()
        self.assertEqual(self.sent, [b"%d" % number for number in range(MAX_PENDING)])
        for each in waiting:
            self.successResultOf(each)

    def verdicts_at(self, index: int) -> Call:
        """Return the call of one message."""
        return self.channel.calls[index]

    def test_ten_thousand_at_once(self) -> None:
        """
        Ten thousand messages are sent in order if each verdict comes before its call
        returns.
        """
        waiting = [self.publish(b"x") for _ in range(MAX_PENDING)]
        self.channel.answers["basic_publish"] = None
        self.up()
        self.assertEqual(len(self.sent), MAX_PENDING)
        for each in waiting:
            self.successResultOf(each)


class RoomTests(PublisherTestCase):
    """Asking for room, and publishing too much without it."""

    def test_too_many(self) -> None:
        """
        With ten thousand messages waiting, a publish fails at once, and is not kept.
        """
        waiting = [self.publish(b"x") for _ in range(MAX_PENDING)]
        refused = self.publish(b"too many")
        text = str(self.failureResultOf(refused, BackpressureError).value)
        self.assertIn("10000 messages", text)
        self.assertIn("waiting for the connection", text)
        self.assertIn("when_ready", text)
        self.up()
        self.assertNotIn(b"too many", self.sent)
        self.assertNoResult(waiting[0])

    def test_too_many_bytes(self) -> None:
        """With 64 MiB of bodies waiting, a publish fails at once."""
        self.publish(b"x" * (MAX_PENDING_BYTES - MIB))
        self.publish(b"x" * MIB)
        self.failureResultOf(self.publish(b"x"), BackpressureError)
        self.assertNoResult(self.publish(b""))

    def test_one_large(self) -> None:
        """A single message that is larger still may wait."""
        self.assertNoResult(self.publish(b"x" * (MAX_PENDING_BYTES + 1)))
        self.failureResultOf(self.publish(b"x"), BackpressureError)

    def test_room_again(self) -> None:
        """A message that leaves, in any way, makes room for others to wait."""
        large = b"x" * MAX_PENDING_BYTES
        for go in (self.cancel, self.expire, self.forsake, self.refuse, self.send):
            self.setUp()
            message = self.message(large, timeout=5, held=True)
            publishing = self.publisher.publish(message)
            go(message, publishing)
            self.quietly(publishing)
            self.phase = go.__name__
            self.publisher.flow(False)
            self.assertNoResult(self.publish(large))
            self.failureResultOf(self.publish(b"x"), BackpressureError)

    def cancel(self, message: PublishRequest, publishing: Deferred[None]) -> None:
        """Cancel a message."""
        publishing.cancel()

    def expire(self, message: PublishRequest, publishing: Deferred[None]) -> None:
        """Let a message's deadline pass."""
        self.clock.advance(5)

    def forsake(self, message: PublishRequest, publishing: Deferred[None]) -> None:
        """Lose the connection."""
        self.publisher.fail_pending(SessionLost("cut"))

    def refuse(self, message: PublishRequest, publishing: Deferred[None]) -> None:
        """Refuse the declaration that a message needs."""
        self.publisher.refuse(message, Failure(ValueError()))

    def send(self, message: PublishRequest, publishing: Deferred[None]) -> None:
        """Send a message."""
        self.channel.answers["basic_publish"] = None
        self.up()
        self.publisher.release(message)

    def test_ready(self) -> None:
        """If there is room, when_ready fires at once."""
        self.assertFalse(self.publisher.is_ready)
        self.up()
        self.assertTrue(self.publisher.is_ready)
        self.successResultOf(self.publisher.when_ready())

    def test_ready_with_the_channel(self) -> None:
        """Without a channel when_ready waits for one."""
        ready = [self.publisher.when_ready(), self.publisher.when_ready()]
        self.up()
        for each in ready:
            self.successResultOf(each)

    def test_ready_at_half(self) -> None:
        """when_ready waits until half the window is free."""
        self.up()
        self.fill()
        self.assertFalse(self.publisher.is_ready)
        ready = self.publisher.when_ready()
        for call in self.verdicts[: WINDOW // 2]:
            call.succeed()
        self.assertNoResult(ready)
        self.verdicts[WINDOW // 2].succeed()
        self.successResultOf(ready)

    def test_ready_behind_others(self) -> None:
        """There is no room while other messages wait."""
        self.up()
        self.publisher.flow(False)
        self.publish(b"first")
        ready = self.publisher.when_ready()
        self.publisher.flow(True)
        self.successResultOf(ready)
        self.assertEqual(self.sent, [b"first"])

    def test_ready_after_a_deadline(self) -> None:
        """There is room when the waiting messages have timed out."""
        self.up()
        given_up = self.publish(held=True, timeout=5)
        ready = self.publisher.when_ready()
        self.clock.advance(5)
        self.failureResultOf(given_up, OperationTimeout)
        self.successResultOf(ready)

    def test_cancelled_ready(self) -> None:
        """Cancelling one Deferred of when_ready affects no other."""
        gone, stays = self.publisher.when_ready(), self.publisher.when_ready()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.up()
        self.successResultOf(stays)

    def test_publishes_when_ready(self) -> None:
        """
        A program that publishes only when there is room never has messages waiting.
        """
        self.channel.answers["basic_publish"] = None
        self.up()
        left = list(range(5000))

        def go_on(_: object) -> None:
            while left and self.publisher.is_ready:
                self.publish(b"%d" % left.pop(), confirm=False)
                self.assertFalse(self.publisher.is_waiting)
            if left:
                self.publisher.when_ready().addCallback(go_on)

        go_on(None)
        self.clock.advance(0)
        self.assertEqual((left, len(self.sent)), ([], 5000))


class DeadlineTests(PublisherTestCase):
    """One deadline covers everything from the call to the verdict."""

    def test_without_connection(self) -> None:
        """Without a connection the error says so, and the message is never sent."""
        publishing = self.publish(timeout=5)
        self.clock.advance(4.9)
        self.assertNoResult(publishing)
        self.clock.advance(0.1)
        self.assertPhase(publishing, "waiting for the connection", "was not sent")
        self.up()
        self.assertEqual(self.sent, [])

    def test_error(self) -> None:
        """The error names the operation and its timeout."""
        publishing = self.publish(timeout=5)
        self.clock.advance(5)
        error = self.failureResultOf(publishing, OperationTimeout, TimeoutError).value
        assert isinstance(error, OperationTimeout)
        self.assertEqual((error.operation, error.timeout), ("publish", 5))

    def test_in_the_queue(self) -> None:
        """The error says what a waiting message waited for; those behind it go on."""
        self.up()
        self.fill()
        self.phase = "waiting for room"
        late = self.publish(b"late", timeout=5)
        self.publish(b"behind")
        self.clock.advance(5)
        self.assertPhase(late, "waiting for room", "was not sent")
        self.verdicts[0].succeed()
        self.assertEqual(self.sent[-1], b"behind")
        self.assertNotIn(b"late", self.sent)

    def test_blocked(self) -> None:
        """If the broker is blocked the error says so."""
        self.up()
        self.publisher.flow(False)
        self.phase = "the broker is blocked: low on memory"
        publishing = self.publish(timeout=5)
        self.clock.advance(5)
        self.assertPhase(publishing, "low on memory", "was not sent")
        self.publisher.flow(True)
        self.assertEqual(self.sent, [])

    def test_held(self) -> None:
        """
        If the message waited for a declaration the error says so; those behind it are
        sent.
        """
        self.up()
        self.phase = "waiting for room"
        message = self.message(b"held", timeout=5, held=True)
        publishing = self.publisher.publish(message)
        behind = self.publish(b"behind")
        self.assertEqual(self.sent, [])
        self.clock.advance(5)
        self.assertPhase(publishing, "declared", "was not sent")
        self.assertEqual(self.sent, [b"behind"])
        self.assertNoResult(behind)
        self.publisher.release(message)
        self.assertEqual(self.sent, [b"behind"])

    def test_held_without_connection(self) -> None:
        """
        If a held message had no connection, the error says that it waited for one.
        """
        publishing = self.publish(held=True, timeout=5)
        self.clock.advance(5)
        self.assertPhase(publishing, "waiting for the connection")

    def test_sent(self) -> None:
        """
        If the message was sent and not confirmed, the error says that its outcome is
        unknown.
        """
        self.up()
        publishing = self.publish(timeout=5)
        self.clock.advance(5)
        self.assertPhase(publishing, "the broker's word", "outcome is unknown")
        self.assertTrue(self.verdicts[0].cancelled)

    def test_sent_later(self) -> None:
        """If a message waited and was then sent, the same deadline applies."""
        publishing = self.publish(timeout=5)
        self.clock.advance(3)
        self.up()
        self.clock.advance(1.9)
        self.assertNoResult(publishing)
        self.clock.advance(0.1)
        self.assertPhase(publishing, "outcome is unknown")

    def test_makes_room(self) -> None:
        """A message that got no verdict in time no longer counts in the window."""
        self.up()
        stuck = [self.publish(timeout=5) for _ in range(WINDOW)]
        self.publish(b"next")
        self.clock.advance(5)
        self.quietly(*stuck)
        self.assertEqual(self.sent[-1], b"next")

    def test_verdict_at_the_last_moment(self) -> None:
        """A verdict in time leaves no deadline behind."""
        self.up()
        publishing = self.publish(timeout=5)
        self.clock.advance(4.9)
        self.verdicts[0].succeed()
        self.clock.advance(100)
        self.assertIsNone(self.successResultOf(publishing))
        self.assertFalse(self.verdicts[0].cancelled)

    def test_without_confirm(self) -> None:
        """Without confirm the deadline ends when the message is written."""
        publishing = self.publish(confirm=False, timeout=5)
        self.up()
        self.clock.advance(10)
        self.assertIsNone(self.successResultOf(publishing))

    def test_no_time(self) -> None:
        """With a timeout of 0 a message is sent only if it can be sent at once."""
        waiting = self.publish(b"1", timeout=0)
        self.clock.advance(0)
        self.assertPhase(waiting, "was not sent")
        self.up()
        going = self.publish(b"2", timeout=0)
        self.clock.advance(0)
        self.assertPhase(going, "outcome is unknown")
        self.assertEqual(self.sent, [b"2"])

    def test_each_its_own(self) -> None:
        """Deadlines of different lengths expire independently."""
        waiting = {seconds: self.publish(timeout=seconds) for seconds in (9, 3, 6)}
        for seconds in (3, 6, 9):
            self.clock.advance(3)
            self.failureResultOf(waiting.pop(seconds), OperationTimeout)
            for each in waiting.values():
                self.assertNoResult(each)

    def test_late_reactor(self) -> None:
        """If the reactor was blocked, no message is sent after its deadline."""
        self.up()
        for _ in range(TURN):
            self.publish(confirm=False)
        late = self.publish(b"late", confirm=False, timeout=1)
        fresh = self.publish(b"fresh", confirm=False, timeout=60)
        self.clock.advance(5)
        self.assertPhase(late, "was not sent")
        self.successResultOf(fresh)
        self.assertNotIn(b"late", self.sent)

    def test_late_channel(self) -> None:
        """
        If the channel opens when the deadline's timer is overdue, the message is not
        sent.
        """
        late = self.publish(b"late", timeout=1)
        self.clock.rightNow = 2.0
        self.up()
        self.assertPhase(late, "was not sent")
        self.assertEqual(self.sent, [])

    def test_behind_the_window(self) -> None:
        """
        Those that wait for the window, and are due with what fills it, are not sent in
        the room that this leaves: they were not sent, and never will be.
        """
        self.up()
        self.quietly(*self.fill())
        waiting = [self.publish(b"late") for _ in range(10)]
        self.clock.advance(30)
        self.clock.advance(0)
        self.assertNotIn(b"late", self.sent)
        for each in waiting:
            self.failureResultOf(each, NotSentInTime)

    def test_behind_a_held_one(self) -> None:
        """The same goes for those behind a message that has to be declared for."""
        self.up()
        waiting = [self.publish(b"held", held=True), self.publish(b"late")]
        other = self.publish(b"later", timeout=60)
        self.clock.advance(30)
        for each in waiting:
            self.failureResultOf(each, NotSentInTime)
        self.clock.advance(0)
        self.assertEqual(self.sent, [b"later"])
        self.assertNoResult(other)

    def test_all_expire(self) -> None:
        """Ten thousand messages can expire at once."""
        waiting = [self.publish(timeout=5) for _ in range(MAX_PENDING)]
        self.clock.advance(5)
        for each in waiting:
            self.failureResultOf(each, OperationTimeout)
        self.assertFalse(self.publisher.is_waiting)


class HoldingChannel(FakeChannel):
    """A channel that writes no message before a declaration is over."""

    def basic_publish(self, body: bytes, *arguments: Any) -> Deferred[None]:
        def cancelled(_: Deferred[None]) -> None:
            publish.cancelled = True
            publish.fail(NotWritten())

        if self.dead:
            return fail(NotSent("this channel is dead"))
        publish = Call("basic_publish", body, *arguments)
        publish.reply = Deferred(cancelled)
        self.calls.append(publish)
        return publish.reply


class UnwrittenTests(PublisherTestCase):
    """Messages that a channel holds back, with confirm or without."""

    def setUp(self) -> None:
        super().setUp()
        self.channel = HoldingChannel()
        self.up()

    def release(self) -> None:
        """Have the channel write what it holds."""
        for call in list(self.verdicts):
            if not call.reply.called:
                call.succeed()

    def test_loop_that_awaits(self) -> None:
        """A message without confirm fires when it is written."""

        async def publish_all() -> None:
            for number in range(300):
                await self.publish(b"%d" % number, confirm=False)

        loop = Deferred.fromCoroutine(publish_all())
        for _ in range(5):
            self.clock.advance(0)
        self.assertEqual(self.sent, [b"0"])
        while not loop.called:
            self.release()
            self.clock.advance(0)
        self.successResultOf(loop)
        self.assertEqual(self.sent, [b"%d" % number for number in range(300)])

    def test_window(self) -> None:
        """So many are held as may be unconfirmed; others wait, in their order."""
        sent = []
        for number in range(WINDOW + 50):
            sent.append(self.publish(b"%d" % number, confirm=False))
            self.clock.advance(0)
        self.assertEqual(len(self.sent), WINDOW)
        self.assertEqual(self.publisher.waiting, 50)
        self.assertFalse(self.publisher.is_ready)
        last = self.publish(b"last")
        self.release()
        self.assertEqual(self.sent[-1], b"last")
        self.assertEqual(len(self.sent), WINDOW + 51)
        self.release()
        for each in (*sent, last):
            self.successResultOf(each)
        self.assertEqual(self.publisher.outstanding, 0)
        self.successResultOf(self.publisher.when_idle())

    def test_window_by_bytes(self) -> None:
        """So it is with their bytes."""
        sent = []
        for _ in range(20):
            sent.append(self.publish(b"x" * MIB, confirm=False))
            self.clock.advance(0)
        self.assertEqual(len(self.sent), WINDOW_BYTES // MIB)
        while not all(each.called for each in sent):
            self.release()
            self.clock.advance(0)

    def test_too_many(self) -> None:
        """Beyond what may wait they fail at once."""
        sent = []
        for _ in range(WINDOW):
            sent.append(self.publish(confirm=False))
            self.clock.advance(0)
        sent += [self.publish(confirm=False) for _ in range(MAX_PENDING)]
        self.failureResultOf(self.publish(confirm=False), BackpressureError)
        self.quietly(*sent)

    def test_written_ones(self) -> None:
        """Those that are written at once wait for no confirm of others."""
        self.channel = FakeChannel()
        self.up()
        self.fill()
        self.successResultOf(self.publish(confirm=False))

    def test_deadline(self) -> None:
        """At the deadline one that is held was not sent, and never is."""
        for confirm in (True, False):
            publishing = self.publish(timeout=5, confirm=confirm)
            self.clock.advance(5)
            error = self.failureResultOf(publishing, NotSentInTime).value
            assert isinstance(error, NotSentInTime)
            self.assertEqual((error.outcome, error.is_safe_to_repeat), (NOT_SENT, True))
            self.assertIn("it was not sent", error.phase)
            self.assertTrue(self.verdicts[-1].cancelled)

    def test_deadline_after_waiting(self) -> None:
        """So it is with one that had waited here before."""
        for confirm in (True, False):
            self.publisher.flow(False)
            publishing = self.publish(timeout=5, confirm=confirm)
            self.clock.advance(3)
            self.publisher.flow(True)
            self.clock.advance(1.9)
            self.assertNoResult(publishing)
            self.clock.advance(0.1)
            self.failureResultOf(publishing, NotSentInTime)

    def test_deadline_of_a_second_copy(self) -> None:
        """The outcome of one that was sent before, and is held now, is unknown."""
        message = self.message(timeout=5)
        message.retries = 1
        publishing = self.publisher.publish(message)
        self.publisher.channel_down()
        self.channel.die(SessionLost("cut"))
        self.channel = HoldingChannel()
        self.up()
        self.clock.advance(5)
        self.failureResultOf(publishing, OutcomeUnknownInTime)

    def test_cancelled(self) -> None:
        """Whoever cancels one gets a CancelledError."""
        for confirm in (True, False):
            publishing = self.publish(confirm=confirm)
            publishing.cancel()
            self.failureResultOf(publishing, CancelledError)
        self.assertEqual(self.publisher.outstanding, 0)

    def test_lost(self) -> None:
        """After a loss they are sent on the next channel, in their order."""
        sent = [self.publish(b"%d" % each, confirm=each % 2 == 0) for each in range(4)]
        self.publisher.channel_down()
        for call in self.verdicts:
            call.fail(NotSent("cut"))
        self.channel = HoldingChannel()
        self.up()
        self.assertEqual(self.sent, [b"0", b"1", b"2", b"3"])
        self.release()
        for each in sent:
            self.successResultOf(each)
        self.clock.advance(100)


class CancelTests(PublisherTestCase):
    """Cancelling a publish."""

    def test_waiting(self) -> None:
        """A waiting message is removed and never sent."""
        gone, stays = self.publish(b"gone"), self.publish(b"stays")
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.up()
        self.assertEqual(self.sent, [b"stays"])
        self.assertNoResult(stays)

    def test_head(self) -> None:
        """Cancelling the message that held up others lets them go."""
        self.up()
        held = self.publish(held=True)
        self.publish(b"behind")
        held.cancel()
        self.failureResultOf(held, CancelledError)
        self.assertEqual(self.sent, [b"behind"])

    def test_no_deadline_left(self) -> None:
        """A cancelled message does not time out later."""
        gone = self.publish(timeout=5)
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.clock.advance(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_sent(self) -> None:
        """
        A message that was sent at once is cancelled at the transport, and makes room.
        """
        self.up()
        publishing = self.publish()
        publishing.cancel()
        self.failureResultOf(publishing, CancelledError)
        self.assertTrue(self.verdicts[0].cancelled)
        self.successResultOf(self.publisher.when_idle())

    def test_sent_later(self) -> None:
        """
        A message that waited and was then sent is cancelled at the transport, too.
        """
        publishing = self.publish(timeout=5)
        self.up()
        publishing.cancel()
        self.failureResultOf(publishing, CancelledError)
        self.assertTrue(self.verdicts[0].cancelled)
        self.successResultOf(self.publisher.when_idle())
        self.clock.advance(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle(self) -> None:
        """Cancelling the last waiting message fires when_idle."""
        publishing = self.publish()
        idle = self.publisher.when_idle()
        publishing.cancel()
        self.failureResultOf(publishing, CancelledError)
        self.successResultOf(idle)

    def test_by_another_that_failed(self) -> None:
        """
        A callback of one message that a close failed may cancel others that are about
        to fail.
        """
        first, second = self.publish(b"1"), self.publish(b"2")
        first.addErrback(lambda _: second.cancel())
        self.publisher.give_up(ChannelClosed("closed"))
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.assertNoResult(self.publish(b"x" * MAX_PENDING_BYTES))


class FlowTests(PublisherTestCase):
    """Broker and socket accept nothing for a while."""

    def test_paused(self) -> None:
        """Meanwhile messages wait, with and without confirm."""
        self.up()
        self.publisher.flow(False)
        waiting = [self.publish(b"1"), self.publish(b"2", confirm=False)]
        self.assertEqual(self.sent, [])
        self.assertFalse(self.publisher.is_ready)
        self.publisher.flow(True)
        self.assertEqual(self.sent, [b"1", b"2"])
        self.assertNoResult(waiting[0])
        self.successResultOf(waiting[1])

    def test_verdicts_still_come(self) -> None:
        """Verdicts that arrive meanwhile send nothing."""
        self.up()
        [first] = self.fill(1)
        self.publisher.flow(False)
        self.publish(b"later")
        self.verdicts[0].succeed()
        self.successResultOf(first)
        self.assertEqual(len(self.sent), 1)

    def test_paused_while_sending(self) -> None:
        """
        If the socket becomes full while many messages are sent, sending stops there.
        """
        for number in range(10):
            self.publish(b"%d" % number)

        def answer(body: bytes, *arguments: object) -> None:
            if body == b"3":
                self.publisher.flow(False)

        self.channel.answers["basic_publish"] = answer
        self.up()
        self.assertEqual(len(self.sent), 4)
        del self.channel.answers["basic_publish"]
        self.publisher.flow(True)
        self.assertEqual(self.sent, [b"%d" % number for number in range(10)])

    def test_paused_and_resumed_while_sending(self) -> None:
        """
        If the socket becomes full and free at once, the order is kept and each message
        is sent once.
        """
        for number in range(10):
            self.publish(b"%d" % number)

        def answer(*arguments: object) -> None:
            self.publisher.flow(False)
            self.publisher.flow(True)

        self.channel.answers["basic_publish"] = answer
        self.up()
        self.assertEqual(self.sent, [b"%d" % number for number in range(10)])

    def test_across_channels(self) -> None:
        """A paused queue stays paused with the next channel."""
        self.publisher.flow(False)
        self.publish()
        self.up()
        self.assertEqual(self.sent, [])
        self.publisher.flow(True)
        self.assertEqual(self.sent, [b"hello"])


class TurnTests(PublisherTestCase):
    """Messages without confirm: a limited number in a turn of the reactor."""

    def setUp(self) -> None:
        super().setUp()
        self.up()

    def test_by_count(self) -> None:
        """
        Two hundred are sent; the first fifty fire at once, the others in the next turn.
        """
        sent = [self.publish(confirm=False) for _ in range(TURN)]
        self.assertEqual([each.called for each in sent].count(True), AT_ONCE)
        self.assertEqual(len(self.sent), TURN)
        self.assertFalse(self.publisher.is_ready)
        over = self.publish(b"over", confirm=False)
        self.assertNoResult(over)
        self.assertEqual(len(self.sent), TURN)
        self.clock.advance(0)
        self.successResultOf(over)
        self.assertTrue(all(each.called for each in sent))

    def test_cancelled_when_sent(self) -> None:
        """Cancelling a message that was sent stops only the waiting."""
        sent = [self.publish(confirm=False) for _ in range(AT_ONCE + 2)]
        sent[-1].cancel()
        self.failureResultOf(sent[-1], CancelledError)
        self.clock.advance(0)
        self.successResultOf(sent[-2])

    def test_closed_when_sent(self) -> None:
        """A message that was sent fires when the queue is closed, too."""
        sent = [self.publish(confirm=False) for _ in range(AT_ONCE + 1)]
        self.publisher.close(ChannelClosed("closed"))
        self.successResultOf(sent[-1])

    def test_by_bytes(self) -> None:
        """After 64 KiB the next message waits for the next turn."""
        self.successResultOf(self.publish(b"x" * (TURN_BYTES - 1), confirm=False))
        self.successResultOf(self.publish(b"xx", confirm=False))
        over = self.publish(b"", confirm=False)
        self.assertNoResult(over)
        self.clock.advance(0)
        self.successResultOf(over)

    def test_turns(self) -> None:
        """Waiting messages are sent in as many turns as needed."""
        for _ in range(TURN * 3):
            self.publish(confirm=False)
        turns = [len(self.sent)]

        def note() -> None:
            turns.append(len(self.sent))
            if self.publisher.is_waiting:
                self.clock.callLater(0, note)

        self.clock.callLater(0, note)
        self.clock.advance(0)
        self.assertEqual(turns, [TURN, 2 * TURN, 3 * TURN])

    def test_confirmed_ones_do_not_count(self) -> None:
        """Confirmed messages do not count: they have their window."""
        self.fill(TURN + 1)
        self.assertEqual(len(self.sent), TURN + 1)
        self.successResultOf(self.publish(confirm=False))

    def test_no_timer_left(self) -> None:
        """
        A turn that has ended leaves no timer, and the next one has its whole limit.
        """
        self.publish(confirm=False)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for _ in range(AT_ONCE):
            self.successResultOf(self.publish(confirm=False))

    def test_loop_of_callbacks(self) -> None:
        """A program that publishes from each callback does not exhaust the stack."""
        count = 0

        def again(_: object) -> None:
            nonlocal count
            count += 1
            if count < 2000:
                through(8)

        def through(helpers: int) -> None:
            if helpers:
                through(helpers - 1)
            else:
                self.publish(confirm=False).addCallback(again)

        again(None)
        self.assertLessEqual(count, AT_ONCE + 1)
        while self.clock.getDelayedCalls():
            self.clock.advance(0)
        self.assertEqual(count, 2000)

    def test_loop_that_awaits(self) -> None:
        """A program that awaits each publish lets the reactor run in between."""
        turns: list[int] = []

        async def loop() -> None:
            for number in range(1000):
                await self.publish(b"%d" % number, confirm=False)

        looping = Deferred.fromCoroutine(loop())
        self.clock.callLater(0, lambda: turns.append(len(self.sent)))
        self.assertNoResult(looping)
        self.clock.advance(0)
        self.successResultOf(looping)
        self.assertEqual(len(self.sent), 1000)
        self.assertLess(turns[0], 1000)


class ChannelTests(PublisherTestCase):
    """Channels that open and end."""

    def reopen(self) -> None:
        """Give the queue another channel."""
        self.channel = FakeChannel()
        self.up()

    def test_lost(self) -> None:
        """
        Written messages have an unknown outcome; those that wait are sent on the next
        channel, in order.
        """
        self.up()
        written = self.publish(b"written")
        self.publisher.flow(False)
        waiting = [self.publish(b"1"), self.publish(b"2", confirm=False)]
        self.lose()
        self.failureResultOf(written, OutcomeUnknown)
        self.publisher.flow(True)
        self.assertEqual(self.sent, [b"written"])
        self.reopen()
        self.assertEqual(self.sent, [b"1", b"2"])
        self.verdicts[0].succeed()
        for each in waiting:
            self.successResultOf(each)

    def test_not_written(self) -> None:
        """A message that the transport did not write takes its old place."""
        self.up()
        publishing = [self.publish(b"%d" % number) for number in range(3)]
        calls = self.verdicts
        self.publisher.channel_down()
        publishing += [self.publish(b"3")]
        for call in (calls[1], calls[0], calls[2]):
            call.fail(NotSent("cut"))
        self.assertEqual(self.publisher.waiting, 4)
        self.reopen()
        self.assertEqual(self.sent, [b"0", b"1", b"2", b"3"])
        for call in self.verdicts:
            call.succeed()
        for each in publishing:
            self.successResultOf(each)

    def test_refused_without_a_loss(self) -> None:
        """NotSent from a channel that is up is no reason to send it there again."""
        self.up()
        publishing = self.publish()
        self.verdicts[0].fail(NotSent("for a reason of its own"))
        self.failureResultOf(publishing, NotSent)
        self.assertEqual(len(self.sent), 1)

    def test_deadline_while_lost(self) -> None:
        """A message that waits for the next channel fails as not sent in time."""
        self.up()
        self.publisher.flow(False)
        publishing = self.publish(timeout=5)
        self.lose()
        self.clock.advance(5)
        error = self.failureResultOf(publishing, NotSentInTime).value
        assert isinstance(error, NotSent)
        self.assertEqual((error.outcome, error.is_safe_to_repeat), (NOT_SENT, True))
        self.reopen()
        self.assertEqual(self.sent, [])

    def test_next_channel(self) -> None:
        """Messages published after a loss are sent on the next channel, in order."""
        self.up()
        self.lose()
        for number in range(3):
            self.publish(b"%d" % number)
        self.assertEqual(self.sent, [])
        self.channel = FakeChannel()
        self.up()
        self.assertEqual(self.sent, [b"0", b"1", b"2"])

    def test_told_twice(self) -> None:
        """A second report of the loss changes nothing."""
        self.up()
        self.publisher.channel_down()
        publishing = self.publish()
        self.publisher.channel_down()
        self.assertNoResult(publishing)

    def test_endless_tries(self) -> None:
        """A program that publishes again after each failure does so once a loss."""
        for waiting in (0, 1, 5):
            self.setUp()
            self.up()
            self.fill_and_retry(waiting)
            self.lose()
            self.assertEqual(self.tries, WINDOW)
            self.channel = FakeChannel()
            self.channel.answers["basic_publish"] = None
            self.up()
            self.assertEqual(len(self.sent), WINDOW + waiting)

    def fill_and_retry(self, waiting: int) -> None:
        """Fill the window and more; publish again what fails."""
        self.tries = 0

        def again(failure: Failure) -> None:
            failure.trap(OutcomeUnknown)
            self.tries += 1
            self.publish(b"again").addErrback(again)

        for publishing in self.fill(WINDOW + waiting):
            publishing.addErrback(again)

    def test_not_connected(self) -> None:
        """If no connection can be made, waiting messages fail with the reason."""
        publishing = self.publish()
        error = SessionLost("no such host")
        self.publisher.fail_pending(error)
        self.assertIs(self.failureResultOf(publishing, NotSent).value.__cause__, error)

    def test_permanent(self) -> None:
        """A reason that does not pass with time is what the publish fails with."""
        for error in (AuthenticationFailed("no"), NotFound("no such vhost")):
            publishing = self.publish()
            self.publisher.give_up(error)
            self.assertIs(self.failureResultOf(publishing).value, error)


class RetryTests(PublisherTestCase):
    """Messages that are sent again after a loss."""

    def retried(
        self, body: bytes, retries: float = 10, **options: Any
    ) -> Deferred[None]:
        """Publish a message that may be sent again."""
        message = self.message(body, **options)
        message.retries = retries
        return self.publisher.publish(message)

    def reopen(self) -> None:
        """Give the queue another channel."""
        self.channel = FakeChannel()
        self.up()

    def test_in_order(self) -> None:
        """They are sent again in their order, before newer messages."""
        self.up()
        old = [self.retried(b"%d" % number) for number in range(3)]
        self.verdicts[1].succeed()
        self.successResultOf(old[1])
        self.lose()
        newer = self.publish(b"newer")
        self.reopen()
        self.assertEqual(self.sent, [b"0", b"2", b"newer"])
        self.lose()
        self.failureResultOf(newer, OutcomeUnknown)
        self.reopen()
        self.assertEqual(self.sent, [b"0", b"2"])
        for call in self.verdicts:
            call.succeed()
        self.successResultOf(old[0])
        self.successResultOf(old[2])

    def test_lost_while_sent_again(self) -> None:
        """Those sent again keep their places before those not yet sent again."""
        self.up()
        old = [self.retried(b"%d" % number) for number in range(WINDOW)]
        self.lose()
        self.publisher.flow(False)
        self.reopen()
        self.assertEqual(self.sent, [])
        self.lose()
        self.publisher.flow(True)
        self.reopen()
        self.assertEqual(self.sent, [b"%d" % number for number in range(WINDOW)])
        self.quietly(*old)

    def test_not_sent_again(self) -> None:
        """If it cannot be sent again, its outcome is as unknown as before."""
        self.up()
        publishing = self.retried(b"a")
        self.lose()
        self.reopen()
        self.verdicts[0].fail(NotSent("for a reason of its own"))
        self.failureResultOf(publishing, OutcomeUnknown)

    def test_same_message(self) -> None:
        """It is sent again with the properties of the first time."""
        self.up()
        self.quietly(self.retried(b"a"))
        first = self.verdicts[0].arguments
        self.lose()
        self.assertEqual(self.needed, 1)
        self.reopen()
        self.assertEqual(self.verdicts[0].arguments, first)

    def test_limit(self) -> None:
        """It is sent again so often, and no more."""
        self.up()
        publishing = self.retried(b"a", retries=2)
        for _ in range(2):
            self.lose()
            self.assertNoResult(publishing)
            self.reopen()
        self.lose()
        self.failureResultOf(publishing, OutcomeUnknown)

    def test_one_deadline(self) -> None:
        """The deadline counts from the publish, and its outcome is then unknown."""
        self.up()
        publishing = self.retried(b"a", timeout=5)
        self.clock.advance(3)
        self.lose()
        self.reopen()
        self.clock.advance(2)
        error = self.failureResultOf(publishing, OutcomeUnknownInTime).value
        assert isinstance(error, OutcomeUnknown)
        self.assertEqual((error.outcome, error.is_safe_to_repeat), (UNKNOWN, False))
        self.lose()
        self.reopen()
        self.assertEqual(self.sent, [])

    def test_deadline_while_lost(self) -> None:
        """So it is while it waits to be sent again."""
        self.up()
        publishing = self.retried(b"a", timeout=5)
        self.lose()
        self.clock.advance(5)
        self.failureResultOf(publishing, OutcomeUnknownInTime)

    def test_closed_while_lost(self) -> None:
        """After a close its outcome stays unknown."""
        self.up()
        publishing = self.retried(b"a")
        self.lose()
        idle = self.publisher.when_idle()
        self.assertNoResult(idle)
        self.publisher.close(ChannelClosed("closed"))
        self.failureResultOf(publishing, OutcomeUnknown)
        self.successResultOf(idle)

    def test_cancelled(self) -> None:
        """One that is cancelled while it waits is not sent again."""
        self.up()
        publishing = [self.retried(b"a"), self.retried(b"b")]
        self.lose()
        publishing[0].cancel()
        self.failureResultOf(publishing[0], CancelledError)
        self.reopen()
        self.assertEqual(self.sent, [b"b"])
        self.quietly(publishing[1])

    def test_refused(self) -> None:
        """A refusal is a verdict, after which it is not sent again."""
        self.up()
        publishing = self.retried(b"a")
        self.verdicts[0].fail(Nacked("full"))
        error = self.failureResultOf(publishing, Nacked).value
        assert isinstance(error, Nacked)
        self.assertEqual((error.outcome, error.is_safe_to_repeat), (REFUSED, True))

    def second_copy_fails(self, error: Exception) -> KombuError:
        """Send a message twice, fail it the second time; return its error."""
        self.up()
        publishing = self.retried(b"a")
        self.lose()
        self.reopen()
        self.verdicts[0].fail(error)
        told = self.failureResultOf(publishing).value
        assert isinstance(told, KombuError)
        return told

    def test_second_copy_refused(self) -> None:
        """
        A refusal of the second copy keeps its type and text, and says that the outcome
        is unknown: the first may have arrived.
        """
        returned = Returned(312, "NO_ROUTE", "media", "key", b"a", {})
        for error in (
            Nacked("full"),
            Unroutable(returned),
            NotFound("no exchange 'media'", about="media"),
            AccessRefused("access refused"),
            PreconditionFailed("too large"),
            NotAllowed("not here"),
            InternalError("failed"),
        ):
            error.__cause__ = OSError("why")
            told = self.second_copy_fails(error)
            self.assertIs(type(told), type(error))
            self.assertEqual(str(told), str(error))
            self.assertIs(told.__cause__, error.__cause__)
            self.assertEqual((told.outcome, told.is_safe_to_repeat), (UNKNOWN, False))
            self.assertEqual(error.outcome, REFUSED)

    def test_second_copy_not_judged(self) -> None:
        """If the broker said nothing about the second copy, neither does the error."""
        for error in (ChannelClosed("closed"), ConnectionForced("maintenance")):
            told = self.second_copy_fails(error)
            self.assertIs(type(told), OutcomeUnknown)
            self.assertIs(told.__cause__, error)
            self.assertFalse(told.is_safe_to_repeat)

    def test_second_copy_cannot_be_expressed(self) -> None:
        """So it is if the transport of the next session cannot express it."""
        for error in (NotSupported("priorities", "stomp"), ValueError("too long")):
            self.reopen()
            publishing = self.retried(b"a")
            self.lose()
            self.channel = FakeChannel()
            self.channel.answers["basic_publish"] = self.raises(error)
            self.up()
            told = self.failureResultOf(publishing, OutcomeUnknown).value
            self.assertIs(told.__cause__, error)

    def test_second_copy_cancelled(self) -> None:
        """A second copy that its caller cancels fails with that."""
        self.up()
        publishing = self.retried(b"a")
        self.lose()
        self.reopen()
        publishing.cancel()
        self.failureResultOf(publishing, CancelledError)


class HeldTests(PublisherTestCase):
    """Messages that need a declaration first."""

    def setUp(self) -> None:
        super().setUp()
        self.up()

    def test_released(self) -> None:
        """A held message keeps its place, and is sent before those behind it."""
        message = self.message(b"held", held=True)
        self.publisher.publish(message)
        self.publish(b"behind")
        self.publish(b"last", confirm=False)
        self.assertEqual(self.sent, [])
        self.publisher.release(message)
        self.assertEqual(self.sent, [b"held", b"behind", b"last"])

    def test_released_out_of_order(self) -> None:
        """
        A message that is released before the one in front of it waits for that one.
        """
        first, second = self.message(b"1", held=True), self.message(b"2", held=True)
        self.publisher.publish(first)
        self.publisher.publish(second)
        self.publisher.release(second)
        self.assertEqual(self.sent, [])
        self.publisher.release(first)
        self.assertEqual(self.sent, [b"1", b"2"])

    def test_refused(self) -> None:
        """A refused declaration fails its message; those behind it are sent."""
        message = self.message(b"held", held=True, timeout=5)
        publishing = self.publisher.publish(message)
        self.publish(b"behind")
        self.publisher.refuse(message, Failure(ValueError("406")))
        self.failureResultOf(publishing, ValueError)
        self.assertEqual(self.sent, [b"behind"])
        self.verdicts[0].succeed()
        self.clock.advance(30)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lost_meanwhile(self) -> None:
        """After a loss the declaration on the next channel decides."""
        good, bad = self.message(b"good", held=True), self.message(b"bad", held=True)
        publishing = [self.publisher.publish(each) for each in (bad, good)]
        behind = self.publish(b"behind")
        self.lose()
        self.assertTrue(self.publisher.is_held(bad))
        self.publisher.refuse(bad, Failure(SessionLost("cut")))
        self.failureResultOf(publishing[0], NotSent)
        self.assertFalse(self.publisher.is_held(bad))
        self.channel = FakeChannel()
        self.up()
        self.assertEqual(self.sent, [])
        self.publisher.release(good)
        self.assertEqual(self.sent, [b"good", b"behind"])
        self.quietly(behind)
        self.publisher.flow(False)
        self.assertNoResult(self.publish(b"x" * MAX_PENDING_BYTES))

    def test_refused_too_late(self) -> None:
        """A refusal for a message that has already failed does nothing."""
        message = self.message(held=True, timeout=5)
        publishing = self.publisher.publish(message)
        self.clock.advance(5)
        self.failureResultOf(publishing, OperationTimeout)
        self.publisher.refuse(message, Failure(ValueError()))
        self.publisher.release(message)
        self.assertEqual(self.sent, [])


class IdleTests(PublisherTestCase):
    """Waiting until nothing is in flight or waiting."""

    def test_idle(self) -> None:
        """If nothing is in flight when_idle fires at once."""
        self.successResultOf(self.publisher.when_idle())

    def test_verdicts(self) -> None:
        """when_idle fires when the last verdict has arrived."""
        self.up()
        publishing = self.fill(2)
        idle = self.publisher.when_idle()
        self.verdicts[1].fail(Nacked("full"))
        self.assertNoResult(idle)
        self.verdicts[0].succeed()
        self.successResultOf(idle)
        self.quietly(*publishing)

    def test_waiting(self) -> None:
        """when_idle also waits for waiting messages, until they are confirmed."""
        self.publish()
        idle = self.publisher.when_idle()
        self.up()
        self.assertNoResult(idle)
        self.verdicts[0].succeed()
        self.successResultOf(idle)

    def test_without_confirm(self) -> None:
        """A message without confirm counts only until it is written."""
        self.publish(confirm=False)
        idle = self.publisher.when_idle()
        self.up()
        self.successResultOf(idle)

    def test_deadline(self) -> None:
        """A message that timed out no longer counts."""
        self.up()
        self.publisher.flow(False)
        publishing = self.publish(timeout=5)
        idle = self.publisher.when_idle()
        self.clock.advance(5)
        self.failureResultOf(publishing, OperationTimeout)
        self.successResultOf(idle)

    def test_loss(self) -> None:
        """After a loss only what waits is still to be sent."""
        self.up()
        publishing = self.fill(WINDOW + 1)
        idle = self.publisher.when_idle()
        self.lose()
        self.quietly(*publishing[:-1])
        self.assertNoResult(idle)
        self.channel = FakeChannel()
        self.channel.answers["basic_publish"] = None
        self.up()
        self.successResultOf(publishing[-1])
        self.successResultOf(idle)


class CloseTests(PublisherTestCase):
    """Closing the queue."""

    def close(self) -> None:
        """Close the queue."""
        self.publisher.close(ChannelClosed("closed by this program"))

    def test_waiting(self) -> None:
        """Waiting messages fail with NotSent."""
        publishing = [self.publish(), self.publish(confirm=False)]
        self.close()
        for each in publishing:
            text = str(self.failureResultOf(each, NotSent).value)
            self.assertIn("closed by this program", text)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_afterwards(self) -> None:
        """A publish or when_ready after the close fails at once."""
        self.up()
        self.close()
        self.failureResultOf(self.publish(), ChannelClosed)
        self.failureResultOf(self.publisher.when_ready(), ChannelClosed)
        self.successResultOf(self.publisher.when_idle())
        self.assertEqual(self.sent, [])

    def test_who_waits_for_room(self) -> None:
        """A waiting when_ready fails."""
        ready = self.publisher.when_ready()
        self.close()
        self.failureResultOf(ready, ChannelClosed)

    def test_no_timer_left(self) -> None:
        """
        No timer is left when all have their verdicts, neither of deadlines nor of the
        turn.
        """
        self.up()
        self.publish()
        for _ in range(TURN + 1):
            self.quietly(self.publish(confirm=False))
        self.close()
        self.verdicts[0].succeed()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_verdict(self) -> None:
        """What was sent ends at its deadline if no verdict comes."""
        self.up()
        publishes = [self.publish(timeout=timeout) for timeout in (30, 20, 30, 40)]
        self.publisher.channel_down(is_last=True)
        self.close()
        self.verdicts[0].succeed()
        self.successResultOf(publishes[0])
        for seconds, publish in ((20, publishes[1]), (30, publishes[2])):
            self.clock.advance(seconds - self.clock.seconds() - 0.1)
            self.assertNoResult(publish)
            self.clock.advance(0.1)
            self.failureResultOf(publish, OutcomeUnknownInTime)
        publishes[3].cancel()
        self.failureResultOf(publishes[3], CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_verdict_for_what_waited(self) -> None:
        """So does what had to wait before it was sent, counted from its publish."""
        publishing = self.publish()
        self.clock.advance(10)
        self.up()
        self.close()
        self.clock.advance(19.9)
        self.assertNoResult(publishing)
        self.clock.advance(0.1)
        self.failureResultOf(publishing, OutcomeUnknownInTime)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_twice(self) -> None:
        """A second close does nothing."""
        publishing = self.publish()
        self.close()
        self.failureResultOf(publishing, NotSent)
        self.close()

    def test_no_channel_any_more(self) -> None:
        """A channel that is lost afterwards does no harm."""
        self.up()
        self.close()
        self.publisher.channel_down()
        self.publisher.flow(False)
        self.publisher.flow(True)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late_verdict(self) -> None:
        """A verdict that arrives afterwards still counts."""
        self.up()
        publishing = self.publish()
        idle = self.publisher.when_idle()
        self.close()
        self.assertNoResult(idle)
        self.verdicts[0].succeed()
        self.successResultOf(publishing)
        self.successResultOf(idle)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ReentrancyTests(PublisherTestCase):
    """Callbacks that use the queue."""

    def test_publishes_again(self) -> None:
        """
        The callback of a verdict may publish; that message goes behind those that wait.
        """
        self.up()
        first, *_ = self.fill(WINDOW)
        self.publish(b"waiting")
        first.addCallback(lambda _: self.publish(b"again"))
        self.verdicts[0].succeed()
        self.verdicts[1].succeed()
        self.assertEqual(self.sent[-2:], [b"waiting", b"again"])

    def test_publishes_again_when_over_at_once(self) -> None:
        """
        The callback of a message whose verdict comes before its call returns may
        publish.
        """
        left = [b"2", b"1"]

        def again(_: object) -> None:
            if left:
                self.publish(left.pop()).addCallback(again)

        self.channel.answers["basic_publish"] = None
        self.publish(b"0").addCallback(again)
        self.publish(b"x")
        self.up()
        self.assertEqual(self.sent, [b"0", b"x", b"1", b"2"])

    def test_closes(self) -> None:
        """A callback may close the queue while others are about to be sent."""
        closed = ChannelClosed("over")
        self.channel.answers["basic_publish"] = None
        self.publish(b"0").addCallback(lambda _: self.publisher.close(closed))
        behind = [self.publish(b"1"), self.publish(b"2", confirm=False)]
        self.up()
        self.assertEqual(self.sent, [b"0"])
        for each in behind:
            self.failureResultOf(each, NotSent)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closes_when_it_expires(self) -> None:
        """A callback may close the queue while others are about to expire."""
        closed = ChannelClosed("over")
        first = self.publish(timeout=5)
        first.addErrback(lambda _: self.publisher.close(closed))
        second = self.publish(timeout=5)
        self.clock.advance(5)
        self.successResultOf(first)
        self.failureResultOf(second, NotSent)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closes_when_told_of_the_close(self) -> None:
        """A callback may close, and publish, while others are told of a close."""
        closed = ChannelClosed("over")
        again: list[Deferred[None]] = []

        def told(_: object) -> None:
            self.publisher.close(closed)
            again.append(self.publish())

        first = self.publish()
        first.addErrback(told)
        second = self.publish()
        self.publisher.close(closed)
        self.failureResultOf(second, NotSent)
        self.failureResultOf(again[0], ChannelClosed)

    def test_loses_the_channel(self) -> None:
        """A callback may lose the channel while others are about to be sent."""
        self.channel.answers["basic_publish"] = None

        def lose(_: object) -> None:
            self.lose()

        self.publish(b"0").addCallback(lose)
        behind = self.publish(b"1")
        self.up()
        self.assertNoResult(behind)
        self.assertEqual(self.sent, [b"0"])

    def test_cancels_the_next(self) -> None:
        """A callback may cancel a message that is about to be sent."""
        self.channel.answers["basic_publish"] = None
        first = self.publish(b"0")
        second = self.publish(b"1")
        self.publish(b"2")
        first.addCallback(lambda _: second.cancel())
        self.up()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.sent, [b"0", b"2"])

    def test_closes_when_there_is_room(self) -> None:
        """
        The callback of when_ready may close the queue: the verdict is still passed on.
        """
        self.up()
        publishing = self.publish(b"x" * WINDOW_BYTES)
        ready = self.publisher.when_ready()
        ready.addCallback(lambda _: self.publisher.close(ChannelClosed("over")))
        self.verdicts[0].succeed()
        self.successResultOf(ready)
        self.successResultOf(publishing)
        self.assertEqual(self.clock.getDelayedCalls(), [])
