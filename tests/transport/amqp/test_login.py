"""
Logging in at an AMQP broker.
"""

from __future__ import annotations

from typing import Any

from pamqp import commands
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from tests.support.amqp_peer import START, Connection, Peer
from txkombu.exceptions import (
    AccessRefused,
    AuthenticationFailed,
    ConnectError,
    InternalError,
    NotAllowed,
    ProtocolError,
)
from txkombu.transport.amqp.wire.login import tune
from txkombu.url import Parameters


class TuneTests(SynchronousTestCase):
    """What both sides agree on."""

    def agreed(self, ours: Parameters, **offer: int) -> tuple[int, int, int]:
        """Return what is agreed on, given an offer."""
        made = {"channel_max": 0, "frame_max": 0, "heartbeat": 0, **offer}
        tuning = tune(ours, Connection.Tune(**made))
        return tuning.channel_max, tuning.frame_max, tuning.heartbeat

    def test_channel_max(self) -> None:
        """The smaller limit holds; 0 is no limit but that of the wire."""
        for ours, theirs, agreed in (
            (0, 0, 65535),
            (0, 2047, 2047),
            (10, 0, 10),
            (10, 2047, 10),
            (3000, 2047, 2047),
        ):
            found = self.agreed(Parameters(channel_max=ours), channel_max=theirs)
            self.assertEqual(found[0], agreed)

    def test_frame_max(self) -> None:
        """We ask for 128 KiB and take less; an offer of 0 is no limit."""
        for theirs, agreed in ((0, 131072), (2**20, 131072), (8192, 8192)):
            found = self.agreed(Parameters(), frame_max=theirs)
            self.assertEqual(found[1], agreed)

    def test_frames_too_small(self) -> None:
        """Frames smaller than AMQP allows are refused."""
        with self.assertRaisesRegex(ProtocolError, "offers frames of 4095 bytes"):
            self.agreed(Parameters(), frame_max=4095)

    def test_heartbeat(self) -> None:
        """The shorter interval holds; if one is 0, the other does."""
        for ours, theirs, agreed in (
            (60.0, 30, 30),
            (10.0, 60, 10),
            (0.0, 60, 60),
            (20.0, 0, 20),
            (0.0, 0, 0),
            (0.2, 60, 1),
        ):
            found = self.agreed(Parameters(heartbeat=ours), heartbeat=theirs)
            self.assertEqual(found[2], agreed)


