"""
Reading STOMP's frames.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.stomp_peer import message, receipt
from txkombu.exceptions import ProtocolError
from txkombu.transport.stomp.wire.frames import encode_frame
from txkombu.transport.stomp.wire.parser import (
    BODY_MOST,
    HEAD_MOST,
    Frame,
    StompFrameParser,
)
from txkombu.transport.stomp.wire.stompest_core import StompParser

Read = tuple[str, list[tuple[str, str]], bytes]

_text = st.text(
    st.characters(codec="utf-8") | st.sampled_from("\\:\r\ncnr"), max_size=8
)
_names = _text.filter(
    lambda name: name not in ("content-length", "") and "\0" not in name
)
_values = _text.filter(lambda value: "\0" not in value)
_numbers = st.integers(0, 10**19).map(str)


@st.composite
def _frames(draw: st.DrawFn) -> bytes:
    """One frame as a broker may write it, and what may come behind it."""
    command = draw(st.sampled_from(["MESSAGE", "MESSAGE", "RECEIPT", "ERROR"]))
    if command == "RECEIPT":
        number = draw(_numbers | _values)
        written = encode_frame(command, [("receipt-id", number)])
    else:
        headers = draw(st.lists(st.tuples(_names, _values), max_size=4))
        body = draw(st.binary(max_size=12))
        if draw(st.booleans()):
            body = body.replace(b"\0", b"")
            written = encode_frame(command, headers)[:-1] + body + b"\0"
        else:
            written = encode_frame(command, headers, body)
    if draw(st.booleans()):
        head, _, rest = written.partition(b"\n\n")
        written = head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + rest
    return written + draw(st.sampled_from([b"", b"\n", b"\n\n"]))


def _pieces(stream: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(stream), size):
        yield stream[start : start + size]


def _read(stream: bytes, size: int) -> list[Read]:
    parser = StompFrameParser()
    return [
        (frame.command, frame.pairs, frame.body)
        for piece in _pieces(stream, size)
        for frame in parser.feed(piece)
    ]


def _read_by_stompest(stream: bytes) -> list[Read]:
    parser = StompParser("1.2")
    parser.add(stream)
    found = []
    while parser.canRead():
        frame = parser.get()
        if frame:
            found.append((frame.command, frame.rawHeaders, frame.body))
    return found


class EquivalenceTests(SynchronousTestCase):
    """The same frames as stompest's, however the stream is cut."""

    @given(st.lists(_frames(), max_size=6), st.integers(1, 40))
    @example([receipt("1"), receipt("22"), message("s", b"\0"), receipt("3")], 7)
    @settings(max_examples=200, deadline=None)
    def test_same_frames(self, frames: list[bytes], size: int) -> None:
        """Random frames, with escapes, CR LF, zero bytes, with a length or not."""
        stream = b"".join(frames)
        wanted = _read_by_stompest(stream)
        self.assertEqual(len(wanted), len(frames))
        for each in (size, len(stream) or 1):
            self.assertEqual(_read(stream, each), wanted)

    def test_every_cut(self) -> None:
        """A stream of all kinds may be cut in two at every byte."""
        stream = b"".join(
            (
                b"\n\r\n",
                receipt("1"),
                message("s", b"\0\n\n\0", a="b"),
                b"MESSAGE\r\na:b\\c\r\n\r\nbody\0\r\n",
                receipt("2"),
                b"MESSAGE\n\n\0",
                b"ERROR\nmessage:x\n\nwhy\0\n",
            )
        )
        wanted = _read(stream, len(stream))
        self.assertEqual(
            [command for command, _, _ in wanted],
            ["RECEIPT", "MESSAGE", "MESSAGE", "RECEIPT", "MESSAGE", "ERROR"],
        )
        for cut in range(len(stream) + 1):
            parser = StompFrameParser()
            found = [*parser.feed(stream[:cut]), *parser.feed(stream[cut:])]
            self.assertEqual(
                [(each.command, each.pairs, each.body) for each in found], wanted
            )


class Case(SynchronousTestCase):
    """What a parser makes of a stream."""

    def one(self, stream: bytes) -> Frame:
        """The one frame of it."""
        (frame,) = StompFrameParser().feed(stream)
        return frame

    def refused(self, stream: bytes, reason: str, size: int = 0) -> list[Frame]:
        """The stream is refused for that; the frames before."""
        found: list[Frame] = []
        parser = StompFrameParser(1000, 1000)
        with self.assertRaisesRegex(ProtocolError, reason):
            for piece in _pieces(stream, size or len(stream)):
                found.extend(parser.feed(piece))
        return found


