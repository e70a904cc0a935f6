"""
Which publishes fail as refused when a broker closes their channel over one of them.
"""

from __future__ import annotations

from struct import pack

from pamqp import commands
from twisted.internet.defer import CancelledError

from tests.contract.harness import DEFAULT, Probe, publish
from tests.support.amqp_peer import Basic, Channel
from tests.transport.amqp.test_channel import ChannelCase
from txkombu.entity import Exchange
from txkombu.exceptions import (
    AccessRefused,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
)
from txkombu.transport.amqp.wire.frames import METHOD, frame

X, Y = Exchange("x", "topic"), Exchange("y", "topic")
TOO_LARGE = "PRECONDITION_FAILED - message size 9 is larger than configured max size 8"


class RefusedCase(ChannelCase):
    """A channel that the broker closes."""

    def publish(self, exchange: Exchange = DEFAULT, routing_key: str = "q") -> Probe:
        """Publish a message, and wait for its verdict."""
        return Probe(publish(self.channel, exchange, routing_key))

    def publish_blindly(self, exchange: Exchange = DEFAULT) -> None:
        """Publish a message without waiting for a verdict."""
        publish(self.channel, exchange, "q", confirm=False)

    def selected(self) -> None:
        """Answer confirm.select."""
        self.peer.clock.advance(0)
        self.send(commands.Confirm.SelectOk())

    def refuse(self, code: int, text: str) -> None:
        """Close the channel over a publish."""
        self.peer.clock.advance(0)
        self.send(Channel.Close(code, text, 60, 40))

    def check(self, refused: type[Exception], *probes: Probe) -> None:
        """Check that the first was refused, and that nobody knows about the others."""
        self.assertIsInstance(probes[0].outcome, refused)
        for probe in probes[1:]:
            self.assertIsInstance(probe.outcome, OutcomeUnknown)
            self.assertIsInstance(probe.outcome.__cause__, refused)


class TopicTests(RefusedCase):
    """A routing key that the user may not write to."""

    def refuse_topic(self, key: str, exchange: str = "x", user: str = "u") -> None:
        """Close the channel over one, in RabbitMQ's words."""
        text = (
            f"ACCESS_REFUSED - access to topic '{key}' in exchange '{exchange}' in "
            f"vhost '/' refused for user '{user}'"
        )
        if len(text) > 255:
            text = f"{text[:252]}..."
        self.refuse(403, text)

    def test_one_of_many(self) -> None:
        """Only publishes with that key to that exchange were refused."""
        others = [self.publish(X, f"free.{number}") for number in range(500)]
        refused = self.publish(X, "secret")
        others += [self.publish(Y, "secret"), self.publish(X, "secret.not")]
        others.append(self.publish(Exchange("secret"), "x"))
        self.selected()
        self.refuse_topic("secret")
        self.check(AccessRefused, refused, *others)
        self.assertEqual(refused.outcome.about, "x")

    def test_with_that_key(self) -> None:
        """All with that key were refused."""
        one, other = self.publish(X, "secret"), self.publish(X, "secret")
        self.selected()
        self.refuse_topic("secret")
        for probe in (one, other):
            self.check(AccessRefused, probe)

    def test_odd_keys(self) -> None:
        """A key that looks like another refusal is that key all the same."""
        odd = "exchange 'y' in vhost '/' a' in exchange 'y"
        refused = self.publish(X, odd)
        others = [self.publish(Y, "a"), self.publish(Y, odd), self.publish(X, "a")]
        self.selected()
        self.refuse_topic(odd)
        self.check(AccessRefused, refused, *others)

    def test_copied(self) -> None:
        """A key that the only publish does not have is one of its header CC."""
        for exchange, refused in ((X, True), (Y, False)):
            self.setUp()
            one = self.publish(exchange, "free")
            self.selected()
            self.refuse_topic("secret")
            kind = AccessRefused if refused else OutcomeUnknown
            self.assertIsInstance(one.outcome, kind)

    def test_not_waited_for(self) -> None:
        """Where nobody waits for the refused one, no other takes the blame."""
        other = self.publish(X, "free")
        self.publish_blindly(X)
        self.refuse_topic("q")
        self.assertIsInstance(other.outcome, OutcomeUnknown)

    def test_cut_key(self) -> None:
        """A key of which the text has only the beginning is found by that."""
        refused = self.publish(X, "k" * 230)
        others = [self.publish(X, "k" * 200), self.publish(X, "l" * 230)]
        self.selected()
        self.refuse_topic("k" * 230)
        self.check(AccessRefused, refused, *others)

    def test_cut_keys_alike(self) -> None:
        """Of two keys with the same beginning either may be the refused one."""
        probes = [self.publish(X, "k" * 230 + each) for each in "ab"]
        self.selected()
        self.refuse_topic("k" * 230 + "b")
        for probe in probes:
            self.assertIsInstance(probe.outcome, OutcomeUnknown)


