"""Publishing over STOMP, and the receipts of it."""

from __future__ import annotations

from sys import getrefcount

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from tests.contract.harness import DEFAULT, Probe, publish
from tests.support.stomp_fakes import StompTestCase
from tests.support.stomp_peer import Peer, frame, receipt
from txkombu.entity import Exchange, Queue, as_exchange
from txkombu.exceptions import (
    AccessRefused,
    BrokerError,
    ChannelError,
    ConnectionErrorReply,
    ConnectionForced,
    ContentTooLarge,
    NotFound,
    NotSent,
    NotSupported,
    Outcome,
    OutcomeUnknown,
    SessionLost,
    broker_error,
)
from txkombu.interfaces import NotWritten
from txkombu.transport.stomp.publisher import StompPublisher
from txkombu.transport.stomp.wire.parser import BODY_MOST

FEED = Exchange("feed")


class WriteTests(StompTestCase):
    """What is written."""

    prompt = False

    def test_frame(self) -> None:
        """A message is one frame, with what it takes to read it."""
        Probe(publish(self.channel, FEED, "a:b", b"hello", priority=1))
        self.assertEqual(
            self.publishing.frames,
            [
                "SEND\ndestination:feed/a\\cb\npriority:x\nreceipt:1\n"
                "content-length:5\n\nhello"
            ],
        )

    def test_unconfirmed(self) -> None:
        """Without confirm no receipt is asked for, and it fires at once."""
        sent = Probe(publish(self.channel, FEED, "a", b"hello", confirm=False))
        self.assertDone(sent)
        self.assertEqual(
            self.publishing.frames,
            ["SEND\ndestination:feed/a\ncontent-length:5\n\nhello"],
        )

    def test_receipts(self) -> None:
        """Each fires with its own receipt, in whatever order those come."""
        sent = [Probe(publish(self.channel, FEED, "a")) for _ in range(3)]
        self.publishing.answer("2")
        self.assertEqual([each.fired for each in sent], [False, True, False])
        self.publishing.answer("3")
        self.publishing.answer("1")
        self.assertEqual([each.outcome for each in sent], [None, None, None])

    def test_impossible(self) -> None:
        """What the broker cannot be told raises, and nothing is written."""
        with self.assertRaises(ValueError):
            publish(self.channel, FEED, "impossible")
        self.assertEqual(self.publishing.frames, [])

    def test_too_large(self) -> None:
        """What is larger than the broker takes fails, and nothing is written."""
        sent = Probe(publish(self.channel, FEED, "a", _Huge()))
        self.assertIsInstance(sent.outcome, ContentTooLarge)
        self.assertIn("a body may have", str(sent.outcome))
        self.assertEqual(self.publishing.frames, [])

    def test_not_supported(self) -> None:
        """What the broker cannot do fails, and nothing is written."""
        for exchange, mandatory in ((Exchange("h", "headers"), False), (FEED, True)):
            sent = Probe(publish(self.channel, exchange, "a", mandatory=mandatory))
            self.assertIsInstance(sent.outcome, NotSupported)
        self.assertEqual(self.publishing.frames, [])

    def test_many_destinations(self) -> None:
        """Not every destination there ever was is kept."""
        for number in range(1200):
            publish(self.channel, FEED, str(number), confirm=False)
        self.assertIn("destination:feed/1199\n", self.publishing.frames[-1])
        self.assertLess(len(self.channel._publishing._destinations), 600)

    def test_same_name(self) -> None:
        """Exchanges of one name and different types are told apart."""
        Probe(publish(self.channel, FEED, "a"))
        sent = Probe(publish(self.channel, Exchange("feed", "headers"), "a"))
        self.assertIsInstance(sent.outcome, NotSupported)

    def test_same_name_at_the_broker(self) -> None:
        """One that the broker has is not one that is mapped."""
        for exchange in (
            FEED,
            Exchange("feed", passive=True),
            Exchange("feed", no_declare=True),
        ):
            publish(self.channel, exchange, "a", confirm=False)
        self.assertEqual(
            [frame.split("\n")[1] for frame in self.publishing.frames],
            ["destination:feed/a", "destination:=feed/a", "destination:=feed/a"],
        )


class _Huge(bytes):
    """Bytes that take no memory."""

    def __len__(self) -> int:
        return BODY_MOST + 1


