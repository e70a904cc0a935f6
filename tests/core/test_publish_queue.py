"""One channel's outgoing messages."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
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
    BackpressureError,
    ChannelClosed,
    Nacked,
    NotSent,
    OperationTimeout,
    OutcomeUnknown,
    SessionLost,
)

EXCHANGE = Exchange("media")
MIB = 1024 * 1024


class PublisherTestCase(SynchronousTestCase):
    """A publisher, and a channel for it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.phase = "waiting for the connection"
        self.refused: list[tuple[PublishRequest, Exception]] = []
        self.publisher = PublishQueue(
            self.clock, lambda: self.phase, lambda *told: self.refused.append(told)
        )
        self.channel = FakeChannel()

    def up(self) -> None:
        """Give it the channel."""
        self.publisher.channel_up(self.channel)

    def lose(self, error: Exception | None = None) -> None:
        """Lose the channel: first it is told, then what was written hears."""
        lost = SessionLost("cut") if error is None else error
        self.publisher.channel_down(lost)
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
        """Publish a message; watch out for failures nobody looks at."""
        return self.publisher.publish(self.message(body, **options))

    def fill(self, count: int = WINDOW) -> list[Deferred[None]]:
        """Publish as many as fit into the window."""
        return [self.publish(b"%d" % number) for number in range(count)]

    def quietly(self, *publishes: Deferred[None]) -> None:
        """Expect that these fail, and do not care how."""
        for each in publishes:
            each.addErrback(lambda _: None)

    @property
    def sent(self) -> list[bytes]:
        """The bodies on their way, in order."""
        return self.channel.bodies

    @property
    def verdicts(self) -> list[Call]:
        """What awaits the broker's word, in order."""
        return self.channel.called("basic_publish")

    def assertPhase(self, publish: Deferred[None], *parts: str) -> None:
        """Assert that it timed out, and what it says about where."""
        error = self.failureResultOf(publish, OperationTimeout).value
        assert isinstance(error, OperationTimeout)
        for part in parts:
            self.assertIn(part, error.phase)
            self.assertIn(part, str(error))


class SendingTests(PublisherTestCase):
    """A message for which there is room."""

    def test_at_once(self) -> None:
        """It goes out within the call, with everything that belongs to it."""
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
        """The broker's refusal is what the Deferred fails with."""
        self.up()
        publishing = self.publish()
        error = Nacked("full")
        self.verdicts[0].fail(error)
        self.assertIs(self.failureResultOf(publishing).value, error)

    def test_verdicts_out_of_order(self) -> None:
        """Each message has its own verdict, in whatever order they come."""
        self.up()
        first, second, third = self.fill(3)
        self.verdicts[2].succeed()
        self.verdicts[0].fail(Nacked("full"))
        self.successResultOf(third)
        self.failureResultOf(first, Nacked)
        self.assertNoResult(second)

    def test_without_confirm(self) -> None:
        """Without confirm it is over when it was written."""
        self.up()
        self.successResultOf(self.publish(confirm=False))
        self.assertEqual(self.sent, [b"hello"])

    def test_waits_for_the_channel(self) -> None:
        """What comes before there is a channel goes out in order with it."""
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
        """What the transport cannot express fails, and takes no room."""
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

    def raises(self, error: Exception) -> Any:
        """Make an answer that raises."""

        def answer(*arguments: object) -> None:
            raise error

        return answer

    def test_cannot_be_expressed_later(self) -> None:
        """What had to wait fails with it, and those behind it are sent."""
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
    """How many messages may be on their way."""

    def test_by_count(self) -> None:
        """A thousand are on their way; a verdict lets the next one go."""
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
        """16 MiB are on their way; what does not fit waits."""
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
        """One that is larger than the window goes out alone."""
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
        """A refused message makes room as a confirmed one does."""
        self.up()
        self.quietly(*self.fill())
        self.publish(b"last")
        self.verdicts[0].fail(Nacked("full"))
        self.assertEqual(self.sent[-1], b"last")

    def test_order(self) -> None:
        """A small one does not overtake a large one that waits."""
        self.up()
        self.publish(b"x" * WINDOW_BYTES)
        self.publish(b"large" * 10)
        self.publish(b"")
        self.assertEqual(len(self.sent), 1)
        self.verdicts[0].succeed()
        self.assertEqual(self.sent[1:], [b"large" * 10, b""])

    def test_mixed_order(self) -> None:
        """One without confirm does not overtake one that waits for room."""
        self.up()
        self.fill()
        self.publish(b"a")
        quick = self.publish(b"b", confirm=False)
        self.assertNoResult(quick)
        self.verdicts[0].succeed()
        self.successResultOf(quick)
        self.assertEqual(self.sent[-2:], [b"a", b"b"])

    def test_ten_thousand_wait(self) -> None:
        """Ten thousand that wait are sent and confirmed in order."""
        waiting = [self.publish(b"%d" % number) for number in range(MAX_PENDING)]
        self.up()
        self.assertEqual(len(self.sent), WINDOW)
        for number in range(MAX_PENDING):
            self.verdicts_at(number).succeed()
        self.assertEqual(self.sent, [b"%d" % number for number in range(MAX_PENDING)])
        for each in waiting:
            self.successResultOf(each)

    def verdicts_at(self, index: int) -> Call:
        """The call of one message."""
        return self.channel.calls[index]

    def test_ten_thousand_at_once(self) -> None:
        """The same where each verdict comes before its call returns."""
        waiting = [self.publish(b"x") for _ in range(MAX_PENDING)]
        self.channel.answers["basic_publish"] = None
        self.up()
        self.assertEqual(len(self.sent), MAX_PENDING)
        for each in waiting:
            self.successResultOf(each)


