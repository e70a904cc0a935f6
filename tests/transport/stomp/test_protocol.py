"""
One socket to a STOMP broker, driven by hand.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IProtocol, IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.contract.harness import Probe
from tests.support.stomp_peer import SERVER, Peer, frame, message, receipt
from txkombu.exceptions import (
    AuthenticationFailed,
    BrokerError,
    ConnectError,
    ConnectionForced,
    ConsumerCancelled,
    KombuError,
    NotFound,
    ProtocolError,
    SessionLost,
)
from txkombu.transport.protocol import CLOSE_SECONDS
from txkombu.transport.stomp.protocol import TOLERANCE
from txkombu.transport.stomp.wire.frames import encode_frame
from txkombu.transport.stomp.wire.parser import Frame
from txkombu.url import Parameters

NOT_FOUND = frame("ERROR", b"NOT_FOUND - no queue 'q'", message="not_found")


def refusal(number: str, text: str = "no") -> bytes:
    """An ERROR that names a receipt."""
    return frame("ERROR", message=text, receipt_id=number)


class Case(SynchronousTestCase):
    """One socket, logged in; it leaves no timer and tells of no error."""

    def setUp(self) -> None:
        self.peer = Peer()
        self.socket = self.peer.socket
        self.wire = self.peer.wire
        self.owner = self.peer.owner
        self.peer.log_in()
        self.addCleanup(self.finish)

    def finish(self) -> None:
        """End it, if it has not ended."""
        self.peer.lose()
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def wait(self) -> tuple[str, Probe]:
        """Ask for a receipt."""
        number, deferred = self.socket.receipt()
        return number, Probe(deferred)

    def subscribe(self, id: str = "s") -> tuple[list[Frame], list[Exception]]:
        """Have a subscription noted; its messages, and its end."""
        messages: list[Frame] = []
        ends: list[Exception] = []
        self.socket.subscribe(id, messages.append, ends.append)
        return messages, ends

    def lost_with(self) -> Exception:
        """What the owner was told at the end."""
        (reason,) = self.owner.journal.all("socket_lost")
        assert isinstance(reason, Exception)
        self.assertFalse(self.socket.alive)
        return reason


class LoginTests(SynchronousTestCase):
    """Until the socket is open."""

    def setUp(self) -> None:
        self.peer = Peer(Parameters("stomp", password="s3cr3t", heartbeat=0))

    def refused(self, kind: type[Exception], reason: str) -> None:
        """The login failed for that, and the socket was dropped."""
        error = self.peer.login.outcome
        self.assertIsInstance(error, kind)
        self.assertRegex(str(error), reason)
        self.assertNotIn("s3cr3t", str(error))
        self.assertTrue(self.peer.wire.aborted)
        self.peer.lose()
        self.assertEqual(self.peer.owner.journal.entries, [])
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_interfaces(self) -> None:
        """It is a Twisted protocol, and the producer of its transport."""
        verifyObject(IProtocol, self.peer.socket)
        verifyObject(IPushProducer, self.peer.socket)

    def test_open(self) -> None:
        """CONNECTED opens it; small frames leave at once, and it has a producer."""
        login = self.peer.connect()
        self.assertEqual(login.command, "STOMP")
        self.assertFalse(self.peer.socket.alive)
        self.peer.send(frame("CONNECTED", version="1.2", server=SERVER))
        self.assertIs(self.peer.login.outcome, self.peer.socket)
        self.assertTrue(self.peer.socket.alive)
        self.assertEqual(self.peer.socket.server, SERVER)
        self.assertTrue(self.peer.wire.no_delay)
        self.assertIs(self.peer.wire.producer, self.peer.socket)

    def test_frames_behind(self) -> None:
        """What comes with CONNECTED is taken, too."""
        self.peer.connect()
        self.peer.send(frame("CONNECTED", version="1.2"), NOT_FOUND)
        self.assertIs(self.peer.login.outcome, self.peer.socket)
        (reason,) = self.peer.owner.journal.all("socket_lost")
        self.assertIsInstance(reason, NotFound)

    def test_bad_login(self) -> None:
        """A refused login is typed; RabbitMQ leaves the socket to us."""
        self.peer.connect()
        self.peer.send(frame("ERROR", b"Access refused", message="Bad CONNECT"))
        self.refused(AuthenticationFailed, "the peer refuses user 'guest'")

    def test_other_protocol(self) -> None:
        """A peer that speaks something else is named."""
        self.peer.connect()
        self.peer.send(b"AMQP\0\0\x09\x01")
        self.refused(ConnectError, "the peer does not speak STOMP 1.2: .*AMQP")

    def test_other_version(self) -> None:
        """So is one that speaks another version."""
        self.peer.connect()
        self.peer.send(frame("CONNECTED", version="1.1"))
        self.refused(ConnectError, "the peer speaks STOMP '1.1'")

    def test_lost(self) -> None:
        """One that closes the connection did not let us in."""
        self.peer.connect()
        self.peer.lose(clean=True)
        error = self.peer.login.outcome
        self.assertIs(type(error), ConnectError)
        self.assertIn("closed the connection before the login was over", str(error))

    def test_cannot_be_written(self) -> None:
        """A virtual host that cannot be written is refused before anything is."""
        peer = Peer(Parameters("stomp", virtual_host="a\0b"))
        peer.socket.makeConnection(peer.wire)
        self.assertIsInstance(peer.login.outcome, ConnectError)
        self.assertEqual(peer.wire.value(), b"")
        self.assertTrue(peer.wire.aborted)

    def test_aborted(self) -> None:
        """An aborted login fires nothing, and what still comes is nothing."""
        self.peer.connect()
        self.peer.socket.abort()
        self.assertTrue(self.peer.wire.aborted)
        self.peer.send(frame("CONNECTED", version="1.2"))
        self.peer.lose()
        self.assertFalse(self.peer.login.fired)
        self.assertEqual(self.peer.owner.journal.entries, [])

    def test_aborted_before(self) -> None:
        """One aborted before it was connected drops what is made of it."""
        self.peer.socket.abort()
        self.peer.socket.makeConnection(self.peer.wire)
        self.assertTrue(self.peer.wire.aborted)
        self.assertEqual(self.peer.wire.value(), b"")

    def test_disconnected(self) -> None:
        """To disconnect before the login is over drops it."""
        self.peer.connect()
        self.successResultOf(self.peer.socket.close())
        self.assertTrue(self.peer.wire.aborted)
        self.assertFalse(self.peer.login.fired)

    def test_closed_by_who_waited(self) -> None:
        """Whoever waits for the login may drop the socket at once."""
        self.peer.socket.login.addCallback(lambda _: self.peer.socket.abort())
        self.peer.connect()
        self.peer.send(frame("CONNECTED", version="1.2"), message("s"))
        self.assertTrue(self.peer.wire.aborted)
        self.assertEqual(self.peer.owner.journal.entries, [])


class ReceiptTests(Case):
    """Receipts."""

    def test_numbers(self) -> None:
        """Every receipt has a number of its own, also of the other kind."""
        numbers = [self.wait()[0] for _ in range(3)]
        numbers.append(self.socket.expect(lambda _: None))
        self.assertEqual(len(set(numbers)), 4)

    def test_out_of_order(self) -> None:
        """They may come in any order, and fire who waits for them."""
        first, second = self.wait(), self.wait()
        self.peer.send(receipt(second[0]))
        self.assertEqual((first[1].fired, second[1].outcome), (False, None))
        self.peer.send(receipt(first[0]))
        self.assertIsNone(first[1].outcome)

    def test_expected(self) -> None:
        """The cheaper way: a call with nothing, once."""
        calls: list[Any] = []
        number = self.socket.expect(calls.append)
        self.peer.send(receipt(number), receipt(number))
        self.assertEqual(calls, [None])

    def test_unknown(self) -> None:
        """A receipt nobody asked for, or one without a number, is nothing."""
        _, waiting = self.wait()
        self.peer.send(receipt("99"), receipt("x"), frame("RECEIPT"))
        self.assertTrue(self.socket.alive)
        self.assertFalse(waiting.fired)

    def test_cancelled(self) -> None:
        """Cancelling stops the waiting alone; its receipt fires nothing else."""
        number, waiting = self.wait()
        other, untouched = self.wait()
        waiting.deferred.cancel()
        self.assertIsInstance(waiting.outcome, CancelledError)
        self.peer.send(receipt(number))
        self.assertFalse(untouched.fired)
        self.peer.send(receipt(other))
        self.assertIsNone(untouched.outcome)

    def test_cancelled_and_forgotten(self) -> None:
        """Nothing is kept of what is not waited for any more."""
        _, waiting = self.wait()
        waiting.deferred.cancel()
        self.socket.forget(self.socket.expect(lambda _: None))
        self.assertEqual(self.socket._receipts, {})

    def test_cancelled_at_the_end(self) -> None:
        """One that is cancelled as another fails, fails once."""
        _, first = self.wait()
        _, second = self.wait()
        first.deferred.addCallback(lambda _: second.deferred.cancel())
        self.socket.abort()
        self.assertIsInstance(second.outcome, CancelledError)

    def test_waiter_fails(self) -> None:
        """An error of a waiter is logged, and harms no other."""

        def fail(_: object) -> None:
            raise ZeroDivisionError

        number = self.socket.expect(fail)
        other, waiting = self.wait()
        self.peer.send(receipt(number), receipt(other))
        self.assertIsNone(waiting.outcome)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_waiter_ends_it(self) -> None:
        """A waiter may drop the socket; what came behind is dropped with it."""
        messages, _ = self.subscribe()
        number = self.socket.expect(lambda _: self.socket.abort())
        self.peer.send(receipt(number), message("s"))
        self.assertEqual(messages, [])
        self.assertEqual(self.owner.journal.entries, [])

    def test_not_alive(self) -> None:
        """After the end one is refused at once."""
        self.peer.lose()
        number, waiting = self.wait()
        self.assertEqual(number, "")
        self.assertIsInstance(waiting.outcome, SessionLost)


class ErrorTests(Case):
    """ERROR frames."""

    def test_fatal(self) -> None:
        """An ERROR ends the socket: the owner hears of it first, then all fail."""
        calls: list[Any] = []
        self.socket.expect(calls.append)
        waiting = [self.wait()[1] for _ in range(2)]
        fired: list[bool] = []
        self.owner.then = lambda _: fired.append(waiting[0].fired)
        self.peer.send(NOT_FOUND)
        self.assertIsInstance(self.lost_with(), NotFound)
        self.assertEqual(fired, [False])
        for each in waiting:
            self.assertIsInstance(each.outcome, NotFound)
            self.assertEqual(each.outcome.text, "NOT_FOUND - no queue 'q'")
            self.assertIsNot(each.outcome, self.lost_with())
        self.assertIsNot(waiting[0].outcome, waiting[1].outcome)
        self.assertEqual(calls, [])

    def test_false_receipt(self) -> None:
        """RabbitMQ's receipt for the frame that failed comes too late."""
        number, waiting = self.wait()
        self.peer.send(NOT_FOUND, receipt(number))
        self.assertIsInstance(waiting.outcome, NotFound)

    def test_we_close(self) -> None:
        """RabbitMQ may leave the socket open: we close it, in bounded time."""
        self.peer.send(NOT_FOUND)
        self.assertTrue(self.wire.disconnecting)
        self.assertIsNone(self.wire.producer)
        self.peer.clock.advance(CLOSE_SECONDS)
        self.assertTrue(self.wire.aborted)

    def drop(self, peer: Peer, _: str) -> None:
        peer.socket.abort()

    def test_owner_drops_it(self) -> None:
        """The owner may drop it when it hears of that."""
        for sent in (NOT_FOUND, b"no STOMP\n"):
            with self.subTest(sent):
                peer = Peer()
                peer.log_in()
                peer.owner.then = partial(self.drop, peer)
                peer.send(sent)
                self.assertTrue(peer.wire.aborted)
                self.assertEqual(peer.clock.getDelayedCalls(), [])

    def test_named_is_fatal(self) -> None:
        """Where all are fatal, one that names a receipt is, too."""
        number, waiting = self.wait()
        _, other = self.wait()
        self.peer.send(refusal(number))
        for each in (waiting, other):
            self.assertIsInstance(each.outcome, KombuError)
        self.assertFalse(self.socket.alive)

    def test_named(self) -> None:
        """Where they are not, it fails that receipt alone."""
        self.socket.follow(errors_are_fatal=False, length_is_last=False)
        number, waiting = self.wait()
        other, untouched = self.wait()
        calls: list[Any] = []
        expected = self.socket.expect(calls.append)
        self.peer.send(refusal(number), refusal(expected, "never"), refusal("99"))
        self.assertEqual(str(waiting.outcome), "no")
        self.assertEqual([str(each) for each in calls], ["never"])
        self.assertFalse(untouched.fired)
        self.assertTrue(self.socket.alive)
        self.peer.send(receipt(other))
        self.assertIsNone(untouched.outcome)

    def test_named_as_the_broker_stops(self) -> None:
        """An ERROR of a broker that stops is fatal, whatever receipt it names."""
        self.socket.follow(errors_are_fatal=False, length_is_last=False)
        _, waiting = self.wait()
        calls: list[Any] = []
        expected = self.socket.expect(calls.append)
        text = "Broker b is being stopped"
        body = f"org.apache.activemq.broker.BrokerStoppedException: {text}".encode()
        self.peer.send(frame("ERROR", body, message=text, receipt_id=expected))
        self.assertIsInstance(self.lost_with(), ConnectionForced)
        self.assertIsInstance(waiting.outcome, ConnectionForced)
        self.assertEqual(calls, [])

    def test_unnamed(self) -> None:
        """One that names no receipt is fatal everywhere."""
        self.socket.follow(errors_are_fatal=False, length_is_last=False)
        _, waiting = self.wait()
        self.peer.send(frame("ERROR", message="Already connected."))
        self.assertEqual(str(self.lost_with()), "Already connected.")
        self.assertEqual(str(waiting.outcome), "Already connected.")

    def test_cancelled_subscription(self) -> None:
        """The broker ends one subscription: its consumer hears, all goes on."""
        messages, ends = self.subscribe()
        others, untouched = self.subscribe("other")
        cancelled = frame(
            "ERROR", b"gone", message="Server cancelled subscription", subscription="s"
        )
        self.peer.send(cancelled, cancelled, message("s"), message("other"))
        (end,) = ends
        self.assertIsInstance(end, ConsumerCancelled)
        self.assertEqual((messages, untouched, len(others)), ([], [], 1))
        self.assertTrue(self.socket.alive)
        self.assertEqual(self.owner.names, [])