class NameTests(StompTestCase):
    """Exchanges that are known by their names only."""

    def test_unknown(self) -> None:
        """Of one that nobody described the type is not known."""
        with self.assertRaisesRegex(ValueError, "the type of exchange 'feed'"):
            publish(self.channel, as_exchange("feed"), "a")

    def test_declared(self) -> None:
        """One that was declared in this session is known, on all channels."""
        self.successResultOf(self.channel.exchange_declare(FEED, False))
        self.successResultOf(publish(self.open_channel(), as_exchange("feed"), "a"))

    def test_predeclared(self) -> None:
        """Those of the broker are known."""
        self.successResultOf(publish(self.channel, as_exchange("amq.topic"), "a"))
        self.successResultOf(publish(self.channel, as_exchange(""), "a"))
        sent = Probe(publish(self.channel, as_exchange("amq.match"), "a"))
        self.assertIsInstance(sent.outcome, NotSupported)


class OrderTests(StompTestCase):
    """Publishing behind what is being declared."""

    prompt = False

    def setUp(self) -> None:
        super().setUp()
        self.dialect.waits = True

    def go_on(self) -> None:
        """Let the oldest recipe end."""
        self.dialect.next.pop(0).callback(None)

    def test_behind(self) -> None:
        """A message waits for declarations begun before it, and for no others."""
        before = Probe(publish(self.channel, FEED, "before"))
        declared = Probe(self.channel.exchange_declare(FEED, False))
        behind = Probe(publish(self.channel, FEED, "behind"))
        again = Probe(self.channel.exchange_declare(Exchange("other"), False))
        last = Probe(publish(self.channel, FEED, "last", confirm=False))
        self.assertEqual(len(self.publishing.frames), 1)
        self.go_on()
        self.assertDone(declared)
        self.assertEqual(len(self.publishing.frames), 2)
        self.assertIn("behind", self.publishing.frames[1])
        self.assertFalse(again.fired or last.fired)
        self.go_on()
        self.assertIn("last", self.publishing.frames[2])
        self.assertDone(last)
        self.publishing.answer_all()
        self.assertDone(before)
        self.assertDone(behind)

    def keys(self) -> list[str]:
        """The routing keys of what was sent, in order."""
        frames = self.publishing.frames
        sent = [each for each in frames if each.startswith("SEND")]
        return [each.split("destination:feed/")[1].split("\n")[0] for each in sent]

    def test_as_it_ends(self) -> None:
        """
        What is published as a declaration ends, or fails, is sent after what waited
        for it.
        """
        for fails in (False, True):
            self.setUp()
            declared = self.channel.exchange_declare(FEED, False)
            for key in "ab":
                Probe(publish(self.channel, FEED, key))
            declared.addBoth(lambda _: Probe(publish(self.channel, FEED, "c")))
            Probe(publish(self.channel, FEED, "d", confirm=False))
            if fails:
                self.dialect.next.pop(0).errback(NotFound("no"))
            else:
                self.go_on()
            self.assertEqual(self.keys(), ["a", "b", "d", "c"])
            Probe(publish(self.channel, FEED, "e"))
            self.assertEqual(self.keys()[4:], ["e"])

    def test_behind_others(self) -> None:
        """So it is if what waited is still waiting for something else."""
        self.channel.exchange_declare(FEED, False)
        getting = Probe(self.channel.basic_get(Queue("q"), False))
        Probe(publish(self.channel, FEED, "a"))
        self.go_on()
        Probe(publish(self.channel, FEED, "b"))
        self.assertEqual(self.keys(), [])
        self.go_on()
        self.assertDone(getting)
        self.assertEqual(self.keys(), ["a", "b"])

    def test_behind_a_cancelled_one(self) -> None:
        """A message that does not wait any more holds up nobody."""
        declared = self.channel.exchange_declare(FEED, False)
        sent = Probe(publish(self.channel, FEED, "a"))
        sent.deferred.cancel()
        declared.addCallback(lambda _: Probe(publish(self.channel, FEED, "b")))
        self.go_on()
        Probe(publish(self.channel, FEED, "c"))
        self.assertEqual(self.keys(), ["b", "c"])

    def test_not_behind(self) -> None:
        """It does not wait for what declares nothing."""
        getting = Probe(self.channel.basic_get(Queue("q"), False))
        Probe(publish(self.channel, FEED, "a"))
        self.assertEqual(self.publishing.commands(), ["SEND"])
        self.assertFalse(getting.fired)

    def test_fence(self) -> None:
        """What is asked of a queue waits until the broker has seen what was sent."""
        publish(self.channel, DEFAULT, "q", confirm=False)
        getting = Probe(self.channel.basic_get(Queue("q"), False))
        self.assertEqual(self.publishing.commands(), ["SEND", "BEGIN", "ABORT"])
        self.assertEqual(self.dialect.recipes, [])
        self.publishing.answer_all()
        self.assertEqual(self.dialect.recipes, ["get q"])
        self.go_on()
        self.assertDone(getting)
        Probe(self.channel.basic_get(Queue("q"), False))
        self.assertEqual(len(self.publishing.frames), 3)

    def test_cancelled(self) -> None:
        """One that waits is not sent when it was cancelled."""
        self.channel.exchange_declare(FEED, False)
        for confirm in (True, False):
            sent = Probe(publish(self.channel, FEED, "a", confirm=confirm))
            sent.deferred.cancel()
            self.assertIsInstance(sent.outcome, NotWritten)
        self.go_on()
        self.assertEqual(self.publishing.frames, [])

    def test_cancelled_and_let_go(self) -> None:
        """Of one that waited and was cancelled nothing is kept."""
        Probe(self.channel.exchange_declare(FEED, False))
        body = b"large" * 100
        before = getrefcount(body)
        sent = publish(self.channel, FEED, "a", body).addErrback(lambda _: None)
        self.assertGreater(getrefcount(body), before)
        sent.cancel()
        self.assertEqual(getrefcount(body), before)

    def test_cancelled_when_sent(self) -> None:
        """One that had waited and was sent may be cancelled as any other."""
        self.channel.exchange_declare(FEED, False)
        sent = Probe(publish(self.channel, FEED, "a"))
        self.go_on()
        sent.deferred.cancel()
        self.assertIsInstance(sent.outcome, CancelledError)
        self.assertNotIsInstance(sent.outcome, NotWritten)
        self.session.abort()

    def test_lost(self) -> None:
        """One that waits was not sent when all ends, with confirm or without."""
        Probe(self.channel.exchange_declare(FEED, False))
        sent = Probe(publish(self.channel, FEED, "a"))
        quick = Probe(publish(self.channel, FEED, "b", confirm=False))
        self.publishing.lose()
        self.assertIsInstance(sent.outcome, NotSent)
        self.assertIsInstance(quick.outcome, NotSent)

    def test_lost_as_another_is_told(self) -> None:
        """One that is cancelled as the channel ends fails once, as cancelled."""
        for held in (False, True):
            self.setUp()
            if held:
                Probe(self.channel.exchange_declare(FEED, False))
            first = publish(self.channel, FEED, "a")
            second = Probe(publish(self.channel, FEED, "b"))
            first.addErrback(self.cancel, second)
            self.publishing.lose()
            self.assertIsInstance(second.outcome, CancelledError)

    def cancel(self, _: Failure, probe: Probe) -> None:
        """Cancel a publish."""
        probe.deferred.cancel()

    def test_each_kind(self) -> None:
        """
        A message without confirm waits for a declaration, a binding, a purge and a
        deletion, and so does who publishes the next one when it is written.
        """
        queue = Queue("q")
        self.connector.prompt = True
        for begin in (
            lambda: self.channel.exchange_declare(FEED, False),
            lambda: self.channel.queue_declare(queue, False),
            lambda: self.channel.queue_bind(queue, FEED, "a", {}),
            lambda: self.channel.queue_purge(queue),
            lambda: self.channel.queue_delete(queue, False, False),
        ):
            self.publishing.frames.clear()
            begun = Probe(begin())
            sent = Probe(publish(self.channel, FEED, "x", confirm=False))
            self.assertFalse(sent.fired or self.keys())
            self.publishing.answer_all()
            self.go_on()
            self.assertTrue(begun.fired)
            self.assertDone(sent)
            self.assertEqual(self.keys(), ["x"])