class RoomTests(PublisherTestCase):
    """Asking for room, and too much without it."""

    def test_too_many(self) -> None:
        """Beyond ten thousand waiting a publish fails at once, and is not kept."""
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
        """So it does beyond 64 MiB of bodies waiting."""
        self.publish(b"x" * (MAX_PENDING_BYTES - MIB))
        self.publish(b"x" * MIB)
        self.failureResultOf(self.publish(b"x"), BackpressureError)
        self.assertNoResult(self.publish(b""))

    def test_one_large(self) -> None:
        """A single one that is larger still may wait."""
        self.assertNoResult(self.publish(b"x" * (MAX_PENDING_BYTES + 1)))
        self.failureResultOf(self.publish(b"x"), BackpressureError)

    def test_room_again(self) -> None:
        """What goes, in whatever way, makes room for others to wait."""
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
        """Cancel it."""
        publishing.cancel()

    def expire(self, message: PublishRequest, publishing: Deferred[None]) -> None:
        """Let its deadline pass."""
        self.clock.advance(5)

    def forsake(self, message: PublishRequest, publishing: Deferred[None]) -> None:
        """Lose the connection."""
        self.publisher.fail_pending(SessionLost("cut"))

    def refuse(self, message: PublishRequest, publishing: Deferred[None]) -> None:
        """Refuse what it needs."""
        self.publisher.refuse(message, Failure(ValueError()))

    def send(self, message: PublishRequest, publishing: Deferred[None]) -> None:
        """Send it."""
        self.channel.answers["basic_publish"] = None
        self.up()
        self.publisher.release(message)

    def test_ready(self) -> None:
        """With room when_ready fires at once."""
        self.assertFalse(self.publisher.is_ready)
        self.up()
        self.assertTrue(self.publisher.is_ready)
        self.successResultOf(self.publisher.when_ready())

    def test_ready_with_the_channel(self) -> None:
        """Without a channel it waits for one."""
        ready = [self.publisher.when_ready(), self.publisher.when_ready()]
        self.up()
        for each in ready:
            self.successResultOf(each)

    def test_ready_at_half(self) -> None:
        """Who has to wait waits until half the window is free."""
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
        """There is no room while others wait."""
        self.up()
        self.publisher.flow(False)
        self.publish(b"first")
        ready = self.publisher.when_ready()
        self.publisher.flow(True)
        self.successResultOf(ready)
        self.assertEqual(self.sent, [b"first"])

    def test_ready_after_a_deadline(self) -> None:
        """There is room when what waited before has given up."""
        self.up()
        given_up = self.publish(held=True, timeout=5)
        ready = self.publisher.when_ready()
        self.clock.advance(5)
        self.failureResultOf(given_up, OperationTimeout)
        self.successResultOf(ready)

    def test_cancelled_ready(self) -> None:
        """Who gives up waiting for room touches no other."""
        gone, stays = self.publisher.when_ready(), self.publisher.when_ready()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.up()
        self.successResultOf(stays)

    def test_publishes_when_ready(self) -> None:
        """Who publishes whenever there is room never has to queue."""
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
    """One deadline from the call to the verdict."""

    def test_without_connection(self) -> None:
        """Without a connection it says so, and the message is never sent."""
        publishing = self.publish(timeout=5)
        self.clock.advance(4.9)
        self.assertNoResult(publishing)
        self.clock.advance(0.1)
        self.assertPhase(publishing, "waiting for the connection", "was not sent")
        self.up()
        self.assertEqual(self.sent, [])

    def test_error(self) -> None:
        """The error names the operation and the time it had."""
        publishing = self.publish(timeout=5)
        self.clock.advance(5)
        error = self.failureResultOf(publishing, OperationTimeout, TimeoutError).value
        assert isinstance(error, OperationTimeout)
        self.assertEqual((error.operation, error.timeout), ("publish", 5))

    def test_in_the_queue(self) -> None:
        """In the queue it says for what it waited; those behind it go on."""
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
        """Blocked by the broker it says so."""
        self.up()
        self.publisher.flow(False)
        self.phase = "the broker is blocked: low on memory"
        publishing = self.publish(timeout=5)
        self.clock.advance(5)
        self.assertPhase(publishing, "low on memory", "was not sent")
        self.publisher.flow(True)
        self.assertEqual(self.sent, [])

    def test_held(self) -> None:
        """Held for a declaration it says so; those behind it go out then."""
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
        """Held without a connection it is the connection that it waited for."""
        publishing = self.publish(held=True, timeout=5)
        self.clock.advance(5)
        self.assertPhase(publishing, "waiting for the connection")

    def test_sent(self) -> None:
        """Sent at once and not confirmed, its outcome is unknown, and it says so."""
        self.up()
        publishing = self.publish(timeout=5)
        self.clock.advance(5)
        self.assertPhase(publishing, "the broker's word", "outcome is unknown")
        self.assertTrue(self.verdicts[0].cancelled)

    def test_sent_later(self) -> None:
        """So it is for one that waited: one deadline covers both."""
        publishing = self.publish(timeout=5)
        self.clock.advance(3)
        self.up()
        self.clock.advance(1.9)
        self.assertNoResult(publishing)
        self.clock.advance(0.1)
        self.assertPhase(publishing, "outcome is unknown")

    def test_makes_room(self) -> None:
        """A message that got no verdict in time is taken off the window."""
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
        """Without confirm the deadline is over when it was written."""
        publishing = self.publish(confirm=False, timeout=5)
        self.up()
        self.clock.advance(10)
        self.assertIsNone(self.successResultOf(publishing))

    def test_no_time(self) -> None:
        """With no time at all it is sent only if that can be done at once."""
        waiting = self.publish(b"1", timeout=0)
        self.clock.advance(0)
        self.assertPhase(waiting, "was not sent")
        self.up()
        going = self.publish(b"2", timeout=0)
        self.clock.advance(0)
        self.assertPhase(going, "outcome is unknown")
        self.assertEqual(self.sent, [b"2"])

    def test_each_its_own(self) -> None:
        """Deadlines of different length expire each by itself."""
        waiting = {seconds: self.publish(timeout=seconds) for seconds in (9, 3, 6)}
        for seconds in (3, 6, 9):
            self.clock.advance(3)
            self.failureResultOf(waiting.pop(seconds), OperationTimeout)
            for each in waiting.values():
                self.assertNoResult(each)

    def test_late_reactor(self) -> None:
        """A reactor that is late sends nothing that is past its deadline."""
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
        """Nor does a channel that comes when the deadline's timer is overdue."""
        late = self.publish(b"late", timeout=1)
        self.clock.rightNow = 2.0
        self.up()
        self.assertPhase(late, "was not sent")
        self.assertEqual(self.sent, [])

    def test_all_expire(self) -> None:
        """Ten thousand can expire at once."""
        waiting = [self.publish(timeout=5) for _ in range(MAX_PENDING)]
        self.clock.advance(5)
        for each in waiting:
            self.failureResultOf(each, OperationTimeout)
        self.assertFalse(self.publisher.is_waiting)