class ProvisionalErrorTests(Case):
    """An ERROR of RabbitMQ that may not be its last word."""

    provisional = frame("ERROR", b"{badmatch,closing}", message="Processing error")

    def setUp(self) -> None:
        super().setUp()
        self.number, self.waiting = self.wait()
        self.calls: list[Any] = []
        self.expected = self.socket.expect(self.calls.append)
        self.messages, _ = self.subscribe()
        self.peer.send(
            self.provisional,
            receipt(self.number),
            receipt(self.expected),
            message("s"),
            self.provisional,
        )
        self.peer.send(self.provisional, receipt(self.expected))

    def dropped(self) -> None:
        """What came behind it was dropped."""
        self.assertEqual((self.messages, self.calls), ([], []))

    def test_the_reason_follows(self) -> None:
        """The reason that follows is the error of all."""
        self.assertFalse(self.waiting.fired)
        self.peer.send(NOT_FOUND)
        self.assertIsInstance(self.lost_with(), NotFound)
        self.assertIsInstance(self.waiting.outcome, NotFound)
        self.assertTrue(self.wire.disconnecting)
        self.dropped()

    def test_nothing_follows(self) -> None:
        """If none follows in time, it was the last word."""
        self.peer.clock.advance(0.9)
        self.assertEqual(self.owner.names, [])
        self.peer.clock.advance(0.1)
        self.assertEqual(str(self.lost_with()), "Processing error: {badmatch,closing}")
        self.assertTrue(self.wire.disconnecting)
        self.assertIs(type(self.waiting.outcome), BrokerError)
        self.dropped()

    def test_the_end_follows(self) -> None:
        """If the connection is closed, that was why."""
        self.peer.lose(clean=True)
        self.assertIn("Processing error", str(self.lost_with()))
        self.assertIn("Processing error", str(self.waiting.outcome))
        self.dropped()

    def test_disconnected(self) -> None:
        """Whoever disconnects meanwhile waits for no receipt that is false."""
        closing = Probe(self.socket.close())
        self.peer.clock.advance(1)
        self.assertTrue(self.wire.disconnecting)
        self.assertIn("Processing error", str(self.waiting.outcome))
        self.peer.lose()
        self.assertIsNone(closing.outcome)
        self.assertEqual(self.owner.names, [])

    def test_aborted(self) -> None:
        """Whoever drops it leaves no timer."""
        self.socket.abort()
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])
        self.assertIsInstance(self.waiting.outcome, SessionLost)