class HeadTests(Case):
    """Commands and headers."""

    def test_unescaped(self) -> None:
        """All four escapes are undone, in names too."""
        frame = self.one(b"MESSAGE\na\\c\\\\\\n\\r:\\r\\n\\\\\\c\n\n\0")
        self.assertEqual(frame.headers, {"a:\\\n\r": "\r\n\\:"})

    def test_escaped_backslash(self) -> None:
        """A backslash that is escaped escapes nothing."""
        frame = self.one(b"MESSAGE\na:\\\\c\\\\\\c\n\n\0")
        self.assertEqual(frame.headers, {"a": "\\c\\:"})

    def test_unknown_escape(self) -> None:
        """Other escapes are no STOMP, nor is one that is cut off."""
        for header in (b"a:\\t", b"a:\\", b"\\x:a", b"a:\\c\\0"):
            self.refused(b"MESSAGE\n%b\n\n\0" % header, "no colon, or a wrong escape")

    def test_no_colon(self) -> None:
        """A header without a colon is none."""
        self.refused(b"MESSAGE\na:b\nnone\n\n\0", "no colon")

    def test_colon_in_value(self) -> None:
        """A bare colon in a value harms nobody."""
        self.assertEqual(self.one(b"MESSAGE\na:b:c\n\n\0").headers, {"a": "b:c"})

    def test_repeated(self) -> None:
        """The first of repeated headers counts, the others are kept."""
        frame = self.one(b"MESSAGE\na:1\nb:2\na:\\c\n\n\0")
        self.assertEqual(frame.headers, {"a": "1", "b": "2"})
        self.assertEqual(frame.pairs, [("a", "1"), ("b", "2"), ("a", ":")])
        self.assertEqual(frame.last("a"), ":")

    def test_not_utf8(self) -> None:
        """Bytes that are no UTF-8 are kept, and can be told."""
        frame = self.one(b"MESSAGE\nk\xff:v\xfe\xc3\xa9\n\nbody\0")
        self.assertEqual(frame.headers, {"k\udcff": "v\udcfe\xe9"})
        self.assertEqual(frame.body, b"body")

    def test_zero_byte(self) -> None:
        """A zero byte in a header, which RabbitMQ lets pass, ends no frame."""
        found = list(StompFrameParser().feed(b"MESSAGE\na:\0\n\nbody\0" + receipt("1")))
        self.assertEqual([each.command for each in found], ["MESSAGE", "RECEIPT"])
        self.assertEqual((found[0].headers, found[0].body), ({"a": "\0"}, b"body"))

    def test_crlf(self) -> None:
        """Lines may end with CR LF, and so may what is between frames."""
        stream = (
            b"\r\nMESSAGE\r\na:b\r\nc:\\r\r\n\r\nbody\0\r\n\n\r\nRECEIPT\nx:y\n\n\0"
        )
        first, second = StompFrameParser().feed(stream)
        self.assertEqual(first.headers, {"a": "b", "c": "\r"})
        self.assertEqual((first.body, second.headers), (b"body", {"x": "y"}))

    def test_blank_line_of_a_body(self) -> None:
        """Blank lines in a body are the body's, whatever they are made of."""
        for line, other in ((b"\n", b"\r\n"), (b"\r\n", b"\n")):
            head = b"MESSAGE" + line + b"a:b" + line * 2
            frame = self.one(head + other * 3 + line * 3 + b"\0")
            self.assertEqual(
                (frame.headers, frame.body), ({"a": "b"}, other * 3 + line * 3)
            )

    def test_unknown_command(self) -> None:
        """What a broker never sends is refused, and named."""
        for begin in (
            b"SEND\n",
            b"message\n",
            b"MESSAGES\n",
            b"MESSAG\n",
            b" MESSAGE\n",
        ):
            self.refused(begin + b"a:b\n\n\0", "no frame of a STOMP broker begins with")

    def test_unknown_command_at_once(self) -> None:
        """It is refused as soon as that is clear."""
        self.refused(b"HTTP/1.1 400 Bad", "begins with b'H'", 1)
        self.refused(b"\x15\x03\x03\x00\x02", "which is TLS: use stomp\\+ssl://")
        parser = StompFrameParser()
        for begun in (b"MESS", b"AGE", b"\r", b"\na"):
            self.assertEqual(list(parser.feed(begun)), [])

    def test_frames_before(self) -> None:
        """The frames before a broken one are handed out."""
        found = self.refused(receipt("1") + message("s", b"x") + b"X\n\n\0", "begins")
        self.assertEqual([each.command for each in found], ["RECEIPT", "MESSAGE"])


