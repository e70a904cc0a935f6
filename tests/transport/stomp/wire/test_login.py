"""
Logging in over STOMP.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.support.stomp_peer import SERVER, frame
from txkombu.exceptions import AuthenticationFailed, ConnectError, ProtocolError
from txkombu.transport.stomp.wire import stompest_core
from txkombu.transport.stomp.wire.login import Agreed, agree, login_frame
from txkombu.transport.stomp.wire.parser import Frame, StompFrameParser
from txkombu.url import Parameters

SECRET = "s3cr3t:\\\n\r"
PARAMETERS = Parameters(
    "stomp", userid="ann:é", password=SECRET, virtual_host="/v:h", heartbeat=0
)


def connected(**headers: str) -> bytes:
    """A CONNECTED."""
    return frame("CONNECTED", **{"version": "1.2", **headers})


class FrameTests(SynchronousTestCase):
    """The frame that logs in."""

    def test_whole(self) -> None:
        """It is a STOMP, escaped, with the credentials and the virtual host."""
        self.assertEqual(
            login_frame(PARAMETERS),
            "STOMP\naccept-version:1.2\nhost:/v\\ch\nlogin:ann\\cé\n"
            "passcode:s3cr3t\\c\\\\\\n\\r\nheart-beat:0,0\n\n\0".encode(),
        )

    def test_credentials_always(self) -> None:
        """Credentials are told when they are empty, too."""
        written = login_frame(Parameters("stomp", userid="", password=""))
        self.assertIn(b"\nlogin:\npasscode:\n", written)

    def test_heartbeat(self) -> None:
        """Heart-beats are asked for in milliseconds, in both directions."""
        for seconds, beat in (
            (60, b"60000,60000"),
            (0.5, b"500,500"),
            (1e-9, b"1,1"),
            (1e12, b"2147483647,2147483647"),
        ):
            written = login_frame(attrs.evolve(PARAMETERS, heartbeat=seconds))
            self.assertIn(b"\nheart-beat:%b\n" % beat, written)

    def test_cannot_be_written(self) -> None:
        """What cannot be written is named, not shown."""
        for field, header in (("virtual_host", "host"), ("password", "passcode")):
            changed: dict[str, Any] = {field: f"{SECRET}\0"}
            parameters = attrs.evolve(PARAMETERS, **changed)
            with self.assertRaisesRegex(ConnectError, f"'{header}' has a zero") as got:
                login_frame(parameters)
            self.assertNotIn("s3cr3t", str(got.exception))


class AnswerTests(SynchronousTestCase):
    """What the broker answers."""

    def answer(
        self, stream: bytes, heartbeat: float = 0, size: int = 0
    ) -> tuple[Agreed, list[Frame]] | None:
        """What is made of it, in pieces, and the frames behind it."""
        parameters = attrs.evolve(PARAMETERS, heartbeat=heartbeat)
        parser = StompFrameParser(login=True)
        agreed, behind = None, []
        size = size or len(stream)
        for start in range(0, len(stream), size):
            for each in parser.feed(stream[start : start + size]):
                if agreed is None:
                    agreed = agree(each, parameters, "the broker")
                    parser.logged_in()
                else:
                    behind.append(each)
        return None if agreed is None else (agreed, behind)

    def refused(self, stream: bytes) -> ConnectError:
        """Why it is refused."""
        error: ConnectError = self.assertRaises(ConnectError, self.answer, stream)
        return error

    def broken(self, stream: bytes, reason: str, size: int = 0) -> None:
        """It breaks the protocol."""
        with self.assertRaisesRegex(ProtocolError, reason):
            self.answer(stream, 0, size)

    def test_any_cut(self) -> None:
        """The answer may come in any pieces; what follows it is read as usual."""
        stream = connected(server=SERVER) + b"RECEIPT\nreceipt-id:1\n\n\0"
        for size in range(1, len(stream) + 1):
            answer = self.answer(stream, size=size)
            assert answer is not None
            agreed, (behind,) = answer
            self.assertEqual(agreed, Agreed(SERVER, 0, 0))
            self.assertEqual(behind.pairs, [("receipt-id", "1")])

    def test_more_must_come(self) -> None:
        """Until it is whole, nothing is known."""
        self.assertIsNone(self.answer(connected(server=SERVER)[:-2]))
        self.assertIsNone(self.answer(b"\n\n"))

    def test_server(self) -> None:
        """The broker may say what it is, in any letters, or hide it."""
        for told, server in (({"server": "é:\\c"}, "é:\\c"), ({}, "")):
            answer = self.answer(connected(**told))
            assert answer is not None
            self.assertEqual(answer[0].server, server)

    def test_not_utf8(self) -> None:
        """Bytes that are no UTF-8 harm nobody."""
        answer = self.answer(b"CONNECTED\nversion:1.2\nserver:a\xff\n\n\0")
        assert answer is not None
        self.assertEqual(answer[0].server, "a\ufffd")

    def test_heartbeat(self) -> None:
        """The larger of two intervals is agreed on, by direction; 0 is none."""
        for ours, theirs, sends, hears in (
            (0, "1000,1000", 0, 0),
            (10, "0,0", 0, 0),
            (10, "5000,20000", 20, 10),
            (10, "20000,5000", 10, 20),
            (10, "0,10000", 10, 0),
            (10, "10000,0", 0, 10),
            (0.25, "250,250", 0.25, 0.25),
        ):
            answer = self.answer(connected(heart_beat=theirs), ours)
            self.assertEqual(answer, (Agreed("", sends, hears), []))

    def test_no_heartbeat(self) -> None:
        """A broker that says nothing of heart-beats has none."""
        self.assertEqual(self.answer(connected(), 10), (Agreed("", 0, 0), []))

    def test_process(self) -> None:
        """ActiveMQ's session begins with what its process is called; others' do not."""
        for session, process in (
            ("ID:vm-41507-1795991456086-3:10", "ID:vm-41507-1795991456086-3"),
            ("ID:a-b.example-1-2-3:4", "ID:a-b.example-1-2-3"),
            ("session-elcqVtZoc2b14oitZEJHmg", ""),
            ("ID:vm-1-2-3", ""),
            ("mine:7", ""),
            ("", ""),
        ):
            answer = self.answer(connected(session=session), 10)
            assert answer is not None
            self.assertEqual(answer[0].process, process)

    def test_bad_heartbeat(self) -> None:
        """Heart-beats that are no two numbers are refused."""
        for told in ("1", "a,b", "-1,0", "1,2,3"):
            self.broken(connected(heart_beat=told), "heart-beat is wrong")

    def test_version(self) -> None:
        """A broker that answers another version will not do."""
        for told in ("1.0", "1.1", "2.0"):
            error = self.refused(connected(version=told))
            self.assertIn(f"the broker speaks STOMP '{told}', not 1.2", str(error))
        self.assertIn("speaks STOMP '1.0'", str(self.refused(b"CONNECTED\n\n\0")))

    def test_error(self) -> None:
        """An ERROR is unescaped: its colons are its own."""
        stream = (
            b"ERROR\ncontent-type:text/plain\n"
            b"message:User name [ann:\xc3\xa9] or password is invalid.\n\nwhy\n\0"
        )
        error = self.refused(stream)
        self.assertIsInstance(error, AuthenticationFailed)
        self.assertIn("User name [ann:é] or password is invalid.", str(error))
        self.assertNotIn("s3cr3t", str(error))

    def test_error_with_zero_byte(self) -> None:
        """Its body may have zero bytes, which are shown escaped."""
        error = self.refused(frame("ERROR", b"a\0b", message="Bad CONNECT"))
        self.assertIn("Bad CONNECT: a\\x00b", str(error))

    def test_other_protocols(self) -> None:
        """What does not speak STOMP is told from the first bytes."""
        for begun, reason in (
            (b"AMQP\0\0\x09\x01", "begins with b'AMQP"),
            (b"HTTP/1.1 400 Bad Request\r\n", "begins with b'HTTP"),
            (b"\x15\x03\x03\0\x02\x02F", "use stomp\\+ssl"),
            (b"\0\0\x01>\x01ActiveMQ", "begins with"),
            (b"MESSAGE\na:b\n\n\0", "begins with b'MESSAGE"),
        ):
            self.broken(begun, reason)
            self.broken(begun, "begins with", 1)

    def test_cannot_be_read(self) -> None:
        """A frame that makes no sense is no answer."""
        for stream in (
            b"CONNECTED\nversion\n\n\0",
            b"CONNECTED\ncontent-length:abc\n\n\0",
            b"CONNECTED\ncontent-length:1\n\nabc\0",
            b"CONNECTED\rversion:1.2\n\n\0",
        ):
            self.broken(stream, "no colon|content-length|begins with")

    def test_limit(self) -> None:
        """An answer has a limit, wherever it is cut."""
        for size in (0, 1000):
            self.broken(b"CONNECTED\na:" + b"x" * 40000, "larger than 32768", size)
            self.broken(b"ERROR\n\n" + b"x" * 40000, "larger than 32768", size)
        self.broken(b"\n" * 40000, "larger than 32768", 1000)


class ImportTests(SynchronousTestCase):
    """Importing what we take from stompest."""

    def test_warnings_are_errors(self) -> None:
        """It works where warnings are errors and nothing was compiled yet."""
        with tempfile.TemporaryDirectory() as folder:
            run = f"import runpy; runpy.run_path({stompest_core.__file__!r})"
            options = ["-W", "error", "-X", f"pycache_prefix={folder}"]
            done = [
                subprocess.run(
                    [sys.executable, *options, *program],
                    check=False,
                    capture_output=True,
                    text=True,
                )
                for program in (["-c", "import stompest.protocol"], ["-c", run])
            ]
        self.assertIn("SyntaxError", done[0].stderr)
        self.assertEqual((done[1].returncode, done[1].stderr), (0, ""))