class MessageTests(Case):
    """Messages and their subscriptions."""

    def test_handed_out(self) -> None:
        """A message goes to its subscription."""
        messages, _ = self.subscribe("a")
        others, _ = self.subscribe("b")
        self.peer.send(message("a", b"1"), message("b", b"2"), message("a", b"3"))
        self.assertEqual([each.body for each in messages], [b"1", b"3"])
        self.assertEqual([each.body for each in others], [b"2"])

    def test_unknown_subscription(self) -> None:
        """One for nobody, as after UNSUBSCRIBE, is dropped."""
        messages, _ = self.subscribe("a")
        self.socket.unsubscribe("a")
        self.socket.unsubscribe("never")
        self.peer.send(message("a"), frame("MESSAGE"))
        self.assertEqual(messages, [])
        self.assertTrue(self.socket.alive)

    def test_consumer_fails(self) -> None:
        """An error of a consumer is logged, and the next message comes."""
        seen: list[bytes] = []

        def take(found: Frame) -> None:
            seen.append(found.body)
            raise ZeroDivisionError

        self.socket.subscribe("s", take, lambda _: None)
        self.peer.send(message("s", b"1"), message("s", b"2"))
        self.assertEqual(seen, [b"1", b"2"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_consumer_ends_it(self) -> None:
        """A consumer may drop the socket in the midst of a read."""
        seen: list[bytes] = []

        def take(found: Frame) -> None:
            seen.append(found.body)
            self.socket.abort()

        self.socket.subscribe("s", take, lambda _: None)
        self.peer.send(message("s", b"1"), message("s", b"2"), NOT_FOUND)
        self.assertEqual(seen, [b"1"])
        self.assertEqual(self.owner.journal.entries, [])

    def test_not_utf8(self) -> None:
        """A header that is no UTF-8 is the consumer's affair, not the socket's."""
        messages, _ = self.subscribe()
        head = b"MESSAGE\nsubscription:s\nk:\xff\n\n"
        self.peer.send(head + b"\0\n", message("s", b"next"))
        self.assertEqual(messages[0].headers["k"], "\udcff")
        self.assertEqual(messages[1].body, b"next")

    def test_broken_stream(self) -> None:
        """What is no STOMP ends the socket, typed, after what came before it."""
        messages, _ = self.subscribe()
        _, waiting = self.wait()
        self.peer.send(message("s"), b"MESSAGE\nno colon\n\n\0")
        self.assertEqual(len(messages), 1)
        self.assertIsInstance(self.lost_with(), ProtocolError)
        self.assertIsInstance(waiting.outcome, SessionLost)
        self.assertIsInstance(waiting.outcome.__cause__, ProtocolError)
        self.assertTrue(self.wire.disconnecting)


class WriteTests(Case):
    """Writing, and the transport's buffer."""

    def test_write(self) -> None:
        """What is written goes to the transport as it is."""
        self.socket.write(encode_frame("ACK", [("id", "1")]))
        (ack,) = self.peer.frames()
        self.assertEqual((ack.command, ack.headers), ("ACK", {"id": "1"}))

    def test_message(self) -> None:
        """A small body leaves with its head, a large one is not copied."""
        for size, writes in ((0, 1), (16384, 1), (16385, 3)):
            self.wire.writes.clear()
            body = b"\0" * size
            head = b"SEND\ndestination:d\ncontent-length:%d\n\n" % size
            self.socket.write_message(head, body)
            (sent,) = self.peer.frames()
            self.assertEqual((sent.command, sent.body), ("SEND", body))
            self.assertEqual(len(self.wire.writes), writes)
        self.assertIs(self.wire.writes[1], body)

    def test_not_alive(self) -> None:
        """After the end nothing is written."""
        self.peer.send(NOT_FOUND)
        self.wire.writes.clear()
        self.socket.write(b"x")
        self.socket.write_message(b"x", b"y" * 20000)
        self.assertEqual(self.wire.writes, [])

    def test_room(self) -> None:
        """The owner hears when the buffer is full, and when it has room."""
        self.socket.pauseProducing()
        self.socket.resumeProducing()
        self.assertEqual(self.owner.names, ["write_paused", "write_resumed"])

    def test_room_after_the_end(self) -> None:
        """After the end it hears of no room."""
        self.socket.close()
        self.socket.pauseProducing()
        self.socket.resumeProducing()
        self.socket.stopProducing()
        self.assertEqual(self.owner.names, [])

    def test_owner_fails(self) -> None:
        """An error of the owner is logged, and goes no further."""

        def fail(name: str) -> None:
            raise ZeroDivisionError

        self.owner.then = fail
        self.peer.send(receipt("1"))
        self.socket.pauseProducing()
        self.peer.lose()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)


class EndTests(Case):
    """The end of a socket."""

    def test_disconnect(self) -> None:
        """DISCONNECT, its receipt, and the socket is closed once all is out."""
        _, waiting = self.wait()
        closing = Probe(self.socket.close())
        (goodbye,) = self.peer.frames()
        self.assertEqual(goodbye.command, "DISCONNECT")
        self.assertFalse(self.wire.disconnecting)
        self.peer.send(receipt(goodbye.headers["receipt"]))
        self.assertTrue(self.wire.disconnecting)
        self.assertIsNone(self.wire.producer)
        self.assertIsInstance(waiting.outcome, SessionLost)
        self.assertFalse(closing.fired)
        self.peer.lose(clean=True)
        self.assertIsNone(closing.outcome)
        self.assertEqual(self.owner.names, [])

    def test_while_disconnecting(self) -> None:
        """Receipts still come, messages are dropped, nothing more is written."""
        messages, _ = self.subscribe()
        number, waiting = self.wait()
        calls: list[Any] = []
        expected = self.socket.expect(calls.append)
        closing = Probe(self.socket.close())
        self.peer.frames()
        self.assertFalse(self.socket.alive)
        self.socket.write(b"x")
        self.peer.send(message("s"), receipt(number), receipt(expected))
        self.assertEqual((messages, waiting.outcome, calls), ([], None, [None]))
        self.assertIsInstance(self.wait()[1].outcome, SessionLost)
        self.assertEqual(self.peer.frames(), [])
        self.assertEqual(self.owner.journal.entries, [])
        self.assertFalse(closing.fired)

    def test_twice(self) -> None:
        """Disconnecting again waits for the same end, and afterwards is done."""
        first, second = Probe(self.socket.close()), self.socket.close()
        second.cancel()
        self.assertEqual(len(self.peer.frames()), 1)
        self.failureResultOf(second, CancelledError)
        self.peer.lose()
        self.assertIsNone(first.outcome)
        self.successResultOf(self.socket.close())

    def test_no_receipt(self) -> None:
        """A broker that does not answer is left after some seconds."""
        closing = Probe(self.socket.close())
        self.peer.clock.advance(CLOSE_SECONDS)
        self.assertTrue(self.wire.aborted)
        self.assertIsNone(closing.outcome)
        self.assertEqual(self.owner.names, [])

    def test_not_closing(self) -> None:
        """Nor may the socket take for ever to close."""
        closing = Probe(self.socket.close())
        (goodbye,) = self.peer.frames()
        self.peer.clock.advance(CLOSE_SECONDS - 1)
        self.peer.send(receipt(goodbye.headers["receipt"]))
        self.peer.clock.advance(CLOSE_SECONDS - 1)
        self.assertFalse(closing.fired)
        self.peer.clock.advance(1)
        self.assertTrue(self.wire.aborted)
        self.assertIsNone(closing.outcome)

    def test_error_while_disconnecting(self) -> None:
        """An ERROR then fails what waits, and no owner hears of it."""
        _, waiting = self.wait()
        closing = Probe(self.socket.close())
        self.peer.send(NOT_FOUND)
        self.assertIsInstance(waiting.outcome, NotFound)
        self.peer.lose()
        self.assertIsNone(closing.outcome)
        self.assertEqual(self.owner.names, [])

    def test_error_for_the_goodbye(self) -> None:
        """An ERROR that names the DISCONNECT is as good as its receipt."""
        self.socket.follow(errors_are_fatal=False, length_is_last=False)
        self.socket.close()
        (goodbye,) = self.peer.frames()
        self.peer.send(refusal(goodbye.headers["receipt"]))
        self.assertTrue(self.wire.disconnecting)

    def test_broken_while_disconnecting(self) -> None:
        """So does what is no STOMP."""
        closing = Probe(self.socket.close())
        self.peer.send(b"what?\n")
        self.assertTrue(self.wire.disconnecting)
        self.peer.lose()
        self.assertIsNone(closing.outcome)

    def test_disconnect_after_error(self) -> None:
        """After an ERROR disconnecting waits for the socket alone."""
        self.peer.send(NOT_FOUND)
        closing = Probe(self.socket.close())
        self.assertFalse(closing.fired)
        self.peer.lose()
        self.assertIsNone(closing.outcome)
        self.assertEqual(self.peer.frames(), [])

    def test_abort(self) -> None:
        """Everything fires in that call, and the owner is not told."""
        _, waiting = self.wait()
        closing = Probe(self.socket.close())
        self.socket.abort()
        self.assertTrue(self.wire.aborted)
        self.assertIsInstance(waiting.outcome, SessionLost)
        self.assertIsNone(closing.outcome)
        self.socket.abort()
        self.assertEqual(self.owner.names, [])

    def test_lost(self) -> None:
        """A lost connection is told once, before what waits fails."""
        _, waiting = self.wait()
        fired: list[bool] = []
        self.owner.then = lambda _: fired.append(waiting.fired)
        self.peer.lose()
        self.assertIsInstance(self.lost_with(), SessionLost)
        self.assertIsInstance(self.lost_with().__cause__, ConnectionLost)
        self.assertEqual(fired, [False])
        self.assertIsInstance(waiting.outcome, SessionLost)
        self.assertIsNot(waiting.outcome, self.lost_with())
        self.peer.lose()
        self.assertEqual(self.owner.names, ["socket_lost"])

    def test_data_after_the_end(self) -> None:
        """What still comes then is nothing."""
        messages, _ = self.subscribe()
        self.peer.send(NOT_FOUND)
        self.peer.send(message("s"), NOT_FOUND)
        self.assertEqual(messages, [])
        self.assertEqual(self.owner.names, ["socket_lost"])


class HeartbeatTests(SynchronousTestCase):
    """Heart-beats, by direction."""

    def log_in(self, theirs: str, ours: float) -> Peer:
        """Agree on heart-beats."""
        peer = Peer(Parameters("stomp", heartbeat=ours))
        peer.log_in(heart_beat=theirs)
        self.addCleanup(self.finish, peer)
        return peer

    def finish(self, peer: Peer) -> None:
        """No timer is left."""
        peer.lose()
        self.assertEqual(peer.clock.getDelayedCalls(), [])

    def beats(self, peer: Peer, seconds: float) -> list[float]:
        """When a beat was sent within so many seconds."""
        found: list[float] = []
        began = peer.clock.seconds()
        while peer.clock.seconds() < began + seconds and not peer.wire.aborted:
            peer.clock.advance(0.125)
            if peer.wire.writes:
                self.assertEqual(peer.wire.writes, [b"\n"])
                peer.wire.writes.clear()
                found.append(peer.clock.seconds() - began)
        return found

    def test_sent(self) -> None:
        """One is sent when half of our interval passed without a write."""
        self.assertEqual(self.beats(self.log_in("0,8000", 2), 12), [4, 8, 12])
        self.assertEqual(self.beats(self.log_in("0,2000", 8), 12), [4, 8, 12])

    def test_writes_count(self) -> None:
        """Whatever is written serves as one."""
        peer = self.log_in("0,8000", 8)
        for body in (b"b", b"b" * 20_000) * 4:
            self.assertEqual(self.beats(peer, 1.75), [])
            peer.socket.write_message(b"a", body)
            peer.wire.writes.clear()

    def test_dead(self) -> None:
        """A broker is dead after some of its intervals without a byte."""
        for theirs, ours, interval in (("4000,0", 4, 4), ("2000,4000", 4, 4)):
            peer = self.log_in(theirs, ours)
            _, deferred = peer.socket.receipt()
            waiting = Probe(deferred)
            self.beats(peer, interval * TOLERANCE)
            self.assertFalse(waiting.fired)
            self.beats(peer, interval / 4)
            self.assertIsInstance(waiting.outcome, SessionLost)
            self.assertTrue(peer.wire.aborted)
            (reason,) = peer.owner.journal.all("socket_lost")
            self.assertIn("heart-beat", str(reason))

    def test_lost_for_a_stall(self) -> None:
        """A loss says so if the reactor had not run for longer than our interval."""
        for theirs, told in (("0,4000", True), ("0,20000", False), ("4000,0", False)):
            peer = self.log_in(theirs, 4)
            peer.clock.advance(12)
            peer.lose()
            (reason,) = peer.owner.journal.all("socket_lost")
            self.assertEqual("had not run for" in str(reason), told, str(reason))

    def test_two_intervals_are_fine(self) -> None:
        """ActiveMQ may say nothing for two of its intervals."""
        self.assertGreater(TOLERANCE, 2)
        peer = self.log_in("4000,4000", 4)
        for _ in range(4):
            self.beats(peer, 8)
            peer.send(b"\n")
        self.assertTrue(peer.socket.alive)

    def test_intervals_differ(self) -> None:
        """One direction may be much slower than the other."""
        peer = self.log_in("1000,8000", 1)
        self.assertEqual(self.beats(peer, 2.5), [])
        peer.send(b"\n")
        self.assertEqual(self.beats(peer, 2.5), [1.5])
        peer = self.log_in("8000,1000", 1)
        self.assertEqual(self.beats(peer, 2), [0.5, 1, 1.5, 2])
        peer.send(b"\n")
        self.beats(peer, 20)
        self.assertTrue(peer.socket.alive)
        self.beats(peer, 1)
        self.assertFalse(peer.socket.alive)

    def test_none(self) -> None:
        """Without any there is no timer; nor if only one side wants them."""
        for theirs, ours in (("0,0", 10), ("9000,9000", 0)):
            peer = self.log_in(theirs, ours)
            self.assertEqual(peer.clock.getDelayedCalls(), [])

    def test_while_disconnecting(self) -> None:
        """None is sent behind a DISCONNECT."""
        peer = self.log_in("0,1000", 1)
        peer.socket.close()
        peer.wire.writes.clear()
        self.assertEqual(self.beats(peer, CLOSE_SECONDS - 1), [])
