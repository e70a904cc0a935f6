"""
A session channel on AMQP 0-9-1, against a peer by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pamqp import commands
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import DEFAULT, Inbox, Probe, consume, publish
from tests.support.amqp_peer import Basic, Channel, Peer
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import (
    ChannelClosed,
    ConsumerCancelled,
    OutcomeUnknown,
    PreconditionFailed,
)
from txkombu.interfaces import Settlement
from txkombu.transport.amqp.channel import AmqpSessionChannel as SessionChannel

QUEUE = Queue("q")
SENT, STALE = Settlement.SENT, Settlement.STALE


class ChannelCase(SynchronousTestCase):
    """A channel that is open."""

    def setUp(self) -> None:
        self.peer = Peer()
        self.peer.log_in(heartbeat=0)
        self.channel = self.peer.channel()
        self.peer.taken()

    def tearDown(self) -> None:
        """Nothing may be left to do."""
        self.peer.lose()
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def send(self, *methods: Any) -> None:
        """Send methods on the channel."""
        self.peer.send(1, *methods)

    def sent(self) -> list[Any]:
        """Return the methods that were sent since the last time."""
        return [method for _, method in self.peer.taken()]

    def names(self) -> list[str]:
        """Return their names, without the class."""
        return [method.name.split(".")[1] for method in self.sent()]

    def consume(self, tag: str = "tag", inbox: Inbox | None = None) -> None:
        """Start a consumer, and have the broker say that it runs."""
        started = Probe(consume(self.channel, QUEUE, tag, inbox))
        if "Qos" in self.names():
            self.send(Basic.QosOk())
        self.send(Basic.ConsumeOk(tag))
        self.assertIsNone(started.outcome)


class ConsumerTests(ChannelCase):
    """Starting and ending consumers."""

    def test_one_write(self) -> None:
        """Qos and consume leave in one write."""
        writes: list[bytes] = []
        self.patch(self.peer.wire, "write", writes.append)
        Probe(consume(self.channel, QUEUE, prefetch_count=7))
        self.assertEqual(len(writes), 1)

    def test_qos(self) -> None:
        """Qos is sent when the prefetch changes, and not for no_ack."""
        for number, (count, no_ack, wanted) in enumerate(
            [
                (0, False, ["Consume"]),
                (5, False, ["Qos", "Consume"]),
                (5, False, ["Consume"]),
                (9, True, ["Consume"]),
                (0, False, ["Qos", "Consume"]),
            ]
        ):
            tag = str(number)
            Probe(consume(self.channel, QUEUE, tag, None, no_ack, False, count))
            self.assertEqual(self.names(), wanted)

    def test_channel_limit(self) -> None:
        """
        After another prefetch count the limit of the channel is told again, since
        RabbitMQ takes that count for the new limit.
        """
        Probe(self.channel.basic_qos(4))
        Probe(consume(self.channel, QUEUE, "tag", prefetch_count=3))
        self.assertEqual(self.limits(), [(4, True), (3, False), (4, True)])

    def test_channel_limit_lifted(self) -> None:
        """A limit that was lifted is not told again."""
        Probe(self.channel.basic_qos(4))
        Probe(self.channel.basic_qos(0))
        Probe(consume(self.channel, QUEUE, "tag", prefetch_count=3))
        self.assertEqual(self.limits(), [(4, True), (0, True), (3, False)])

    def test_channel_limit_of_others(self) -> None:
        """
        A consumer that starts while others could exceed the limit gets their prefetch
        count, so that the limit is not lifted for a moment.
        """
        Probe(self.channel.basic_qos(4))
        for tag, count in (("a", 9), ("b", 2), ("c", 0)):
            Probe(consume(self.channel, QUEUE, tag, prefetch_count=count))
        self.assertEqual(self.limits(), [(4, True), (9, False), (4, True)])

    def test_channel_limit_beside_small_ones(self) -> None:
        """
        A consumer gets its own count if the others cannot exceed the limit, or have
        no_ack.
        """
        Probe(self.channel.basic_qos(4))
        Probe(consume(self.channel, QUEUE, "a", no_ack=True))
        for tag, count in (("b", 1), ("c", 3), ("d", 1)):
            Probe(consume(self.channel, QUEUE, tag, prefetch_count=count))
        again = [(count, each) for count in (1, 3, 1) for each in (False, True)]
        wanted = [(count if not each else 4, each) for count, each in again]
        self.assertEqual(self.limits(), [(4, True), *wanted])

    def test_channel_limit_after_others(self) -> None:
        """Consumers that have ended do not count."""
        Probe(self.channel.basic_qos(4))
        for tag, count in (("a", 9), ("b", 0)):
            Probe(consume(self.channel, QUEUE, tag, prefetch_count=count))
            for _ in self.limits():
                self.send(Basic.QosOk())
            self.send(Basic.ConsumeOk(tag))
            Probe(self.channel.basic_cancel(tag))
            self.send(Basic.CancelOk(tag))
        self.sent()
        Probe(consume(self.channel, QUEUE, "c", prefetch_count=3))
        self.assertEqual(self.limits(), [(3, False), (4, True)])

    def limits(self) -> list[tuple[int, bool]]:
        """
        Return the counts that were told, and whether each is for the whole channel.
        """
        asked = [each for each in self.sent() if isinstance(each, Basic.Qos)]
        return [(each.prefetch_count, each.global_) for each in asked]

    def test_impossible(self) -> None:
        """A consumer that cannot be raises an error, and leaves no trace."""
        for tag, prefetch_count in (("", 1), ("x" * 256, 1), ("t", 65536), ("t", -1)):
            with self.assertRaises(ValueError):
                consume(self.channel, QUEUE, tag, prefetch_count=prefetch_count)
        self.assertEqual(self.names(), [])
        self.consume("tag")

    def test_tag_in_use(self) -> None:
        """A tag cannot be used twice at a time."""
        self.consume("tag")
        with self.assertRaises(ValueError):
            consume(self.channel, QUEUE, "tag")
        self.assertEqual(self.names(), [])

    def test_cancel_waits_for_start(self) -> None:
        """A consumer that is cancelled before it runs is told to end once it runs."""
        started = Probe(consume(self.channel, QUEUE))
        cancelled = [Probe(self.channel.basic_cancel("tag")) for _ in range(2)]
        self.assertEqual(self.names(), ["Qos", "Consume"])
        self.send(Basic.QosOk(), Basic.ConsumeOk("tag"))
        self.assertEqual(self.names(), ["Cancel"])
        self.assertIsNone(started.outcome)
        self.assertFalse(cancelled[0].fired)
        self.send(Basic.CancelOk("tag"))
        self.assertEqual([probe.outcome for probe in cancelled], [None, None])

    def test_cancelled_once(self) -> None:
        """A consumer is told to end once, however often it is cancelled."""
        self.consume()
        probes = [Probe(self.channel.basic_cancel("tag")) for _ in range(3)]
        self.assertEqual(self.names(), ["Cancel"])
        self.send(Basic.CancelOk("tag"))
        self.assertEqual([probe.outcome for probe in probes], [None] * 3)

    def test_same_tag_waits(self) -> None:
        """A consumer starts when the one that has its tag is gone."""
        old, new = Inbox(), Inbox()
        self.consume(inbox=old)
        self.channel.basic_cancel("tag")
        started = Probe(consume(self.channel, QUEUE, inbox=new))
        self.assertEqual(self.names(), ["Cancel"])
        self.peer.deliver(1, 1)
        self.send(Basic.CancelOk("tag"))
        self.assertEqual(self.names(), ["Consume"])
        self.send(Basic.ConsumeOk("tag"))
        self.assertIsNone(started.outcome)
        self.peer.deliver(1, 2)
        self.assertEqual((len(old.bodies), len(new.bodies)), (1, 1))

    def test_same_tag_cancelled_while_waiting(self) -> None:
        """
        A consumer that is cancelled while it waits for its tag is never told to start.
        """
        self.consume()
        self.channel.basic_cancel("tag")
        waiting = Probe(consume(self.channel, QUEUE))
        waiting.deferred.cancel()
        self.assertIsInstance(waiting.outcome, CancelledError)
        again = Probe(consume(self.channel, QUEUE))
        self.names()
        self.send(Basic.CancelOk("tag"))
        self.assertEqual(self.names(), ["Consume"])
        self.send(Basic.ConsumeOk("tag"))
        self.assertIsNone(again.outcome)

    def test_same_tag_told_to_end_and_cancelled_while_waiting(self) -> None:
        """
        A cancel of a consumer that waits for its tag fires when that consumer is given
        up.
        """
        self.consume()
        Probe(self.channel.basic_cancel("tag"))
        waiting = Probe(consume(self.channel, QUEUE))
        ended = Probe(self.channel.basic_cancel("tag"))
        self.assertFalse(ended.fired)
        waiting.deferred.cancel()
        self.assertIsInstance(waiting.outcome, CancelledError)
        self.assertIsNone(ended.outcome)

    def test_same_tag_lost_while_waiting(self) -> None:
        """A consumer that waits for its tag fails when the channel ends."""
        self.consume()
        self.channel.basic_cancel("tag")
        waiting = Probe(consume(self.channel, QUEUE))
        cancelled = Probe(self.channel.basic_cancel("tag"))
        self.send(Channel.Close(404, "NOT_FOUND", 0, 0))
        self.assertIsInstance(waiting.outcome, ChannelClosed)
        self.assertIsNone(cancelled.outcome)

    def test_abandoned(self) -> None:
        """
        A consumer whose start was cancelled is ended, and its messages are requeued.
        """
        inbox = Inbox()
        started = Probe(consume(self.channel, QUEUE, inbox=inbox))
        started.deferred.cancel()
        self.names()
        self.send(Basic.QosOk(), Basic.ConsumeOk("tag"))
        self.assertEqual(self.names(), ["Cancel"])
        self.peer.deliver(1, 1)
        (nack,) = self.sent()
        self.assertEqual((nack.delivery_tag, nack.requeue), (1, True))
        self.assertEqual(inbox.bodies, [])
        self.send(Basic.CancelOk("tag"))

    def test_abandoned_no_ack(self) -> None:
        """Messages of such a consumer with no_ack can only be dropped."""
        inbox = Inbox()
        started = Probe(consume(self.channel, QUEUE, inbox=inbox, no_ack=True))
        started.deferred.cancel()
        self.send(Basic.ConsumeOk("tag"))
        self.names()
        self.peer.deliver(1, 1)
        self.assertEqual((self.names(), inbox.bodies), ([], []))

    def test_nobody(self) -> None:
        """A delivery for an unknown consumer is requeued."""
        self.peer.deliver(1, 1, "nobody")
        (nack,) = self.sent()
        self.assertEqual((nack.delivery_tag, nack.requeue), (1, True))

    def test_cancelled_by_broker(self) -> None:
        """
        A cancel by the broker is told once, answered if the broker wants that, and
        final.
        """
        inbox = Inbox()
        for nowait, answer in ((True, ["Cancel"]), (False, ["CancelOk", "Cancel"])):
            self.consume(inbox=inbox)
            self.send(Basic.Cancel("tag", nowait))
            self.assertEqual(self.names(), answer)
            self.send(Basic.CancelOk("tag"))
        self.send(Basic.Cancel("tag", True))
        told = inbox.journal.all("cancelled")
        self.assertEqual([type(error) for error in told], [ConsumerCancelled] * 2)
        self.assertIsNone(Probe(self.channel.basic_cancel("tag")).outcome)

    def test_tag_after_cancel_by_broker(self) -> None:
        """The tag of a consumer that the broker cancelled is free after our cancel."""
        self.consume()
        self.send(Basic.Cancel("tag", True))
        again = Probe(consume(self.channel, QUEUE))
        self.assertEqual(self.names(), ["Cancel"])
        self.send(Basic.CancelOk("tag"))
        self.assertEqual(self.names(), ["Consume"])
        self.send(Basic.ConsumeOk("tag"))
        self.assertIsNone(again.outcome)

    def test_cancels_cross(self) -> None:
        """When cancels cross, the consumer is not told, and its tag is free."""
        inbox = Inbox()
        self.consume(inbox=inbox)
        cancelled = Probe(self.channel.basic_cancel("tag"))
        self.send(Basic.Cancel("tag", True))
        self.assertIsNone(cancelled.outcome)
        self.names()
        again = Probe(consume(self.channel, QUEUE))
        self.assertEqual(self.names(), ["Consume"])
        self.send(Basic.CancelOk("tag"), Basic.ConsumeOk("tag"))
        self.assertIsNone(again.outcome)
        self.assertEqual(inbox.journal.entries, [])


class SettleTests(ChannelCase):
    """Acks, and what they are written before."""

    def setUp(self) -> None:
        super().setUp()
        self.consume()

    def acks(self) -> list[tuple[int, bool]]:
        """Return the acks that were sent."""
        return [(ack.delivery_tag, ack.multiple) for ack in self.sent()]

    def test_in_one_turn(self) -> None:
        """Acks outside of dataReceived go out together, in the next turn."""
        for tag in range(1, 5):
            self.peer.deliver(1, tag)
        self.assertIs(self.channel.ack(1, False), SENT)
        self.channel.ack(2, False)
        self.channel.ack(4, False)
        flushed = Probe(self.channel.when_flushed())
        self.assertEqual(self.names(), [])
        self.assertFalse(flushed.fired)
        self.peer.clock.advance(0)
        self.assertEqual(self.acks(), [(2, True), (4, False)])
        self.assertIs(flushed.outcome, SENT)
        self.assertIs(Probe(self.channel.when_flushed()).outcome, SENT)

    def test_while_receiving(self) -> None:
        """Acks within dataReceived go out at its end, without a timer."""
        inbox = Inbox(lambda delivery: self.channel.ack(delivery.tag, False))
        self.consume("acking", inbox)
        self.names()
        self.peer.deliver(1, 1, "acking")
        self.assertEqual(self.acks(), [(1, False)])
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_lost(self) -> None:
        """
        Acks that were not written when the session ends are stale, and leave no timer.
        """
        self.peer.deliver(1, 1)
        self.channel.ack(1, False)
        flushed = Probe(self.channel.when_flushed())
        self.peer.lose()
        self.assertIs(flushed.outcome, STALE)

    def test_before_others(self) -> None:
        """Acks are written before whatever may depend on them."""
        dependents: dict[str, Callable[[SessionChannel], object]] = {
            "Nack": lambda channel: channel.nack(2, False, True),
            "Reject": lambda channel: channel.reject(2, True),
            "Cancel": lambda channel: channel.basic_cancel("tag"),
            "Qos": lambda channel: Probe(channel.basic_qos(1)),
            "Recover": lambda channel: Probe(channel.basic_recover()),
            "Close": lambda channel: channel.close(),
        }
        for name, act in dependents.items():
            self.tearDown()
            self.setUp()
            self.peer.deliver(1, 1)
            self.peer.deliver(1, 2)
            self.channel.ack(1, False)
            act(self.channel)
            self.assertEqual(self.names(), ["Ack", name])
            self.peer.clock.advance(0)

    def test_unknown(self) -> None:
        """Settling what awaits no settlement is stale, and sends nothing."""
        self.peer.deliver(1, 1)
        self.channel.ack(1, False)
        self.peer.clock.advance(0)
        self.names()
        for tag in (1, 2, 0):
            self.assertIs(self.channel.ack(tag, True), STALE)
            self.assertIs(self.channel.nack(tag, True, True), STALE)
            self.assertIs(self.channel.reject(tag, True), STALE)
        self.assertEqual(self.names(), [])

    def test_nack_multiple(self) -> None:
        """A multiple nack names a tag that awaits settlement."""
        for tag in (1, 2, 5):
            self.peer.deliver(1, tag)
        self.channel.nack(4, True, False)
        (nack,) = self.sent()
        self.assertEqual(
            (nack.delivery_tag, nack.multiple, nack.requeue), (2, True, False)
        )
        self.channel.nack(0, True, True)
        (nack,) = self.sent()
        self.assertEqual((nack.delivery_tag, nack.multiple), (5, False))

    def test_recover(self) -> None:
        """Deliveries between a recover and its reply were requeued with the others."""
        inbox = Inbox()
        self.consume("other", inbox)
        self.names()
        self.peer.deliver(1, 1, "other")
        got = Probe(self.channel.basic_get(QUEUE, False))
        recovered = Probe(self.channel.basic_recover())
        self.peer.deliver(1, 2, "other")
        self.peer.send_content(1, Basic.GetOk(3, False, "", "q", 0))
        self.send(Basic.RecoverOk())
        self.assertIsNone(recovered.outcome)
        self.assertEqual(len(inbox.bodies), 1)
        self.names()
        for tag in (1, 2, got.outcome.tag):
            self.assertIs(self.channel.ack(tag, False), STALE)
        self.peer.deliver(1, 4, "other")
        self.assertIs(self.channel.ack(4, False), SENT)
        self.peer.clock.advance(0)
        self.assertEqual(self.acks(), [(4, False)])

    def test_late_get(self) -> None:
        """
        A message that is got after the get was cancelled is requeued, unless it has
        no_ack.
        """
        for no_ack, names in ((False, ["Nack"]), (True, [])):
            got = Probe(self.channel.basic_get(QUEUE, no_ack))
            got.deferred.cancel()
            self.names()
            self.peer.send_content(1, Basic.GetOk(3, False, "", "q", 0))
            self.assertEqual(self.names(), names)


class PublishTests(ChannelCase):
    """Publishing."""

    def test_one_write(self) -> None:
        """A message is sent in one write, with confirm.select before the first only."""
        writes: list[bytes] = []
        self.patch(self.peer.wire, "write", writes.append)
        Probe(publish(self.channel, DEFAULT, "q", b"x" * 300_000))
        Probe(publish(self.channel, DEFAULT, "q", b""))
        self.peer.clock.advance(0)
        self.assertEqual(len(writes), 2)
        for data in writes:
            self.peer.wire.io.write(data)
        self.assertEqual(self.names(), ["Select", "Publish", "Publish"])

    def test_lazily(self) -> None:
        """Without confirm the broker is not told to confirm."""
        publish(self.channel, DEFAULT, "q", confirm=False)
        self.peer.clock.advance(0)
        self.assertEqual(self.names(), ["Publish"])

    def test_uncounted_before_select(self) -> None:
        """What was published before confirm.select has no number."""
        publish(self.channel, DEFAULT, "q", confirm=False)
        confirmed = Probe(publish(self.channel, DEFAULT, "q"))
        self.send(commands.Confirm.SelectOk(), Basic.Ack(1))
        self.assertIsNone(confirmed.outcome)

    def test_counted_after_select(self) -> None:
        """What is published without confirm after confirm.select has a number."""
        first = Probe(publish(self.channel, DEFAULT, "q"))
        publish(self.channel, DEFAULT, "q", confirm=False)
        third = Probe(publish(self.channel, DEFAULT, "q"))
        self.send(commands.Confirm.SelectOk(), Basic.Ack(1), Basic.Ack(2))
        self.assertIsNone(first.outcome)
        self.assertFalse(third.fired)
        self.send(Basic.Ack(3))
        self.assertIsNone(third.outcome)

    def test_returned_and_confirmed(self) -> None:
        """A message that came back fails with its confirm, and not before."""
        lost = Probe(
            publish(self.channel, Exchange("e"), "key", b"b", True, message_id="m")
        )
        self.send(commands.Confirm.SelectOk())
        self.peer.send_content(1, Basic.Return(312, "NO_ROUTE", "e", "key"), b"b")
        self.assertFalse(lost.fired)
        self.send(Basic.Ack(1))
        self.assertEqual(lost.outcome.returned.body, b"b")
        self.assertEqual(self.peer.journal.entries, [])

    def test_refused_alone(self) -> None:
        """A refusal that names no exchange is about the only publish."""
        text = "PRECONDITION_FAILED - message size 9 is larger than 8"
        one = Probe(publish(self.channel, DEFAULT, "q"))
        self.send(commands.Confirm.SelectOk(), Channel.Close(406, text, 60, 40))
        self.assertIsInstance(one.outcome, PreconditionFailed)

    def test_refused_among_others(self) -> None:
        """
        Among several publishes it may be about any: the outcome of all is unknown.
        """
        text = "PRECONDITION_FAILED - message size 9 is larger than 8"
        probes = [Probe(publish(self.channel, DEFAULT, "q")) for _ in range(2)]
        self.send(commands.Confirm.SelectOk(), Channel.Close(406, text, 60, 40))
        for probe in probes:
            self.assertIsInstance(probe.outcome, OutcomeUnknown)
            self.assertIsInstance(probe.outcome.__cause__, PreconditionFailed)

    def test_impossible(self) -> None:
        """A message that cannot be written raises an error, and takes no number."""
        for arguments in ({"priority": 300}, {"headers": {"a": object()}}):
            with self.assertRaises((TypeError, ValueError)):
                publish(self.channel, DEFAULT, "q", **arguments)
        with self.assertRaises(TypeError):
            publish(self.channel, DEFAULT, "q", "text")  # type: ignore[arg-type]  # wrong on purpose
        self.assertEqual(self.names(), [])
        one = Probe(publish(self.channel, DEFAULT, "q"))
        self.assertEqual(self.names(), ["Select", "Publish"])
        self.send(commands.Confirm.SelectOk(), Basic.Ack(1))
        self.assertIsNone(one.outcome)