class BodyTests(Case):
    """Bodies and their lengths."""

    def test_without_length(self) -> None:
        """A body without a length ends with a zero byte."""
        self.assertEqual(self.one(b"MESSAGE\n\na\nb\0").body, b"a\nb")

    def test_with_length(self) -> None:
        """One with a length may have zero bytes."""
        frame = self.one(message("s", b"\0a\0"))
        self.assertEqual(frame.body, b"\0a\0")

    def test_wrong_length(self) -> None:
        """A length that does not lead to the end of the frame is refused."""
        for length in (b"2", b"0"):
            stream = b"MESSAGE\ncontent-length:%b\n\nabc\0" % length
            for size in (len(stream), 1):
                self.refused(stream, "content-length is wrong", size)

    def test_no_number(self) -> None:
        """A length is a number in ASCII, and nothing else."""
        for length in ("abc", "", "-1", "+1", "1_0", " 1", "1.0", "\u0661", "9" * 99):
            stream = f"MESSAGE\ncontent-length:{length}\n\nabc\0".encode()
            self.refused(stream, "content-length is '")

    def test_last_length(self) -> None:
        """The last of several lengths counts: it is the broker's own."""
        stream = b"MESSAGE\ncontent-length:9\ncontent-length:1\n\na\0"
        self.assertEqual(self.one(stream).body, b"a")

    def test_length_elsewhere(self) -> None:
        """Where lengths come last, one that does not is a header as any other."""
        parser = StompFrameParser()
        parser.expect_length_last(True)
        for headers, body in (
            (b"content-length:9\na:1", b""),
            (b"content-length:9\na:1\na:2", b""),
            (b"content-length:9\na:1\ncontent-length:1", b"\0"),
            (b"content-length:1", b"\0"),
        ):
            stream = b"MESSAGE\n%b\n\n%b\0" % (headers, body)
            (frame,) = parser.feed(stream)
            self.assertEqual(frame.body, body)

    def test_bytes(self) -> None:
        """Bodies are bytes, however they arrived."""
        for size in (1, 5, 1000):
            ((_, _, body),) = _read(message("s", b"abc"), size)
            self.assertIs(type(body), bytes)


class LimitTests(Case):
    """Limits, and what they protect: time and memory."""

    def test_head(self) -> None:
        """A head larger than the limit is refused, wherever it is cut."""
        head = b"MESSAGE\na:" + b"x" * 988
        (frame,) = StompFrameParser(1000, 1000).feed(head + b"\n\n\0")
        self.assertEqual(len(frame.headers["a"]), 988)
        for size in (2000, 999, 1):
            self.refused(head + b"xx\n\n\0", "head is larger than 1000 bytes", size)

    def test_body(self) -> None:
        """So is a body, with or without a length."""
        for length in (b"", b"content-length:1001\n"):
            stream = b"MESSAGE\n%b\n%b\0" % (length, b"x" * 1001)
            for size in (len(stream), 100):
                self.refused(stream, "body.* is larger than 1000", size)

    def test_body_without_end(self) -> None:
        """One that never ends is refused as soon as it is too large."""
        self.refused(b"MESSAGE\n\n" + b"x" * 1001, "larger than 1000", 100)

    def test_allowed_body(self) -> None:
        """A body of the largest size is fine."""
        for stream in (b"MESSAGE\n\n%b\0" % (b"x" * 1000), message("s", b"y" * 1000)):
            for size in (len(stream), 77):
                parser = StompFrameParser(1000, 1000)
                (frame,) = [
                    frame
                    for piece in _pieces(stream, size)
                    for frame in parser.feed(piece)
                ]
                self.assertEqual(len(frame.body), 1000)

    def test_defaults(self) -> None:
        """By default a head has 512 KiB at most and a body 128 MiB."""
        self.assertEqual((HEAD_MOST, BODY_MOST), (524288, 134217728))
        with self.assertRaisesRegex(ProtocolError, "99999999999 bytes is larger"):
            list(StompFrameParser().feed(b"MESSAGE\ncontent-length:99999999999\n\n"))

    def fed(self, stream: bytes, size: int) -> float:
        """Seconds that it takes to read a stream in pieces."""
        began = time.process_time()
        parser = StompFrameParser()
        for piece in _pieces(stream, size):
            for _ in parser.feed(piece):
                pass
        return time.process_time() - began

    def test_linear(self) -> None:
        """Large bodies, and small pieces, take time in proportion."""
        body = b"x" * 8_000_000
        self.assertLess(self.fed(message("s", body), 65536), 4)
        self.assertLess(self.fed(b"MESSAGE\n\n%b\0" % body, 65536), 4)
        self.assertLess(self.fed(message("s", body[:120_000]), 1), 4)
        self.assertLess(self.fed(b"MESSAGE\n\n%b\0" % body[:2_000_000], 16), 4)
        head = b"MESSAGE\na:" + b"x" * 120_000 + b"\n\n\0"
        self.assertLess(self.fed(head, 1), 4)
        self.assertLess(self.fed(b"\n" * 1_000_000 + receipt("1"), 65536), 4)
        self.assertLess(self.fed(b"MESSAGE\r\na:b\r\n\r\n\0" * 5000, 65536), 4)