class RefusedTests(StompTestCase):
    """Messages that a broker does not take."""

    prompt = False

    def test_alone(self) -> None:
        """An error that names a message's receipt is its own; others go on."""
        refused = Probe(publish(self.channel, FEED, "a"))
        other = Probe(publish(self.channel, FEED, "b"))
        self.publishing.refuse("1", AccessRefused("no"))
        self.assertIsInstance(refused.outcome, AccessRefused)
        self.assertEqual(refused.outcome.about, "feed")
        self.publishing.answer("2")
        self.assertDone(other)
        self.assertEqual(self.names(), [])

    def test_named(self) -> None:
        """
        An error that ends the socket is that of the messages that it is about;
        what became of the others is not known.
        """
        refused = Probe(publish(self.channel, FEED, "a"))
        other = Probe(publish(self.channel, FEED, "b"))
        self.publishing.lose(NotFound("no feed/a"))
        self.assertIsInstance(refused.outcome, NotFound)
        self.assertEqual(refused.outcome.about, "feed")
        self.assertIsInstance(other.outcome, OutcomeUnknown)
        self.assertIsInstance(other.outcome.__cause__, NotFound)
        self.assertEqual(self.names(), ["channel_lost"])

    def test_only_one(self) -> None:
        """If there was only one under way, the error is about that."""
        refused = Probe(publish(self.channel, FEED, "a"))
        self.publishing.lose(NotFound("something"))
        self.assertIsInstance(refused.outcome, NotFound)

    def test_about_the_connection(self) -> None:
        """
        An error that is about no message leaves it open what became of one, even if
        that was the only one under way.
        """
        for error in (
            *(kind("bye") for kind in ConnectionErrorReply.__subclasses__()),
            BrokerError("AMQP channel died: Reason: killed"),
            BrokerError("Processing error"),
            broker_error(599, "of a kind that nobody knows"),
        ):
            sent = Probe(publish(self.channel, FEED, "a"))
            self.last.lose(error)
            self.assertIsInstance(sent.outcome, OutcomeUnknown, error)
            self.assertIs(sent.outcome.__cause__, error)
            self.reopen()

    def test_about_the_connection_by_name(self) -> None:
        """So does one that happens to name where the message was sent to."""
        sent = Probe(publish(self.channel, FEED, "a"))
        self.publishing.lose(ConnectionForced("no more feed/a"))
        self.assertIsInstance(sent.outcome, OutcomeUnknown)

    def test_about_an_operation(self) -> None:
        """Of the others each may be a refusal of the only one."""
        for kind in ChannelError.__subclasses__():
            sent = Probe(publish(self.channel, FEED, "a"))
            self.last.lose(kind("something"))
            self.assertIs(type(sent.outcome), kind)
            self.assertIs(sent.outcome.outcome, Outcome.REFUSED)
            self.reopen()

    def reopen(self) -> None:
        """Open another channel after the end of one."""
        self.connector.prompt = True
        self.channel = self.open_channel()
        self.last.prompt = self.connector.prompt = False

    def test_not_the_only_one(self) -> None:
        """It may be about one without confirm, too."""
        publish(self.channel, FEED, "b", confirm=False)
        sent = Probe(publish(self.channel, FEED, "a"))
        self.publishing.lose(NotFound("something"))
        self.assertIsInstance(sent.outcome, OutcomeUnknown)

    def test_seen(self) -> None:
        """Nor any that the broker is known to have seen; until then it may be."""
        for answers, kind in ((False, OutcomeUnknown), (True, NotFound)):
            publish(self.channel, FEED, "b", confirm=False)
            self.dialect.waits = True
            Probe(self.channel.basic_get(Queue("q"), False))
            if answers:
                self.last.answer_all()
            sent = Probe(publish(self.channel, FEED, "a"))
            self.last.lose(NotFound("something"))
            self.assertIsInstance(sent.outcome, kind)
            self.reopen()

    def test_not_after_a_cancelled_one(self) -> None:
        """
        It may be about one that nobody waits for any more, until the broker is known
        to have seen that.
        """
        for answers, kind in ((False, OutcomeUnknown), (True, NotFound)):
            publish(self.channel, FEED, "b").addErrback(lambda _: None).cancel()
            self.dialect.waits = True
            Probe(self.channel.basic_get(Queue("q"), False))
            self.assertEqual(self.last.commands(), ["SEND", "BEGIN", "ABORT"])
            if answers:
                self.last.answer_all()
            sent = Probe(publish(self.channel, FEED, "a"))
            self.last.lose(NotFound("something"))
            self.assertIsInstance(sent.outcome, kind)
            self.reopen()

    def test_lost(self) -> None:
        """At a loss nothing is known."""
        sent = Probe(publish(self.channel, FEED, "a"))
        self.publishing.lose()
        self.assertIsInstance(sent.outcome, OutcomeUnknown)
        self.assertIsInstance(sent.outcome.__cause__, SessionLost)
        late = Probe(publish(self.channel, FEED, "a"))
        self.assertIsInstance(late.outcome, NotSent)
        self.assertEqual(len(self.publishing.frames), 1)

    def test_callback_publishes(self) -> None:
        """A verdict's callback may publish; that is not lost."""
        again: list[Probe] = []
        sent = publish(self.channel, FEED, "a")
        sent.addCallback(
            lambda _: again.append(Probe(publish(self.channel, FEED, "b")))
        )
        self.publishing.answer("1")
        self.publishing.answer("2")
        self.assertDone(again[0])


