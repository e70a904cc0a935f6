"""
Peers that speak STOMP badly on purpose, and what stompest makes of some of it.

Each fault of stompest that could reach a user has a test here that shows the fault,
so that one day it may be seen to be gone, and that it does not reach him.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import Probe
from tests.support.stomp_peer import Peer, frame, message, receipt
from txkombu.exceptions import BrokerError, KombuError, ProtocolError, SessionLost
from txkombu.transport.protocol import CLOSE_SECONDS
from txkombu.transport.stomp.wire.frames import encode_frame, encode_header
from txkombu.transport.stomp.wire.login import login_frame
from txkombu.transport.stomp.wire.parser import Frame, StompFrameParser
from txkombu.transport.stomp.wire.stompest_core import StompError, StompParser
from txkombu.url import Parameters

SECRET = "s3cr3t"


def _read(*pieces: bytes) -> list[Frame]:
    parser = StompFrameParser()
    return [found for piece in pieces for found in parser.feed(piece)]


def _stompest(*pieces: bytes) -> Iterator[Any]:
    """The frames that stompest finds, heart-beats among them."""
    parser = StompParser("1.2")
    for piece in pieces:
        parser.add(piece)
    while parser.canRead():
        yield parser.get()


class StompestTests(SynchronousTestCase):
    """The faults of stompest 2.3."""

    def test_01_frames_as_text(self) -> None:
        """Its frames have no str, and a repr with the password; ours are safe."""
        (login,) = _stompest(login_frame(Parameters("stomp", password=SECRET)))
        self.assertRaises(TypeError, str, login)
        self.assertIn(SECRET, repr(login))
        for text in (str, repr, "{}".format):
            self.assertNotIn(SECRET, text(Frame("MESSAGE", {"passcode": SECRET})))

    def test_02_header_that_is_no_utf8(self) -> None:
        """It raises for ever after such a header; we give the frame, and go on."""
        parser = StompParser("1.2")
        poison = b"MESSAGE\nk:\xff\n\n\0"
        self.assertRaises(UnicodeDecodeError, parser.add, poison)
        self.assertRaises(UnicodeDecodeError, parser.add, receipt("1"))
        first, second = _read(poison, receipt("1"))
        self.assertEqual((first.headers["k"], second.command), ("\udcff", "RECEIPT"))

    def test_02_length_that_is_no_number(self) -> None:
        """It raises ValueError; we say that the protocol was broken."""
        wrong = b"MESSAGE\ncontent-length:abc\n\n\0"
        self.assertRaises(ValueError, list, _stompest(wrong))
        self.assertRaises(ProtocolError, _read, wrong)

    def test_03_no_limits(self) -> None:
        """It waits for any length; we refuse it as soon as it is told."""
        enormous = b"MESSAGE\ncontent-length:99999999999\n\n"
        self.assertEqual(list(_stompest(enormous)), [])
        self.assertRaises(ProtocolError, _read, enormous)

    def test_03_head_without_end(self) -> None:
        """It searches a head from its beginning each time; we know when to stop."""
        began = time.process_time()
        parser = StompFrameParser()
        piece = b"MESSAGE\na:" + b"x" * 65526
        with self.assertRaisesRegex(ProtocolError, "larger than 524288"):
            for _ in range(400):
                list(parser.feed(piece))
                piece = b"x" * 65536
        self.assertLess(time.process_time() - began, 4)

    def test_04_frames_after_an_error(self) -> None:
        """It goes on out of step; we drop the connection."""
        parser = StompParser("1.2")
        broken = b"MESSAGE\nno colon\n\nRECEIPT\nreceipt-id:1\n\n\0"
        self.assertRaises(StompError, parser.add, broken)
        parser.add(receipt("2"))
        self.assertTrue(parser.canRead())
        peer = Peer()
        peer.log_in()
        _, waiting = peer.socket.receipt()
        peer.send(broken)
        self.failureResultOf(waiting, SessionLost)
        self.assertTrue(peer.wire.disconnecting)
        peer.lose()

    def test_05_heartbeats(self) -> None:
        """Its queue has falsy heart-beats between the frames; ours none."""
        stream = receipt("1") + b"\n\n" + message("s")
        self.assertEqual([bool(found) for found in _stompest(stream)].count(False), 4)
        self.assertEqual(
            [found.command for found in _read(stream)], ["RECEIPT", "MESSAGE"]
        )

    def test_06_crlf_between_frames(self) -> None:
        """It takes CR LF between frames for a command; to us it is nothing."""
        stream = b"RECEIPT\nreceipt-id:1\n\n\0\r\nMESSAGE\n\n\0"
        self.assertRaises(StompError, list, _stompest(stream))
        self.assertEqual(len(_read(stream)), 2)

    def test_07_login(self) -> None:
        """Its login is of STOMP 1.0, with headers to inject; ours is escaped."""
        password = f"{SECRET}\nlogin:admin"
        parameters = Parameters("stomp", userid="é", password=password)
        (login,) = _stompest(login_frame(parameters))
        self.assertEqual(login.command, "STOMP")
        self.assertEqual(login.headers["login"], "é")
        self.assertEqual(login.headers["passcode"], password)

    def test_08_length_of_a_body(self) -> None:
        """It adds no length, and a zero byte cuts the frame; ours has always one."""
        (sent,) = _stompest(encode_frame("SEND", [("destination", "d")], b"a\0b"))
        self.assertEqual(sent.body, b"a\0b")

    def test_09_values(self) -> None:
        """It writes zero bytes as they are; we refuse what cannot be written."""
        for value in ("\0", "\udcff"):
            self.assertRaises(ValueError, encode_header, "a", value)

    def test_10_headers(self) -> None:
        """It makes the headers anew each time; ours are made once."""
        (theirs,) = _stompest(message("s")[:-1])
        self.assertIsNot(theirs.headers, theirs.headers)
        (ours,) = _read(message("s"))
        self.assertIs(ours.headers, ours.headers)

    def test_11_unexpected_frames(self) -> None:
        """Its session raises on them; for us they are nothing."""
        peer = Peer()
        peer.log_in()
        peer.send(message("/temp-queue/x"), receipt("7"), receipt("7"))
        self.assertTrue(peer.socket.alive)
        peer.lose()

    def test_12_zero_byte_in_a_header(self) -> None:
        """It ends the frame there; we keep in step."""
        stream = b"MESSAGE\na:\0\n\nbody\0" + receipt("1")
        self.assertRaises(StompError, list, _stompest(stream))
        self.assertEqual([found.body for found in _read(stream)], [b"body", b""])

    # 13, the warnings of its import: see ImportTests of test_stomp_login.


BROKEN: dict[str, tuple[bytes, str]] = {
    "a command of clients": (b"SEND\ndestination:d\n\n\0", "begins with b'S"),
    "a second login": (frame("CONNECTED", version="1.2"), "begins with b'C"),
    "a header without a colon": (b"MESSAGE\nnone\n\n\0", "no colon"),
    "a wrong escape": (b"RECEIPT\nreceipt-id:\\t\n\n\0", "wrong escape"),
    "a length that is no number": (
        b"ERROR\ncontent-length:x\n\n\0",
        "content-length is 'x'",
    ),
    "a length too small": (b"MESSAGE\ncontent-length:1\n\nab\0", "lacks its end"),
    "an enormous length": (b"MESSAGE\ncontent-length:9999999999\n\n", "larger than"),
    "an enormous head": (b"MESSAGE\na:" + b"x" * 600_000, "larger than 524288"),
    "another protocol": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "begins with b'H"),
    "lower case": (b"message\n\n\0", "begins with b'm"),
    "bytes": (bytes(range(256)), "begins with"),
}


class SessionTests(SynchronousTestCase):
    """After the login."""

    def start(self) -> None:
        """Log in, with something outstanding of every kind."""
        self.peer = Peer()
        self.peer.log_in()
        self.messages: list[Frame] = []
        self.peer.socket.subscribe("s", self.messages.append, lambda _: None)
        self.waiting = Probe(self.peer.socket.receipt()[1])

    def reasons(self) -> list[Any]:
        """What the owner was told at the end."""
        return self.peer.owner.journal.all("socket_lost")

    def finish(self) -> None:
        """It ends with all that is outstanding, and leaves no timer."""
        self.peer.clock.advance(CLOSE_SECONDS)
        self.peer.lose()
        (reason,) = self.reasons()
        self.assertIsInstance(reason, KombuError)
        self.assertEqual(len(self.waiting.outcomes), 1)
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_broken(self) -> None:
        """Each ends the socket, typed, in whatever pieces it came."""
        for name, (sent, text) in BROKEN.items():
            for size in (len(sent), 1 if len(sent) < 1000 else 4096):
                with self.subTest(name, size=size):
                    self.start()
                    self.peer.send(message("s"))
                    for start in range(0, len(sent), size):
                        self.peer.send(sent[start : start + size])
                    (reason,) = self.reasons()
                    self.assertIsInstance(reason, ProtocolError)
                    self.assertRegex(str(reason), text)
                    self.assertEqual(len(self.messages), 1)
                    self.assertTrue(self.peer.wire.disconnecting)
                    self.finish()

    def test_body_limit(self) -> None:
        """A body may have C{max_message_size}, which is named if it has more."""
        parameters = Parameters("stomp", heartbeat=0, max_message_size=1000)
        for size, lost in ((1000, False), (1001, True)):
            peer = Peer(parameters)
            peer.log_in()
            got: list[Frame] = []
            peer.socket.subscribe("s", got.append, lambda _: None)
            peer.send(message("s", b"x" * size))
            reasons = [str(each) for each in peer.owner.journal.all("socket_lost")]
            self.assertEqual((bool(reasons), len(got)), (lost, int(not lost)))
            for text in reasons:
                self.assertRegex(
                    text, "1001 bytes is larger than 1000.*max_message_size"
                )

    def test_truncated(self) -> None:
        """A frame that never ends ends with the connection."""
        whole = message("s", b"abc").rstrip(b"\n")
        for size in range(1, len(whole)):
            self.start()
            self.peer.send(whole[:size])
            self.assertEqual(self.messages, [])
            self.finish()
            self.assertIsInstance(self.reasons()[0], SessionLost)

    @settings(max_examples=200, deadline=None)
    @given(st.data())
    def test_any_damage(self, data: st.DataObject) -> None:
        """Damaged frames are refused, typed, or are other frames."""
        self.start()
        sent = bytearray()
        for _ in range(data.draw(st.integers(1, 4))):
            sent += data.draw(
                st.sampled_from(
                    [each for each, _ in BROKEN.values() if len(each) < 1000]
                    + [
                        message("s", b"ok"),
                        b"MESSAGE\r\nsubscription:s\r\n\r\nok\0",
                        receipt("1"),
                        frame("ERROR", b"why", message="not_found"),
                        frame("ERROR", message="Server cancelled subscription"),
                    ]
                )
            )
        for _ in range(data.draw(st.integers(0, 3))):
            sent[data.draw(st.integers(0, len(sent) - 1))] = data.draw(
                st.integers(0, 255)
            )
        size = data.draw(st.integers(1, len(sent)))
        for start in range(0, len(sent), size):
            self.peer.send(bytes(sent[start : start + size]))
        for reason in self.reasons():
            self.assertIsInstance(reason, ProtocolError | BrokerError)
        self.finish()

    def test_lengths_allocate_nothing(self) -> None:
        """A length alone sets no memory aside."""
        self.start()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            self.peer.send(b"MESSAGE\ncontent-length:134217728\n\nabc")
            _, maximum = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(maximum - before, 100_000)
        self.assertEqual(self.reasons(), [])
        self.finish()

    def test_nothing_but_ends_of_lines(self) -> None:
        """A flood of heart-beats is read in time, and is nothing."""
        self.start()
        began = time.process_time()
        for _ in range(16):
            self.peer.send(b"\n" * 65536)
        self.assertLess(time.process_time() - began, 4)
        self.assertEqual(self.reasons(), [])
        self.finish()

    def test_login_forever(self) -> None:
        """An answer to the login that never ends is given up."""
        peer = Peer()
        peer.connect()
        for _ in range(40):
            peer.send(b"\n" * 1000)
        self.assertRegex(str(peer.login.outcome), "larger than 32768 bytes")
        self.assertTrue(peer.wire.aborted)
        peer.lose()