class LoginTests(SynchronousTestCase):
    """The conversation of a login."""

    def test_whole(self) -> None:
        """A login takes two answers, and gives a session that knows the broker."""
        peer = Peer(
            Parameters(
                userid="ann",
                password="secret",
                virtual_host="host",
                connection_name="app@host:1/publisher",
            )
        )
        peer.connect()
        peer.send(0, START)
        ((_, start_ok),) = peer.taken()
        self.assertEqual(start_ok.mechanism, "PLAIN")
        self.assertEqual(start_ok.response, b"\0ann\0secret")
        told = start_ok.client_properties
        self.assertEqual(told["product"], "txkombu")
        self.assertEqual(told["connection_name"], "app@host:1/publisher")
        self.assertEqual(
            told["capabilities"],
            dict.fromkeys(
                [
                    "publisher_confirms",
                    "basic.nack",
                    "consumer_cancel_notify",
                    "connection.blocked",
                    "exchange_exchange_bindings",
                    "authentication_failure_close",
                ],
                True,
            ),
        )
        peer.send(0, Connection.Tune(2047, 131072, 30))
        (_, tune_ok), (_, opening) = peer.taken()
        self.assertEqual(
            (tune_ok.channel_max, tune_ok.frame_max, tune_ok.heartbeat),
            (2047, 131072, 30),
        )
        self.assertEqual(opening.virtual_host, "host")
        self.assertFalse(peer.login.fired)
        peer.send(0, Connection.OpenOk())
        self.assertIs(peer.login.outcome, peer.session)
        self.assertEqual(peer.session.product, "Scripted")
        self.assertEqual(peer.session.version, "9")
        self.assertEqual(peer.session.frame_max, 131072)

    def test_byte_by_byte(self) -> None:
        """The broker's methods may come in any pieces."""
        peer = Peer()
        peer.connect()
        source = Peer()
        source.session.dataReceived = peer_bytes(peer)
        source.send(0, START)
        source.send(0, Connection.Tune(1, 131072, 0))
        source.send(0, Connection.OpenOk())
        self.assertIs(peer.login.outcome, peer.session)

    def test_external(self) -> None:
        """EXTERNAL sends no credentials."""
        peer = Peer(Parameters(auth_mechanism="EXTERNAL"))
        peer.connect()
        peer.send(0, START)
        ((_, start_ok),) = peer.taken()
        self.assertEqual((start_ok.mechanism, start_ok.response), ("EXTERNAL", b""))

    def failure(self, *methods: Any) -> Exception:
        """Connect, send frames, and return the error, once all is over."""
        peer = Peer()
        peer.connect()
        for method in methods:
            peer.send(0, method)
        error = peer.login.outcome
        self.assertIsInstance(error, ConnectError)
        self.assertTrue(peer.wire.aborted)
        self.assertEqual(peer.journal.entries, [])
        self.assertEqual(peer.clock.getDelayedCalls(), [])
        assert isinstance(error, Exception)
        return error

    def test_mechanism_not_offered(self) -> None:
        """
        A broker that does not offer our mechanism is an error, and is sent no
        credentials.
        """
        error = self.failure(Connection.Start(mechanisms="CRAM-MD5 AMQPLAIN"))
        self.assertRegex(
            str(error), "the peer does not offer to log in by PLAIN, only by CRAM-MD5"
        )

    def test_wrong_credentials(self) -> None:
        """Refused credentials are an error of their own, without the password."""
        error = self.failure(START, Connection.Close(403, "ACCESS_REFUSED", 0, 0))
        self.assertIsInstance(error, AuthenticationFailed)
        self.assertIsInstance(error.__cause__, AccessRefused)
        self.assertRegex(
            str(error), "the peer refuses user 'guest' for virtual host '/': 403"
        )

    def test_no_such_virtual_host(self) -> None:
        """A virtual host that we may not use is an AuthenticationFailed."""
        error = self.failure(
            START,
            Connection.Tune(0, 0, 0),
            Connection.Close(530, "NOT_ALLOWED - vhost / not found", 10, 40),
        )
        self.assertIsInstance(error, AuthenticationFailed)
        self.assertIsInstance(error.__cause__, NotAllowed)

    def test_refused_otherwise(self) -> None:
        """A refusal for another reason is no AuthenticationFailed."""
        error = self.failure(START, Connection.Close(541, "INTERNAL_ERROR", 0, 0))
        self.assertNotIsInstance(error, AuthenticationFailed)
        self.assertIsInstance(error.__cause__, InternalError)

    def test_other_version(self) -> None:
        """A broker that starts with another version is refused."""
        error = self.failure(Connection.Start(version_major=8, version_minor=0))
        self.assertRegex(str(error), "speaks AMQP 8-0, not 0-9")

    def test_out_of_turn(self) -> None:
        """A method that is not due breaks the protocol."""
        tune = Connection.Tune(0, 0, 0)
        for methods in (
            [tune],
            [Connection.OpenOk()],
            [START, START],
            [START, Connection.Secure("challenge")],
            [START, tune, tune],
            [START, tune, Connection.Blocked("no")],
            [commands.Channel.OpenOk()],
        ):
            error = self.failure(*methods)
            self.assertRegex(str(error), "does not speak AMQP 0-9-1: .* came instead")
            self.assertIsInstance(error.__cause__, ProtocolError)

    def test_channel_before_open(self) -> None:
        """A frame for a channel breaks the protocol before there is any."""
        peer = Peer()
        peer.connect()
        peer.send(1, commands.Basic.Ack(1))
        self.assertIsInstance(peer.login.outcome, ConnectError)

    def test_no_amqp(self) -> None:
        """A peer that is no AMQP broker is an error that shows what it said."""
        for sent, text in (
            (b"HTTP/1.1 400 Bad Request\r\n", "does not speak AMQP 0-9-1: .*HTTP/1.1"),
            (b"AMQP\x03\x01\x00\x00", "asks for another version"),
            (b"\x15\x03\x01\x00\x02", "such as amqps"),
            (b"\x01\x00\x00\xff\xff\xff\xff", "larger than 131072"),
        ):
            peer = Peer()
            peer.connect()
            peer.session.dataReceived(sent)
            error = peer.login.outcome
            self.assertIsInstance(error, ConnectError)
            self.assertRegex(str(error), text)
            self.assertTrue(peer.wire.aborted)

    def test_lost(self) -> None:
        """A connection that is closed during the login is an error that says so."""
        for methods in ([], [START], [START, Connection.Tune(0, 0, 0)]):
            peer = Peer()
            peer.connect()
            for method in methods:
                peer.send(0, method)
            peer.finish()
            error = peer.login.outcome
            self.assertIsInstance(error, ConnectError)
            self.assertIsInstance(error.__cause__, ConnectionDone)
            self.assertRegex(str(error), "the peer closed the connection before")
            self.assertEqual(peer.clock.getDelayedCalls(), [])

    def test_aborted(self) -> None:
        """A login that is aborted fires nothing."""
        for act in (Peer.lose, lambda peer: peer.send(0, START)):
            peer = Peer()
            peer.connect()
            peer.session.abort()
            act(peer)
            self.assertFalse(peer.login.fired)
            self.assertTrue(peer.wire.aborted)

    def test_closed(self) -> None:
        """Closing during a login aborts it."""
        peer = Peer()
        peer.connect()
        self.assertIsNone(self.successResultOf(peer.session.close()))
        self.assertTrue(peer.wire.aborted)


def peer_bytes(peer: Peer) -> Any:
    """Pass bytes on to a peer's session one by one."""

    def pass_on(data: bytes) -> None:
        for byte in data:
            peer.session.dataReceived(bytes([byte]))

    return pass_on
