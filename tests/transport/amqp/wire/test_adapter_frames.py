"""
How frames begin, end and are cut, for the libraries that read and write them.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands
from pamqp.frame import marshal
from twisted.trial.unittest import SynchronousTestCase

from txkombu.exceptions import ProtocolError
from txkombu.transport.amqp.wire.adapter_codec import decode_method
from txkombu.transport.amqp.wire.adapter_frames import (
    OVERHEAD,
    frame,
    frame_size,
    parts,
    pieces,
)
from txkombu.transport.amqp.wire.content import Content, assembler

DELIVER = marshal(commands.Basic.Deliver("tag", 1, False, "", "q"), 1)


class FrameTests(SynchronousTestCase):
    """Frames."""

    @given(st.integers(0, 65535), st.binary(min_size=1))
    def test_as_pamqp(self, number: int, payload: bytes) -> None:
        """A frame is what pamqp makes of it, and is taken apart again."""
        made = frame(3, number, payload)
        self.assertEqual(made, marshal(body.ContentBody(payload), number))
        self.assertEqual(parts(made), (3, number, payload))

    def test_size(self) -> None:
        """The size of a frame is known once seven bytes of it are there."""
        for end in range(1, len(DELIVER)):
            expected = len(DELIVER) if end >= 7 else 0
            self.assertEqual(frame_size(DELIVER[:end], 4096), expected)
        self.assertEqual(frame_size(DELIVER * 2, 4096), len(DELIVER))

    def test_too_large(self) -> None:
        """The largest frame is as large as was agreed on, with all that is in it."""
        self.assertEqual(frame_size(frame(3, 1, bytes(4088)), 4096), 4096)
        with self.assertRaisesRegex(ProtocolError, "4097 bytes is larger than 4096"):
            frame_size(frame(3, 1, bytes(4089))[:7], 4096)

    def test_no_frame(self) -> None:
        """What begins otherwise is no frame, from the first byte on."""
        for begin in (b"\x00", b"\x04", b"HTTP/1.1 400"):
            with self.assertRaisesRegex(ProtocolError, "begins with"):
                frame_size(begin, 4096)

    def test_no_end(self) -> None:
        """A frame whose last byte is another is none."""
        with self.assertRaisesRegex(ProtocolError, "lacks its end"):
            parts(frame(3, 1, b"x")[:-1] + b"\0")

    @given(st.binary(max_size=50), st.integers(OVERHEAD + 1, 30))
    def test_pieces(self, content: bytes, frame_max: int) -> None:
        """The pieces of a body fill their frames, but for the last, and miss none."""
        cut = pieces(content, frame_max)
        self.assertEqual(b"".join(cut), content)
        for piece in cut[:-1]:
            self.assertEqual(len(frame(3, 1, piece)), frame_max)
        for piece in cut[-1:]:
            self.assertTrue(0 < len(piece) <= frame_max - OVERHEAD)


class AssemblerTests(SynchronousTestCase):
    """What frames make together."""

    def test_connection(self) -> None:
        """The connection itself has methods and heartbeats, and no contents."""
        connection = assembler(0, decode_method)
        self.assertIsNone(connection.handle_frame(8, b""))
        method = connection.handle_frame(
            *_taken(marshal(commands.Connection.OpenOk(), 0))
        )
        self.assertIsInstance(method, commands.Connection.OpenOk)
        for kind in (2, 3):
            with self.assertRaisesRegex(ProtocolError, "for the whole connection"):
                connection.handle_frame(kind, b"")

    def test_carrier_on_the_connection(self) -> None:
        """A delivery there is a method like any other: nothing is awaited after it."""
        method = assembler(0, decode_method).handle_frame(*_taken(DELIVER))
        self.assertIsInstance(method, commands.Basic.Deliver)

    def test_channel(self) -> None:
        """A channel has contents, and no heartbeats."""
        channel = assembler(1, decode_method)
        with self.assertRaisesRegex(ProtocolError, "type 8 came without a method"):
            channel.handle_frame(8, b"")
        self.assertIsNone(channel.handle_frame(*_taken(DELIVER)))
        sizes = b"\x00\x3c\x00\x00" + (3).to_bytes(8, "big") + b"\0\0"
        self.assertIsNone(channel.handle_frame(2, sizes))
        found = channel.handle_frame(3, b"abc")
        assert isinstance(found, Content)
        self.assertEqual((found.body, found.listed), (b"abc", b"\0\0"))


def _taken(whole: bytes) -> tuple[int, bytes]:
    kind, _, payload = parts(whole)
    return kind, payload