class CancelTests(PublisherTestCase):
    """Giving up a publish."""

    def test_waiting(self) -> None:
        """What waits is removed and never sent."""
        gone, stays = self.publish(b"gone"), self.publish(b"stays")
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.up()
        self.assertEqual(self.sent, [b"stays"])
        self.assertNoResult(stays)

    def test_head(self) -> None:
        """Removing what held up the others lets them go."""
        self.up()
        held = self.publish(held=True)
        self.publish(b"behind")
        held.cancel()
        self.failureResultOf(held, CancelledError)
        self.assertEqual(self.sent, [b"behind"])

    def test_no_deadline_left(self) -> None:
        """A cancelled one does not time out later."""
        gone = self.publish(timeout=5)
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.clock.advance(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_sent(self) -> None:
        """What was sent at once is cancelled at the transport, and makes room."""
        self.up()
        publishing = self.publish()
        publishing.cancel()
        self.failureResultOf(publishing, CancelledError)
        self.assertTrue(self.verdicts[0].cancelled)
        self.successResultOf(self.publisher.when_idle())

    def test_sent_later(self) -> None:
        """So is what was sent after it had waited."""
        publishing = self.publish(timeout=5)
        self.up()
        publishing.cancel()
        self.failureResultOf(publishing, CancelledError)
        self.assertTrue(self.verdicts[0].cancelled)
        self.successResultOf(self.publisher.when_idle())
        self.clock.advance(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle(self) -> None:
        """Cancelling the last one that waits tells who waits for that."""
        publishing = self.publish()
        idle = self.publisher.when_idle()
        publishing.cancel()
        self.failureResultOf(publishing, CancelledError)
        self.successResultOf(idle)

    def test_by_another_that_failed(self) -> None:
        """One that is told of a loss may cancel the others that are to be told."""
        self.up()
        self.publisher.flow(False)
        first, second = self.publish(b"1"), self.publish(b"2")
        first.addErrback(lambda _: second.cancel())
        self.publisher.channel_down(SessionLost("cut"))
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.assertNoResult(self.publish(b"x" * MAX_PENDING_BYTES))


class FlowTests(PublisherTestCase):
    """Broker and socket that take nothing for a while."""

    def test_paused(self) -> None:
        """While they take nothing messages wait, with and without confirm."""
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
        """Verdicts that come meanwhile send nothing."""
        self.up()
        [first] = self.fill(1)
        self.publisher.flow(False)
        self.publish(b"later")
        self.verdicts[0].succeed()
        self.successResultOf(first)
        self.assertEqual(len(self.sent), 1)

    def test_paused_while_sending(self) -> None:
        """A socket that fills while many are sent stops them there."""
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
        """One that fills and empties at once breaks no order and sends all once."""
        for number in range(10):
            self.publish(b"%d" % number)

        def answer(*arguments: object) -> None:
            self.publisher.flow(False)
            self.publisher.flow(True)

        self.channel.answers["basic_publish"] = answer
        self.up()
        self.assertEqual(self.sent, [b"%d" % number for number in range(10)])

    def test_across_channels(self) -> None:
        """A publisher that is paused stays so with the next channel."""
        self.publisher.flow(False)
        self.publish()
        self.up()
        self.assertEqual(self.sent, [])
        self.publisher.flow(True)
        self.assertEqual(self.sent, [b"hello"])


class TurnTests(PublisherTestCase):
    """Messages without confirm: so many in a turn of the reactor."""

    def setUp(self) -> None:
        super().setUp()
        self.up()

    def test_by_count(self) -> None:
        """Two hundred go out; the first fifty say so at once, the others next turn."""
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
        """Cancelling one that was sent stops only the waiting."""
        sent = [self.publish(confirm=False) for _ in range(AT_ONCE + 2)]
        sent[-1].cancel()
        self.failureResultOf(sent[-1], CancelledError)
        self.clock.advance(0)
        self.successResultOf(sent[-2])

    def test_closed_when_sent(self) -> None:
        """One that was sent says so at a close, too."""
        sent = [self.publish(confirm=False) for _ in range(AT_ONCE + 1)]
        self.publisher.close(ChannelClosed("closed"))
        self.successResultOf(sent[-1])

    def test_by_bytes(self) -> None:
        """After 64 KiB too."""
        self.successResultOf(self.publish(b"x" * (TURN_BYTES - 1), confirm=False))
        self.successResultOf(self.publish(b"xx", confirm=False))
        over = self.publish(b"", confirm=False)
        self.assertNoResult(over)
        self.clock.advance(0)
        self.successResultOf(over)

    def test_turns(self) -> None:
        """What waits goes out in as many turns as it takes."""
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
        """Those with confirm have their window instead."""
        self.fill(TURN + 1)
        self.assertEqual(len(self.sent), TURN + 1)
        self.successResultOf(self.publish(confirm=False))

    def test_no_timer_left(self) -> None:
        """A turn that is over leaves no timer, and the next has its whole room."""
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
        """One that awaits each lets the reactor run in between."""
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
    """Channels that come and go."""

    def test_lost(self) -> None:
        """What was written has an unknown outcome; what waited was not sent."""
        self.up()
        written = self.publish()
        self.publisher.flow(False)
        waiting = [self.publish(), self.publish(confirm=False)]
        error = SessionLost("cut")
        self.lose(error)
        self.failureResultOf(written, OutcomeUnknown)
        for each in waiting:
            failure = self.failureResultOf(each, NotSent)
            self.assertIs(failure.value.__cause__, error)
            self.assertIn("cut", str(failure.value))

    def test_lost_and_handled_slowly(self) -> None:
        """What waited is told whatever who had written takes its time for."""
        self.up()
        written = self.publish()
        written.addErrback(lambda _: Deferred())
        self.publisher.flow(False)
        waiting = self.publish(timeout=60)
        idle = self.publisher.when_idle()
        self.lose()
        self.clock.advance(0)
        self.failureResultOf(waiting, NotSent)
        self.successResultOf(idle)

    def test_lost_in_order(self) -> None:
        """What was written hears of a loss before what waited, all in one turn."""
        self.up()
        told: list[bytes] = []
        for body in (b"0", b"1"):
            self.publish(body).addErrback(self.note(told, body))
        self.publisher.flow(False)
        for body in (b"2", b"3"):
            self.publish(body).addErrback(self.note(told, body))
        self.lose()
        self.assertEqual(told, [b"0", b"1", b"2", b"3"])

    def test_next_channel(self) -> None:
        """What comes after a loss goes out on the next channel, in order."""
        self.up()
        self.lose()
        for number in range(3):
            self.publish(b"%d" % number)
        self.assertEqual(self.sent, [])
        self.channel = FakeChannel()
        self.up()
        self.assertEqual(self.sent, [b"0", b"1", b"2"])

    def test_told_twice(self) -> None:
        """A second word of the loss does not fail what came since."""
        self.up()
        self.publisher.channel_down(SessionLost("cut"))
        publishing = self.publish()
        self.publisher.channel_down(SessionLost("cut"))
        self.assertNoResult(publishing)

    def test_before_the_first(self) -> None:
        """A channel that could not be opened fails nothing that waits for one."""
        publishing = self.publish()
        self.publisher.channel_down(SessionLost("cut"))
        self.assertNoResult(publishing)

    def test_published_again_when_told(self) -> None:
        """Who publishes again when told of the loss waits for the next channel."""
        self.up()
        self.publisher.flow(False)
        again: list[Deferred[None]] = []
        for _ in range(3):
            self.publish().addErrback(lambda _: again.append(self.publish(b"again")))
        self.publisher.flow(True)
        written = list(again)
        self.assertEqual(written, [])
        self.lose()
        self.assertEqual(len(again), 3)
        for each in again:
            self.assertNoResult(each)
        self.channel = FakeChannel()
        self.up()
        self.assertEqual(self.sent, [b"again"] * 3)

    def test_others_waiting(self) -> None:
        """What waited for room on it was not sent, in order."""
        self.up()
        self.quietly(*self.fill())
        told: list[bytes] = []
        for body in (b"a", b"b", b"c"):
            self.publish(body).addErrback(self.note(told, body))
        self.lose()
        self.assertEqual(told, [b"a", b"b", b"c"])

    def note(self, told: list[bytes], body: bytes) -> Any:
        """Make an errback that notes the body of what was lost."""

        def note(failure: Failure) -> None:
            failure.trap(NotSent, OutcomeUnknown)
            told.append(body)

        return note

    def test_endless_tries(self) -> None:
        """Who publishes again whenever it was not sent does so once for a loss."""
        for waiting in (0, 1, 5):
            self.setUp()
            self.up()
            self.fill_and_retry(waiting)
            self.lose()
            self.assertLessEqual(self.tries, 2 * (WINDOW + waiting))
            self.channel = FakeChannel()
            self.channel.answers["basic_publish"] = None
            self.up()
            self.assertEqual(len(self.sent), WINDOW + waiting)

    def fill_and_retry(self, waiting: int) -> None:
        """Fill the window and more; publish again what fails."""
        self.tries = 0

        def again(failure: Failure) -> None:
            failure.trap(NotSent, OutcomeUnknown)
            self.tries += 1
            self.publish(b"again").addErrback(again)

        for publishing in self.fill(WINDOW + waiting):
            publishing.addErrback(again)

    def test_not_connected(self) -> None:
        """When no connection can be made, what waits fails, and says why."""
        publishing = self.publish()
        error = SessionLost("no such host")
        self.publisher.fail_pending(error)
        self.assertIs(self.failureResultOf(publishing, NotSent).value.__cause__, error)


class HeldTests(PublisherTestCase):
    """Messages that need something declared before."""

    def setUp(self) -> None:
        super().setUp()
        self.up()

    def test_released(self) -> None:
        """A held one keeps its place, and goes with those behind it."""
        message = self.message(b"held", held=True)
        self.publisher.publish(message)
        self.publish(b"behind")
        self.publish(b"last", confirm=False)
        self.assertEqual(self.sent, [])
        self.publisher.release(message)
        self.assertEqual(self.sent, [b"held", b"behind", b"last"])

    def test_released_out_of_order(self) -> None:
        """One that is released before the one ahead of it waits for that."""
        first, second = self.message(b"1", held=True), self.message(b"2", held=True)
        self.publisher.publish(first)
        self.publisher.publish(second)
        self.publisher.release(second)
        self.assertEqual(self.sent, [])
        self.publisher.release(first)
        self.assertEqual(self.sent, [b"1", b"2"])

    def test_refused(self) -> None:
        """A refused declaration fails its message; those behind it go."""
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
        """After a loss it is its declaration that decides, on the next channel."""
        good, bad = self.message(b"good", held=True), self.message(b"bad", held=True)
        publishing = [self.publisher.publish(each) for each in (bad, good)]
        behind = self.publish(b"behind")
        self.lose()
        self.failureResultOf(behind, NotSent)
        self.publisher.refuse(bad, Failure(SessionLost("cut")))
        self.failureResultOf(publishing[0], NotSent)
        self.channel = FakeChannel()
        self.up()
        self.assertEqual(self.sent, [])
        self.publisher.release(good)
        self.assertEqual(self.sent, [b"good"])
        self.publisher.flow(False)
        self.assertNoResult(self.publish(b"x" * MAX_PENDING_BYTES))

    def test_refused_too_late(self) -> None:
        """One that is gone already is not failed again."""
        message = self.message(held=True, timeout=5)
        publishing = self.publisher.publish(message)
        self.clock.advance(5)
        self.failureResultOf(publishing, OperationTimeout)
        self.publisher.refuse(message, Failure(ValueError()))
        self.publisher.release(message)
        self.assertEqual(self.sent, [])


class IdleTests(PublisherTestCase):
    """Waiting until everything is over."""

    def test_idle(self) -> None:
        """With nothing on its way it fires at once."""
        self.successResultOf(self.publisher.when_idle())

    def test_verdicts(self) -> None:
        """It fires when the last verdict is in."""
        self.up()
        publishing = self.fill(2)
        idle = self.publisher.when_idle()
        self.verdicts[1].fail(Nacked("full"))
        self.assertNoResult(idle)
        self.verdicts[0].succeed()
        self.successResultOf(idle)
        self.quietly(*publishing)

    def test_waiting(self) -> None:
        """What waits here counts too, until it is confirmed."""
        self.publish()
        idle = self.publisher.when_idle()
        self.up()
        self.assertNoResult(idle)
        self.verdicts[0].succeed()
        self.successResultOf(idle)

    def test_without_confirm(self) -> None:
        """Without confirm it is over when it was written."""
        self.publish(confirm=False)
        idle = self.publisher.when_idle()
        self.up()
        self.successResultOf(idle)

    def test_deadline(self) -> None:
        """A message that gives up is over too."""
        self.up()
        self.publisher.flow(False)
        publishing = self.publish(timeout=5)
        idle = self.publisher.when_idle()
        self.clock.advance(5)
        self.failureResultOf(publishing, OperationTimeout)
        self.successResultOf(idle)

    def test_loss(self) -> None:
        """After a loss nothing is on its way."""
        self.up()
        publishing = self.fill(WINDOW + 5)
        idle = self.publisher.when_idle()
        self.lose()
        self.quietly(*publishing)
        self.successResultOf(idle)


class CloseTests(PublisherTestCase):
    """The end."""

    def close(self) -> None:
        """Close it."""
        self.publisher.close(ChannelClosed("closed by this program"))

    def test_waiting(self) -> None:
        """What waits was not sent."""
        publishing = [self.publish(), self.publish(confirm=False)]
        self.close()
        for each in publishing:
            text = str(self.failureResultOf(each, NotSent).value)
            self.assertIn("closed by this program", text)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_afterwards(self) -> None:
        """Publishing afterwards fails at once, and asking for room too."""
        self.up()
        self.close()
        self.failureResultOf(self.publish(), ChannelClosed)
        self.failureResultOf(self.publisher.when_ready(), ChannelClosed)
        self.successResultOf(self.publisher.when_idle())
        self.assertEqual(self.sent, [])

    def test_who_waits_for_room(self) -> None:
        """Who waits for room is told."""
        ready = self.publisher.when_ready()
        self.close()
        self.failureResultOf(ready, ChannelClosed)

    def test_no_timer_left(self) -> None:
        """No timer is left, neither of deadlines nor of the turn."""
        self.up()
        self.publish()
        for _ in range(TURN + 1):
            self.quietly(self.publish(confirm=False))
        self.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_twice(self) -> None:
        """A second close does nothing."""
        publishing = self.publish()
        self.close()
        self.failureResultOf(publishing, NotSent)
        self.close()

    def test_no_channel_any_more(self) -> None:
        """A channel that is lost afterwards is no matter."""
        self.up()
        self.close()
        self.publisher.channel_down(SessionLost("cut"))
        self.publisher.flow(False)
        self.publisher.flow(True)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late_verdict(self) -> None:
        """A verdict that comes afterwards still counts."""
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
    """Callbacks that do something with the publisher."""

    def test_publishes_again(self) -> None:
        """A verdict's callback may publish: behind those that wait."""
        self.up()
        first, *_ = self.fill(WINDOW)
        self.publish(b"waiting")
        first.addCallback(lambda _: self.publish(b"again"))
        self.verdicts[0].succeed()
        self.verdicts[1].succeed()
        self.assertEqual(self.sent[-2:], [b"waiting", b"again"])

    def test_publishes_again_when_over_at_once(self) -> None:
        """So may that of one whose verdict comes before its call returns."""
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
        """A callback may close while others are about to be sent."""
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
        """A callback may close while others are about to expire."""
        closed = ChannelClosed("over")
        first = self.publish(timeout=5)
        first.addErrback(lambda _: self.publisher.close(closed))
        second = self.publish(timeout=5)
        self.clock.advance(5)
        self.successResultOf(first)
        self.failureResultOf(second, NotSent)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closes_when_told_of_the_close(self) -> None:
        """A callback may close, and publish, while the others are told of a close."""
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
        self.failureResultOf(behind, NotSent)
        self.assertEqual(self.sent, [b"0"])

    def test_cancels_the_next(self) -> None:
        """A callback may cancel one that is about to be sent."""
        self.channel.answers["basic_publish"] = None
        first = self.publish(b"0")
        second = self.publish(b"1")
        self.publish(b"2")
        first.addCallback(lambda _: second.cancel())
        self.up()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.sent, [b"0", b"2"])

    def test_closes_when_there_is_room(self) -> None:
        """Who waited for room may close: the verdict is still passed on."""
        self.up()
        publishing = self.publish(b"x" * WINDOW_BYTES)
        ready = self.publisher.when_ready()
        ready.addCallback(lambda _: self.publisher.close(ChannelClosed("over")))
        self.verdicts[0].succeed()
        self.successResultOf(ready)
        self.successResultOf(publishing)
        self.assertEqual(self.clock.getDelayedCalls(), [])
