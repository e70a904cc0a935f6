"""
Frames of AMQP 0-9-1.
"""

from __future__ import annotations

from sys import getsizeof

from hypothesis import given
from hypothesis import strategies as st
from pamqp import body
from pamqp.frame import marshal
from pamqp.heartbeat import Heartbeat
from twisted.trial.unittest import SynchronousTestCase

from txkombu.exceptions import ProtocolError
from txkombu.transport.amqp.wire.frames import (
    BODY,
    HEARTBEAT_FRAME,
    METHOD,
    OVERHEAD,
    body_pieces,
    frame,
    frame_size,
    split_frame,
)
from txkombu.transport.amqp.wire.parser import AmqpFrameParser

_frames = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 3, 8]), st.integers(0, 65535), st.binary(max_size=50)
    )
)


def _body(body: bytes) -> bytes:
    """A body's frames."""
    return b"".join(frame(BODY, 1, piece) for piece in body_pieces(body, 131072))


class FrameParserTests(SynchronousTestCase):
    """Bytes to frames."""

    @given(_frames, st.integers(1, 60))
    def test_any_pieces(self, frames: list[tuple[int, int, bytes]], size: int) -> None:
        """Frames come out as they went in, however the stream is cut."""
        stream = b"".join(frame(*each) for each in frames)
        parser = AmqpFrameParser()
        found: list[tuple[int, int, bytes]] = []
        for start in range(0, len(stream), size):
            found += parser.feed(stream[start : start + size])
        self.assertEqual(found, frames)

    def test_as_pamqp(self) -> None:
        """Frames are written as pamqp writes them."""
        self.assertEqual(frame(BODY, 7, b"abc"), marshal(body.ContentBody(b"abc"), 7))
        self.assertEqual(HEARTBEAT_FRAME, marshal(Heartbeat(), 0))

    def test_byte_by_byte(self) -> None:
        """A megabyte that comes byte by byte is not copied again and again."""
        parser = AmqpFrameParser()
        found: list[tuple[int, int, bytes]] = []
        for byte in _body(b"x" * 2**20):
            found += parser.feed(bytes([byte]))
        self.assertEqual(sum(len(payload) for _, _, payload in found), 2**20)

    def test_large_stream(self) -> None:
        """64 MiB in pieces of 64 KiB come out whole."""
        piece = b"x" * 65536
        stream = _body(piece * 16)
        parser = AmqpFrameParser()
        size = 0
        for _ in range(64):
            for start in range(0, len(stream), 65536):
                for _, _, payload in parser.feed(stream[start : start + 65536]):
                    size += len(payload)
        self.assertEqual(size, 64 * 2**20)

    def test_size(self) -> None:
        """
        A frame of the size agreed on is accepted, a larger one is refused at once.
        """
        parser = AmqpFrameParser()
        parser.limit_frames(4096)
        largest = frame(BODY, 1, b"x" * 4088)
        self.assertEqual(len(list(parser.feed(largest))), 1)
        with self.assertRaisesRegex(ProtocolError, "4097 bytes is larger than 4096"):
            list(parser.feed(frame(BODY, 1, b"x" * 4089)[:7]))

    def test_no_limit(self) -> None:
        """Without a limit a frame may be of any size."""
        parser = AmqpFrameParser()
        parser.limit_frames(0)
        ((_, _, payload),) = parser.feed(frame(BODY, 1, b"x" * 1_000_000))
        self.assertEqual(len(payload), 1_000_000)

    def test_limit_from_now_on(self) -> None:
        """A new limit holds for the next frame, even one of the same piece."""
        parser = AmqpFrameParser()
        stream = parser.feed(frame(METHOD, 0, b"") + frame(BODY, 1, b"x" * 5000))
        next(stream)
        parser.limit_frames(4096)
        with self.assertRaises(ProtocolError):
            next(stream)

    def test_no_end(self) -> None:
        """A frame that does not end with its mark is refused."""
        with self.assertRaisesRegex(ProtocolError, "3 bytes lacks its end"):
            list(AmqpFrameParser().feed(frame(BODY, 1, b"abc")[:-1] + b"\x00"))

    def test_no_frame(self) -> None:
        """What begins no frame is refused at its first byte, and shown."""
        for sent, shown in (
            (b"HTTP/1.1 400 Bad Request", "HTTP/1.1 400 Bad"),
            (b"AMQP\x00\x01\x00\x00", "another version of the protocol"),
            (b"\x15\x03\x03\x00\x02\x02", "TLS: use .* amqps://"),
            (b"\x00", "begins with"),
        ):
            with self.assertRaisesRegex(ProtocolError, shown):
                list(AmqpFrameParser().feed(sent))

    def test_length_allocates_nothing(self) -> None:
        """A length alone allocates no memory."""
        parser = AmqpFrameParser()
        parser.limit_frames(0)
        self.assertEqual(list(parser.feed(b"\x03\x00\x01\xff\xff\xff\xf0abc")), [])
        self.assertLess(len(parser._kept.getvalue()), 100)
        self.assertLess(getsizeof(parser._kept), 500)


