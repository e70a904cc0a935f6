"""
STOMP's frames, and how they are written.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txkombu.transport.stomp.wire.frames import encode_frame, encode_header
from txkombu.transport.stomp.wire.parser import Frame
from txkombu.transport.stomp.wire.stompest_core import StompParser

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
values = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
SECRET = "s3cr3t"


class FrameTests(SynchronousTestCase):
    """What a frame tells of itself."""

    def test_pairs(self) -> None:
        """Without repeated headers the pairs are the headers, in their order."""
        frame = Frame("MESSAGE", {"b": "1", "a": "2"})
        self.assertEqual(frame.pairs, [("b", "1"), ("a", "2")])
        self.assertEqual(frame.last("b"), "1")

    def test_repeated(self) -> None:
        """Of repeated headers the first counts, and the last can be had."""
        pairs = [("a", "1"), ("b", "2"), ("a", "3")]
        frame = Frame("MESSAGE", {"a": "1", "b": "2"}, b"", pairs)
        self.assertEqual(frame.pairs, pairs)
        self.assertEqual((frame.headers["a"], frame.last("a")), ("1", "3"))
        self.assertEqual(frame.last("b"), "2")

    def test_missing(self) -> None:
        """A header that is missing has a default."""
        for frame in (Frame("MESSAGE", {}), Frame("MESSAGE", {}, b"", [])):
            self.assertEqual(frame.last("a"), "")
            self.assertEqual(frame.last("a", "b"), "b")

    def test_repr(self) -> None:
        """It shows no header and no body: either may be secret."""
        frame = Frame("STOMP", {"passcode": SECRET}, SECRET.encode())
        self.assertEqual(repr(frame), "<Frame STOMP with a body of 6 bytes>")
        self.assertNotIn(SECRET, f"{frame}")


class HeaderTests(SynchronousTestCase):
    """Single headers."""

    def test_plain(self) -> None:
        """What needs no escape is written as it is."""
        self.assertEqual(encode_header("a", "b c/é"), "a:b c/é\n".encode())

    def test_escapes(self) -> None:
        """The four characters with a meaning are escaped, in names too."""
        escaped = rb"\\\n\r\c"
        self.assertEqual(
            encode_header("\\\n\r:", "\\\n\r:"), escaped + b":" + escaped + b"\n"
        )

    def test_empty_value(self) -> None:
        """A value may be empty."""
        self.assertEqual(encode_header("a", ""), b"a:\n")

    def test_refused(self) -> None:
        """What cannot be written is refused with the header's name alone."""
        for name, value, reason in (
            ("", SECRET, "a header needs a name"),
            ("pass", f"{SECRET}\0", "'pass' has a zero byte"),
            ("pa\0ss", SECRET, "has a zero byte"),
            ("pass", f"{SECRET}\udcff", "'pass' cannot be written as UTF-8"),
            ("pa\ud800ss", SECRET, "cannot be written as UTF-8"),
        ):
            error = self.assertRaises(ValueError, encode_header, name, value)
            self.assertIn(reason, str(error))
            self.assertNotIn(SECRET, str(error))
            self.assertIsNone(error.__cause__)


class EncodeTests(SynchronousTestCase):
    """Whole frames."""

    def test_without_body(self) -> None:
        """A frame that can have no body has no length."""
        self.assertEqual(
            encode_frame("ACK", [("id", "7"), ("a", "b")]), b"ACK\nid:7\na:b\n\n\0"
        )

    def test_send(self) -> None:
        """A SEND has a length, of an empty body too."""
        self.assertEqual(encode_frame("SEND", []), b"SEND\ncontent-length:0\n\n\0")

    def test_body(self) -> None:
        """A body may have zero bytes: its length is told."""
        self.assertEqual(
            encode_frame("SEND", [("a", "b")], b"\0c\0"),
            b"SEND\na:b\ncontent-length:3\n\n\0c\0\0",
        )

    @given(st.lists(st.tuples(names, values), max_size=6), st.binary(max_size=20))
    @settings(max_examples=200, deadline=None)
    def test_read_by_others(self, headers: list[tuple[str, str]], body: bytes) -> None:
        """stompest reads what was meant."""
        headers = [pair for pair in headers if pair[0] != "content-length"]
        parser = StompParser("1.2")
        parser.add(encode_frame("SEND", headers, body))
        found = parser.get()
        self.assertEqual(found.command, "SEND")
        self.assertEqual(found.body, body)
        self.assertEqual(
            found.rawHeaders, [*headers, ("content-length", str(len(body)))]
        )