class UnansweredTests(StompTestCase):
    """A broker that reads messages, and answers none."""

    prompt = False

    def test_cancelled_ones(self) -> None:
        """Of those that nobody waits for any more nothing is kept."""
        before = len(self.publishing._waiters)
        for _ in range(500):
            sent = Probe(publish(self.channel, FEED, "a"))
            sent.deferred.cancel()
            self.assertIs(type(sent.outcome), CancelledError)
        self.assertEqual(len(self.publishing._waiters), before)
        self.assertFalse(self.channel._publishing.waiting)

    def test_closing(self) -> None:
        """A channel that closes waits for the others, and not for those."""
        given_up = Probe(publish(self.channel, FEED, "a"))
        sent = Probe(publish(self.channel, FEED, "b"))
        given_up.deferred.cancel()
        closing = Probe(self.channel.close())
        self.assertFalse(self.publishing.left)
        self.publishing.answer("2")
        self.assertDone(sent)
        self.assertTrue(self.publishing.left)
        self.publishing.go()
        self.assertDone(closing)

    def test_closing_meanwhile(self) -> None:
        """It goes on when the last one that it waits for is given up."""
        sent = Probe(publish(self.channel, FEED, "a"))
        closing = Probe(self.channel.close())
        self.assertFalse(self.publishing.left)
        sent.deferred.cancel()
        self.assertTrue(self.publishing.left)
        self.publishing.go()
        self.assertDone(closing)

    def test_late(self) -> None:
        """A receipt or refusal that comes late is nobody's, and ends nothing."""
        peer = Peer()
        peer.log_in()
        peer.socket.follow(errors_are_fatal=False, length_is_last=False)
        publisher = StompPublisher(self.dialect, peer.socket, self.clock.seconds)
        verdicts = []
        for _ in range(3):
            message = publisher.prepare(b"x", {}, FEED, "a")
            verdicts.append(Probe(publisher.send(message, b"x", True)))
        first, second, last = (
            each.headers["receipt"] for each in peer.frames() if each.command == "SEND"
        )
        for each in verdicts[:2]:
            each.deferred.cancel()
        late = frame("ERROR", message="no", receipt_id=second)
        peer.send(receipt(first), receipt(first), late)
        self.assertTrue(peer.socket.alive)
        self.assertFalse(verdicts[2].fired)
        peer.send(receipt(last))
        self.assertDone(verdicts[2])
        self.assertEqual(peer.socket._receipts, {})


class RoomTests(StompTestCase):
    """Sockets that are full."""

    def test_full(self) -> None:
        """Publishing pauses while the socket of any channel is full."""
        other = self.open_channel()
        self.channel.write_paused()
        other.write_paused()
        self.channel.write_resumed()
        self.assertEqual(self.names(), ["write_paused"])
        other.write_resumed()
        self.assertEqual(self.names(), ["write_paused", "write_resumed"])

    def test_full_and_gone(self) -> None:
        """A socket that is gone is not full any more."""
        self.channel.write_paused()
        self.successResultOf(self.channel.close())
        self.assertEqual(self.names(), ["write_paused", "write_resumed"])

    def test_full_and_lost(self) -> None:
        """Its owner hears of the loss first, so that it sends nothing more on it."""
        self.channel.write_paused()
        self.publishing.lose(SessionLost("cut"))
        names = ["write_paused", "channel_lost", "write_resumed"]
        self.assertEqual(self.names(), names)