class FrameTests(SynchronousTestCase):
    """Frames one by one."""

    @given(st.integers(0, 65535), st.binary(min_size=1))
    def test_split(self, number: int, payload: bytes) -> None:
        """A frame is taken apart into what it was made of."""
        self.assertEqual(
            split_frame(frame(BODY, number, payload)), (3, number, payload)
        )

    def test_no_end(self) -> None:
        """A frame that does not end with its mark is refused."""
        with self.assertRaisesRegex(ProtocolError, "1 bytes lacks its end"):
            split_frame(frame(BODY, 1, b"x")[:-1] + b"\0")

    def test_size(self) -> None:
        """The size of a frame is known once seven bytes of it are there."""
        whole = frame(METHOD, 1, bytes(20))
        for end in range(1, len(whole)):
            expected = len(whole) if end >= 7 else 0
            self.assertEqual(frame_size(whole[:end], 4096), expected)
        self.assertEqual(frame_size(whole * 2, 4096), len(whole))

    def test_too_large(self) -> None:
        """The largest frame is as large as was agreed on, with all that is in it."""
        self.assertEqual(frame_size(frame(BODY, 1, bytes(4088)), 4096), 4096)
        with self.assertRaisesRegex(ProtocolError, "4097 bytes is larger than 4096"):
            frame_size(frame(BODY, 1, bytes(4089))[:7], 4096)

    def test_no_frame(self) -> None:
        """What begins otherwise is no frame, from the first byte on."""
        for begin in (b"\x00", b"\x04", b"HTTP/1.1 400"):
            with self.assertRaisesRegex(ProtocolError, "begins with"):
                frame_size(begin, 4096)


class BodyPiecesTests(SynchronousTestCase):
    """Bodies in pieces."""

    def test_sizes(self) -> None:
        """A body is cut into as few frames as hold it; an empty one into none."""
        for size, frames in (
            (0, 0),
            (1, 1),
            (4088, 1),
            (4089, 2),
            (8176, 2),
            (8177, 3),
        ):
            self.assertEqual(len(body_pieces(b"x" * size, 4096)), frames, size)

    @given(st.binary(max_size=50), st.integers(OVERHEAD + 1, 30))
    def test_whole(self, content: bytes, frame_max: int) -> None:
        """The pieces fill their frames, but for the last, and miss no byte."""
        cut = body_pieces(content, frame_max)
        self.assertEqual(b"".join(cut), content)
        for piece in cut[:-1]:
            self.assertEqual(len(frame(BODY, 1, piece)), frame_max)
        for piece in cut[-1:]:
            self.assertTrue(0 < len(piece) <= frame_max - OVERHEAD)

    def test_no_limit(self) -> None:
        """Without a limit a body is one frame."""
        self.assertEqual(len(body_pieces(b"x" * 1_000_000, 0)), 1)