class ExchangeTests(RefusedCase):
    """An exchange that is not there, or that the user may not write to."""

    def test_cut_names_alike(self) -> None:
        """Of two names with the same beginning either may be the refused one."""
        for code, error in ((404, NotFound), (403, AccessRefused)):
            self.setUp()
            begin = "n" * 240
            probes = [self.publish(Exchange(begin + each)) for each in "ab"]
            probes.append(self.publish(Y))
            self.selected()
            said = "NOT_FOUND - no" if code == 404 else "ACCESS_REFUSED - access to"
            self.refuse(code, f"{said} exchange '{begin}"[:252] + "...")
            for probe in probes:
                self.assertIsInstance(probe.outcome, OutcomeUnknown)
                self.assertIsInstance(probe.outcome.__cause__, error)

    def test_cut_name_of_the_blind(self) -> None:
        """A cut name may be that of a publish that nobody waits for."""
        begin = "n" * 240
        one = self.publish(Exchange(begin + "a"))
        self.publish_blindly(Exchange(begin + "b"))
        self.refuse(404, f"NOT_FOUND - no exchange '{begin}"[:252] + "...")
        self.assertIsInstance(one.outcome, OutcomeUnknown)

    def test_cut_within_a_character(self) -> None:
        """A text that is cut off in the midst of a character ends the channel only."""
        for name in ("é" * 120, "€" * 80, "x" + "é" * 120):
            self.setUp()
            refused, other = self.publish(Exchange(name)), self.publish(X)
            self.selected()
            said = f"NOT_FOUND - no exchange '{name}".encode()[:252] + b"..."
            fields = (Channel.Close.index, 404, len(said), said, 60, 40)
            payload = pack(f">IHB{len(said)}sHH", *fields)
            self.peer.session.dataReceived(frame(METHOD, 1, payload))
            self.check(NotFound, refused, other)
            self.assertEqual(refused.outcome.about, "")  # so that all is declared again
            self.assertEqual(self.peer.journal.all("session_lost"), [])

    def test_name_in_a_property(self) -> None:
        """A name within the user's own data is no name of a refused exchange."""
        probes = [self.publish(X), self.publish(X), self.publish(Y)]
        self.selected()
        said = "invalid expiration 'exchange 'x' in vhost '/'': no_integer"
        self.refuse(406, f"PRECONDITION_FAILED - {said}")
        for probe in probes:
            self.assertIsInstance(probe.outcome, OutcomeUnknown)


class UnnamedTests(RefusedCase):
    """A refusal that does not say what it is about."""

    def blamed(self, probe: Probe) -> bool:
        """Refuse a publish without a name; return whether this one takes the blame."""
        self.refuse(406, TOO_LARGE)
        if isinstance(probe.outcome, PreconditionFailed):
            return True
        self.assertIsInstance(probe.outcome, OutcomeUnknown)
        self.assertIsInstance(probe.outcome.__cause__, PreconditionFailed)
        return False

    def test_alone(self) -> None:
        """It is about the only publish."""
        one = self.publish()
        self.selected()
        self.assertTrue(self.blamed(one))

    def test_beside_a_blind_one(self) -> None:
        """It may be about one that nobody waits for, before or after."""
        one = self.publish()
        self.selected()
        self.publish_blindly()
        self.assertFalse(self.blamed(one))
        self.setUp()
        self.publish()
        self.publish_blindly()
        one = self.publish()
        self.send(commands.Confirm.SelectOk(), Basic.Ack(1))
        self.assertFalse(self.blamed(one))

    def test_before_select(self) -> None:
        """It may be about one from before confirm.select, until that is answered."""
        self.publish_blindly()
        one = self.publish()
        self.assertFalse(self.blamed(one))
        self.setUp()
        self.publish_blindly()
        one = self.publish()
        self.selected()
        self.assertTrue(self.blamed(one))

    def test_after_its_confirm(self) -> None:
        """It is about no publish that the broker has confirmed, or one before that."""
        for acks in ([Basic.Ack(2)], [Basic.Ack(2, True)], [Basic.Nack(0, True)]):
            self.setUp()
            first = self.publish()
            self.selected()
            self.publish_blindly()
            self.peer.clock.advance(0)
            self.send(*acks)
            if not first.fired:
                self.send(Basic.Ack(1))
            self.assertTrue(self.blamed(self.publish()), acks)

    def test_a_confirm_before(self) -> None:
        """A confirm of an earlier publish says nothing about a later one."""
        self.publish()
        self.selected()
        one = self.publish()
        self.publish_blindly()
        self.peer.clock.advance(0)
        self.send(Basic.Ack(1, True))
        self.assertFalse(self.blamed(one))

    def test_beside_a_cancelled_one(self) -> None:
        """It may be about one whose verdict was cancelled."""
        one, cancelled = self.publish(), self.publish()
        self.selected()
        cancelled.deferred.cancel()
        self.assertIsInstance(cancelled.outcome, CancelledError)
        self.assertFalse(self.blamed(one))
