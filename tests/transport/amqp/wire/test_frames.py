"""
Frames of AMQP 0-9-1.
"""

from __future__ import annotations

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
    body_frames,
    frame,
)
from txkombu.transport.amqp.wire.parser import AmqpFrameParser

_frames = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 3, 8]), st.integers(0, 65535), st.binary(max_size=50)
    )
)


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
        for byte in b"".join(body_frames(1, b"x" * 2**20, 131072)):
            found += parser.feed(bytes([byte]))
        self.assertEqual(sum(len(payload) for _, _, payload in found), 2**20)

    def test_large_stream(self) -> None:
        """64 MiB in pieces of 64 KiB come out whole."""
        piece = b"x" * 65536
        stream = b"".join(body_frames(1, piece * 16, 131072))
        parser = AmqpFrameParser()
        size = 0
        for _ in range(64):
            for start in range(0, len(stream), 65536):
                for _, _, payload in parser.feed(stream[start : start + 65536]):
                    size += len(payload)
        self.assertEqual(size, 64 * 2**20)

    def test_size(self) -> None:
        """A frame of the size agreed on is taken, a larger one refused at once."""
        parser = AmqpFrameParser()
        parser.frame_max = 4096
        largest = frame(BODY, 1, b"x" * 4088)
        self.assertEqual(len(list(parser.feed(largest))), 1)
        with self.assertRaisesRegex(ProtocolError, "4097 bytes is larger than 4096"):
            list(parser.feed(frame(BODY, 1, b"x" * 4089)[:7]))

    def test_no_limit(self) -> None:
        """Without a limit a frame may be of any size."""
        parser = AmqpFrameParser()
        parser.frame_max = 0
        ((_, _, payload),) = parser.feed(frame(BODY, 1, b"x" * 1_000_000))
        self.assertEqual(len(payload), 1_000_000)

    def test_limit_from_now_on(self) -> None:
        """A new limit holds for the next frame, of the same piece too."""
        parser = AmqpFrameParser()
        stream = parser.feed(frame(METHOD, 0, b"") + frame(BODY, 1, b"x" * 5000))
        next(stream)
        parser.frame_max = 4096
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
        """A length alone sets no memory aside."""
        parser = AmqpFrameParser()
        parser.frame_max = 0
        self.assertEqual(list(parser.feed(b"\x03\x00\x01\xff\xff\xff\xf0abc")), [])
        self.assertLess(len(parser._kept), 100)


class BodyFramesTests(SynchronousTestCase):
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
            made = body_frames(1, b"x" * size, 4096)
            self.assertEqual(len(made), frames, size)
            self.assertTrue(all(len(each) <= 4096 for each in made))
            found = list(AmqpFrameParser().feed(b"".join(made)))
            self.assertEqual(sum(len(payload) for _, _, payload in found), size)

    def test_no_limit(self) -> None:
        """Without a limit a body is one frame."""
        self.assertEqual(len(body_frames(1, b"x" * 1_000_000, 0)), 1)
