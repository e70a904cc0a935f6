"""Publishing over STOMP, and the receipts of it."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from tests.contract.harness import DEFAULT, Probe, publish
from tests.support.stomp_fakes import StompTestCase
from txkombu.entity import Exchange, Queue, as_exchange
from txkombu.exceptions import (
    AccessRefused,
    ContentTooLarge,
    NotFound,
    NotSent,
    NotSupported,
    OutcomeUnknown,
    SessionLost,
)
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
        self.assertDone(last)
        self.assertEqual(len(self.publishing.frames), 1)
        self.go_on()
        self.assertDone(declared)
        self.assertEqual(len(self.publishing.frames), 2)
        self.assertIn("behind", self.publishing.frames[1])
        self.assertFalse(again.fired)
        self.go_on()
        self.assertIn("last", self.publishing.frames[2])
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
        sent = Probe(publish(self.channel, FEED, "a"))
        sent.deferred.cancel()
        self.assertIsInstance(sent.outcome, CancelledError)
        self.go_on()
        self.assertEqual(self.publishing.frames, [])

    def test_cancelled_when_sent(self) -> None:
        """One that had waited and was sent may be cancelled as any other."""
        self.channel.exchange_declare(FEED, False)
        sent = Probe(publish(self.channel, FEED, "a"))
        self.go_on()
        sent.deferred.cancel()
        self.assertIsInstance(sent.outcome, CancelledError)
        self.session.abort()

    def test_lost(self) -> None:
        """One that waits was not sent when all ends."""
        Probe(self.channel.exchange_declare(FEED, False))
        sent = Probe(publish(self.channel, FEED, "a"))
        publish(self.channel, FEED, "b", confirm=False)
        self.publishing.lose()
        self.assertIsInstance(sent.outcome, NotSent)


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
            self.connector.prompt = True
            self.channel = self.open_channel()
            self.last.prompt = self.connector.prompt = False

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
