"""
The accounts of a channel: settlements, confirms, requests, numbers.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import Probe
from txkombu.exceptions import (
    AccessRefused,
    BrokerError,
    ChannelClosed,
    Nacked,
    NotFound,
    OutcomeUnknown,
    ProtocolError,
    ResourceError,
    Unroutable,
)
from txkombu.interfaces import Returned
from txkombu.transport.amqp.channel_numbers import ChannelNumbers
from txkombu.transport.amqp.confirms import Confirms
from txkombu.transport.amqp.requests import Request, Requests
from txkombu.transport.amqp.unacked import UnackedTags
from txkombu.transport.amqp.wire.errors import refused_targets

Basic = commands.Basic
Queue = commands.Queue


class Broker:
    """A broker's view of one channel's deliveries, strict as RabbitMQ is."""

    def __init__(self) -> None:
        self.awaiting: set[int] = set()
        self.acked: set[int] = set()

    def take(self, acks: list[tuple[int, bool]]) -> None:
        for tag, multiple in acks:
            assert tag in self.awaiting, "unknown delivery tag"
            taken = {each for each in self.awaiting if multiple and each <= tag}
            taken.add(tag)
            self.awaiting -= taken
            self.acked |= taken


_steps = st.lists(
    st.one_of(
        st.just(("deliver", 0, False)),
        st.just(("skip", 0, False)),
        st.tuples(st.sampled_from(["ack", "take"]), st.integers(0, 25), st.booleans()),
        st.just(("flush", 0, False)),
        st.just(("forget", 0, False)),
    ),
    max_size=80,
)


class LedgerTests(SynchronousTestCase):
    """Settlements."""

    @given(_steps)
    def test_any_order(self, steps: list[tuple[str, int, bool]]) -> None:
        """
        Whatever is settled in whatever order, the broker is told exactly that, and
        never of a tag that awaits nothing.
        """
        ledger, broker = UnackedTags(), Broker()
        wanted: set[int] = set()
        given: set[int] = set()
        last = 0
        for step, tag, multiple in steps:
            meant = {
                each
                for each in given
                if each == tag or (multiple and (each < tag or not tag))
            }
            if step == "deliver":
                last += 1
                ledger.awaiting[last] = None
                broker.awaiting.add(last)
                given.add(last)
            elif step == "skip":
                last += 1
            elif step == "ack":
                self.assertEqual(ledger.ack(tag, multiple), bool(meant))
                wanted |= meant
                given -= meant
            elif step == "flush":
                broker.take(ledger.flush())
                self.assertEqual(broker.acked, wanted)
                self.assertFalse(ledger.acked)
            elif step == "take":
                broker.take(ledger.flush())
                self.assertEqual(ledger.settle(tag, multiple), sorted(meant))
                broker.awaiting -= meant
                given -= meant
            else:
                broker.take(ledger.flush())
                ledger.forget()
                broker.awaiting.clear()
                given.clear()
        broker.take(ledger.flush())
        self.assertEqual(broker.acked, wanted)
        self.assertEqual(broker.awaiting, given)

    def test_coalesced(self) -> None:
        """A run of acks is written as one, those above an unsettled tag singly."""
        ledger = UnackedTags()
        for tag in (1, 2, 4, 5, 6, 7, 9):
            ledger.awaiting[tag] = None
        for tag in (9, 4, 2, 1, 7):
            ledger.ack(tag, False)
        self.assertEqual(ledger.flush(), [(4, True), (7, False), (9, False)])
        self.assertEqual(ledger.flush(), [])
        ledger.ack(5, False)
        self.assertEqual(ledger.flush(), [(5, False)])


def _returned(message_id: str, routing_key: str = "key") -> Returned:
    properties = {"message_id": message_id}
    return Returned(312, "NO_ROUTE", "e", routing_key, b"", properties)


class ConfirmsTests(SynchronousTestCase):
    """Verdicts on publishes."""

    def setUp(self) -> None:
        self.confirms = Confirms()
        self.confirms.selected = True

    def publish(self, message_id: str = "m", mandatory: bool = False) -> Probe:
        """Publish one message."""
        verdict = self.confirms.expect_confirm("e", "key")
        if mandatory:
            self.confirms.may_return(message_id)
        return Probe(verdict)

    def test_out_of_order(self) -> None:
        """Verdicts may come out of order, singly and for several at once."""
        probes = [self.publish() for _ in range(6)]
        self.confirms.settle(5, False, True)
        self.confirms.settle(2, False, False)
        self.confirms.settle(4, True, True)
        kinds = [type(probe.outcome) for probe in probes[:5]]
        none = type(None)
        self.assertEqual(kinds, [none, Nacked, none, none, none])
        self.assertFalse(probes[5].fired)
        self.confirms.settle(0, True, True)
        self.assertIsNone(probes[5].outcome)

    def test_unknown_numbers(self) -> None:
        """Verdicts on publishes that nobody waits for are ignored."""
        self.confirms.count()
        probe = self.publish()
        for number in (1, 3, 99):
            self.confirms.settle(number, False, False)
        self.assertFalse(probe.fired)
        self.confirms.settle(2, False, True)
        self.assertIsNone(probe.outcome)
        self.confirms.settle(2, True, False)

    def test_third_of_three(self) -> None:
        """
        One verdict on three publishes, of which only the third came back, fails only
        that.
        """
        probes = [self.publish(f"{number}", True) for number in range(3)]
        self.assertTrue(self.confirms.give_back(_returned("2")))
        self.confirms.settle(3, True, True)
        self.assertEqual([probe.outcome for probe in probes[:2]], [None, None])
        self.assertIsInstance(probes[2].outcome, Unroutable)
        self.assertEqual(probes[2].outcome.returned, _returned("2"))

    def test_two_alike(self) -> None:
        """
        Two publishes that look alike and both came back both fail.  Of three that have
        one verdict those are the last: RabbitMQ returns a message right before its
        verdict, and has more to do for one that is in a queue.
        """
        probes = [self.publish("same", True) for _ in range(3)]
        self.assertTrue(self.confirms.give_back(_returned("same")))
        self.assertTrue(self.confirms.give_back(_returned("same")))
        self.confirms.settle(3, True, True)
        kinds = [type(probe.outcome) for probe in probes]
        self.assertEqual(kinds, [type(None), Unroutable, Unroutable])

    def test_alike_one_by_one(self) -> None:
        """Of publishes that look alike, what came back is settled next."""
        probes = [self.publish("same", True) for _ in range(4)]
        for number in (3, 4):
            self.assertTrue(self.confirms.give_back(_returned("same")))
            self.confirms.settle(number, False, True)
        self.confirms.settle(2, True, True)
        kinds = [type(probe.outcome) for probe in probes]
        none = type(None)
        self.assertEqual(kinds, [none, none, Unroutable, Unroutable])

    def test_alike_and_cancelled(self) -> None:
        """One that was cancelled takes what came back of it; nothing is left."""
        probes = [self.publish("same", True) for _ in range(3)]
        probes[1].deferred.cancel()
        self.assertTrue(self.confirms.give_back(_returned("same")))
        self.confirms.settle(2, False, True)
        self.assertTrue(self.confirms.give_back(_returned("same")))
        self.confirms.settle(3, True, True)
        self.assertIsNone(probes[0].outcome)
        self.assertIsInstance(probes[2].outcome, Unroutable)
        self.assertFalse(self.confirms.give_back(_returned("same")))
        for kept in ("_alike", "_mandatory", "_returned", "_unplaced", "_waiting"):
            self.assertFalse(getattr(self.confirms, kept), kept)

    def test_strangers(self) -> None:
        """Messages that came back and that nobody waits for are not recognized."""
        self.publish("1", True)
        self.publish("2", False)
        self.assertFalse(self.confirms.give_back(_returned("2")))
        self.assertFalse(self.confirms.give_back(_returned("1", "other")))

    @given(st.data())
    def test_any_interleaving(self, data: st.DataObject) -> None:
        """Each publish gets its own verdict under any interleaving."""
        self.setUp()
        size = data.draw(st.integers(1, 12))
        lost = data.draw(st.sets(st.integers(0, size - 1)))
        probes = [self.publish(str(number), True) for number in range(size)]
        pending = list(range(size))
        while pending:
            number = data.draw(st.sampled_from(pending))
            multiple = data.draw(st.booleans())
            batch = [
                each
                for each in pending
                if each == number or (multiple and each < number)
            ]
            for each in data.draw(st.permutations([n for n in batch if n in lost])):
                self.assertTrue(self.confirms.give_back(_returned(str(each))))
            self.confirms.settle(number + 1, multiple, True)
            pending = [each for each in pending if each not in batch]
        for number, probe in enumerate(probes):
            if number in lost:
                returned = probe.outcome.returned
                self.assertEqual(returned.properties["message_id"], str(number))
            else:
                self.assertIsNone(probe.outcome)

    def test_drain(self) -> None:
        """At the end all that wait fail, and cancelled ones do not fail again."""
        probes = [self.publish() for _ in range(3)]
        probes[1].deferred.cancel()
        self.confirms.note_unwritten()
        self.confirms.drain(OutcomeUnknown)
        self.assertIsInstance(probes[0].outcome, OutcomeUnknown)
        self.assertEqual(probes[0].outcome.args, (("e", "key"), True))
        self.assertEqual(probes[2].outcome.args, (("e", "key"), False))
        self.assertEqual(len(probes[1].outcomes), 1)

    def test_cancelled_by_another(self) -> None:
        """A verdict may cancel one that comes with it, or at the end."""
        ends: list[Callable[[], None]] = [
            lambda: self.confirms.settle(2, True, True),
            lambda: self.confirms.settle(2, True, False),
            lambda: self.confirms.drain(lambda *_: OutcomeUnknown()),
        ]

        def cancel(_: object, other: Probe) -> None:
            other.deferred.cancel()

        for mandatory in (False, True):
            for end in ends:
                self.setUp()
                first = self.confirms.expect_confirm("e", "key")
                second = self.publish("m", mandatory)
                first.addBoth(cancel, second)
                end()
                self.assertIsInstance(second.outcome, CancelledError)
                self.assertEqual(len(second.outcomes), 1)

    def test_cancelled_ones_are_forgotten(self) -> None:
        """What was cancelled takes no memory while its verdict does not come."""
        for _ in range(3):
            self.publish().deferred.cancel()
        last = self.publish()
        self.assertEqual(self.confirms.targets(), [("e", "key")])
        self.assertFalse(self.confirms.all_waited)
        self.confirms.settle(3, True, True)
        self.assertFalse(last.fired)
        self.assertTrue(self.confirms.all_waited)
        self.confirms.settle(4, False, True)
        self.assertIsNone(last.outcome)

    def test_cancelled_and_returned(self) -> None:
        """
        A mandatory message that comes back after its publish was cancelled is nobody's,
        and not taken for that of a later publish that looks alike.
        """
        for multiple in (False, True):
            self.setUp()
            self.publish("same", True).deferred.cancel()
            later = self.publish("same", True)
            self.assertTrue(self.confirms.give_back(_returned("same")))
            self.confirms.settle(1, multiple, True)
            self.confirms.settle(2, multiple, True)
            self.assertIsNone(later.outcome)

    def test_cancelled_and_arrived(self) -> None:
        """
        A mandatory message that arrived after its publish was cancelled does not
        stand for a later one that comes back.
        """
        for multiple in (False, True):
            self.setUp()
            self.publish("same", True).deferred.cancel()
            self.confirms.settle(1, multiple, True)
            later = self.publish("same", True)
            self.assertTrue(self.confirms.give_back(_returned("same")))
            self.confirms.settle(2, multiple, True)
            self.assertIsInstance(later.outcome, Unroutable)
            self.assertFalse(self.confirms.give_back(_returned("same")))

    def test_returned_and_cancelled(self) -> None:
        """What was cancelled after its message came back is settled as any other."""
        first, later = self.publish("1", True), self.publish("2", True)
        self.assertTrue(self.confirms.give_back(_returned("1")))
        first.deferred.cancel()
        self.confirms.settle(2, True, True)
        self.assertIsNone(later.outcome)
        self.assertIsInstance(first.outcome, CancelledError)


class RequestsTests(SynchronousTestCase):
    """Requests and their replies."""

    def setUp(self) -> None:
        self.requests = Requests()

    def ask(self, kind: type, about: str = "", tag: str = "") -> Probe:
        """Send a request."""
        request: Request[object] = Request(kind, about, lambda reply: reply)
        assert request.deferred is not None
        self.requests.add_request(request, tag)
        return Probe(request.deferred)

    def test_in_order(self) -> None:
        """Replies belong to requests in the order of both."""
        first, second = self.ask(Queue.Purge), self.ask(Queue.Purge)
        self.requests.answer(Queue.PurgeOk(1), 1)
        self.assertEqual((first.outcome, second.fired), (1, False))
        self.requests.answer(Queue.PurgeOk(2), 2)
        self.assertEqual(second.outcome, 2)

    def test_by_tag(self) -> None:
        """Replies that name a consumer belong to the request with its tag."""
        one = self.ask(Basic.Consume, tag="1")
        two = self.ask(Basic.Consume, tag="2")
        purge = self.ask(Queue.Purge)
        self.requests.answer(Queue.PurgeOk(1), "purged")
        self.requests.answer(Basic.ConsumeOk("2"), "two")
        self.requests.answer(Basic.ConsumeOk("1"), "one")
        outcomes = (one.outcome, two.outcome, purge.outcome)
        self.assertEqual(outcomes, ("one", "two", "purged"))

    def test_answers_nothing(self) -> None:
        """A reply that answers nothing breaks the protocol."""
        self.ask(Queue.Purge)
        self.ask(Basic.Consume, tag="1")
        for reply in (
            Queue.DeleteOk(1),
            Basic.ConsumeOk("2"),
            Basic.CancelOk("1"),
            Basic.QosOk(),
        ):
            with self.assertRaisesRegex(ProtocolError, f"{reply.name} answers nothing"):
                self.requests.answer(reply, reply)

    def test_refused(self) -> None:
        """An error is about the oldest request of its method, if that is due."""
        self.ask(Queue.Purge, "q")
        self.ask(Queue.Delete, "r")
        refused = self.requests.refused_by(NotFound("", class_id=50, method_id=30))
        assert refused is not None
        self.assertEqual(refused.about, "q")
        for method in (40, 10):
            error = NotFound("", class_id=50, method_id=method)
            self.assertIsNone(self.requests.refused_by(error))

    def test_refused_consumer(self) -> None:
        """Of several consumers, the error is about the one whose queue it names."""
        for number in "123":
            self.ask(Basic.Consume, f"q{number}", number)
        for text, about in (("no queue 'q2' in", "q2"), ("something", "q1")):
            error = NotFound(text, class_id=60, method_id=20)
            refused = self.requests.refused_by(error)
            assert refused is not None
            self.assertEqual(refused.about, about)

    def test_drain(self) -> None:
        """At the end all that wait are returned, once."""
        probes = [self.ask(Queue.Purge), self.ask(Basic.Consume, tag="1")]
        for request in self.requests.drain():
            request.fail(ChannelClosed())
        self.assertEqual(self.requests.drain(), [])
        for probe in probes:
            self.assertIsInstance(probe.outcome, ChannelClosed)

    def test_undo(self) -> None:
        """The reply to a cancelled request is undone; no other reply is."""
        undone: list[object] = []
        retracted: list[str] = []
        request: Request[object] = Request(
            Queue.Purge,
            "",
            lambda reply: reply,
            undone.append,
            lambda: retracted.append("now"),
        )
        self.requests.add_request(request)
        after = self.ask(Queue.Purge)
        assert request.deferred is not None
        request.deferred.addErrback(lambda reason: None)
        request.deferred.cancel()
        self.assertEqual((retracted, undone), (["now"], []))
        self.requests.answer(Queue.PurgeOk(1), 1)
        self.assertEqual((undone, after.fired), ([1], False))


class RefusalTests(SynchronousTestCase):
    """Which publishes a refusal is about."""

    def error(self, text: str) -> BrokerError:
        """Return the refusal of a publish."""
        return NotFound(text, class_id=60, method_id=40)

    def refuses(self, error: BrokerError, exchange: str, all_known: bool) -> bool:
        """Tell whether a publish to an exchange, the only one, was refused."""
        target = exchange, "key"
        return refused_targets(error, [target], all_known) == {target}

    def test_named(self) -> None:
        """A refusal is about publishes to the exchange that it names."""
        for text in (
            "NOT_FOUND - no exchange 'a' in vhost '/'",
            "no exchange 'a' in vhost '/'",
            "ACCESS_REFUSED - cannot publish to internal exchange 'a' in vhost '/'",
            "ACCESS_REFUSED - access to exchange 'a' in vhost '/' refused for user 'u'",
        ):
            error = self.error(text)
            self.assertTrue(self.refuses(error, "a", False))
            for other in ("b", "", "a'", "ab"):
                self.assertFalse(self.refuses(error, other, True))

    def test_odd_names(self) -> None:
        """Names with quotes and blanks are told apart."""
        for name in ("it's in vhost 'x'", "a' in vhost 'b", "exchange 'a"):
            error = self.error(f"no exchange '{name}' in vhost '/'")
            self.assertTrue(self.refuses(error, name, False))
            self.assertFalse(self.refuses(error, "a", True))

    def test_cut_name(self) -> None:
        """A name of which the text has only the beginning matches by its beginning."""
        error = self.error("NOT_FOUND - no exchange 'aaaa...")
        self.assertTrue(self.refuses(error, "aaaaaaa", True))
        self.assertFalse(self.refuses(error, "aaba", True))
        self.assertFalse(self.refuses(error, "aaaaaaa", False))

    def test_cut_behind_the_name(self) -> None:
        """A text that is cut behind a name names it wholly."""
        error = self.error("NOT_FOUND - no exchange 'aaaa' in vh...")
        self.assertTrue(self.refuses(error, "aaaa", True))
        self.assertFalse(self.refuses(error, "aaaaa", True))

    def test_unnamed(self) -> None:
        """A refusal without a name is about a publish only if there is no other."""
        error = self.error("PRECONDITION_FAILED - message size 9 is larger than 8")
        self.assertTrue(self.refuses(error, "a", True))
        self.assertFalse(self.refuses(error, "a", False))
        target = "a", "key"
        self.assertEqual(refused_targets(error, [target, target], True), set())

    def test_default_exchange(self) -> None:
        """RabbitMQ calls the default exchange amq.default where it refuses access."""
        text = "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused"
        error: BrokerError = AccessRefused(text, class_id=60, method_id=40)
        for exchange in ("", "amq.default"):
            self.assertTrue(self.refuses(error, exchange, False))
        self.assertFalse(self.refuses(error, "other", True))
        error = self.error("NOT_FOUND - no exchange 'amq.default' in vhost '/'")
        self.assertTrue(self.refuses(error, "amq.default", False))
        self.assertFalse(self.refuses(error, "", True))

    def test_other_methods(self) -> None:
        """An error about another method is about no publish."""
        error = NotFound("no exchange 'a' in vhost '/'", class_id=50, method_id=20)
        self.assertFalse(self.refuses(error, "a", True))
        self.assertEqual(refused_targets(ChannelClosed(), [("a", "")], True), set())


class ChannelNumbersTests(SynchronousTestCase):
    """Numbers of channels."""

    def test_reuse(self) -> None:
        """The lowest free number is given, and none beyond the limit."""
        numbers = ChannelNumbers(3)
        self.assertEqual([numbers.allocate() for _ in range(3)], [1, 2, 3])
        with self.assertRaisesRegex(ResourceError, "all 3 channels"):
            numbers.allocate()
        numbers.give_back(3)
        numbers.give_back(1)
        self.assertEqual((numbers.allocate(), numbers.allocate()), (1, 3))
